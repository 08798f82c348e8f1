"""Activations as rows: one function over an ``ops`` namespace that both readings of a network consume.

A row is written once, e.g. ``lambda ops, x: x * ops.sigmoid(x)``; theory calls it with NumPy arrays, a built
module with torch tensors. ``ops`` offers abs, erf, exp, expm1, relu, sigmoid, sign, softplus, tanh and where.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from normfield.errors import InvalidInput

#: A function of (ops, x): the namespace of elementary functions and the array.
OpsFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class ActivationFunction:
    """An activation φ with what theory needs to know of it.

    Parameters
    ----------
    name
        What tables and descriptions call it.
    function, derivative
        φ(ops, x) and φ′(ops, x); a missing derivative is replaced by a central difference in theory.
    parity
        "odd" or "even" where φ is; an odd φ has no common direction (E φ = 0 at β = 0).
    homogeneous
        (c₁, c₂) where φ(x) = c₁x + c₂|x|, which opens the closed forms.

    Examples
    --------
    >>> mish = ActivationFunction("mish", lambda ops, x: x * ops.tanh(ops.softplus(x)))
    """

    name: str
    function: OpsFunction
    derivative: OpsFunction | None = None
    parity: Literal["odd", "even"] | None = None
    homogeneous: tuple[float, float] | None = None


def leaky_relu(slope: float) -> ActivationFunction:
    """The row of max(x, slope·x) for a slope below 1."""
    return ActivationFunction(
        "leaky_relu",
        lambda ops, x: ops.where(x > 0, x, slope * x),
        lambda ops, x: ops.where(x > 0, x * 0 + 1, x * 0 + slope),
        homogeneous=((1 + slope) / 2, (1 - slope) / 2),
    )


# Fixed point of unit Gaussian variance [Klambauer et al. 2017, Eq. 14], to torch's digits.
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def _selu(ops: Any, x: Any) -> Any:
    return _SELU_SCALE * (ops.relu(x) + _SELU_ALPHA * ops.expm1(-ops.relu(-x)))


def _selu_derivative(ops: Any, x: Any) -> Any:
    return _SELU_SCALE * ops.where(x > 0, x * 0 + 1, _SELU_ALPHA * ops.exp(-ops.relu(-x)))


def _gelu_derivative(ops: Any, x: Any) -> Any:
    density = ops.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (1 + ops.erf(x / math.sqrt(2))) / 2 + x * density


def _gelu_inside(x: Any) -> Any:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)


def _gelu_tanh_derivative(ops: Any, x: Any) -> Any:
    t = ops.tanh(_gelu_inside(x))
    return (1 + t) / 2 + x * (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2) / 2


def _mish_derivative(ops: Any, x: Any) -> Any:
    t = ops.tanh(ops.softplus(x))
    return t + x * (1 - t**2) * ops.sigmoid(x)


def _silu_derivative(ops: Any, x: Any) -> Any:
    s = ops.sigmoid(x)
    return s * (1 + x * (1 - s))


_ROWS = (
    ActivationFunction(
        "relu",
        lambda ops, x: ops.relu(x),
        lambda ops, x: ops.where(x > 0, x * 0 + 1, x * 0),
        homogeneous=(0.5, 0.5),
    ),
    leaky_relu(0.01),
    ActivationFunction("linear", lambda ops, x: x, lambda ops, x: x * 0 + 1, "odd", (1.0, 0.0)),
    ActivationFunction("abs", lambda ops, x: ops.abs(x), lambda ops, x: ops.sign(x), "even", (0.0, 1.0)),
    ActivationFunction(
        "erf",
        lambda ops, x: ops.erf(x),
        lambda ops, x: 2 / math.sqrt(math.pi) * ops.exp(-x * x),
        "odd",
    ),
    ActivationFunction("tanh", lambda ops, x: ops.tanh(x), lambda ops, x: 1 - ops.tanh(x) ** 2, "odd"),
    ActivationFunction("gelu", lambda ops, x: x * (1 + ops.erf(x / math.sqrt(2))) / 2, _gelu_derivative),
    ActivationFunction(
        "gelu_tanh", lambda ops, x: x * (1 + ops.tanh(_gelu_inside(x))) / 2, _gelu_tanh_derivative
    ),
    ActivationFunction("silu", lambda ops, x: x * ops.sigmoid(x), _silu_derivative),
    ActivationFunction(
        "sigmoid", lambda ops, x: ops.sigmoid(x), lambda ops, x: ops.sigmoid(x) * ops.sigmoid(-x)
    ),
    ActivationFunction("softplus", lambda ops, x: ops.softplus(x), lambda ops, x: ops.sigmoid(x)),
    ActivationFunction(
        "elu",
        lambda ops, x: ops.relu(x) + ops.expm1(-ops.relu(-x)),
        lambda ops, x: ops.where(x > 0, x * 0 + 1, ops.exp(-ops.relu(-x))),
    ),
    ActivationFunction("mish", lambda ops, x: x * ops.tanh(ops.softplus(x)), _mish_derivative),
    ActivationFunction("selu", _selu, _selu_derivative),
)

#: Every activation known by name.
ACTIVATIONS: dict[str, ActivationFunction] = {row.name: row for row in _ROWS}
_OTHER_NAMES = {"identity": "linear", "swish": "silu"}


def activation_named(name: str) -> ActivationFunction:
    """The row called ``name``; "identity" and "swish" are understood too.

    Raises
    ------
    InvalidInput
        The name is not known; the message lists those that are.
    """
    row = ACTIVATIONS.get(_OTHER_NAMES.get(name.lower(), name.lower()))
    if row is None:
        raise InvalidInput(
            expected="an activation among " + ", ".join(ACTIVATIONS),
            got=repr(name),
            instead="pass one of these, or an ActivationFunction of your own",
        )
    return row
