"""Sections about the whole model: loss, landscape, edge of stability and noise."""

from __future__ import annotations

import math

import numpy as np

from normfield.diagnosis.watched_training.drawing import curves
from normfield.diagnosis.watched_training.opening import told_losses
from normfield.report import Mark, Section
from normfield.train.monitoring import MonitorRecord
from normfield.train.monitoring.shown import loss_figure

_EDGE = Mark(1.0, "edge of stability", "y")


def loss_section(record: MonitorRecord) -> Section | None:
    """The loss of every step, and the learning rate where it changed."""
    if not any(map(math.isfinite, told_losses(record))):
        return None
    rates = {rate for rate in record.learning_rates if rate}
    rate = (
        curves(record, "training", {"learning_rate": "η"}, "learning rate", title="Learning rate")
        if len(rates) > 1
        else None
    )
    figures = [loss_figure(record.losses), rate]
    return Section("Loss", [figure for figure in figures if figure is not None])


def edge_section(record: MonitorRecord) -> Section | None:
    """η·λ_max/2 over steps, of gradient descent and of the optimizer's own steps."""
    ratio = curves(
        record,
        "edge",
        {
            "sharpness_times_rate": "gradient descent, η·λ/2",
            "preconditioned_sharpness_times_rate": "as the optimizer steps, η·Λ/2",
        },
        "learning rate over the largest stable one",
        marks=[_EDGE],
        title="Edge of stability",
        caption="λ is the largest eigenvalue of the Hessian; Λ holds the optimizer's momentum, preconditioner and "
        "weight decay as well.",
    )
    sharpness = curves(
        record,
        "edge",
        _sharpnesses(record),
        "largest eigenvalue",
        title="Sharpness",
    )
    lead = (
        "Where the loss is quadratic, steps settle below 1 and grow above it; full-batch training often climbs to 1 "
        "and stays there, mini-batch training mostly stays below."
    )
    return _section("How near the edge of stability", [ratio, sharpness], lead)


def _sharpnesses(record: MonitorRecord) -> dict[str, str]:
    """Of SGD without weight decay the two are one."""
    plain, seen = "largest_eigenvalue", "preconditioned_largest_eigenvalue"
    names = {plain: "of the Hessian", seen: "of the preconditioned Hessian"}
    if record.has("edge", plain) and record.has("edge", seen):
        one, other = (record.curve("edge", quantity)[1] for quantity in (plain, seen))
        if np.array_equal(one, other):
            return {plain: names[plain]}
    return names


def landscape_section(record: MonitorRecord) -> Section | None:
    """Range of loss and of the gradient's change along the gradient, and effective smoothness."""
    loss = curves(
        record,
        "landscape",
        {"largest_loss": "largest", "loss": "at the weights", "smallest_loss": "smallest"},
        "loss",
        title="Loss along the gradient",
    )
    change = curves(
        record,
        "landscape",
        {"largest_gradient_change": "largest", "smallest_gradient_change": "smallest"},
        "‖g − ∇ℓ(x − a·g)‖",
        title="How far the gradient changes along itself",
    )
    smooth = curves(
        record,
        "landscape",
        {"effective_smoothness": "effective smoothness"},
        "largest ‖g − ∇ℓ(x − a·g)‖/(a·‖g‖)",
        title="Effective smoothness",
    )
    lead = "Steps a along the gradient g, half to four times the learning rate: a smooth landscape has narrow ranges."
    return _section("The landscape along the gradient", [loss, change, smooth], lead)


def noise_section(record: MonitorRecord) -> Section | None:
    """Scatter of gradients beside their mean, and the noise scale."""
    lengths = curves(
        record,
        "gradient_noise",
        {"covariance_trace": "noise, C = E‖∇ℓ_i − ∇ℓ‖²", "squared_gradient": "gradient, ‖∇ℓ‖²"},
        "squared length",
        title="Noise and gradient",
    )
    scale = curves(
        record,
        "gradient_noise",
        {"noise_scale": "noise scale"},
        "C/‖∇ℓ‖², in samples",
        title="Noise scale",
        caption="The batch size at which noise is as long as the gradient.",
    )
    lead = "How far the gradients of mini-batches scatter around that of the loss, on the held batches."
    return _section("Gradient noise", [lengths, scale], lead)


def _section(heading: str, figures: list, lead: str) -> Section | None:
    drawn = [figure for figure in figures if figure is not None]
    return Section(heading, drawn, lead=lead) if drawn else None
