"""The measured matrix, known by its products with parameter vectors.

For one batch G = JᵀHJ (Gauss-Newton, and Fisher where the two agree) or ∇²ℓ (Hessian); for several the mean of
their matrices, weighted by samples. The graph of one batch is kept between products; of several, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.matrix.tangents import (
    CannotDifferentiate,
    SymmetryCheck,
    Tangents,
    require_gradient,
    require_transpose,
    require_whole_graph,
)
from normfield.measure.subject.batches import Batch, Batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import Loss, OutputHessian

T = TypeVar("T")


class Linearisation(Protocol):
    """The matrix of one batch, and Jᵀ."""

    outputs: Tensor
    output_hessian: OutputHessian

    def product(self, vector: Tensor) -> Tensor:
        """G·vector, both (P,)."""
        ...

    def pull_back(self, direction: Tensor) -> Tensor:
        """Jᵀ·direction (P,), for a direction in the outputs' shape."""
        ...

    def gradient(self) -> Tensor:
        """∇ℓ (P,)."""
        ...


class GaussNewton:
    """G = JᵀHJ of one batch."""

    def __init__(self, function: ModelFunction, batch: Batch, loss: Loss, tangents: type[Tangents]) -> None:
        self._function = function
        self._loss = loss
        self.outputs = function(batch.inputs)
        require_gradient(self.outputs)
        self._targets = loss.read_targets(self.outputs.detach(), batch.targets)
        self.output_hessian = loss.output_hessian(self.outputs.detach(), self._targets)
        self._tangent = tangents(function, batch.inputs, self.outputs)

    def product(self, vector: Tensor) -> Tensor:
        """Jᵀ(H(J·vector)), after a look whether J and Jᵀ are each other's transpose there."""
        tangent = self._tangent(vector)
        curved = self.output_hessian.product(tangent)
        image = self.pull_back(curved)
        if tangent.any():
            require_transpose(tangent, curved, vector, image)
        else:
            probe = self.outputs.detach() + 1
            require_transpose(tangent, probe, vector, self.pull_back(probe))
        return image

    def push_forward(self, vector: Tensor) -> Tensor:
        """J·vector in the outputs' shape; whoever calls compares it with Jᵀ."""
        return self._tangent(vector)

    def pull_back(self, direction: Tensor) -> Tensor:
        """Jᵀ·direction by one backward pass."""
        return self._function.gradient(self.outputs, direction)

    def gradient(self) -> Tensor:
        """Jᵀ∂ℓ/∂f."""
        return self._function.gradient(self._loss.value(self.outputs, self._targets))


class Hessian:
    """∇²ℓ of one batch, by a second backward pass through the graph of the first."""

    def __init__(self, function: ModelFunction, batch: Batch, loss: Loss) -> None:
        self._function = function
        self.outputs = function(batch.inputs)
        require_gradient(self.outputs)
        targets = loss.read_targets(self.outputs.detach(), batch.targets)
        self.output_hessian = loss.output_hessian(self.outputs.detach(), targets)
        self._slope = function.slopes(loss.value(self.outputs, targets))
        require_whole_graph(self._slope)
        self._check = SymmetryCheck()

    def product(self, vector: Tensor) -> Tensor:
        """∇⟨∇ℓ, vector⟩, after a look whether it and the last one are those of a symmetric matrix."""
        image = self._product(vector)
        self._check(self._product, vector, image)
        return image

    def _product(self, vector: Tensor) -> Tensor:
        """Zero where the gradient is constant."""
        pairs = zip(self._slope, self._function.split(vector), strict=True)
        curved = [(slope, piece) for slope, piece in pairs if slope.requires_grad]
        if not curved:
            return torch.zeros_like(vector)
        slopes, pieces = zip(*curved, strict=True)
        return self._function.gradient(slopes, pieces)

    def pull_back(self, direction: Tensor) -> Tensor:
        """Jᵀ·direction by one backward pass."""
        return self._function.gradient(self.outputs, direction)

    def gradient(self) -> Tensor:
        """∇ℓ."""
        return torch.cat([slope.detach().reshape(-1) for slope in self._slope])


class MeanOperator:
    """G = Σ_b (m_b/m)·G_b over the batches.

    Attributes
    ----------
    size : int
        P.
    products : int
        Products with G spent so far.
    """

    def __init__(self, size: int, batches: Batches, ways: Sequence[Callable[[Batch], Linearisation]]) -> None:
        self.size = size
        self.products = 0
        self._batches = batches
        self._linearise, *self._other_ways = ways
        self._only: Linearisation | None = None  # the linearisation of a single batch

    def parts(self) -> Iterator[tuple[float, Linearisation]]:
        """Each batch's weight m_b/m and its linearisation, which lives until the next is asked for."""
        if len(self._batches.items) == 1:
            if self._only is None:
                self._only = self._linearise(self._batches.items[0])
            yield 1.0, self._only
            return
        for batch in self._batches.items:
            yield batch.samples / self._batches.samples, self._linearise(batch)

    def product(self, vector: Tensor) -> Tensor:
        """G·vector, both (P,), by the first way that the model's operations have.

        Raises
        ------
        InvalidInput
            An operation can be differentiated neither forwards nor twice.
        """
        self.products += 1
        return self.by_some_way(lambda: self._mean(lambda part: part.product(vector)))

    def pull_back(self, direction: Callable[[Linearisation], Tensor]) -> Tensor:
        """Σ_b (m_b/m)·J_bᵀ·direction(b) (P,)."""
        return self._mean(lambda part: part.pull_back(direction(part)))

    def gradient(self) -> Tensor:
        """∇ of the mean loss (P,)."""
        return self._mean(lambda part: part.gradient())

    def by_some_way(self, compute: Callable[[], T]) -> T:
        """What compute gives; where a way to differentiate fails, again by the next one, which then stays."""
        while True:
            try:
                return compute()
            except CannotDifferentiate as refusal:
                self._take_next_way(refusal)

    def _take_next_way(self, refusal: CannotDifferentiate) -> None:
        if not self._other_ways:
            raise InvalidInput(
                expected="a model whose operations can be differentiated forwards or twice",
                got=str(refusal),
                instead="replace that operation",
            ) from refusal
        self._only = None
        self._linearise, *self._other_ways = self._other_ways

    def _mean(self, vector_of: Callable[[Linearisation], Tensor]) -> Tensor:
        """Σ_b (m_b/m)·vector_of(b), summed in place."""
        terms = (vector_of(part).mul_(weight) for weight, part in self.parts())
        total = next(terms)
        for term in terms:
            total += term
        return total
