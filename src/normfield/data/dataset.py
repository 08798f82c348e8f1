"""Data as everything else in the package takes it: checked when made, never written to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from normfield.data.batching import Batches, shuffled_batches, shuffled_order, taken
from normfield.data.checks import (
    check_choice,
    check_count,
    check_enough,
    check_inputs,
    check_lengths,
    check_structure,
    check_targets,
)
from normfield.errors import InvalidInput
from normfield.samples import Samples, count, leaves, mapped, shape_words

Standardisation = Literal["global", "pixel", "none"]

STANDARDISATIONS: tuple[str, ...] = get_args(Standardisation)

_STANDARDISED_AS = {
    "global": "one mean and one standard deviation",
    "pixel": "a mean and a standard deviation for each pixel",
    "none": "not standardised",
}


@dataclass(frozen=True, eq=False, repr=False)
class DataSet:
    """Inputs and targets, with what was done to them and how much of the set they are.

    Parameters
    ----------
    name : str
        What the data are called in tables and messages.
    inputs : torch.Tensor, or tuple or dict of such, nested
        Training inputs, float32 and finite, or whole numbers such as indices of words; shape (samples, *shape). A tuple
        is a model's positional arguments, a dict its keyword arguments (or its one argument).
    targets : torch.Tensor or dict of such
        Class labels, int64, shape (samples,) or (samples, *positions); or float targets, shape (samples, outputs) or
        (samples, *shape); or a dict of tensors, for a loss of your own.
    classes : int or None
        Number of classes; None where the targets are no labels.
    test_inputs, test_targets : as inputs and targets, or None
        Held-out data of the same form, standardised with the training data's numbers.
    standardise : {"global", "pixel", "none"}
        Which standardisation the inputs have had.
    samples_total : int
        How many training samples the set holds (for digits, which come as one set: all of them);
        0 stands for as many as were given.
    note : str
        What a reader of the results should know, such as missing files; empty where there is nothing.

    Raises
    ------
    InvalidInput
        Empty data, NaN or infinite values, labels outside 0 … classes - 1, lengths or shapes that differ.

    Examples
    --------
    >>> data = DataSet("two points", torch.eye(2), torch.tensor([0, 1]), classes=2)
    >>> print(data)
    two points: 2 of 2 samples, shape (2,), 2 classes, not standardised
    """

    name: str
    inputs: Samples
    targets: Samples
    classes: int | None
    test_inputs: Samples | None = None
    test_targets: Samples | None = None
    standardise: Standardisation = "none"
    samples_total: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        check_choice(self.standardise, STANDARDISATIONS, "standardise")
        _check_pair(self.inputs, self.targets, self.classes, "training")
        _check_test(self)
        object.__setattr__(self, "samples_total", max(self.samples_total, count(self.inputs)))

    @property
    def samples_used(self) -> int:
        """How many training samples are here."""
        return count(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input; InvalidInput where it is no single tensor."""
        return tuple(self._one_tensor("its shape").shape[1:])

    @property
    def outputs(self) -> int:
        """Number of outputs a network needs: the classes, or the columns of float targets; InvalidInput for others."""
        if self.classes is not None:
            return self.classes
        if isinstance(self.targets, torch.Tensor) and self.targets.ndim == 2:
            return self.targets.shape[1]
        raise InvalidInput(
            expected="class labels or targets of shape (samples, outputs), to count a network's outputs",
            got=f"targets of {shape_words(self.targets)}",
            instead="give a module of your own",
        )

    def batches(self, batch_size: int, seed: int | torch.Generator) -> Batches:
        """Cut the training data into shuffled batches of equal size.

        Parameters
        ----------
        batch_size : int
            Samples in a batch; a last short batch is dropped and counted in ``dropped``.
        seed : int or torch.Generator
            Decides the order, alone.

        Returns
        -------
        Batches
            A sequence of pairs (inputs, targets), of the data's structure, each tensor of batch_size samples.

        Raises
        ------
        InvalidInput
            `batch_size` is no whole number from 1 to the number of samples.
        """
        return shuffled_batches(self.inputs, self.targets, batch_size, seed)

    def subset(self, samples: int, seed: int | torch.Generator | None = None) -> DataSet:
        """Keep the first `samples` training samples, or as many drawn without replacement from `seed`.

        Standardisation and test data stay as they are.

        Raises
        ------
        InvalidInput
            `samples` is no whole number from 1 to the number of samples.
        """
        check_count(samples, "samples")
        check_enough(samples, self.samples_used, self.name)
        chosen: slice | torch.Tensor = slice(samples)
        if seed is not None:
            device = next(leaves(self.inputs)).device
            chosen = shuffled_order(self.samples_used, seed)[:samples].to(device)
        return replace(self, inputs=taken(self.inputs, chosen), targets=taken(self.targets, chosen))

    def with_less_test(self, samples: int) -> DataSet:
        """Keep the first `samples` test samples, or all where there are no more.

        Raises
        ------
        InvalidInput
            `samples` is no whole number from 1.
        """
        check_count(samples, "samples")
        if self.test_inputs is None or self.test_targets is None:
            return self
        first = slice(samples)
        return replace(
            self, test_inputs=taken(self.test_inputs, first), test_targets=taken(self.test_targets, first)
        )

    def flattened(self) -> DataSet:
        """Return the same data with every input as one vector."""
        return self.shaped((math.prod(self.input_shape),))

    def shaped(self, shape: Sequence[int]) -> DataSet:
        """Return the same data with inputs of another shape that has as many entries.

        Raises
        ------
        InvalidInput
            `shape` has another number of entries, or the inputs are no single tensor.
        """
        inputs, wanted = self._one_tensor("to reshape it"), tuple(shape)
        if math.prod(wanted) != math.prod(self.input_shape) or any(size < 1 for size in wanted):
            raise InvalidInput(
                expected=f"a shape with the {math.prod(self.input_shape):,} entries of {self.input_shape}",
                got=f"{wanted} with {math.prod(wanted):,}",
                instead="give the network the data's input shape, or other data",
            )
        test = self.test_inputs
        return replace(
            self,
            inputs=inputs.reshape(-1, *wanted),
            test_inputs=None if test is None else test.reshape(-1, *wanted),
        )

    def squared_targets(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the targets t of the squared loss ½ Σ_c (f_c - t_c)²; labels become one-hot rows.

        Returns
        -------
        torch.Tensor
            Shape (samples, outputs) or (samples, outputs, *positions), of type `dtype`.

        Raises
        ------
        InvalidInput
            The targets are a dict.
        """
        if not isinstance(self.targets, torch.Tensor):
            raise InvalidInput(
                expected="targets of one tensor for the squared loss", got=shape_words(self.targets)
            )
        if self.classes is None:
            return self.targets.to(dtype)
        return torch.nn.functional.one_hot(self.targets, self.classes).movedim(-1, 1).to(dtype)

    def __str__(self) -> str:
        line = (
            f"{self.name}: {self.samples_used:,} of {self.samples_total:,} samples, "
            f"{_input_words(self.inputs)}, {self._target_words}, {_STANDARDISED_AS[self.standardise]}"
        )
        return f"{line}; {self.note}" if self.note else line

    def __repr__(self) -> str:
        return f"DataSet({self})"

    @property
    def _target_words(self) -> str:
        """What the targets are: ``10 classes``, ``3 outputs``, or their shapes."""
        places = tuple(self.targets.shape[1:]) if isinstance(self.targets, torch.Tensor) else ()
        if self.classes is not None:
            return f"{self.classes} classes" + (f" at each of {places} positions" if places else "")
        if len(places) == 1:
            return f"{places[0]} outputs"
        return f"targets of {_one(self.targets)}"

    def _one_tensor(self, why: str) -> torch.Tensor:
        if isinstance(self.inputs, torch.Tensor):
            return self.inputs
        raise InvalidInput(
            expected=f"inputs of one tensor, {why}",
            got=f"a {type(self.inputs).__name__}, {_one(self.inputs)}",
            instead="give a module of your own that takes these inputs",
        )


def _one(values: Samples) -> str:
    """The shapes of one sample, in words."""
    return shape_words(mapped(values, lambda tensor: tensor[0]))


def _input_words(inputs: Samples) -> str:
    if not isinstance(inputs, torch.Tensor):
        return f"inputs {_one(inputs)}"
    kind = "" if inputs.is_floating_point() else f" of {str(inputs.dtype).removeprefix('torch.')}"
    return f"{_one(inputs)}{kind}"


def _check_pair(inputs: Samples, targets: Samples, classes: int | None, what: str) -> None:
    check_inputs(inputs, f"{what} inputs")
    check_structure(targets, f"{what} targets")
    check_lengths(inputs, targets, what)
    check_targets(targets, classes, f"{what} targets")


def _check_test(data: DataSet) -> None:
    if data.test_inputs is None and data.test_targets is None:
        return
    if data.test_inputs is None or data.test_targets is None:
        raise InvalidInput(expected="test inputs and test targets, or neither", got="only one of them")
    _check_pair(data.test_inputs, data.test_targets, data.classes, "test")
    if _form(data.test_inputs) != _form(data.inputs):
        raise InvalidInput(
            expected=f"test inputs of {_one(data.inputs)}",
            got=_one(data.test_inputs).removeprefix("shape "),
            instead="bring both parts to one form",
        )


def _form(values: Samples) -> Samples:
    """The structure with the shape and the type of one sample in the place of each tensor."""
    return mapped(values, lambda tensor: (tensor.shape[1:], tensor.dtype))  # pyright: ignore[reportArgumentType]
