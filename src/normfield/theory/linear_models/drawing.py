"""Figures of descents on linear models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from normfield.report import Figure, Mark, Series, lines
from normfield.theory.linear_models.words import run_names

if TYPE_CHECKING:
    from normfield.theory.linear_models.descent import Descent

_MOST = 8  # lines that a reader can tell apart


def loss_figure(descent: Descent) -> Figure:
    """Excess loss against the step; runs are evenly picked where there are more than 8."""
    return lines(
        [_over_steps(descent, descent.excess_losses, name, run) for name, run in _picked(descent)],
        "step",
        "f − f*",
        log_x=True,
        log_y=True,
        title=f"Loss above the least, {descent.method.name}",
    )


def effective_figure(descent: Descent) -> Figure:
    """ε̂λ_max of the last step against the learning rate, one line per start."""
    largest = descent.problem.spectrum.eigenvalues[-1]
    order = np.argsort(descent.learning_rates)
    last = np.abs(np.asarray(descent.effective_steps[-1])).reshape(-1, len(order)) * largest
    names = [descent.method.name] if len(last) == 1 else [f"start {s}" for s in range(len(last))]
    return lines(
        [
            Series(name, descent.learning_rates[order].tolist(), _drawable(row[order]))
            for name, row in zip(names[:_MOST], last, strict=False)
        ],
        "learning rate ε",
        "effective step ε̂λ_max",
        log_x=True,
        log_y=True,
        marks=[Mark(2.0, "limit of stability", "y")],
        title=f"Effective step after {descent.steps} steps, {descent.method.name}",
    )


def bound_figure(descent: Descent) -> Figure:
    """The direction's error ρ − ρ* and Kohler's bound on it."""
    shown = _picked(descent)
    found = [_over_steps(descent, descent.direction_gaps, name, run) for name, run in shown]
    bounds = [_over_steps(descent, descent.bounds, f"bound, {name}", run, "dashed") for name, run in shown]
    return lines(
        [*found, *bounds],
        "step",
        "ρ − ρ*",
        log_x=True,
        log_y=True,
        title=f"Error of the direction and Kohler's bound, {descent.method.name}",
    )


def _over_steps(descent: Descent, values: np.ndarray, name: str, run: int, style: str = "line") -> Series:
    """One run, without step 0, which a logarithmic axis has not."""
    own = np.asarray(values).reshape(len(descent.recorded_steps), -1)[1:, run]
    return Series(
        name,
        descent.recorded_steps[1:].tolist(),
        _drawable(own),
        style="dashed" if style == "dashed" else "line",
    )


def _drawable(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) and value > 0 else None for value in values]


def _picked(descent: Descent) -> list[tuple[str, int]]:
    names = run_names(descent)
    runs = np.unique(np.linspace(0, len(names) - 1, min(len(names), _MOST)).round().astype(int))
    return [(names[run], int(run)) for run in runs]
