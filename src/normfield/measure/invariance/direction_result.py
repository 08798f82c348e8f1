"""Lengths and directions of weights, and what became of them since an earlier time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.report import Figure, Series, lines
from normfield.report.plain_json import finite

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_NO_NUMBER = "a unit whose weights are all 0 has no direction"


@dataclass(frozen=True, eq=False)
class WeightDirection:
    """One weight, unit by unit.

    Attributes
    ----------
    name : str
    lengths : numpy.ndarray
        (units,): g_j = ‖W_j‖.
    directions : numpy.ndarray
        (units, entries): v_j = W_j/g_j; NaN where g_j = 0.
    """

    name: str
    lengths: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, name: str, rows: np.ndarray) -> WeightDirection:
        """From a weight's rows (units, entries)."""
        lengths = np.linalg.norm(rows, axis=1)
        scale = np.where(lengths > 0, lengths, math.nan)
        return cls(name, lengths, rows / scale[:, None])

    @property
    def norm(self) -> float:
        """‖W‖ of all units together."""
        return float(np.linalg.norm(self.lengths))

    @property
    def row(self) -> dict[str, Any]:
        """One line of a table."""
        return {
            "weight": self.name,
            "norm": self.norm,
            "mean_length": float(self.lengths.mean()),
            "smallest_length": float(self.lengths.min()),
            "largest_length": float(self.lengths.max()),
            "units": len(self.lengths),
        }


@dataclass(frozen=True, eq=False)
class LengthDirection:
    """Every weight of a module split into lengths and directions.

    Attributes
    ----------
    weights : tuple of WeightDirection
        In the module's order.
    """

    weights: tuple[WeightDirection, ...]

    def __getitem__(self, name: str) -> WeightDirection:
        """The weight of a name; KeyError where there is none."""
        return {weight.name: weight for weight in self.weights}[name]

    def change_from(self, earlier: LengthDirection) -> DirectionChange:
        """By how much every unit has turned and grown since an earlier split of the same module.

        Raises
        ------
        InvalidInput
            Another type, or weights of other names or shapes.
        """
        _check_comparable(self, earlier)
        return DirectionChange(
            tuple(_changed(old, new) for old, new in zip(earlier.weights, self.weights, strict=True))
        )

    def to_frame(self) -> pd.DataFrame:
        """One row for each weight."""
        import pandas as pd

        return pd.DataFrame([weight.row for weight in self.weights])

    def to_json(self) -> str:
        """The table as a JSON object; directions are not in it."""
        return json.dumps(finite({"weights": [weight.row for weight in self.weights]}), allow_nan=False)

    def figure(self) -> Figure:
        """Mean length of the units of every weight, from the shortest to the longest."""
        rows = [weight.row for weight in self.weights]
        series = Series(
            "mean over units",
            list(range(1, len(rows) + 1)),
            [row["mean_length"] for row in rows],
            style="markers",
            low=[row["smallest_length"] for row in rows],
            high=[row["largest_length"] for row in rows],
            hover=[row["weight"] for row in rows],
        )
        caption = "From the shortest to the longest unit."
        return lines(
            [series], "weight, in the module's order", "length of a unit", title="Lengths", caption=caption
        )

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        return "\n".join(
            f"{row['weight']}: {row['units']} units, mean length {row['mean_length']:.4g}"
            for row in (weight.row for weight in self.weights)
        )


@dataclass(frozen=True, eq=False)
class WeightChange:
    """What became of one weight, unit by unit.

    Attributes
    ----------
    name : str
    angles : numpy.ndarray
        (units,): arccos⟨v_j, v′_j⟩ in radians; NaN where a unit has or had no direction.
    growths : numpy.ndarray
        (units,): g′_j/g_j.
    """

    name: str
    angles: np.ndarray
    growths: np.ndarray

    @property
    def row(self) -> dict[str, Any]:
        """One line of a table: over the units that have a direction both times."""
        known = ~np.isnan(self.angles)
        angles, growths = self.angles[known], self.growths[known]
        return {
            "weight": self.name,
            "mean_angle": float(angles.mean()) if len(angles) else math.nan,
            "largest_angle": float(angles.max()) if len(angles) else math.nan,
            "mean_growth": float(np.exp(np.log(growths).mean())) if len(growths) else math.nan,
            "units": len(angles),
            "units_without_direction": int((~known).sum()),
        }


@dataclass(frozen=True, eq=False)
class DirectionChange:
    """By how much the units of every weight have turned (radians) and grown (a factor, the geometric mean).

    Attributes
    ----------
    weights : tuple of WeightChange
    """

    weights: tuple[WeightChange, ...]

    def __getitem__(self, name: str) -> WeightChange:
        """The weight of a name; KeyError where there is none."""
        return {weight.name: weight for weight in self.weights}[name]

    def to_frame(self) -> pd.DataFrame:
        """One row for each weight."""
        import pandas as pd

        return pd.DataFrame([weight.row for weight in self.weights])

    def to_json(self) -> str:
        """The table as a JSON object; a missing number is null, and a ``reason`` says why."""
        content = finite({"weights": [weight.row for weight in self.weights]})
        missing = any(value is None for row in content["weights"] for value in row.values())
        return json.dumps(content | ({"reason": _NO_NUMBER} if missing else {}), allow_nan=False)

    def figure(self) -> Figure:
        """Mean angle by which the units of every weight have turned, up to the largest."""
        rows = [weight.row for weight in self.weights]
        numbers, names = list(range(1, len(rows) + 1)), [row["weight"] for row in rows]
        series = [
            Series(words, numbers, [row[key] for row in rows], style="markers", hover=names)
            for key, words in (("mean_angle", "mean over units"), ("largest_angle", "largest"))
        ]
        return lines(series, "weight, in the module's order", "angle, radians", title="Turned since then")

    def plot(self) -> PlotlyFigure:
        """The figure as plotly's; raises InvalidInput where no weight has a direction."""
        return self.figure().to_plotly()

    def __str__(self) -> str:
        return "\n".join(
            f"{row['weight']}: turned by {row['mean_angle']:.3g} rad, lengths times {row['mean_growth']:.4g}"
            for row in (weight.row for weight in self.weights)
        )


def _check_comparable(later: LengthDirection, earlier: Any) -> None:
    if not isinstance(earlier, LengthDirection):
        raise InvalidInput(
            expected="an earlier split, from length_direction(model)", got=f"a {type(earlier).__name__}"
        )
    shapes = [
        {weight.name: weight.directions.shape for weight in split.weights} for split in (later, earlier)
    ]
    if shapes[0] != shapes[1]:
        other = sorted(dict(set(shapes[0].items()) ^ set(shapes[1].items())))
        raise InvalidInput(
            expected="two splits of the same module",
            got=f"another {other[0]!r}" if other else "another order of weights",
            instead="take both from one module, with the same trainable parameters",
        )


def _changed(old: WeightDirection, new: WeightDirection) -> WeightChange:
    """Angles from half the chord, which is exact for small ones: ‖v − v′‖ = 2 sin(angle/2)."""
    chord = np.linalg.norm(new.directions - old.directions, axis=1)
    opposite = np.linalg.norm(new.directions + old.directions, axis=1)
    growths = np.divide(
        new.lengths, old.lengths, out=np.full(len(old.lengths), math.nan), where=old.lengths > 0
    )
    return WeightChange(new.name, 2 * np.arctan2(chord, opposite), growths)
