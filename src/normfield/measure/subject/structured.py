"""Outputs that are no single tensor, laid out as rows for J and put together again for the loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from normfield.errors import InvalidInput

_AS_THEY_ARE = (type(None), str, bytes, bool, int, float)


def _parts(outputs: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The entries of a tuple, list, mapping or object, with their places in words."""
    if isinstance(outputs, Mapping):
        yield from ((f"{place}[{key!r}]", part) for key, part in outputs.items())
    elif isinstance(outputs, tuple | list):
        yield from ((f"{place}[{index}]", part) for index, part in enumerate(outputs))
    else:
        yield from ((f"{place}.{name}", part) for name, part in vars(outputs).items())


def _tensors(outputs: Any, place: str = "outputs") -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its place, in order."""
    if isinstance(outputs, Tensor):
        yield place, outputs
    elif not isinstance(outputs, _AS_THEY_ARE):
        if not isinstance(outputs, Mapping | tuple | list) and not hasattr(outputs, "__dict__"):
            raise _refusal(f"a {type(outputs).__name__} at {place}")
        for where, part in _parts(outputs, place):
            yield from _tensors(part, where)


def _with_tensors(outputs: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with every tensor changed, visited in order."""
    if isinstance(outputs, Tensor):
        return change(outputs)
    if isinstance(outputs, _AS_THEY_ARE):
        return outputs
    changed = [_with_tensors(part, change) for _, part in _parts(outputs, "")]
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*changed)
    if isinstance(outputs, tuple | list):
        return type(outputs)(changed)
    return _filled(copy.copy(outputs), changed)


def _filled(structure: Any, values: list[Any]) -> Any:
    """A mapping or object with new values under its names."""
    if not isinstance(structure, Mapping):
        vars(structure).update(zip(list(vars(structure)), values, strict=True))
        return structure
    pairs = list(zip(list(structure), values, strict=True))
    if not isinstance(structure, MutableMapping):
        return dict(pairs)
    for key, value in pairs:
        structure[key] = value
    return structure


def _refusal(got: str) -> InvalidInput:
    return InvalidInput(
        expected="a model that returns one tensor, or floating-point tensors with one row for each sample",
        got=got,
        instead="wrap it in a module that returns the part the loss takes",
    )


@dataclass(frozen=True)
class OutputLayout:
    """Structured outputs as rows (m, K): every tensor flattened sample by sample, side by side.

    Attributes
    ----------
    template : structure
        The outputs with empty tensors.
    shapes : tuple of tuple of int
        Shape of each tensor, without the samples.
    dtypes : tuple of torch.dtype
    """

    template: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def of(cls, outputs: Any, samples: int) -> OutputLayout:
        """Read the layout of a model's outputs; raise InvalidInput where they cannot be rows of numbers."""
        found = list(_tensors(outputs))
        for place, tensor in found:
            if not tensor.is_floating_point() or tensor.dim() == 0 or len(tensor) != samples:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise _refusal(f"{kind} of shape {tuple(tensor.shape)} at {place} for {samples} samples")
        if not found:
            raise _refusal(f"a {type(outputs).__name__} without tensors")
        template = _with_tensors(outputs, lambda tensor: torch.empty(0))
        tensors = [tensor for _, tensor in found]
        return cls(template, tuple(tuple(t.shape[1:]) for t in tensors), tuple(t.dtype for t in tensors))

    def rows(self, outputs: Any) -> Tensor:
        """Outputs of this layout as one tensor (m, K)."""
        tensors = [tensor for _, tensor in _tensors(outputs)]
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in tensors)
        if shapes != self.shapes:
            raise InvalidInput(
                expected=f"outputs of one form in every batch, {self.shapes} for each sample",
                got=f"{shapes}",
                instead="pad the batches alike",
            )
        return torch.cat(
            [tensor.flatten(1) if tensor.dim() > 1 else tensor[:, None] for tensor in tensors], 1
        )

    def structure(self, rows: Tensor) -> Any:
        """The structure whose `rows` these are."""
        sizes = [torch.Size(shape).numel() for shape in self.shapes]
        pieces = zip(rows.split(sizes, 1), self.shapes, self.dtypes, strict=True)
        tensors = iter([piece.reshape(-1, *shape).to(dtype) for piece, shape, dtype in pieces])
        return _with_tensors(self.template, lambda _: next(tensors))


@dataclass(frozen=True)
class OnStructure:
    """A loss of structured outputs as a function of their rows."""

    loss: Callable[..., Tensor]
    layout: OutputLayout

    def __call__(self, rows: Tensor, targets: Any) -> Tensor:
        """ℓ(structure of rows, targets)."""
        return self.loss(self.layout.structure(rows), targets)
