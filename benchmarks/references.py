"""What the spectra are held to, in float64 and by other means than the tools' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import curvlinops
import numpy as np
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor
from yardstick import Problem

PROBES = 100


@dataclass(frozen=True)
class Matrix:
    """Ten eigenvalues, a trace with its standard error, and the relative deviation of one Hutchinson probe."""

    top: np.ndarray
    trace: float
    trace_error: float
    deviation: float


@dataclass(frozen=True)
class References:
    """Of both matrices."""

    ggn: Matrix
    hessian: Matrix

    def _matrix(self, tool: str) -> Matrix:
        return self.hessian if tool == "PyHessian" else self.ggn

    def of(self, tool: str) -> np.ndarray:
        """The ten eigenvalues of the tool's matrix."""
        return self._matrix(tool).top

    def trace_of(self, tool: str) -> float:
        """Its trace."""
        return self._matrix(tool).trace

    def probe_deviation(self, tool: str) -> float:
        """Its relative standard deviation of one probe."""
        return self._matrix(tool).deviation

    def __str__(self) -> str:
        words = [
            f"{name}: {one.top[0]:.5f} … {one.top[-1]:.5f}, trace {one.trace:.4g} ± {one.trace_error:.1g}, one probe "
            f"{one.deviation:.0%}"
            for name, one in (("GGN", self.ggn), ("Hessian", self.hessian))
        ]
        return "; ".join(words)


def _top(operator: Callable, given: Problem) -> np.ndarray:
    """ARPACK to 1e-6 in float64: the ten largest in modulus, descending."""
    batches = [(given.inputs, given.labels)]
    made = operator(given.model, given.loss, given.parameters, batches, check_deterministic=False)
    start = np.random.default_rng(0).standard_normal(made.shape[0])
    values = eigsh(made.to_scipy(), k=10, which="LM", tol=1e-6, ncv=60, v0=start, return_eigenvectors=False)
    return np.sort(values)[::-1]


def _signs(size: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (size,), generator=generator).double() * 2 - 1


def _ggn_trace(given: Problem) -> tuple[float, float]:
    """E‖JᵀRu‖² over signs u in the outputs' shape, RRᵀ the softmax's Hessian: no product with the matrix at all."""
    outputs = given.model(given.inputs)
    p = outputs.detach().softmax(1)
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(PROBES):
        u = _signs(outputs.numel(), generator).view_as(p)
        s = p.sqrt()
        direction = s * (u - s * (s * u).sum(1, keepdim=True)) / len(p) ** 0.5
        pieces = torch.autograd.grad(outputs, given.parameters, direction, retain_graph=True)
        samples.append(float(sum(piece.square().sum() for piece in pieces)))
    return float(np.mean(samples)), float(np.std(samples, ddof=1) / PROBES**0.5)


def _hutchinson(given: Problem, product: Callable[[list[Tensor]], list[Tensor]]) -> np.ndarray:
    """vᵀGv for signs v in the parameters' shape."""
    generator = torch.Generator().manual_seed(2)
    samples = []
    for _ in range(PROBES):
        v = [_signs(p.numel(), generator).view_as(p) for p in given.parameters]
        samples.append(sum(float((a * b).sum()) for a, b in zip(v, product(v), strict=True)))
    return np.array(samples)


def _hessian_product(given: Problem) -> Callable[[list[Tensor]], list[Tensor]]:
    value = given.loss(given.model(given.inputs), given.labels)
    slopes = torch.autograd.grad(value, given.parameters, create_graph=True)
    return lambda v: list(torch.autograd.grad(slopes, given.parameters, v, retain_graph=True))


def _ggn_product(given: Problem) -> Callable[[list[Tensor]], list[Tensor]]:
    """Jᵀ(H(Jv)), J·v by differentiating u ↦ Jᵀu."""
    outputs = given.model(given.inputs)
    p = outputs.detach().softmax(1)
    u = torch.zeros_like(outputs, requires_grad=True)
    rows = torch.autograd.grad(outputs, given.parameters, u, create_graph=True)

    def product(v: list[Tensor]) -> list[Tensor]:
        (tangent,) = torch.autograd.grad(rows, u, v, retain_graph=True)
        scaled = p * tangent
        curved = (scaled - p * scaled.sum(1, keepdim=True)) / len(p)
        return list(torch.autograd.grad(outputs, given.parameters, curved, retain_graph=True))

    return product


def references(given: Problem) -> References:
    """Both matrices of a float64 problem."""
    trace, error = _ggn_trace(given)
    of_ggn = _hutchinson(given, _ggn_product(given))
    of_hessian = _hutchinson(given, _hessian_product(given))
    mean = float(of_hessian.mean())
    return References(
        Matrix(_top(curvlinops.GGNLinearOperator, given), trace, error, float(of_ggn.std(ddof=1)) / trace),
        Matrix(
            _top(curvlinops.HessianLinearOperator, given),
            mean,
            float(of_hessian.std(ddof=1)) / PROBES**0.5,
            float(of_hessian.std(ddof=1)) / abs(mean),
        ),
    )
