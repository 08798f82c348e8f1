"""Sections about layers: signals, shift of their inputs, lengths of weights, running statistics."""

from __future__ import annotations

from collections.abc import Sequence

from normfield.diagnosis.watched_training.drawing import by_layer, curves
from normfield.report import Figure, Section
from normfield.train.monitoring import MonitorRecord


def signals_section(record: MonitorRecord) -> Section | None:
    """Signal, gradient and what is dead, by layer."""
    figures = [
        by_layer(record, "signals", "root_mean_square", "√(E z²)", title="Signal by layer"),
        by_layer(record, "signals", "gradient", "‖∂ℓ/∂z‖", title="Gradient by layer"),
        by_layer(
            record,
            "signals",
            "relative_weight_gradient",
            "‖∂ℓ/∂W‖/‖W‖",
            title="Gradient over weight, by layer",
        ),
        by_layer(
            record,
            "signals",
            "correlation",
            "mean cosine between samples",
            log=False,
            title="Correlation by layer",
        ),
        by_layer(
            record,
            "signals",
            "dead_fraction",
            "part of the units",
            log=False,
            title="Units that get no gradient",
        ),
        curves(
            record,
            "signals",
            {"gradient_growth": "gradient, going backwards", "signal_growth": "signal, going forwards"},
            "factor per layer",
            title="Growth from layer to layer",
        ),
    ]
    return _section(
        "Signal and gradient by layer", figures, "One forward and one backward pass on each occasion."
    )


def shift_section(record: MonitorRecord) -> Section | None:
    """How far the inputs of each layer moved since the last look."""
    figures = [
        by_layer(
            record,
            "shift",
            "mean_drift",
            "drift of the mean, in standard deviations",
            title="Drift of the mean",
        ),
        by_layer(
            record,
            "shift",
            "wasserstein",
            "Wasserstein-1, in standard deviations",
            title="Shift of the distribution",
        ),
        by_layer(
            record,
            "shift",
            "deviation_drift",
            "|ln σ′/σ|",
            title="Drift of the standard deviation",
        ),
    ]
    lead = "Between one measurement and the one before it, on the same samples."
    return _section("How far the inputs of each layer moved", figures, lead)


def lengths_section(record: MonitorRecord) -> Section | None:
    """Lengths of weights, and effective learning rates of those that are scale-invariant."""
    figures = [
        by_layer(record, "scale_invariance", "norm", "‖W‖", title="Length of each weight"),
        by_layer(
            record,
            "scale_invariance",
            "effective_learning_rate",
            "η/‖W‖²",
            title="Effective learning rate of scale-invariant weights",
            caption="How fast the direction of a weight moves whose length the loss does not feel.",
        ),
    ]
    return _section("Lengths of weights", figures, "")


def statistics_section(record: MonitorRecord) -> Section | None:
    """Running statistics of batch norms against the exact ones, and the losses that follow."""
    figures = [
        by_layer(
            record,
            "statistics_drift",
            "mean_error",
            "error of the running mean, in exact standard deviations",
            title="Running means",
        ),
        by_layer(
            record,
            "statistics_drift",
            "variance_ratio",
            "running over exact variance",
            title="Running variances",
        ),
        curves(
            record,
            "statistics_drift",
            {
                "loss_running": "running statistics, as eval mode",
                "loss_exact": "exact statistics",
                "loss_batch": "each batch's own, as in training",
            },
            "loss",
            title="What the statistics do to the loss",
        ),
    ]
    return _section(
        "Running statistics of batch norms", figures, "Measured on the held batches, at the weights of then."
    )


def _section(heading: str, figures: Sequence[Figure | None], lead: str) -> Section | None:
    drawn = [figure for figure in figures if figure is not None]
    return Section(heading, drawn, lead=lead) if drawn else None
