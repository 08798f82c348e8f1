"""η* against γ by every reading of the theory, in units of the loss asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from normfield.diagnosis.asked import Asked
from normfield.errors import NotCovered
from normfield.network import BatchNorm, Network
from normfield.theory import mean_field

CLOSED_FORM = "theory, training mode"
_READINGS = {
    CLOSED_FORM: "batch",
    "theory, frozen statistics": "frozen",
    "as published (Wei et al.)": "published",
}


def rates_over_gamma(
    network: Network, asked: Asked, gamma: Sequence[float] | np.ndarray
) -> dict[str, np.ndarray]:
    """η* at each γ, by name of the reading; readings that do not cover the network are left out."""
    factor = _factor(network, asked)
    found: dict[str, np.ndarray] = {}
    for name, statistics in _READINGS.items():
        try:
            field = mean_field(network, statistics, gamma=np.asarray(gamma, dtype=float))  # type: ignore[arg-type]
        except NotCovered:
            continue
        found[name] = np.asarray(field.max_learning_rate(asked.momentum)) / factor
    return found


def plain_rate(network: Network, asked: Asked) -> float | None:
    """η* of the same network with its batch norms taken out; None where theory does not cover it."""
    layers = tuple(layer for layer in network.layers if not isinstance(layer, BatchNorm))
    try:
        field = mean_field(replace(network, layers=layers))
    except NotCovered:
        return None
    return field.max_learning_rate(asked.momentum) / _factor(network, asked)


def _factor(network: Network, asked: Asked) -> float:
    """λ of the loss over λ of ½‖f − y‖²; for cross-entropy that of the squared loss, 1."""
    return asked.squared_loss_factor(network.output_shape[0]) or 1.0
