"""What a study found: its table, and whether the claim held."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normfield.errors import InvalidInput
from normfield.report import Figure, Findings, Fold, Page, fragment_html, table_text, write
from normfield.report.plain_json import json_text
from normfield.studies.frame import Row, Study
from normfield.studies.page import as_findings, page_of
from normfield.studies.provenance import Provenance
from normfield.studies.verdicts import Verdict

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure


@dataclass(frozen=True)
class StudyResult:
    """A study at one size: the table, the verdict, and how they were found.

    Attributes
    ----------
    study
        What was asked.
    rows
        The table, one mapping a row, in the study's order.
    provenance
        Size, seed, seconds over all sittings, and versions.
    """

    study: Study[Any]
    rows: tuple[Row, ...]
    provenance: Provenance

    @property
    def size(self) -> str:
        """ "smoke", "small" or "paper"."""
        return self.provenance.size

    @property
    def seed(self) -> int:
        """What every random draw came from."""
        return self.provenance.seed

    @property
    def seconds(self) -> float:
        """Wall-clock time of the computing, over all sittings."""
        return self.provenance.seconds

    @property
    def versions(self) -> Mapping[str, str]:
        """Of normfield, Python, torch, NumPy and SciPy when the last row was computed."""
        return self.provenance.versions

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the claim held, with the numbers."""
        return self.study.verdict(self.rows)

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Drawn from the table; nothing is computed."""
        return self.study.draw(self.rows)

    def to_frame(self) -> pandas.DataFrame:
        """The table."""
        import pandas

        return pandas.DataFrame([dict(row) for row in self.rows])

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, lists and words."""
        return {
            "study": self.study.name,
            "title": self.study.title,
            "citation": self.study.citation,
            "claim": self.study.claim,
            "size": self.size,
            "seed": self.seed,
            "seconds": self.seconds,
            "versions": dict(self.versions),
            "verdict": self.verdict.as_dict(),
            "table": [dict(row) for row in self.rows],
        }

    def to_json(self) -> str:
        """The same as JSON text; infinite or missing numbers are null, with a reason beside them."""
        return json_text(self.as_dict())

    def page(self) -> Page:
        """What the page says."""
        return page_of(
            self.study,
            self.provenance,
            self.verdict,
            self.figures,
            self.study.tabulate(self.rows),
            self.as_dict(),
        )

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the study's page: one HTML file that needs no network.

        Raises
        ------
        InvalidInput
            The folder is missing or cannot be written.
        """
        return write(self.page(), path)

    def plot(self, number: int = 0) -> PlotlyFigure:
        """One of the figures, the leading one by default, for plotly to show or to change.

        Raises
        ------
        InvalidInput
            There is no figure of that number.
        """
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(self.figures):
            raise InvalidInput(
                expected=f"the number of a figure, 0 to {len(self.figures) - 1}", got=repr(number)
            )
        return self.figures[number].to_plotly()

    def _repr_html_(self) -> str:
        """Verdict and table, for a notebook."""
        verdict, table = self.verdict, self.study.tabulate(self.rows)
        return fragment_html(
            f"{self.study.title} {verdict.outcome.capitalize()}: {verdict.sentence}",
            Findings(as_findings(verdict.checks)),
            Fold(f"The table, {len(table.rows)} rows", [table]),
        )

    def __str__(self) -> str:
        head = f"{self.study.title}\n{self.study.citation}; size {self.size}, seed {self.seed}"
        return f"{head}\n\n{table_text(self.study.tabulate(self.rows))}\n\n{self.verdict}"
