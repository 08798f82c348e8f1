"""The line at which training diverges, as it was traced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normfield.report import fragment_html
from normfield.report.plain_json import finite
from normfield.sweep import Cell
from normfield.train.boundaries import BRACKETED
from normfield.train.boundary_lines.column import BoundaryColumn
from normfield.train.boundary_lines.shown import columns_table, line_figure, written
from normfield.train.sweeps.boundary_columns import Offset, offset_from
from normfield.train.sweeps.theory_rates import TheoryRates

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class TracedRun:
    """One training of a trace: at a value of the axis, with a seed, at log₁₀η, and how it ended."""

    at: Cell
    seed: int
    log10: float
    status: str


@dataclass(frozen=True)
class BoundaryLine:
    """The learning rate above which training diverges, along an axis.

    Attributes
    ----------
    axis
        Its name.
    columns
        One for each of its values.
    runs
        Every training that was needed, in the order of columns and seeds.
    theory
        η* along the axis at infinite width, with batch norm in training mode ("batch") and as published; with the
        reason where there is none.
    status
        "bracketed", or how many columns were not and why.
    resolution
        Width of a bracket in decades at which it is closed.
    restarts, seed
        How often each column's boundary was found, with seeds ``seed``, ``seed + 1``, ...
    settings
        How every run trained.
    reused
        How many of ``runs`` were in the store already.
    seconds
        Wall-clock time of this call.
    """

    axis: str
    columns: tuple[BoundaryColumn, ...]
    runs: tuple[TracedRun, ...]
    theory: tuple[TheoryRates, ...]
    status: str
    resolution: float
    restarts: int
    seed: int
    settings: Mapping[str, Cell]
    reused: int
    seconds: float

    @property
    def full_grid_runs(self) -> int:
        """Trainings of a full grid: all columns and restarts, from the lowest to the highest η that was run here."""
        if not self.runs:
            return 0
        tried = [run.log10 for run in self.runs]
        rows = round((max(tried) - min(tried)) / self.resolution) + 1
        return rows * len(self.columns) * self.restarts

    @property
    def share_of_full_grid(self) -> float | None:
        """Trainings of this trace over those of the full grid; None without any."""
        return len(self.runs) / self.full_grid_runs if self.runs else None

    @property
    def is_complete(self) -> bool:
        """Whether every restart of every column was bracketed."""
        return self.status == BRACKETED

    @property
    def offsets(self) -> dict[str, Offset]:
        """Distance from each theory line, by its name; lines that share no column with the boundary are left out."""
        boundaries = [column.log10 for column in self.columns]
        found = {line.name: offset_from(boundaries, line.log10) for line in self.theory}
        return {name: offset for name, offset in found.items() if offset is not None}

    def to_frame(self) -> pd.DataFrame:
        """One row for each column: its value, the boundary with its error bars, and η* by theory."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def to_json(self) -> str:
        """JSON object keyed like the attributes; what is missing is null, ``status`` or ``reason`` says why."""
        plain = {
            "axis": self.axis,
            "columns": self._rows(),
            "boundaries": [
                {self.axis: column.at, **asdict(boundary)}
                for column in self.columns
                for boundary in column.boundaries
            ],
            "runs": [asdict(run) for run in self.runs],
            "theory": [asdict(line) for line in self.theory],
            "offsets": {name: asdict(offset) for name, offset in self.offsets.items()},
            "full_grid_runs": self.full_grid_runs,
            "share_of_full_grid": self.share_of_full_grid,
        }
        names = ("status", "resolution", "restarts", "seed", "settings", "reused", "seconds")
        return json.dumps(finite({**plain, **{name: getattr(self, name) for name in names}}))

    def plot(self) -> PlotlyFigure:
        """The boundary with its error bars and every run, η* by theory beside it.

        Raises
        ------
        InvalidInput
            No run was made.
        """
        return line_figure(self).to_plotly()

    def _repr_html_(self) -> str:
        return fragment_html(str(self).splitlines()[0], columns_table(self))

    def __str__(self) -> str:
        return written(self)

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                self.axis: column.at,
                "learning_rate": column.learning_rate,
                "log10": column.log10,
                "spread": column.spread,
                "half_width": column.half_width,
                "status": column.status,
                "reversals": column.reversals,
                **{f"theory_{line.name}": line.log10[i] for line in self.theory},
            }
            for i, column in enumerate(self.columns)
        ]
