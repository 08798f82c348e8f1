"""η* along the axis, as theory has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from normfield.errors import InvalidInput, NotCovered
from normfield.network import Network
from normfield.sweep import Cell
from normfield.theory import mean_field
from normfield.train.sweeps import TrainingTask

_FIELDS: tuple[Literal["batch", "published"], ...] = ("batch", "published")


@dataclass(frozen=True)
class TheoryLine:
    """η* = 2(1+μ)/λ_max [Wei, Eq. 7] along the axis, at infinite width.

    Attributes
    ----------
    name
        How batch norm is taken: "batch" or "published", as in `mean_field`.
    log10
        log₁₀η* at each value of the axis; None where theory has none.
    """

    name: str
    log10: tuple[float | None, ...]


def theory_lines(
    task: TrainingTask, axis: str, values: Sequence[Cell], momentum: float
) -> tuple[TheoryLine, ...]:
    """The lines that theory has.

    Raises
    ------
    NotCovered
        There is no description of the model.
    """
    networks = [_network_at(task, axis, value) for value in values]
    if not any(networks):
        raise NotCovered(
            "theory reads a Network, and this model was given as a module or a function that makes one"
        )
    momenta = [value if axis == "momentum" else momentum for value in values]
    return tuple(
        TheoryLine(
            name,
            tuple(_log10_limit(net, name, mu) for net, mu in zip(networks, momenta, strict=True)),
        )
        for name in _FIELDS
    )


def _network_at(task: TrainingTask, axis: str, value: Cell) -> Network | None:
    """The description at one value; None where there is none, or none can be made."""
    try:
        return task.network({axis: value})
    except Exception:  # whatever the user's function raises there, its trials will say
        return None


def _log10_limit(
    network: Network | None, field: Literal["batch", "published"], momentum: Any
) -> float | None:
    """log₁₀η*; None where the theory does not cover the network."""
    if network is None:
        return None
    try:
        limit = float(mean_field(network, field).max_learning_rate(float(momentum)))
    except (NotCovered, InvalidInput):
        return None
    return math.log10(limit) if 0 < limit < math.inf else None
