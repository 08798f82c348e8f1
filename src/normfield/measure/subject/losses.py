"""Losses as functions of a batch's outputs: their values, and products with their output Hessian.

Letters: f outputs, y targets, m samples, C outputs per sample, ℓ the loss of one batch, H = ∂²ℓ/∂f∂f its output
Hessian (which holds the 1/m), R a root with RRᵀ = H, p = softmax f.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.samples import Samples, shape_words


class OutputHessian(Protocol):
    """H of one batch, known by its products with arrays of the outputs' shape."""

    def product(self, direction: Tensor) -> Tensor:
        """H·direction."""
        ...


class RootedHessian(OutputHessian, Protocol):
    """A positive semi-definite H with a root."""

    def root(self, direction: Tensor) -> Tensor:
        """R·direction, RRᵀ = H."""
        ...

    def transposed_root(self, direction: Tensor) -> Tensor:
        """Rᵀ·direction."""
        ...


class Loss(Protocol):
    """What a measurement asks of a loss."""

    @property
    def name(self) -> str:
        """How results call it."""
        ...

    @property
    def no_fisher(self) -> str:
        """Why it has no Fisher matrix here; empty where it has one, which then equals its Gauss-Newton matrix."""
        ...

    def read_targets(self, outputs: Tensor, targets: Samples) -> Any:
        """Targets in the form that the other methods take, or InvalidInput."""
        ...

    def value(self, outputs: Tensor, targets: Any) -> Tensor:
        """ℓ, a scalar."""
        ...

    def output_hessian(self, outputs: Tensor, targets: Any) -> OutputHessian:
        """H at these outputs."""
        ...


def _one_tensor(targets: Samples) -> Tensor:
    """Real targets in one tensor."""
    if not isinstance(targets, Tensor):
        raise InvalidInput(
            expected="targets in one tensor for this loss",
            got=shape_words(targets),
            instead='give a callable loss with kind="ggn" or "hessian": it takes them as they are',
        )
    if targets.is_complex():
        raise InvalidInput(expected="real targets", got=str(targets.dtype).removeprefix("torch."))
    return targets


def _classes(labels: Tensor, count: int) -> Tensor:
    """Labels as int64, all in 0..count−1."""
    labels = labels.long()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= count:
        raise InvalidInput(
            expected=f"labels from 0 to {count - 1} ({count} outputs)",
            got=f"labels from {low} to {high}",
            instead="give the model as many outputs as there are classes, or drop the other samples",
        )
    return labels


def _shape_error(outputs: Tensor, targets: Tensor, or_labels: bool = True) -> InvalidInput:
    labels = ", or integer class labels" if or_labels else ""
    return InvalidInput(
        expected=f"targets of the outputs' shape {tuple(outputs.shape)}{labels}",
        got=f"{targets.dtype} of shape {tuple(targets.shape)}".removeprefix("torch."),
    )


@dataclass(frozen=True)
class ScaledIdentity:
    """H = weight·1."""

    weight: float

    def product(self, direction: Tensor) -> Tensor:
        """weight·direction."""
        return self.weight * direction

    def root(self, direction: Tensor) -> Tensor:
        """√weight·direction."""
        return self.weight**0.5 * direction

    def transposed_root(self, direction: Tensor) -> Tensor:
        """√weight·direction: R is symmetric."""
        return self.root(direction)


@dataclass(frozen=True)
class Squared:
    """ℓ = (weight/2)·Σ‖f − y‖², weight 1/m, 2/(mC) or 2 for the scalings "half", "mean" and "sum"."""

    name: str
    scaling: str
    no_fisher: str = ""

    def _weight(self, outputs: Tensor) -> float:
        return {"half": 1 / len(outputs), "mean": 2 / outputs.numel(), "sum": 2.0}[self.scaling]

    def read_targets(self, outputs: Tensor, targets: Samples) -> Tensor:
        """Values of the outputs' shape; integer labels become one-hot rows."""
        targets = _one_tensor(targets)
        if (
            not targets.is_floating_point()
            and targets.dim() == 1
            and outputs.dim() == 2
            and outputs.shape[1] > 1
        ):
            return F.one_hot(_classes(targets, outputs.shape[1]), outputs.shape[1]).to(outputs.dtype)
        if targets.squeeze().shape != outputs.squeeze().shape:
            raise _shape_error(outputs, targets)
        return targets.reshape(outputs.shape).to(outputs.dtype)

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """(weight/2)·Σ‖f − y‖²."""
        return 0.5 * self._weight(outputs) * (outputs - targets).square().sum()

    def output_hessian(self, outputs: Tensor, targets: Tensor) -> RootedHessian:
        """weight·1, whatever the targets."""
        return ScaledIdentity(self._weight(outputs))


