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


def _gelu_derivative(ops: Any, x: Any) -> Any:
    density = ops.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return (1 + ops.erf(x / math.sqrt(2))) / 2 + x * density


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
