"""The dual matrix K = AAᵀ (N, N) of a Gauss-Newton matrix G = AᵀA, known by its products.

A (N, P) stacks √(m_b/m)·R_bᵀJ_b over the batches b, N = samples × outputs. K has G's eigenvalues, zeros apart, and
Aᵀu is an eigenvector of G where u is one of K. Where N < P its vectors are the shorter ones, and a random vector sees
every eigenvalue P/N times better.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from normfield.measure.matrix.operators import GaussNewton, Linearisation, MeanOperator
from normfield.measure.matrix.tangents import require_transpose
from normfield.measure.subject.losses import rooted


class DualOperator:
    """K by its products: a backward pass and a forward-mode pass through every batch.

    Attributes
    ----------
    size : int
        N.
    products : int
        Products with K spent so far.
    """

    def __init__(self, operator: MeanOperator, size: int) -> None:
        self.size = size
        self.products = 0
        self._operator = operator

    def product(self, vector: Tensor) -> Tensor:
        """K·vector, both (N,), after a look whether J and Jᵀ are each other's transpose there.

        Raises
        ------
        InvalidInput
            An operation can be differentiated neither forwards nor twice.
        """
        self.products += 1
        return self._operator.by_some_way(lambda: self._product(vector))

    def pull_back(self, vector: Tensor) -> Tensor:
        """Aᵀ·vector (P,)."""
        total, start = torch.zeros(()), 0
        for weight, part in self._operator.parts():
            count = part.outputs.numel()
            piece = vector[start : start + count].to(part.outputs).view(part.outputs.shape)
            total = total.to(piece) + weight**0.5 * part.pull_back(rooted(part.output_hessian).root(piece))
            start += count
        return total

    def of_outputs(self, direction: Callable[[Linearisation], Tensor]) -> Tensor:
        """√(m_b/m)·R_bᵀ·direction(b) (N,): what G's pull-back of that direction begins with."""
        return torch.cat(
            [self._row(weight, part, direction(part)) for weight, part in self._operator.parts()]
        )

    def push_forward(self, vector: Tensor) -> Tensor:
        """A·vector (N,), for a vector (P,); not compared with Aᵀ, which the products with it do."""
        return self._operator.by_some_way(lambda: self.of_outputs(lambda part: _pushed(part, vector)))

    def _product(self, vector: Tensor) -> Tensor:
        image = self.pull_back(vector)
        back = self.of_outputs(lambda part: _pushed(part, image)).to(image)
        require_transpose(back, vector, image, image)
        return back

    @staticmethod
    def _row(weight: float, part: Linearisation, direction: Tensor) -> Tensor:
        """One batch's piece."""
        return weight**0.5 * rooted(part.output_hessian).transposed_root(direction).reshape(-1)


def _pushed(part: Linearisation, vector: Tensor) -> Tensor:
    """J·vector."""
    if not isinstance(part, GaussNewton):
        raise TypeError("only a Gauss-Newton matrix has a dual")
    return part.push_forward(vector)
