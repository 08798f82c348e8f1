"""Quadratic forms of a curvature matrix whose mean is its trace, each parameter's share apart.

With A (N, P) the stacked rows of √(m_b/m)·RᵀJ, G = AᵀA, ε ∈ {−1, 1}ᴺ gives E‖Aᵀε‖² = tr G at one backward pass for
each batch, and the squares of Aᵀε in one parameter's place give that parameter's trace. Where G has no root,
ε ∈ {−1, 1}ᴾ gives E[ε∘Gε] = diag G at one product. Either way directions U that carry much of the trace can be taken
exactly and projected out of ε [Meyer, Musco, Musco and Woodruff, Hutch++, 2021].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from normfield.measure.eigenvalues.starts import LARGEST_CLUSTER, start_block
from normfield.measure.matrix.operators import Linearisation, MeanOperator
from normfield.measure.matrix.prepared import Prepared
from normfield.measure.subject.losses import rooted


class Probes(Protocol):
    """A source of unbiased samples of the trace; arrays have one number for each parameter tensor."""

    @property
    def spent(self) -> int:
        """Backward passes, or products, so far."""
        ...

    @property
    def exact_cost(self) -> int:
        """How many samples cost as much as the exact trace."""
        ...

    @property
    def deflated_cost(self) -> int:
        """How many samples cost as much as the deflated part; 0 where nothing is known to deflate."""
        ...

    def exact(self) -> np.ndarray:
        """The trace itself (parameters,)."""
        ...

    def deflated(self) -> np.ndarray:
        """The part of the trace within U (parameters,)."""
        ...

    def draw(self, count: int, without_deflated: bool) -> np.ndarray:
        """Samples (count, parameters) of the trace, or of the part outside U."""
        ...


def _by_parameter(pieces: Iterable[Tensor]) -> np.ndarray:
    """The sums of some tensors, in float64."""
    return torch.stack([piece.sum(dtype=torch.float64) for piece in pieces]).cpu().numpy()


def _signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """±1 with equal chance."""
    return torch.randint(2, shape, generator=generator, dtype=torch.int8).to(like).mul_(2).sub_(1)


def _without(vector: Tensor, rows: Tensor) -> Tensor:
    """The vector (D,) less its part within orthonormal rows (c, D)."""
    return torch.addmv(vector, rows.T, rows @ vector, alpha=-1)


class OutputProbes:
    """Samples ‖Aᵀε‖² in the space of outputs: gradients only, no derivative of derivatives."""

    def __init__(self, measured: Prepared, operator: MeanOperator, generator: torch.Generator) -> None:
        self._spent = 0
        self._measured, self._operator, self._generator = measured, operator, generator
        self._outputs = math.prod(measured.output_shape)

    @property
    def spent(self) -> int:
        """Backward passes."""
        return self._spent

    @property
    def exact_cost(self) -> int:
        """All rows of A against one probe of each batch."""
        return math.ceil(self._measured.outputs / len(self._measured.batches.items))

    @property
    def deflated_cost(self) -> int:
        """One for each output, where they are few and the samples many."""
        few = self._outputs <= min(LARGEST_CLUSTER, self.exact_cost // 4)
        return self._outputs if few else 0

    def exact(self) -> np.ndarray:
        """Σ over all rows of A."""
        return self._total(_units)

    def deflated(self) -> np.ndarray:
        """Σ over the constant output directions of every batch."""
        return self._total(self._common)

    def _total(self, directions: Callable[[Linearisation], Iterator[Tensor]]) -> np.ndarray:
        """Σ_b (m_b/m)·Σ ‖JᵀR·direction‖² over some directions of each batch."""
        total = np.zeros(len(self._measured.function.parameters))
        for weight, part in self._operator.parts():
            for direction in directions(part):
                total += weight * self._squares(part, direction)
        return total

    def draw(self, count: int, without_deflated: bool) -> np.ndarray:
        """‖Aᵀε‖² for ε = ±1, less its constant output directions where asked."""
        total = np.zeros((count, len(self._measured.function.parameters)))
        for weight, part in self._operator.parts():
            for sample in total:
                probe = _signs(part.outputs.shape, part.outputs, self._generator)
                if without_deflated:
                    probe = probe - probe.mean(0)
                sample += weight * self._squares(part, probe)
        return total

    def _common(self, part: Linearisation) -> Iterator[Tensor]:
        """Each output by itself for all samples, of unit norm: what `probe − mean over samples` leaves out."""
        length = len(part.outputs) ** -0.5
        for unit in torch.eye(self._outputs).to(part.outputs):
            yield length * unit.view(part.outputs.shape[1:]).expand_as(part.outputs)

    def _squares(self, part: Linearisation, direction: Tensor) -> np.ndarray:
        """‖JᵀR·direction‖² by parameter, one backward pass."""
        self._spent += 1
        image = part.pull_back(rooted(part.output_hessian).root(direction))
        return _by_parameter(piece.square() for piece in self._measured.function.split(image))


def _units(part: Linearisation) -> Iterator[Tensor]:
    """Each entry of a batch's outputs by itself."""
    for place in range(part.outputs.numel()):
        unit = torch.zeros_like(part.outputs)
        unit.view(-1)[place] = 1
        yield unit