@dataclass(frozen=True)
class SoftmaxHessian:
    """H = weight·(diag p − ppᵀ) for every sample and position; p has its classes in dimension 1."""

    p: Tensor
    weight: float

    def product(self, direction: Tensor) -> Tensor:
        """weight·(p∘v − p·pᵀv)."""
        scaled = self.p * direction
        return self.weight * (scaled - self.p * scaled.sum(1, keepdim=True))

    def root(self, direction: Tensor) -> Tensor:
        """√weight·√p∘(v − √p·√pᵀv), because diag(√p)(1 − √p√pᵀ)²diag(√p) = diag p − ppᵀ."""
        s = self.p.sqrt()
        return self.weight**0.5 * s * (direction - s * (s * direction).sum(1, keepdim=True))

    def transposed_root(self, direction: Tensor) -> Tensor:
        """√weight·(v − √p·√pᵀv) of v = √p∘direction."""
        s = self.p.sqrt()
        scaled = s * direction
        return self.weight**0.5 * (scaled - s * (s * scaled).sum(1, keepdim=True))


def rooted(hessian: OutputHessian) -> RootedHessian:
    """The same H, which must have a root: whoever asks has looked at the loss before."""
    if not isinstance(hessian, ScaledIdentity | SoftmaxHessian):
        raise TypeError("this needs an output Hessian with a root")
    return hessian


