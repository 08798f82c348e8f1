"""What following a forward method leaves: values, each a step on from one value or the sum of two."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from normfield.network import Layer, Shape


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of the path: where it stands, and the module that it is (None for a function)."""

    layer: Layer
    path: str
    module: nn.Module | None = None


@dataclass(eq=False)
class Value:
    """A tensor in the forward pass: the input, a step on from ``before[0]``, or ``before[0] + before[1]``.

    ``shortcut_first`` is set where a block of ours says which operand of the sum is the shortcut; ``shares``
    are the values in the same memory.
    """

    shape: Shape
    before: tuple[Value, ...] = ()
    step: Step | None = None
    where: str = ""
    shortcut_first: bool | None = None
    shares: list[Value] = field(default_factory=list)
