"""How a walk along the gradient is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from normfield.report import Figure, Mark, Series, format_number, lines

if TYPE_CHECKING:
    from normfield.measure.landscape.landscape_result import Landscape


def _caption(found: Landscape) -> str:
    spent = f"{found.gradient_evaluations} gradients"
    return f"{found.loss}, {found.statistics} statistics, {found.samples} samples; {spent}."


def _spans_decades(values: np.ndarray, first: float) -> bool:
    """Whether a logarithmic axis shows more: all positive, and a hundredfold range."""
    kept = np.append(values[np.isfinite(values)], first)
    return bool((kept > 0).all()) and float(kept.max()) > 100 * float(kept.min())


def _line(found: Landscape) -> str:
    return "the gradient" if found.direction == "gradient" else "the given direction"


def _marks(found: Landscape, level: float, words: str) -> list[Mark]:
    marks = [Mark(level, f"{words}, {format_number(level)}", "y")]
    if found.learning_rate is not None:
        marks.append(Mark(found.learning_rate, "learning rate"))
    return marks


def loss_figure(found: Landscape) -> Figure:
    """ℓ(x − a·d) against a."""
    return lines(
        [Series("loss", found.steps, found.losses)],
        f"step along {_line(found)}",
        "loss",
        log_x=True,
        log_y=_spans_decades(found.losses, found.initial_loss),
        marks=_marks(found, found.initial_loss, "loss at the start"),
        title=f"Loss along {_line(found)}",
        caption=_caption(found),
    )


def gradient_figure(found: Landscape) -> Figure:
    """‖g − ∇ℓ(x − a·d)‖ against a."""
    return lines(
        [Series("change of the gradient", found.steps, found.gradient_predictiveness)],
        f"step along {_line(found)}",
        "change of the gradient ‖g − g′‖",
        log_x=True,
        log_y=_spans_decades(found.gradient_predictiveness, found.gradient_norm),
        marks=_marks(found, found.gradient_norm, "gradient at the start"),
        title="How far the gradient holds",
        caption=_caption(found),
    )
