"""Data as everything else in the package takes it: checked when made, never written to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from normfield.data.batching import Batches, shuffled_batches, shuffled_order
from normfield.data.checks import (
    check_choice,
    check_count,
    check_enough,
    check_inputs,
    check_lengths,
    check_targets,
)
from normfield.errors import InvalidInput

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
    inputs : torch.Tensor
        Training inputs, float32, shape (samples, *shape), all finite.
    targets : torch.Tensor
        Class labels, int64, shape (samples,); or float targets, shape (samples, outputs).
    classes : int or None
        Number of classes; None where the targets are floats.
    test_inputs, test_targets : torch.Tensor or None
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
    inputs: torch.Tensor
    targets: torch.Tensor
    classes: int | None
    test_inputs: torch.Tensor | None = None
    test_targets: torch.Tensor | None = None
    standardise: Standardisation = "none"
    samples_total: int = 0
    note: str = ""

    def __post_init__(self) -> None:
        check_choice(self.standardise, STANDARDISATIONS, "standardise")
        _check_pair(self.inputs, self.targets, self.classes, "training")
        _check_test(self)
        object.__setattr__(self, "samples_total", max(self.samples_total, len(self.inputs)))

    @property
    def samples_used(self) -> int:
        """How many training samples are here."""
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.inputs.shape[1:])

    @property
    def outputs(self) -> int:
        """Number of outputs a network needs: the classes, or the columns of float targets."""
        return self.classes if self.classes is not None else self.targets.shape[1]

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
            A sequence of pairs, shapes (batch_size, *shape) and (batch_size,) or (batch_size, outputs).

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
        if seed is None:
            return replace(self, inputs=self.inputs[:samples], targets=self.targets[:samples])
        chosen = shuffled_order(self.samples_used, seed)[:samples].to(self.inputs.device)
        return replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen])

    def flattened(self) -> DataSet:
        """Return the same data with every input as one vector."""
        return self.shaped((math.prod(self.input_shape),))

    def shaped(self, shape: Sequence[int]) -> DataSet:
        """Return the same data with inputs of another shape that has as many entries.

        Raises
        ------
        InvalidInput
            `shape` has another number of entries.
        """
        wanted = tuple(shape)
        if math.prod(wanted) != math.prod(self.input_shape) or any(size < 1 for size in wanted):
            raise InvalidInput(
                expected=f"a shape with the {math.prod(self.input_shape):,} entries of {self.input_shape}",
                got=f"{wanted} with {math.prod(wanted):,}",
                instead="give the network the data's input shape, or other data",
            )
        test = self.test_inputs
        return replace(
            self,
            inputs=self.inputs.reshape(-1, *wanted),
            test_inputs=None if test is None else test.reshape(-1, *wanted),
        )

    def squared_targets(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Return the targets t of the squared loss ½ Σ_c (f_c - t_c)²; labels become one-hot rows.

        Returns
        -------
        torch.Tensor
            Shape (samples, outputs), of type `dtype`.
        """
        if self.classes is None:
            return self.targets.to(dtype)
        return torch.nn.functional.one_hot(self.targets, self.classes).to(dtype)

    def __str__(self) -> str:
        kind = f"{self.outputs} outputs" if self.classes is None else f"{self.classes} classes"
        line = (
            f"{self.name}: {self.samples_used:,} of {self.samples_total:,} samples, "
            f"shape {self.input_shape}, {kind}, {_STANDARDISED_AS[self.standardise]}"
        )
        return f"{line}; {self.note}" if self.note else line

    def __repr__(self) -> str:
        return f"DataSet({self})"


def _check_pair(inputs: torch.Tensor, targets: torch.Tensor, classes: int | None, what: str) -> None:
    for role, values in (("inputs", inputs), ("targets", targets)):
        if not isinstance(values, torch.Tensor):
            raise InvalidInput(expected=f"{what} {role} as a torch.Tensor", got=type(values).__name__)
    if inputs.dtype != torch.float32:
        raise InvalidInput(
            expected=f"{what} inputs of type torch.float32", got=str(inputs.dtype), instead="use load((x, y))"
        )
    check_inputs(inputs, f"{what} inputs")
    check_lengths(inputs, targets, what)
    check_targets(targets, classes, f"{what} targets")


def _check_test(data: DataSet) -> None:
    if data.test_inputs is None and data.test_targets is None:
        return
    if data.test_inputs is None or data.test_targets is None:
        raise InvalidInput(expected="test inputs and test targets, or neither", got="only one of them")
    _check_pair(data.test_inputs, data.test_targets, data.classes, "test")
    if data.test_inputs.shape[1:] != data.inputs.shape[1:]:
        raise InvalidInput(
            expected=f"test inputs of shape {data.input_shape}", got=f"{tuple(data.test_inputs.shape[1:])}"
        )
