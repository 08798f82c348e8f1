"""The dual matrix K = AAᵀ (N, N) of a Gauss-Newton matrix G = AᵀA, known by its products.

A (N, P) stacks √(m_b/m)·R_bᵀJ_b over the batches b, N = samples × outputs. K has G's eigenvalues, zeros apart, and is
the smaller of the two where N < P: a random vector of length N sees every one of them P/N times better.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normfield.measure.matrix.operators import GaussNewton, Linearisation, MeanOperator
from normfield.measure.matrix.tangents import require_transpose
from normfield.measure.subject.losses import OutputHessian, ScaledIdentity, SoftmaxHessian


def _root(hessian: OutputHessian, direction: Tensor) -> Tensor:
    """R·direction."""
    if not isinstance(hessian, ScaledIdentity | SoftmaxHessian):
        raise TypeError("the dual matrix needs an output Hessian with a root")
    return hessian.root(direction)


def _transposed_root(hessian: OutputHessian, direction: Tensor) -> Tensor:
    """Rᵀ·direction; of a softmax √weight·(1 − √p√pᵀ)·(√p∘v)."""
    if not isinstance(hessian, SoftmaxHessian):
        return _root(hessian, direction)
    s = hessian.p.sqrt()
    scaled = s * direction
    return hessian.weight**0.5 * (scaled - s * (s * scaled).sum(1, keepdim=True))


class DualOperator:
    """K by its products: a backward pass and a forward-mode pass through every batch."""

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

    def _product(self, vector: Tensor) -> Tensor:
        image = self._pull_back(vector)
        back = torch.cat([self._row(weight, part, image) for weight, part in self._operator.parts()])
        require_transpose(back, vector, image, image)
        return back

    def _pull_back(self, vector: Tensor) -> Tensor:
        """Aᵀ·vector (P,)."""
        total, start = torch.zeros(()), 0
        for weight, part in self._operator.parts():
            count = part.outputs.numel()
            piece = vector[start : start + count].to(part.outputs).view(part.outputs.shape)
            total = total.to(piece) + weight**0.5 * part.pull_back(_root(part.output_hessian, piece))
            start += count
        return total

    @staticmethod
    def _row(weight: float, part: Linearisation, image: Tensor) -> Tensor:
        """One batch's piece of A·image."""
        if not isinstance(part, GaussNewton):
            raise TypeError("only a Gauss-Newton matrix has a dual")
        tangent = part.push_forward(image)
        return weight**0.5 * _transposed_root(part.output_hessian, tangent).reshape(-1).to(image)
