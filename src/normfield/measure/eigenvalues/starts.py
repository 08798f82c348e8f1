"""Where an iteration for the largest eigenvalues begins, and from where its answer is checked.

The top eigenvectors of a network's curvature lie close to Jᵀ·(one output direction, the same for every sample):
the direction common to all samples is what makes the eigenvalue large.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from normfield.measure.matrix.dual import DualOperator
from normfield.measure.matrix.operators import Linearisation, MeanOperator
from normfield.measure.subject.losses import CrossEntropy, Loss, ScaledIdentity, SoftmaxHessian, Squared
from normfield.measure.subject.softmax import class_covariance

LARGEST_CLUSTER = 16
"""The most eigenvalues of a cluster that are computed unasked."""


@dataclass(frozen=True)
class Wanted:
    """How many eigenvalues to find, and how many of them belong to the cluster."""

    eigenvalues: int
    cluster: int


def wanted(loss: Loss, output_shape: tuple[int, ...], top: int, size: int) -> Wanted:
    """For squared losses max(top, C), because C of them coincide at infinite width; else top; never above P."""
    if not isinstance(loss, Squared):
        count = min(top, size)
        return Wanted(count, count)
    cluster = min(math.prod(output_shape), max(top, LARGEST_CLUSTER), size)
    return Wanted(min(max(top, cluster), size), cluster)


def _random_outputs(part: Linearisation, generator: torch.Generator) -> Tensor:
    return torch.randn(part.outputs.shape, generator=generator, dtype=torch.float64).to(part.outputs)


def random_output_row(operator: MeanOperator, generator: torch.Generator) -> Tensor:
    """JᵀR·(normal noise in the outputs' shape) as one row (1, P): a draw from N(0, JᵀHJ), which favours large ones."""

    def direction(part: Linearisation) -> Tensor:
        noise = _random_outputs(part, generator)
        hessian = part.output_hessian
        return hessian.root(noise) if isinstance(hessian, ScaledIdentity | SoftmaxHessian) else noise

    return operator.pull_back(direction)[None]


def random_pushed_row(dual: DualOperator, like: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A·(normal noise in the P parameters) as one row (1, N): a draw from N(0, AAᵀ), which favours large ones."""
    noise = torch.randn(size, generator=generator, dtype=torch.float32)
    return dual.push_forward(noise.to(like))[None]


def random_row(like: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Normal noise (1, P), of the dtype and on the device of another tensor."""
    return torch.randn(1, size, generator=generator, dtype=torch.float64).to(like)


def _constant(direction: Tensor) -> Callable[[Linearisation], Tensor]:
    """The same direction (shape of one sample's outputs) for every sample."""
    return lambda part: direction.to(part.outputs).expand_as(part.outputs).contiguous()


def _softmax_directions(operator: MeanOperator, count: int) -> list[Tensor]:
    """Top eigenvectors of the mean softmax covariance S, one value per class."""
    covariance = torch.stack(
        [weight * class_covariance(part.outputs) for weight, part in operator.parts()]
    ).sum(0)
    vectors = torch.linalg.eigh(covariance.cpu()).eigenvectors
    return list(vectors.T.flip(0)[:count])


def _output_directions(outputs: int, count: int, generator: torch.Generator) -> list[Tensor]:
    """Every output by itself; random orthonormal mixtures where there are more outputs than wanted."""
    if outputs <= count:
        return list(torch.eye(outputs, dtype=torch.float64))
    mixture = torch.randn(outputs, count, generator=generator, dtype=torch.float64)
    return list(torch.linalg.qr(mixture).Q.T)


def _common_directions(
    operator: MeanOperator, loss: Loss, output_shape: tuple[int, ...], count: int, generator: torch.Generator
) -> list[Tensor]:
    """Output directions, the same for every sample, likely to be curved most; none where the loss does not say."""
    if isinstance(loss, CrossEntropy):
        tail = (1,) * (len(output_shape) - 1)
        return [d.reshape(-1, *tail) for d in _softmax_directions(operator, count)]
    if isinstance(loss, Squared):
        outputs = math.prod(output_shape)
        return [d.reshape(output_shape) for d in _output_directions(outputs, count, generator)]
    return []


def start_block(
    operator: MeanOperator, loss: Loss, output_shape: tuple[int, ...], count: int, generator: torch.Generator
) -> Tensor:
    """Rows (b, P), b ≤ count and b ≤ 16, to start from.

    Cross-entropy: Jᵀ·(top eigenvectors of S). Squared: Jᵀ·(constant output directions). Any other loss: its
    gradient, and random rows.
    """
    count = min(count, LARGEST_CLUSTER)
    directions = _common_directions(operator, loss, output_shape, count, generator)
    if directions:
        return torch.stack([operator.pull_back(_constant(direction)) for direction in directions])
    rows = [operator.gradient()[None], *(random_output_row(operator, generator) for _ in range(count - 1))]
    return torch.cat(rows)


def dual_start_block(
    operator: MeanOperator,
    dual: DualOperator,
    loss: Loss,
    output_shape: tuple[int, ...],
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Rows (b, N) to start from in the space of the outputs: the same directions, before Jᵀ."""
    count = min(count, LARGEST_CLUSTER)
    directions = _common_directions(operator, loss, output_shape, count, generator)
    return torch.stack([dual.of_outputs(_constant(direction)) for direction in directions])
