"""What `build` leaves on each module it makes, so that `describe` can go back: a plain attribute."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from normfield.network import Layer, Shape

_NAME = "drawn_from"


@dataclass(frozen=True)
class Drawn:
    """The layer that a module was made from, the shape before it, and the network's σ_w² and σ_b²."""

    layer: Layer
    shape: Shape
    weight_variance: float
    bias_variance: float


def leave_note(module: nn.Module, note: Drawn) -> nn.Module:
    """Put the note on the module: no buffer, so that ``state_dict`` does not know it; copies keep it."""
    setattr(module, _NAME, note)
    return module


def note_on(module: nn.Module) -> Drawn | None:
    """The note of a built module, None on any other."""
    note = vars(module).get(_NAME)
    return note if isinstance(note, Drawn) else None
