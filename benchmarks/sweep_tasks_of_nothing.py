"""A task that trains nothing: what a sweep costs besides its trials. In a module that worker processes can import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normfield.sweep import Cell, Outcome, Point, Resources
from normfield.sweep.points import point_key

_CURVE = (2.3, 1.1, 0.7)
_GIVEN = Outcome(
    {
        "status": "finished",
        "diverged_at": None,
        "first_loss": 2.31,
        "final_loss": 0.7,
        "test_loss": 0.8,
        "test_accuracy": 0.91,
        "ended_worse": False,
    },
    {"train_loss": _CURVE, "train_accuracy": _CURVE, "test_loss": _CURVE, "test_accuracy": _CURVE},
    seconds=1.0,
)


@dataclass(frozen=True)
class Nothing:
    """Gives at once the columns and the curves of three epochs that a training run gives."""

    together: int

    @property
    def settings(self) -> Mapping[str, Cell]:
        """How many go together."""
        return {"together": self.together}

    def check(self, axes: Sequence[str]) -> None:
        """Any axis will do."""

    def key(self, point: Point) -> str:
        """Name of the point."""
        return point_key(point, self.settings)

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[int]]:
        """All are alike."""
        return [range(len(points))]

    def capacity(self, resources: Resources) -> int:
        """As many as was asked for."""
        return self.together

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        """The same for every point."""
        return [_GIVEN] * len(points)
