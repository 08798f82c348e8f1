"""A diagnosis: four answers to one question, and what they say together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normfield.diagnosis.answer import NAMES, Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.headline import statement
from normfield.diagnosis.health import Health
from normfield.diagnosis.opening import answers_figure
from normfield.diagnosis.page import page_of
from normfield.diagnosis.subject import Subject
from normfield.diagnosis.trust import trust
from normfield.errors import InvalidInput
from normfield.measure.signals import LayerSignals
from normfield.report import Column, Finding, Findings, Table, fragment_html, table_text, write
from normfield.report.plain_json import json_text, plain
from normfield.theory.kernels import DepthProfile

if TYPE_CHECKING:
    import pandas
    from plotly.graph_objects import Figure as PlotlyFigure

_WIDTH = 100


@dataclass(frozen=True)
class Diagnosis:
    """How large a learning rate a network takes, answered by theory, kernel, measurement and training.

    Attributes
    ----------
    answers
        "theory", "kernel", "measured", "trained", in this order.
    findings
        Plain sentences with the number behind each.
    asked
        Loss, batch size, momentum, budget and seed.
    subject
        The network and the data.
    seconds
        Wall-clock time of the whole diagnosis.
    signals
        Signal and gradient scale at each layer, on the first batch; None where they could not be measured.
    profile
        The same by the kernel of that batch; None where there is none, or no time for it.
    health
        Batch norm's statistics over a few batches; None where there was no time for them.
    """

    answers: Mapping[str, Answer]
    findings: tuple[Finding, ...]
    asked: Asked
    subject: Subject
    seconds: float
    signals: LayerSignals | None = None
    profile: DepthProfile | None = None
    health: Health | None = None

    @property
    def headline(self) -> str:
        """The answer in one sentence, and how far to trust it in the next."""
        answer = statement(self.answers, self.asked)
        return f"{answer.sentence} {answer.note}".strip()

    def table(self) -> Table:
        """The answers side by side."""
        rows = [
            (
                answer.name,
                answer.max_learning_rate,
                answer.largest_eigenvalue,
                answer.seconds,
                answer.status if (found := trust(answer)) is None else found.kind,
                answer.assumes or f"{answer.status}: {answer.reason}",
            )
            for answer in (self.answers[name] for name in NAMES)
        ]
        columns = [
            Column("answer"),
            Column("learning rate, at most", digits=3),
            Column("λ_max", digits=4),
            Column("cost", unit="s", digits=2),
            Column("kind"),
            Column("what it rests on", align="left"),
        ]
        title = f"How large a learning rate? {self.asked.loss_name} loss, momentum {self.asked.momentum:g}"
        return Table(title, columns, rows)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, lists and words."""
        return {
            "answers": {name: self.answers[name].as_dict() for name in NAMES},
            "findings": [
                {"severity": f.severity, "sentence": f.sentence}
                | ({} if f.value is None else {"value": f.value, "unit": f.unit})
                for f in self.findings
            ],
            "headline": self.headline,
            "network": self.subject.name,
            "data": str(self.subject.data),
            "loss": self.asked.loss_name,
            "batch_size": self.asked.batch_size,
            "momentum": self.asked.momentum,
            "kind": self.asked.matrix,
            "statistics": self.asked.statistics,
            "budget": self.asked.budget,
            "seed": self.asked.seed,
            "seconds": self.seconds,
            **({} if self.profile is None else {"profile": self.profile.as_dict()}),
        }

    def to_json(self) -> str:
        """``{"answers": {…}, "findings": […], …}``; infinite or missing numbers are null, with a reason."""
        return json_text(self.as_dict())

    def to_frame(self) -> pandas.DataFrame:
        """One row per answer."""
        import pandas

        rows = [{"answer": name} | plain(self.answers[name].as_dict()) for name in NAMES]
        return pandas.DataFrame(rows).set_index("answer")

    def to_html(self, path: str | os.PathLike[str], *, command: str = "") -> Path:
        """Write the report: one HTML file that needs no network.

        Parameters
        ----------
        path
            The file; its folder must exist.
        command
            The command that was typed, if one was: the page tells how to repeat it.

        Raises
        ------
        InvalidInput
            The folder is missing or cannot be written.
        """
        page = page_of(
            self.answers,
            self.findings,
            self.asked,
            self.subject,
            self.as_dict(),
            self.table(),
            self.signals,
            command,
            self.profile,
        )
        return write(page, path)

    def plot(self) -> PlotlyFigure:
        """Every answer with its error bar on one logarithmic axis of learning rates.

        Raises
        ------
        InvalidInput
            No answer has a number.
        """
        figure = answers_figure(self.answers, self.asked)
        if figure is None:
            raise InvalidInput(
                expected="at least one answer with a number to draw",
                got="none",
                instead="print the diagnosis, which says why",
            )
        return figure.to_plotly()

    def _repr_html_(self) -> str:
        return fragment_html(self.headline, self.table(), Findings(self.findings))

    def __str__(self) -> str:
        bullets = [f"• {finding.sentence}" for finding in self.findings]
        return "\n".join([self.headline, "", table_text(self.table(), _WIDTH), "", *bullets])