@dataclass(frozen=True)
class CrossEntropy:
    """ℓ = −log p_y averaged (or summed) over samples and positions, classes in dimension 1."""

    name: str
    reduction: str
    no_fisher: str = ""

    def read_targets(self, outputs: Tensor, targets: Samples) -> Tensor:
        """Integer labels, or rows of class probabilities."""
        targets = _one_tensor(targets)
        if outputs.dim() < 2 or outputs.shape[1] < 2:
            raise InvalidInput(
                expected="outputs (samples, classes, …) with two classes or more for a cross-entropy",
                got=f"shape {tuple(outputs.shape)}",
                instead='use loss="squared", or a callable loss with kind="ggn" or "hessian"',
            )
        if targets.is_floating_point():
            return self._probabilities(outputs, targets)
        if targets.shape != outputs.shape[:1] + outputs.shape[2:]:
            raise InvalidInput(
                expected=f"one integer label for each row of outputs {tuple(outputs.shape)}",
                got=f"targets of shape {tuple(targets.shape)}",
            )
        return _classes(targets, outputs.shape[1])

    def _probabilities(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if targets.shape != outputs.shape:
            raise _shape_error(outputs, targets)
        misses = (targets.double().sum(1) - 1).abs()
        if bool((targets < 0).any()) or bool((misses > 1e-4).any()):
            raise InvalidInput(
                expected="class probabilities that are positive and sum to 1, or integer labels",
                got="other floating-point targets",
                instead="pass labels as integers",
            )
        return targets.to(outputs.dtype)

    def value(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Softmax cross-entropy."""
        return F.cross_entropy(outputs, targets, reduction=self.reduction)

    def output_hessian(self, outputs: Tensor, targets: Tensor) -> RootedHessian:
        """weight·(diag p − ppᵀ), weight 1/(samples × positions), or 1 for a sum."""
        rows = outputs.numel() // outputs.shape[1]
        return SoftmaxHessian(outputs.detach().softmax(1), 1 / rows if self.reduction == "mean" else 1.0)


class DifferentiatedHessian:
    """H of any scalar function of the outputs, by differentiating it twice."""

    def __init__(self, function: Callable[[Tensor], Tensor], outputs: Tensor) -> None:
        self._at = outputs.detach().requires_grad_()
        value = function(self._at)
        self._slope = torch.zeros_like(self._at)
        if value.requires_grad:
            (self._slope,) = torch.autograd.grad(value, self._at, create_graph=True, materialize_grads=True)

    def product(self, direction: Tensor) -> Tensor:
        """H·direction; zero where the loss is linear in its outputs."""
        if not self._slope.requires_grad:
            return torch.zeros_like(direction)
        (product,) = torch.autograd.grad(
            self._slope, self._at, direction, retain_graph=True, materialize_grads=True
        )
        return product


@dataclass(frozen=True)
class GeneralLoss:
    """Any callable ℓ(outputs, targets) that returns a scalar tensor."""

    name: str
    function: Callable[..., Tensor]
    no_fisher: str

    def read_targets(self, outputs: Tensor, targets: Samples) -> Samples:
        """The targets as they came: what they mean is the callable's affair."""
        return targets

    def value(self, outputs: Tensor, targets: Samples) -> Tensor:
        """The callable's value, checked to be one number."""
        value = self.function(outputs, targets)
        if not isinstance(value, Tensor) or value.dim() != 0 or not value.is_floating_point():
            is_vector = isinstance(value, Tensor) and value.dim() > 0
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            got = f"shape {tuple(value.shape)}" if is_vector else str(kind)
            raise InvalidInput(
                expected=f"a scalar tensor from the loss {self.name}",
                got=got,
                instead="reduce it with .mean()",
            )
        return value

    def output_hessian(self, outputs: Tensor, targets: Samples) -> OutputHessian:
        """H by differentiating the callable twice."""
        return DifferentiatedHessian(lambda f: self.value(f, targets), outputs)


def _reduction(loss: Any) -> str:
    if loss.reduction not in ("mean", "sum"):
        raise InvalidInput(
            expected=f'{type(loss).__name__} with reduction="mean" or "sum"',
            got=f"reduction={loss.reduction!r}, which is not a scalar",
        )
    return loss.reduction


def _of_mse(loss: nn.MSELoss) -> Loss:
    return Squared(f"MSELoss({_reduction(loss)})", scaling=_reduction(loss))


def _of_cross_entropy(loss: nn.CrossEntropyLoss) -> Loss:
    name = f"CrossEntropyLoss({_reduction(loss)})"
    changes = {
        "weight": loss.weight is not None,
        "label_smoothing": loss.label_smoothing != 0,
        "ignore_index": loss.ignore_index != -100,
    }
    changed = ", ".join(option for option, is_set in changes.items() if is_set)
    if changed:
        return GeneralLoss(name, loss, no_fisher=f"{changed} makes it another model than a softmax")
    return CrossEntropy(name, _reduction(loss))


_NAMED: dict[str, Loss] = {
    "squared": Squared("squared", scaling="half"),
    "cross_entropy": CrossEntropy("cross_entropy", reduction="mean"),
}
_FUNCTIONS: tuple[tuple[Callable[..., Tensor], Loss], ...] = (
    (F.mse_loss, Squared("mse_loss", scaling="mean")),
    (F.cross_entropy, CrossEntropy("functional.cross_entropy", reduction="mean")),
)


def recognise(loss: Any) -> Loss:
    """The loss behind a name, a torch loss or a callable.

    Parameters
    ----------
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar

    Raises
    ------
    InvalidInput
        Anything else, or a torch loss that is not reduced to a scalar.
    """
    if isinstance(loss, str) and loss in _NAMED:
        return _NAMED[loss]
    if type(loss) is nn.MSELoss:
        return _of_mse(loss)
    if type(loss) is nn.CrossEntropyLoss:
        return _of_cross_entropy(loss)
    if not callable(loss) or isinstance(loss, type):
        choices = ", ".join(repr(name) for name in _NAMED)
        raise InvalidInput(
            expected=f"a loss: {choices}, nn.MSELoss(), nn.CrossEntropyLoss(), or a callable of (outputs, targets)",
            got=repr(loss),
        )
    for torch_function, known in _FUNCTIONS:
        if loss is torch_function:
            return known
    name = getattr(loss, "__name__", type(loss).__name__)
    function = cast("Callable[..., Tensor]", loss)
    return GeneralLoss(name, function, no_fisher="the distribution that it comes from is not known")
