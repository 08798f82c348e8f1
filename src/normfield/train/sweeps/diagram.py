"""What a phase diagram found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.report import Figure, fragment_html, write
from normfield.report.plain_json import json_text
from normfield.sweep import Cell, Sweep
from normfield.train.sweeps.boundary_columns import BoundaryColumn, Offset, offset_from
from normfield.train.sweeps.diagram_shown import columns_table, diagram_figure, diagram_page, written
from normfield.train.sweeps.pixels import Pixel
from normfield.train.sweeps.theory_rates import TheoryRates

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class PhaseDiagram:
    """Training over the learning rate and another axis, several restarts at each point, beside theory.

    Attributes
    ----------
    axis
        Name of the other axis.
    columns
        Where runs diverge at each of its values, with error bars over restarts, and the best learning rate there.
    learning_rates
        The grid's, rising.
    pixels
        Rows of rising learning rate, in each a pixel for each column: mean value over restarts, runs that diverged.
    value
        What the pixels hold: "test_loss", "test_accuracy" or "final_loss".
    restarts, seed
        Runs of a pixel, with seeds ``seed``, ``seed + 1``, ...
    theory
        η* of each column, by each way to take batch norm, with the reason where there is none.
    settings
        How every run trained.
    sweep
        Every trial, and the store that they are in.
    seconds
        Wall-clock time of this call.
    """

    axis: str
    columns: tuple[BoundaryColumn, ...]
    learning_rates: tuple[float, ...]
    pixels: tuple[tuple[Pixel, ...], ...]
    value: str
    restarts: int
    seed: int
    theory: tuple[TheoryRates, ...]
    settings: Mapping[str, Cell]
    sweep: Sweep = field(repr=False)
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it before all trials were done; the same call with its store goes on."""
        return self.sweep.interrupted

    @property
    def values(self) -> list[list[float | None]]:
        """Mean value over the restarts that ended, rows by learning rate; None where there is none."""
        return [[pixel.mean for pixel in row] for row in self.pixels]

    @property
    def exploded(self) -> list[list[bool]]:
        """Whether any restart diverged, in the same places."""
        return [[pixel.diverged > 0 for pixel in row] for row in self.pixels]

    @property
    def failed(self) -> int:
        """Trials that raised; ``to_frame`` has their errors."""
        return sum(pixel.failed for row in self.pixels for pixel in row)

    def offset(self, line: str = "batch") -> Offset | None:
        """Distance of the boundary from a line of theory, in decades; None where no column has both.

        Raises
        ------
        InvalidInput
            No such line.
        """
        return offset_from([column.log10 for column in self.columns], self._line(line).log10)

    def best_over(self, line: str = "batch") -> tuple[float | None, ...]:
        """Best learning rate over η* of each column, by a line of theory; None where either is missing.

        Raises
        ------
        InvalidInput
            No such line.
        """
        pairs = zip(self.columns, self._line(line).learning_rates, strict=True)
        return tuple(
            None if column.best_learning_rate is None or rate is None else column.best_learning_rate / rate
            for column, rate in pairs
        )

    def typical_best_over(self, line: str = "batch") -> float | None:
        """Median of `best_over` over the columns; None without any."""
        known = [ratio for ratio in self.best_over(line) if ratio is not None]
        return statistics.median(known) if known else None

    def to_frame(self) -> pd.DataFrame:
        """One row for each finished trial: key, axes, result columns, error, seconds."""
        return self.sweep.to_frame()

    def to_json(self) -> str:
        """JSON object keyed like the attributes; infinite or missing numbers are null, with a reason beside them."""
        return json_text(
            {
                "axis": self.axis,
                "columns": [self._column_row(i) for i in range(len(self.columns))],
                "learning_rates": self.learning_rates,
                "value": self.value,
                "values": self.values,
                "exploded": self.exploded,
                "restarts": self.restarts,
                "seed": self.seed,
                "theory": [asdict(line) for line in self.theory],
                "offsets": {line.name: _asdict(self.offset(line.name)) for line in self.theory},
                "best_over": {line.name: self.typical_best_over(line.name) for line in self.theory},
                "failed": self.failed,
                "interrupted": self.interrupted,
                "settings": dict(self.settings),
                "seconds": self.seconds,
            }
        )

    @property
    def figure(self) -> Figure:
        """The map with its lines, as `normfield.report` draws it on pages."""
        return diagram_figure(self)

    def plot(self) -> PlotlyFigure:
        """The map: value as colour, hatched where a restart diverged, with boundary, best rates and theory's lines.

        Raises
        ------
        InvalidInput
            No trial is finished yet.
        """
        return self.figure.to_plotly()

    def to_html(self, path: str | Path) -> Path:
        """Write the map, what it says of theory, and the columns' numbers to one HTML file; its path.

        Raises
        ------
        InvalidInput
            No trial is finished yet, or the file cannot be written.
        """
        return Path(write(diagram_page(self), path))

    def _repr_html_(self) -> str:
        return fragment_html(str(self).splitlines()[0], columns_table(self))

    def __str__(self) -> str:
        return written(self)

    def _line(self, name: str) -> TheoryRates:
        for line in self.theory:
            if line.name == name:
                return line
        raise InvalidInput(
            expected=f"a line among {', '.join(line.name for line in self.theory) or 'none'}", got=repr(name)
        )

    def _column_row(self, i: int) -> dict[str, Any]:
        column = self.columns[i]
        names = ("learning_rate", "log10", "error", "status", "onset", "best_learning_rate", "best_value")
        return {
            self.axis: column.at,
            **{name: getattr(column, name) for name in names},
            "restarts": [asdict(boundary) for boundary in column.boundaries],
        }


def _asdict(offset: Offset | None) -> dict[str, Any] | None:
    return None if offset is None else asdict(offset)
