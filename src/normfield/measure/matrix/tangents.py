"""Products of the Jacobian J = ∂f/∂θ of one batch's outputs with a parameter vector, in two ways.

Forward mode is the faster of the two and the smaller in memory (a convolutional network of 256 images: 2.3 times
and 1.3 times; a dense one: equal and 1.7 times), but some operations lack it. Differentiating u ↦ Jᵀu with respect
to u, on which it depends linearly, works wherever two backward passes do.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.subject.function import ModelFunction
from normfield.samples import Samples


def _load_forward_rules() -> None:
    """Have torch load its forward-mode rules (0.1 s, with a deprecation warning about itself) at import, not in use."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


_load_forward_rules()


class CannotDifferentiate(ArithmeticError):
    """A way to J·v that this model does not have."""


class Tangents(Protocol):
    """v ↦ J·v at one batch; raises CannotDifferentiate where an operation lacks what it needs."""

    def __init__(self, function: ModelFunction, inputs: Samples, outputs: Tensor) -> None: ...

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        ...


@contextmanager
def _objections() -> Iterator[None]:
    """torch's word for a missing derivative is RuntimeError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise CannotDifferentiate(str(error)) from error


class ForwardMode:
    """J·v by one forward pass on dual numbers."""

    def __init__(self, function: ModelFunction, inputs: Samples, outputs: Tensor) -> None:
        self._function, self._inputs = function, inputs
        self._primals = [p.detach() for p in function.parameters]

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        with torch.no_grad(), forward_ad.dual_level(), _objections():
            pairs = zip(self._primals, self._function.split(vector), strict=True)
            duals = [forward_ad.make_dual(primal, tangent) for primal, tangent in pairs]
            value, tangent = forward_ad.unpack_dual(self._function(self._inputs, duals))
            return torch.zeros_like(value) if tangent is None else tangent


class DoubleBackward:
    """J·v as the derivative of Jᵀu by u, contracted with v."""

    def __init__(self, function: ModelFunction, inputs: Samples, outputs: Tensor) -> None:
        self._function = function
        self._u = torch.zeros_like(outputs, requires_grad=True)
        with _objections():
            rows = torch.autograd.grad(
                outputs, function.parameters, self._u, create_graph=True, materialize_grads=True
            )
            self._rows = [row.to_dense() for row in rows]

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        pairs = zip(self._rows, self._function.split(vector), strict=True)
        curved = [(row, piece) for row, piece in pairs if row.requires_grad]
        if not curved:
            raise CannotDifferentiate("gradients that cannot be differentiated again")
        rows, pieces = zip(*curved, strict=True)
        with _objections():
            (tangent,) = torch.autograd.grad(rows, self._u, pieces, retain_graph=True, materialize_grads=True)
        return tangent


WAYS: tuple[type[Tangents], ...] = (ForwardMode, DoubleBackward)
"""The ways to J·v, the better first."""


def require_transpose(tangent: Tensor, direction: Tensor, vector: Tensor, row: Tensor) -> None:
    """Refuse a way for which ⟨u, Jv⟩ ≠ ⟨Jᵀu, v⟩, given Jv, u, v and Jᵀu: an operation may lose tangents in silence."""
    there, back = torch.dot(tangent.flatten(), direction.flatten().to(tangent)), torch.dot(row, vector)
    scale = tangent.norm() * direction.norm() + row.norm() * vector.norm()
    if not (there - back).abs() <= 10 * torch.finfo(vector.dtype).eps ** 0.5 * scale and scale.isfinite():
        raise CannotDifferentiate("an operation that loses derivatives of its derivatives")


class SymmetryCheck:
    """Compares each product H·v with the one before: ⟨u, Hv⟩ = ⟨Hu, v⟩.

    Rows of H that vanish have images of mere round-off, so a difference is only a suspicion, on which a random v
    decides, once: ‖Hv‖² = ⟨H(Hv), v⟩ holds for a symmetric H, and for no other on average.
    """

    def __init__(self) -> None:
        self._last: tuple[Tensor, Tensor] | None = None
        self._is_cleared = False

    def __call__(self, product: Callable[[Tensor], Tensor], vector: Tensor, image: Tensor) -> None:
        """Take product(vector) = image; raise InvalidInput where some operation's derivative has a wrong derivative."""
        if self._is_cleared:
            return
        if self._last is not None and _differ(*self._last, vector, image):
            _require_symmetric(product, vector)
            self._is_cleared = True
        self._last = (vector.clone(), image.clone())


def _differ(left: Tensor, of_left: Tensor, right: Tensor, of_right: Tensor) -> bool:
    difference = (torch.dot(left, of_right) - torch.dot(of_left, right)).abs()
    scale = left.norm() * of_right.norm() + of_left.norm() * right.norm()
    return bool(difference > 10 * torch.finfo(left.dtype).eps ** 0.5 * scale)


def _require_symmetric(product: Callable[[Tensor], Tensor], like: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(len(like), generator=generator, dtype=torch.float64).to(like)
    image = product(vector)
    square, back = torch.dot(image, image), torch.dot(product(image), vector)
    if (square - back).abs() > 10 * torch.finfo(like.dtype).eps ** 0.5 * square:
        raise InvalidInput(
            expected='a model with right second derivatives for kind="hessian"',
            got="products that are not those of a symmetric matrix",
            instead='replace the operation of which torch differentiates only a part, or use kind="ggn"',
        )


def require_gradient(outputs: Tensor) -> None:
    """Refuse outputs that do not depend on the parameters."""
    if not outputs.requires_grad:
        raise InvalidInput(
            expected="outputs that depend on the trainable parameters",
            got="outputs without gradient",
            instead="check for detach(), no_grad() or reentrant checkpoints in the model's forward",
        )


def require_whole_graph(slopes: Sequence[Tensor]) -> None:
    """Refuse gradients whose own graph is cut by an operation marked as differentiable once.

    Autograd would take what lies behind the cut as constant.
    """
    found = [slope.grad_fn for slope in slopes]
    seen = set(found)
    while found:
        node = found.pop()
        if node is not None and node.name().endswith("autograd::Error"):
            raise InvalidInput(
                expected="a model whose operations can be differentiated twice",
                got="one that is marked as once differentiable",
                instead="replace that operation",
            )
        following = {after for after, _ in node.next_functions} - seen if node is not None else set()
        seen |= following
        found.extend(following)