class ParameterProbes:
    """Samples ε∘Gε in the space of parameters, one product each."""

    def __init__(self, measured: Prepared, operator: MeanOperator, generator: torch.Generator) -> None:
        self._measured, self._operator, self._generator = measured, operator, generator
        self._rows: Tensor | None = None  # U

    @property
    def spent(self) -> int:
        """Products."""
        return self._operator.products

    @property
    def exact_cost(self) -> int:
        """P."""
        return self._operator.size

    @property
    def deflated_cost(self) -> int:
        """One product, and one gradient, for each row of U."""
        outputs = math.prod(self._measured.output_shape)
        count = min(outputs, LARGEST_CLUSTER)
        return 2 * count if count <= self._operator.size // 4 else 0

    def exact(self) -> np.ndarray:
        """diag G, by the unit vectors."""
        units = torch.eye(self._operator.size).to(self._measured.like)
        return np.sum([self._forms(unit) for unit in units], axis=0)

    def deflated(self) -> np.ndarray:
        """Σ u∘Gu over an orthonormal basis of Jᵀ·(few output directions), where the top eigenvectors lie."""
        return np.sum([self._forms(row) for row in self._deflation()], axis=0)

    def draw(self, count: int, without_deflated: bool) -> np.ndarray:
        """ε∘Gε for ε = ±1, less its part within U where asked."""
        rows = self._deflation() if without_deflated else None
        return np.stack([self._forms(self._probe(rows)) for _ in range(count)])

    def _probe(self, rows: Tensor | None) -> Tensor:
        probe = _signs((self._operator.size,), self._measured.like, self._generator)
        return probe if rows is None else _without(probe, rows)

    def _deflation(self) -> Tensor:
        """U, made when first asked for."""
        if self._rows is None:
            self._rows = self._leading_rows()
        return self._rows

    def _leading_rows(self) -> Tensor:
        measured, count = self._measured, self.deflated_cost // 2
        block = start_block(self._operator, measured.loss, measured.output_shape, count, self._generator)
        return torch.linalg.qr(block.T).Q.T.contiguous()

    def _forms(self, vector: Tensor) -> np.ndarray:
        """v∘Gv summed over each parameter."""
        return _by_parameter(self._measured.function.split(vector * self._operator.product(vector)))


def probes_of(measured: Prepared, generator: torch.Generator) -> Probes:
    """The cheaper source that this matrix has."""
    source = OutputProbes if measured.has_root else ParameterProbes
    return source(measured, measured.operator(), generator)
