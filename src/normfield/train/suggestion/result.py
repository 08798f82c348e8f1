"""The learning rate that is suggested, and what it rests on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import nn

from normfield.errors import InvalidInput
from normfield.report import Facts, Fold, fragment_html
from normfield.report.plain_json import finite
from normfield.train.descent import DIVERGED
from normfield.train.run import Run
from normfield.train.shown import runs_table
from normfield.train.suggestion.edge import Edge, edge_of
from normfield.train.suggestion.looking import Seen, safe_limit
from normfield.train.suggestion.scaling import shift, shift_error
from normfield.train.suggestion.shown import suggestion_figure
from normfield.train.suggestion.wording import reference_line, scaling_words, verdict, what_was_done

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure as PlotlyFigure

_FOUND = (
    *("learning_rate", "log10", "half_width", "interval", "status", "scaling", "verdict", "guarded"),
    *("boundary", "boundary_log10", "boundary_half_width", "boundary_interval", "decades_from_reference"),
    *("full_run_evaluations", "caution"),
)


@dataclass(frozen=True)
class LearningRateSuggestion:
    """A learning rate for a run of ``full_steps`` steps, with its error bar, and the short runs that it rests on.

    Parameters
    ----------
    seen
        The best of the survey and of the closer look, as far as they came.
    runs
        Every short run; ``test_loss`` is on the samples held out of the training data.
    reference
        η* of the first batch at the initial weights; None where there is none.
    reference_source
        How η* was found, or why there is none.
    reference_gradients
        What it cost, in gradients of a batch.
    gradient_evaluations
        Gradients of a batch that were taken in all, those for η* included.
    full_steps
        Steps of the run that is advised on: its gradients.
    held_out
        Training samples on which rates were compared; 0 where they were compared on those that were trained on.
    varies
        What differs between seeds: "initial weights and data order" or "data order only".
    stopped
        None, "budget spent" or "interrupted".
    alone
        Why runs were trained one by one; empty where they were trained together.
    loss, batch_size, momentum, epochs, steps, divergence_factor, restarts, effort, seed, budget
        As asked for; the loss by its name.
    samples
        How many training samples there are, those held out included.
    data
        The data in one line.
    compile_seconds
        Spent on compiling the ensembles' steps, where that pays.
    seconds
        Wall-clock time, compilation included.
    """

    seen: tuple[Seen, ...]
    runs: tuple[Run, ...]
    reference: float | None
    reference_source: str
    reference_gradients: int
    gradient_evaluations: int
    full_steps: int
    held_out: int
    varies: str
    stopped: str | None
    alone: str
    loss: str
    batch_size: int | None
    momentum: float
    epochs: int
    steps: int | None
    divergence_factor: float
    restarts: int
    effort: float
    seed: int
    budget: float | None
    samples: int
    data: str
    compile_seconds: float
    seconds: float

    @property
    def learning_rate(self) -> float | None:
        """The suggested η; None where no short run finished."""
        return None if self.log10 is None else 10.0**self.log10

    @property
    def log10(self) -> float | None:
        """log₁₀ of ``learning_rate``."""
        return None if self._scaled is None else min(self._scaled, safe_limit(self.runs, self._scaled))

    @property
    def half_width(self) -> float | None:
        """Standard error of ``log10`` in decades: spread over seeds, distance of the rates, and how p varies."""
        if not self.seen:
            return None
        last = self.seen[-1]
        parts = (last.spread or 0.0, last.spacing / 2, shift_error(last.steps, self.full_steps))
        return math.hypot(*parts)

    @property
    def interval(self) -> tuple[float, float] | None:
        """``learning_rate`` less and more its standard error."""
        if self.log10 is None or self.half_width is None:
            return None
        return 10.0 ** (self.log10 - self.half_width), 10.0 ** (self.log10 + self.half_width)

    @property
    def guarded(self) -> bool:
        """Whether it was lowered to half of the lowest rate that diverged."""
        return self._scaled is not None and self.log10 != self._scaled

    @property
    def edge(self) -> Edge:
        """Between which rates the short runs begin to diverge."""
        return edge_of(self.runs)

    @property
    def boundary(self) -> float | None:
        """η from which short runs diverge; None where none did, or none did not."""
        return None if self.edge.log10 is None else 10.0**self.edge.log10

    @property
    def boundary_log10(self) -> float | None:
        """log₁₀ of ``boundary``."""
        return self.edge.log10

    @property
    def boundary_half_width(self) -> float | None:
        """Half the distance in decades of the rates between which the boundary lies."""
        return self.edge.half_width

    @property
    def boundary_interval(self) -> tuple[float | None, float | None]:
        """The highest rate below the boundary at which no run diverged, and the lowest at which one did."""
        return self.edge.low, self.edge.high

    @property
    def full_run_evaluations(self) -> int:
        """Gradients of the run that is advised on."""
        return self.full_steps

    @property
    def decades_from_reference(self) -> float | None:
        """log₁₀ of the suggested η over η*."""
        if self.log10 is None or self.reference is None:
            return None
        return self.log10 - math.log10(self.reference)

    @property
    def status(self) -> str:
        """ "found", or what is missing: not enclosed, no run that finished, interrupted, budget spent."""
        if not self.seen:
            found = "not found: every short run diverged" if self.runs else "not found: no short run was made"
        elif not self.seen[-1].enclosed:
            found = "found, at the end of the rates tried"
        else:
            found = "found" if len(self.seen) > 1 else "found by the survey alone"
        return found if self.stopped is None else f"{self.stopped}: {found}"

    @property
    def scaling(self) -> str:
        """How the short runs' best was carried over to the full run, in words."""
        return scaling_words(self)

    @property
    def verdict(self) -> str:
        """One line on where η* lies to the best rate and to the boundary."""
        return verdict(self)

    @property
    def caution(self) -> str | None:
        """Why the suggestion may be further off than its error bar; None where nothing is known against it."""
        memory = 1 / (1 - self.momentum)
        if self.seen and self.seen[-1].steps < memory:
            return (
                f"short runs of {self.seen[-1].steps} steps are shorter than the {memory:.0f} steps over which "
                "momentum averages: give a larger effort"
            )
        return None

    def sgd_kwargs(self) -> dict[str, float]:
        """Keyword arguments of ``torch.optim.SGD``: ``lr`` and ``momentum``.

        Raises
        ------
        InvalidInput
            No learning rate was found.
        """
        if self.learning_rate is None:
            raise InvalidInput(
                expected="a suggestion with a learning rate",
                got=self.status,
                instead="give it more time, or start=",
            )
        return {"lr": self.learning_rate, "momentum": self.momentum}

    def optimizer(self, model: nn.Module) -> torch.optim.SGD:
        """``torch.optim.SGD`` over the model's trainable parameters, with this learning rate and momentum.

        Raises
        ------
        InvalidInput
            No learning rate was found, or the model has no trainable parameters.
        """
        settings = self.sgd_kwargs()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trainable:
            raise InvalidInput(
                expected="a module with trainable parameters",
                got=f"{type(model).__name__} without any",
                instead="check requires_grad",
            )
        return torch.optim.SGD(trainable, lr=settings["lr"], momentum=settings["momentum"])

    def to_frame(self) -> pd.DataFrame:
        """Table with one row per short run: learning_rate, log10, seed, steps, status, losses at the ends, seconds.

        ``test_loss`` is on the samples held out of the training data.
        """
        import pandas as pd

        return pd.DataFrame([run.summary() for run in self.runs])

    def to_json(self) -> str:
        """JSON object keyed like the attributes; what is missing is null, ``status`` and ``reason`` say why."""
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("runs", "seen")
        }
        found = {name: getattr(self, name) for name in _FOUND}
        tables = {
            "seen": [asdict(seen) for seen in self.seen],
            "runs": [run.summary() for run in self.runs],
        }
        return json.dumps(finite({**found, "reason": self._reason, **given, **tables}))

    def plot(self) -> PlotlyFigure:
        """Loss of the short runs against η, with the suggestion, its error bar, the boundary and η* marked.

        Raises
        ------
        InvalidInput
            No run finished.
        """
        figure = suggestion_figure(self)
        if figure is None:
            raise InvalidInput(
                expected="at least one finished run to draw",
                got=self.status,
                instead="give it more time, or start=",
            )
        return figure.to_plotly()

    def _repr_html_(self) -> str:
        facts: list[tuple[str, float | str | None]] = [
            (
                "suggested learning rate",
                self.learning_rate if self.learning_rate is not None else self.status,
            ),
            ("short runs diverge from", self.boundary if self.boundary is not None else self.edge.words),
            ("η*", self.reference),
        ]
        table = runs_table(self.runs, "Test loss: on samples held out of the training data.")
        fold = Fold(f"Every short run ({len(self.runs)})", [table])
        return fragment_html(str(self).splitlines()[0], Facts(facts), self.scaling, self.verdict, fold)

    def __str__(self) -> str:
        rate = self.status
        if self.learning_rate is not None:
            rate = f"η = {self.learning_rate:.3g} (log₁₀ {self.log10:+.2f} ± {self.half_width:.2f})"
            rate += "" if self.status == "found" else f"; {self.status}"
        size = "full batch" if self.batch_size is None else f"batch {self.batch_size}"
        lines = [
            f"Learning rate for {self.full_steps:,} steps, {self.loss}, {size}, momentum {self.momentum:g}: "
            f"{self.data}",
            f"  suggested          {rate}",
            f"  short runs diverge {self.edge.words}",
            f"  η*                 {reference_line(self)}",
            f"  {self.scaling}",
            f"  {self.verdict}",
            f"  {what_was_done(self)}",
        ]
        return "\n".join(lines if self.caution is None else [*lines, f"  {self.caution}"])

    @property
    def _scaled(self) -> float | None:
        """The best log₁₀η of the short runs, moved to the length of the full run."""
        if not self.seen or all(run.status == DIVERGED for run in self.runs):
            return None
        return self.seen[-1].log10 + shift(self.loss, self.seen[-1].steps, self.full_steps)

    @property
    def _reason(self) -> str | None:
        """Why numbers are null."""
        reasons = [] if self.learning_rate is not None else [self.status]
        reasons += [] if self.boundary is not None else [f"boundary: {self.edge.words}"]
        reasons += [] if self.reference is not None else [f"η* {self.reference_source}"]
        return "; ".join(reasons) or None
