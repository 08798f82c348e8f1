"""The instruments that a monitor knows by name."""

from __future__ import annotations

from collections.abc import Callable

from normfield.train.monitoring.instruments.batch_noise import BatchNoise
from normfield.train.monitoring.instruments.input_shift import InputShift
from normfield.train.monitoring.instruments.layer_scales import Signals
from normfield.train.monitoring.instruments.loss_landscape import LossLandscape
from normfield.train.monitoring.instruments.running_statistics import RunningStatistics
from normfield.train.monitoring.instruments.stability_edge import Edge
from normfield.train.monitoring.instruments.weight_lengths import WeightLengths
from normfield.train.monitoring.moment import Instrument

BY_NAME: dict[str, Callable[[], Instrument]] = {
    "signals": Signals,
    "landscape": LossLandscape,
    "edge": Edge,
    "shift": InputShift,
    "scale_invariance": WeightLengths,
    "statistics_drift": RunningStatistics,
    "gradient_noise": BatchNoise,
}
"""Name ↦ maker: each monitor has instruments of its own, which may remember what they saw."""

WITH_RATE = frozenset({"landscape", "edge"})
"""Those that need a learning rate."""

WITH_SAME_BATCH = frozenset({"shift"})
"""Those that compare the same samples at two steps."""

FEWEST_BATCHES = {"gradient_noise": 4}
"""How many batches those need that look across them, where samples meet in a batch norm."""
