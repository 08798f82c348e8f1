"""Rows of the Jacobian J = ∂f/∂θ, samples × outputs by parameters, for a group of parameters at a time.

Where batch norm takes its statistics from the batch, every output depends on every sample, and a row is one backward
pass through the whole batch. Where samples do not meet, a row needs its own sample only; that is taken to be so where
no batch norm reads the batch, and checked on a random combination of all rows.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from normfield.measure.matrix.tangents import require_gradient
from normfield.measure.subject.function import ModelFunction
from normfield.samples import Samples, mapped

TOGETHER = 16
"""Rows, or samples, that are differentiated in one vectorised pass."""

Group = Sequence[int]
"""Indices of the parameters to differentiate by."""


class Rows(Protocol):
    """Rows of one set of samples."""

    way: str

    def __call__(self, outputs: Sequence[int], group: Group) -> Tensor:
        """The rows (n·len(outputs), P of the group), sample by sample, of these outputs of every sample."""
        ...


def _flat(pieces: Sequence[Tensor]) -> Tensor:
    """Gradients (b, …) of several parameters side by side, as rows (b, P)."""
    return torch.cat([piece.detach().reshape(len(piece), -1) for piece in pieces], dim=1)


def units(outputs: Sequence[int], size: int, like: Tensor) -> Tensor:
    """One unit vector (size,) for each chosen output."""
    found = torch.zeros(len(outputs), size, dtype=like.dtype, device=like.device)
    found[range(len(outputs)), list(outputs)] = 1
    return found


class WholeBatch:
    """Backward passes through the batch as one, several rows in each where the operations can be vectorised."""

    way = "whole batch"

    def __init__(self, function: ModelFunction, inputs: Samples) -> None:
        self._function = function
        self.outputs = function(inputs).flatten(1)
        require_gradient(self.outputs)
        self._pull_back: Callable[[Tensor, Group], Tensor] = self._together

    def __call__(self, outputs: Sequence[int], group: Group) -> Tensor:
        """One backward pass for each sample and output."""
        directions = self._directions(outputs)
        return torch.cat([self._pull_back(some, group) for some in directions.split(TOGETHER)])

    def combined(self, directions: Tensor) -> Tensor:
        """Jᵀ·directions (P,), directions (n, C)."""
        return self._function.gradient(self.outputs, directions)

    def _directions(self, outputs: Sequence[int]) -> Tensor:
        """A unit array (n, C) for each row, in the rows' order."""
        samples, size = self.outputs.shape
        chosen = [sample * size + output for sample in range(samples) for output in outputs]
        return units(chosen, samples * size, self.outputs).view(-1, samples, size)

    def _together(self, directions: Tensor, group: Group) -> Tensor:
        """Vectorised; one by one from now on where an operation cannot be."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", UserWarning
                )  # an operation that torch loops over: slower, as right
                return _flat(self._gradients(directions, group, batched=True))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:
            self._pull_back = self._one_by_one
            return self._one_by_one(directions, group)

    def _one_by_one(self, directions: Tensor, group: Group) -> Tensor:
        found = [self._gradients(direction, group, batched=False) for direction in directions]
        return torch.stack([torch.cat([piece.reshape(-1) for piece in pieces]) for pieces in found])

    def _gradients(self, direction: Tensor, group: Group, batched: bool) -> Sequence[Tensor]:
        parameters = [self._function.parameters[index] for index in group]
        return torch.autograd.grad(
            self.outputs,
            parameters,
            direction,
            retain_graph=True,
            is_grads_batched=batched,
            materialize_grads=True,
        )


class SampleBySample:
    """Vectorised over samples, each one with a batch of itself."""

    way = "sample by sample"

    def __init__(self, function: ModelFunction, inputs: Samples, size: int) -> None:
        self._function, self._inputs, self._size = function, inputs, size

    def __call__(self, outputs: Sequence[int], group: Group) -> Tensor:
        """All rows of a sample in one pass over it."""
        directions = units(outputs, self._size, self._function.parameters[0])
        of_one = self._of_one(group)
        rows = torch.func.vmap(of_one, in_dims=(0, None), chunk_size=TOGETHER)(self._inputs, directions)
        return rows.flatten(0, 1).detach()

    def combined(self, directions: Tensor) -> Tensor:
        """Jᵀ·directions (P,), directions (n, C), a few samples at a time."""
        of_one = torch.func.vmap(self._of_one(range(len(self._function.parameters))))
        total = torch.zeros(self._function.size, dtype=torch.float64, device=directions.device)
        for start in range(0, len(directions), TOGETHER):
            some = slice(start, start + TOGETHER)
            samples = mapped(self._inputs, lambda x, some=some: x[some])
            total += of_one(samples, directions[some, None]).detach().sum((0, 1))
        return total

    def _of_one(self, group: Group) -> Callable[[Samples, Tensor], Tensor]:
        """(one sample, directions (b, C)) ↦ its rows (b, P of the group)."""
        fixed = [p.detach() for p in self._function.parameters]

        def rows(sample: Samples, directions: Tensor) -> Tensor:
            def outputs_of(*chosen: Tensor) -> Tensor:
                swapped = list(fixed)
                for index, value in zip(group, chosen, strict=True):
                    swapped[index] = value
                return self._function(mapped(sample, lambda x: x[None]), swapped).reshape(-1)

            outputs, pull_back = torch.func.vjp(outputs_of, *(fixed[index] for index in group))[:2]
            return _flat(torch.func.vmap(pull_back)(directions.to(outputs)))

        return rows


def _agree(fast: SampleBySample, whole: WholeBatch, generator: torch.Generator) -> bool:
    """Whether both ways give the same random combination of all rows."""
    at = whole.outputs.detach()
    u = torch.randn(at.shape, generator=generator, dtype=torch.float64).to(at)
    try:
        there = fast.combined(u)
    except torch.OutOfMemoryError:
        raise
    except Exception:  # whatever user code raises under torch.func, which it was not written for
        return False
    back = whole.combined(u)
    return float((there - back).norm()) <= torch.finfo(u.dtype).eps ** 0.5 * float(back.norm())


def rows_of(function: ModelFunction, inputs: Samples, meet: bool, generator: torch.Generator) -> Rows:
    """The quicker way to the rows that is right.

    Parameters
    ----------
    meet : bool
        Whether samples are known to act on each other's outputs.
    """
    whole = WholeBatch(function, inputs)
    if meet:
        return whole
    fast = SampleBySample(function, inputs, whole.outputs.shape[1])
    return fast if _agree(fast, whole, generator) else whole


def row_bytes(function: ModelFunction, group: Group) -> int:
    """The memory of one row."""
    return sum(function.parameters[index].numel() for index in group) * function.dtype.itemsize


def grouped(function: ModelFunction, chosen: Group, most: float) -> list[list[int]]:
    """The parameters in order, in groups whose rows have at most so many bytes each, or of one parameter."""
    groups: list[list[int]] = []
    room = -math.inf
    for index in chosen:
        needed = row_bytes(function, [index])
        if needed > room:
            groups.append([])
            room = most
        groups[-1].append(index)
        room -= needed
    return groups
