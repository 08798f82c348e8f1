"""The curvature that training meets, from plain forward and backward passes alone: central differences in float64.

Nothing here differentiates twice, transforms a function or knows of batch norm: a copy of the module is called in
training mode, as a training loop calls it, at θ ± h·e_i for every parameter i. Random draws inside, such as dropout's
masks, come from one given state of torch's generator in every call.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from modules import Subject
from torch import Tensor

STEP = 1e-7


class Differences:
    """A subject's outputs and gradients around its parameters."""

    def __init__(self, subject: Subject, random_state: Tensor) -> None:
        self._subject, self._model = subject, copy.deepcopy(subject.model)
        self._parameters = list(self._model.parameters())
        self._at = [p.detach().clone() for p in self._parameters]
        self._random_state = random_state

    def _outputs(self) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random_state)
            return self._model(self._subject.inputs)

    def _gradient(self) -> Tensor:
        value = self._subject.loss(self._outputs(), self._subject.targets)
        return torch.cat([piece.reshape(-1) for piece in torch.autograd.grad(value, self._parameters)])

    def _around(self, measure: Callable[[], Tensor]) -> Tensor:
        """Rows ∂measure/∂θ_i."""
        rows = []
        for p, at in zip(self._parameters, self._at, strict=True):
            for index in range(at.numel()):
                ends = []
                for sign in (1, -1):
                    moved = at.clone()
                    moved.view(-1)[index] += sign * STEP
                    p.data.copy_(moved)
                    ends.append(measure().detach())
                rows.append((ends[0] - ends[1]) / (2 * STEP))
            p.data.copy_(at)
        return torch.stack(rows)

    def hessian(self) -> Tensor:
        """∇²ℓ (P, P)."""
        rows = self._around(self._gradient)
        if float((rows - rows.T).norm()) > 1e-3 * float(rows.norm()):
            raise SystemExit(f"{self._subject.name}: a step crosses a kink of ReLU; take another seed")
        return (rows + rows.T) / 2

    def gauss_newton(self) -> Tensor:
        """JᵀHJ (P, P), H the loss's Hessian by the outputs."""
        jacobian = self._around(lambda: self._outputs().reshape(-1)).T
        outputs = self._outputs().detach()
        inner = torch.autograd.functional.hessian(
            lambda f: self._subject.loss(f, self._subject.targets), outputs
        )
        return jacobian.T @ torch.as_tensor(inner).reshape(outputs.numel(), -1) @ jacobian


@dataclass(frozen=True)
class Extremes:
    """The largest eigenvalue, and the one that is largest in modulus, which power iteration finds."""

    largest: float
    in_modulus: float


def extremes(subject: Subject, matrix: str, random_state: Tensor) -> Extremes:
    """Of the "Hessian" or the "GGN"."""
    found = Differences(subject, random_state)
    values = torch.linalg.eigvalsh(found.hessian() if matrix == "Hessian" else found.gauss_newton())
    return Extremes(float(values[-1]), float(values[values.abs().argmax()]))
