"""Signal and gradient scale by layer, measured on the first batch, beside the kernel's or theory's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.errors import NormfieldError
from normfield.measure.signals import LayerSignals, signals
from normfield.theory import MeanField
from normfield.theory.kernels import DepthProfile


def signals_of(subject: Subject, asked: Asked) -> LayerSignals | None:
    """One forward and one backward pass over the first batch; None where the module has no affine layer or refuses."""
    batch = subject.data.batches(asked.batch_size, asked.seed)[0]
    try:
        found = signals(subject.module, [batch], asked.loss, statistics=asked.statistics, seed=asked.seed)
    except (NormfieldError, torch.OutOfMemoryError):
        return None
    return found if found.layers else None


@dataclass(frozen=True)
class Expected:
    """What the kernel or theory expects at the same layers.

    Attributes
    ----------
    by
        "kernel" or "theory".
    signal
        √q of each layer.
    gradient
        Norm of the loss's gradient at each layer; theory's √(q̃ · positions) is scaled to the one measured at the last
        hidden layer.
    gradient_growth
        By what the gradient's norm grows per layer going backwards, deep inside; None for fewer than four layers.
    correlation
        Between samples at each layer; None where it is not told.
    """

    by: str
    signal: np.ndarray
    gradient: np.ndarray
    gradient_growth: float | None
    correlation: list[float | None] | None = None


def expected_by_kernel(profile: DepthProfile | None, found: LayerSignals, asked: Asked) -> Expected | None:
    """The kernel's scales in units of the loss asked for; None where the module calls other layers than it knows."""
    if profile is None or [layer.units for layer in profile.layers] != [
        layer.units for layer in found.layers
    ]:
        return None
    factor = asked.squared_loss_factor(profile.network.output_shape[0]) or 1.0
    growth = profile.gradient_growth
    return Expected(
        "kernel",
        np.sqrt([layer.mean_square for layer in profile.layers]),
        factor * np.array([layer.gradient for layer in profile.layers]),
        None if growth is None else growth.factor,
        [layer.correlation for layer in profile.layers],
    )


def expected_by_theory(field: MeanField | None, found: LayerSignals) -> Expected | None:
    """Theory's scales; None without theory, or where the module calls another number of layers than theory knows."""
    if field is None or len(field.order_parameters.q) != len(found.layers) or len(found.layers) < 2:
        return None
    parameters = field.order_parameters
    positions = np.array([layer.positions for layer in found.layers])
    gradient = np.sqrt(parameters.q_tilde * positions)
    if not np.all(gradient > 0):
        return None
    anchor = found.layers[-2].gradient / gradient[-2]
    return Expected("theory", np.sqrt(parameters.q), gradient * anchor, growth_inside(field))


def growth_inside(field: MeanField) -> float | None:
    """√(q̃² / q̃³), theory's growth of the gradient per layer where layers repeat; None for fewer than four layers."""
    q_tilde = field.order_parameters.q_tilde
    if len(q_tilde) < 4 or not (q_tilde[1] > 0 and q_tilde[2] > 0):
        return None
    return math.sqrt(float(q_tilde[1] / q_tilde[2]))
