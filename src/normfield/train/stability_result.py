"""What a search for the critical learning rate found."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from normfield.errors import InvalidInput
from normfield.report import Facts, Fold, fragment_html
from normfield.report.plain_json import finite
from normfield.train.boundaries import Boundary, Summary, summarise
from normfield.train.run import Run
from normfield.train.shown import final_loss_figure, runs_table
from normfield.train.trials import INTERRUPTED, best_of

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_NEAR = 0.3
_SOFTMAX = ("cross_entropy", "CrossEntropyLoss")
_FOUND = (
    *("value", "log10", "spread", "half_width", "worse_value", "worse_log10", "status", "cut", "verdict"),
    *("limited", "decades_from_reference", "best_learning_rate"),
)


@dataclass(frozen=True)
class CriticalLearningRate:
    """Where training at a fixed learning rate stops working, with its error bar and every run.

    Parameters
    ----------
    boundaries
        The bracket of each restart that was begun, by each criterion.
    runs
        Every run, in the order in which they were made.
    reference
        η* that the boundary is compared with; None where there is none.
    reference_source
        How η* was found, or why there is none.
    varies
        What differs between restarts: "initial weights and data order" or "data order only".
    stopped
        None, "budget spent" or "interrupted".
    loss, batch_size, momentum, epochs, steps, divergence_factor, restarts, seed, resolution, budget
        As asked for; the loss by its name.
    samples
        How many training samples were used.
    data
        The data in one line.
    seconds
        Wall-clock time of the whole search.
    """

    boundaries: tuple[Boundary, ...]
    runs: tuple[Run, ...]
    reference: float | None
    reference_source: str
    varies: str
    stopped: str | None
    loss: str
    batch_size: int | None
    momentum: float
    epochs: int
    steps: int | None
    divergence_factor: float
    restarts: int
    seed: int
    resolution: float
    budget: float | None
    samples: int
    data: str
    seconds: float

    @property
    def diverged(self) -> Summary:
        """Where runs diverge, over restarts."""
        return self._summary("diverged")

    @property
    def worse(self) -> Summary:
        """Where runs end with a higher loss than they began, over restarts."""
        return self._summary("worse")

    @property
    def value(self) -> float | None:
        """η at which runs diverge, the geometric mean over restarts; None where no bracket closed."""
        return self.diverged.value

    @property
    def log10(self) -> float | None:
        """log₁₀ of ``value``."""
        return self.diverged.log10

    @property
    def spread(self) -> float | None:
        """Standard deviation of ``log10`` over restarts, in decades."""
        return self.diverged.spread

    @property
    def half_width(self) -> float | None:
        """Mean half-width of the brackets around ``log10``, in decades."""
        return self.diverged.half_width

    @property
    def worse_value(self) -> float | None:
        """η above which runs end with a higher loss than they began."""
        return self.worse.value

    @property
    def worse_log10(self) -> float | None:
        """log₁₀ of ``worse_value``."""
        return self.worse.log10

    @property
    def status(self) -> str:
        """ "bracketed", "not bracketed: ...", or "interrupted: ..." with what there was by then."""
        if self.stopped == INTERRUPTED:
            return f"interrupted: {self.diverged.status}"
        return self.diverged.status

    @property
    def cut(self) -> str | None:
        """What was left out; None where nothing was."""
        if self.stopped is None:
            return None
        closed = sum(
            boundary.log10 is not None for boundary in self.boundaries if boundary.criterion == "diverged"
        )
        why = f"budget of {self.budget:.3g} s spent" if self.budget is not None else ""
        why = "interrupted" if self.stopped == INTERRUPTED else why
        return f"{why} after {len(self.runs)} runs, {closed} of {self.restarts} restarts bracketed"

    @property
    def best(self) -> Run | None:
        """The finished run with the lowest test loss (training loss without test data)."""
        return best_of(list(self.runs))

    @property
    def best_learning_rate(self) -> float | None:
        """η of ``best``."""
        return None if self.best is None else self.best.learning_rate

    @property
    def decades_from_reference(self) -> float | None:
        """log₁₀ of ``value`` over η*."""
        if self.log10 is None or self.reference is None:
            return None
        return self.log10 - math.log10(self.reference)

    @property
    def limited(self) -> bool | None:
        """Whether η* was the limit: True within 0.3 decades of the boundary, False further off or without divergence.

        None where either is missing, and for cross-entropy within 0.3 decades. There the boundary is no matter of
        linear stability at the start: of batch-norm networks on MNIST it stayed between log₁₀η = 0.65 and 0.95
        while γ = 0.1 to 3 moved η* from 0.9 to −1.3, so that the two must meet somewhere.
        """
        distance = self.decades_from_reference
        if distance is None:
            return False if self._never_diverged and self.reference is not None else None
        if abs(distance) > _NEAR:
            return False
        return None if self.loss in _SOFTMAX else True

    @property
    def verdict(self) -> str:
        """One line on whether η* was the limit."""
        distance = self.decades_from_reference
        if distance is None:
            return self._verdict_without_distance
        where = f"runs diverge {abs(distance):.2g} decades {'above' if distance >= 0 else 'below'} it"
        if self.limited is None:
            return f"not shown to be limited by η*: {where}, but with cross-entropy the boundary does not follow η*"
        return f"{'limited' if self.limited else 'not limited'} by η*: {where}"

    def to_frame(self) -> pd.DataFrame:
        """Table with one row per run: restart, seed, learning_rate, log10, status, losses at the ends, seconds."""
        import pandas as pd

        return pd.DataFrame([{"restart": run.seed - self.seed, **run.summary()} for run in self.runs])

    def to_json(self) -> str:
        """JSON object keyed like the attributes; what is missing is null, ``status`` and ``reason`` say why."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "runs"}
        found = {name: getattr(self, name) for name in _FOUND}
        tables = {
            "diverged": {"value": self.diverged.value, **asdict(self.diverged)},
            "worse": {"value": self.worse.value, **asdict(self.worse)},
            "boundaries": [asdict(boundary) for boundary in self.boundaries],
            "best": None if self.best is None else self.best.summary(),
            "runs": [{"restart": run.seed - self.seed, **run.summary()} for run in self.runs],
        }
        return json.dumps(finite({**found, "reason": self._reason, **given, **tables}))

    def plot(self) -> PlotlyFigure:
        """Loss after training against η, one point per run, with the edge, its error bar and η* marked.

        Raises
        ------
        InvalidInput
            No run finished.
        """
        figure = final_loss_figure(self)
        if figure is None:
            raise InvalidInput(
                expected="at least one finished run to draw",
                got=self.status,
                instead="give it a larger budget",
            )
        return figure.to_plotly()

    def _repr_html_(self) -> str:
        lines = str(self).splitlines()
        facts: list[tuple[str, float | str | None]] = [
            ("runs diverge above", self.value if self.value is not None else self.status),
            ("end worse than they began above", self.worse_value),
            ("best seen", self.best_learning_rate),
            ("η*", self.reference),
        ]
        runs = Fold(f"Every run ({len(self.runs)})", [runs_table(self.runs)])
        return fragment_html(lines[0], Facts(facts), self.verdict, runs)

    def __str__(self) -> str:
        size = "full batch" if self.batch_size is None else f"batch {self.batch_size}"
        length = f"{self.epochs} epochs" if self.steps is None else f"{self.steps} steps"
        lines = [
            f"Critical learning rate, {self.loss}, {size}, momentum {self.momentum:g}, {length}: {self.data}",
            f"  runs diverge above         {_written(self.diverged, self.restarts)}",
            f"  end worse than they began  {_written(self.worse, self.restarts)}",
            f"  best seen                  {'–' if self.best is None else self.best}",
            f"  η*                         {self._reference_line}",
            f"  {self.verdict}",
            f"  {len(self.runs)} runs over {self.restarts} restarts that vary {self.varies}, {self.seconds:.1f} s",
        ]
        return "\n".join(lines if self.cut is None else [*lines, f"  {self.cut}"])

    @property
    def _verdict_without_distance(self) -> str:
        if self.limited is False:
            return f"not limited by η*: {self.status.removeprefix('not bracketed: ')}"
        missing = self.status if self.reference is not None else f"η* {self.reference_source}"
        return f"limited by η* or not: unknown ({missing})"

    @property
    def _never_diverged(self) -> bool:
        """Whether no restart saw a run diverge, up to the highest η there is to try."""
        tops = [boundary for boundary in self.boundaries if boundary.criterion == "diverged"]
        return bool(tops) and all(b.high is None and b.status.startswith("not bracketed") for b in tops)

    @property
    def _reason(self) -> str | None:
        """Why numbers are null."""
        reasons = [] if self.value is not None else [self.status]
        reasons += [] if self.worse_value is not None else [f"worse: {self.worse.status}"]
        reasons += [] if self.restarts > 1 else ["one restart has no spread"]
        reasons += [] if self.reference is not None else [f"η* {self.reference_source}"]
        return "; ".join(reasons) or None

    @property
    def _reference_line(self) -> str:
        if self.reference is None:
            return self.reference_source
        return f"{self.reference:.3g} (log₁₀ {math.log10(self.reference):+.2f}), {self.reference_source}"

    def _summary(self, criterion: str) -> Summary:
        chosen = tuple(boundary for boundary in self.boundaries if boundary.criterion == criterion)
        return summarise(chosen, self.restarts)


def _written(summary: Summary, restarts: int) -> str:
    """η, log₁₀η, spread and half-width, or the status in their place."""
    if summary.log10 is None:
        return summary.status
    spread = f", spread {summary.spread:.2f}" if summary.spread is not None else ""
    text = f"η = {summary.value:.3g} (log₁₀ {summary.log10:+.2f}{spread}, brackets ±{summary.half_width:.2f})"
    return text if summary.status == "bracketed" else f"{text}; {summary.status}"
