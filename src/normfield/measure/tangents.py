"""Products of the Jacobian J = ∂f/∂θ of one batch's outputs with a parameter vector, in two ways.

Forward mode is the faster of the two and the smaller in memory (a convolutional network of 256 images: 2.3 times
and 1.3 times; a dense one: equal and 1.7 times), but some operations lack it. Differentiating u ↦ Jᵀu with respect
to u, on which it depends linearly, works wherever two backward passes do.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from normfield.errors import InvalidInput
from normfield.measure.function import ModelFunction


def _load_forward_rules() -> None:
    """Have torch load its forward-mode rules (0.1 s, with a deprecation warning about itself) at import, not in use."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


_load_forward_rules()


class Tangents(Protocol):
    """v ↦ J·v at one batch."""

    def __init__(self, function: ModelFunction, inputs: Tensor, outputs: Tensor) -> None: ...

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        ...


class ForwardMode:
    """J·v by one forward pass on dual numbers."""

    def __init__(self, function: ModelFunction, inputs: Tensor, outputs: Tensor) -> None:
        self._function, self._inputs = function, inputs
        self._primals = [p.detach() for p in function.parameters]

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        with torch.no_grad(), forward_ad.dual_level():
            pairs = zip(self._primals, self._function.split(vector), strict=True)
            duals = [forward_ad.make_dual(primal, tangent) for primal, tangent in pairs]
            value, tangent = forward_ad.unpack_dual(self._function(self._inputs, duals))
            return torch.zeros_like(value) if tangent is None else tangent


class DoubleBackward:
    """J·v as the derivative of Jᵀu by u, contracted with v."""

    def __init__(self, function: ModelFunction, inputs: Tensor, outputs: Tensor) -> None:
        self._function = function
        self._u = torch.zeros_like(outputs, requires_grad=True)
        self._rows = torch.autograd.grad(
            outputs, function.parameters, self._u, create_graph=True, materialize_grads=True
        )

    def __call__(self, vector: Tensor) -> Tensor:
        """J·vector, in the outputs' shape."""
        pairs = zip(self._rows, self._function.split(vector), strict=True)
        rows, pieces = zip(*((row, piece) for row, piece in pairs if row.requires_grad), strict=True)
        (tangent,) = torch.autograd.grad(rows, self._u, pieces, retain_graph=True, materialize_grads=True)
        return tangent


def _objection(way: type[Tangents], function: ModelFunction, inputs: Tensor, outputs: Tensor) -> str:
    """Why a way cannot be used here; empty where ⟨u, Jv⟩ = ⟨Jᵀu, v⟩ for v = Jᵀu.

    The comparison is needed because an operation may lose its tangents in silence, in both ways.
    """
    u = outputs.detach() + 1
    row = function.gradient(outputs, u)
    try:
        tangent = way(function, inputs, outputs)(row)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return str(error)
    there, back = (u * tangent).sum().double(), row.double().square().sum()
    agrees = bool((there - back).abs() <= 10 * torch.finfo(row.dtype).eps ** 0.5 * back)
    return "" if agrees else "an operation that loses derivatives of its derivatives"


def require_gradient(outputs: Tensor) -> None:
    """Refuse outputs that do not depend on the parameters."""
    if not outputs.requires_grad:
        raise InvalidInput(
            expected="outputs that depend on the trainable parameters",
            got="outputs without gradient",
            instead="check for detach() or no_grad() in the model's forward",
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


def choose_tangents(function: ModelFunction, inputs: Tensor) -> type[Tangents]:
    """Forward mode where it gives the transpose of the backward pass on these inputs, else double backward.

    Raises
    ------
    InvalidInput
        The outputs do not depend on the parameters, or an operation can be differentiated in neither way.
    """
    outputs = function(inputs)
    require_gradient(outputs)
    objection = ""
    for way in (ForwardMode, DoubleBackward):
        objection = _objection(way, function, inputs, outputs)
        if not objection:
            return way
    raise InvalidInput(
        expected="a model whose operations can be differentiated forwards or twice",
        got=objection,
        instead="replace that operation",
    )
