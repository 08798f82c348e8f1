"""How a search is shown: the loss that runs ended with against their learning rate, and every run as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normfield.report import Band, Figure, Mark, Series, Table, format_number, lines
from normfield.train.descent import DIVERGED
from normfield.train.run import Run

if TYPE_CHECKING:
    from normfield.train.stability_result import CriticalLearningRate


def interval_of(found: CriticalLearningRate) -> tuple[float, float] | None:
    """The boundary less and more its error bar: spread over restarts and half-width of the brackets."""
    if found.log10 is None:
        return None
    bar = math.hypot(found.spread or 0.0, found.half_width or 0.0)
    return 10 ** (found.log10 - bar), 10 ** (found.log10 + bar)


def final_loss_figure(found: CriticalLearningRate) -> Figure | None:
    """Loss after training against η, with the edge and η* marked; None where no run finished or diverged."""
    finished = sorted((run for run in found.runs if run.final_loss), key=lambda run: run.learning_rate)
    diverged = [run for run in found.runs if run.status == DIVERGED]
    if not finished:
        return None
    tested = [run for run in finished if run.test_loss]
    series = [_losses("test loss", tested, [run.test_loss for run in tested])] if tested else []
    series.append(_losses("training loss", finished, [run.final_loss for run in finished]))
    if diverged:
        top = 3 * max(max(run.first_loss for run in found.runs), *(run.final_loss or 0.0 for run in finished))
        series.append(_losses("diverged, no final loss", diverged, [top] * len(diverged)))
    edge, bar = found.value, interval_of(found)
    return lines(
        series,
        "learning rate η",
        "loss after the last step",
        log_x=True,
        log_y=True,
        marks=_marks(found),
        bands=[] if bar is None or edge is None else [Band(*bar)],
        title="Where training ends, against the learning rate",
        caption="One point per run. Shaded: the edge of divergence with its error bar, from the spread over restarts "
        "and the width of the brackets.",
    )


def _losses(name: str, runs: Sequence[Run], losses: Sequence[float | None]) -> Series:
    hover = [f"seed {run.seed}, {run.status}" for run in runs]
    return Series(name, [run.learning_rate for run in runs], list(losses), style="markers", hover=hover)


def _marks(found: CriticalLearningRate) -> list[Mark]:
    marks = [] if found.value is None else [Mark(found.value, f"edge, {format_number(found.value)}")]
    if found.reference is not None and math.isfinite(found.reference):
        marks.append(Mark(found.reference, f"η* = {format_number(found.reference)}"))
    return marks


def runs_table(runs: Sequence[Run], note: str = "") -> Table:
    """Every run, by restart and learning rate."""
    rows = [
        (
            format_number(run.learning_rate, 4),
            run.seed,
            run.status,
            run.first_loss,
            run.final_loss,
            run.test_loss,
            run.test_accuracy,
        )
        for run in sorted(runs, key=lambda run: (run.seed, run.learning_rate))
    ]
    columns = ["learning rate", "seed", "ended", "first loss", "final loss", "test loss", "test accuracy"]
    return Table("Every run", columns, rows, [note] if note else [])
