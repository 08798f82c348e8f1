"""How well batch norm's own statistics are: measured over a few batches where that costs little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.subject import Subject
from normfield.errors import NormfieldError
from normfield.measure.batch_norm import (
    LayerStatistics,
    PopulationStatistics,
    StatisticsDrift,
    population_statistics,
    statistics_drift,
)
from normfield.measure.invariance import ScaleInvariance, scale_invariance
from normfield.measure.subject.function import unwrapped
from normfield.measure.subject.modes import batch_norms

_BATCHES = 8
_DRIFT_PASSES = 5  # over the batches: their statistics, a look at each, and three losses
_PASSES_PER_WEIGHT = 2
_CONSTANT = 1e-12  # of the squared mean or of ε: a variance below is round-off

Found = TypeVar("Found")


@dataclass(frozen=True)
class Health:
    """What findings on batch norm's health stand on.

    Attributes
    ----------
    statistics
        Of every batch norm's input over a few batches; None without batch norm, or where they could not be measured.
    eps
        ε of every batch norm, by name.
    drift
        Running statistics beside these; None where the module has not trained.
    invariance
        Which weights' length does not matter; None where no weight decay was asked about.
    """

    statistics: PopulationStatistics | None
    eps: Mapping[str, float]
    drift: StatisticsDrift | None
    invariance: ScaleInvariance | None

    @property
    def layers(self) -> tuple[LayerHealth, ...]:
        """Every batch norm that was called."""
        if self.statistics is None:
            return ()
        return tuple(LayerHealth(layer, self.eps[name]) for name, layer in self.statistics.layers.items())


@dataclass(frozen=True)
class LayerHealth:
    """One batch norm's input: its population statistics, and its ε."""

    found: LayerStatistics
    eps: float

    @property
    def name(self) -> str:
        """The layer's name in the module."""
        return self.found.name or "the module"

    @property
    def is_constant(self) -> np.ndarray:
        """Whether a channel has one value only, (C,)."""
        return self.found.variance <= _CONSTANT * np.maximum(np.square(self.found.mean), self.eps)

    @property
    def deviation_spread(self) -> float:
        """By how much a batch's standard deviation differs from batch to batch, relatively, at the median channel.

        About 1/√(2n) of n independent values; NaN from fewer than three batches.
        """
        live = ~self.is_constant
        if self.found.calls < 3 or not live.any():
            return float("nan")
        of_variance = self.found.variance_error[live] * np.sqrt(self.found.calls)
        return float(np.median(of_variance / (2 * self.found.variance[live])))


def health_steps(subject: Subject, asked: Asked) -> int:
    """What a look at the health costs at most, in steps of training; 0 where there is nothing to look at."""
    count = _batches(subject, asked)
    norms = _norms(subject.module)
    of_norms = 0 if not norms else count * (1 + (_DRIFT_PASSES if _has_trained(norms) else 0))
    weights = sum(p.dim() > 1 for p in subject.module.parameters())
    return of_norms + (_PASSES_PER_WEIGHT * weights if asked.weight_decay else 0)


def health_of(subject: Subject, asked: Asked) -> Health:
    """A few batches through the module, and what they tell; what is refused is left out."""
    module, norms = subject.module, _norms(subject.module)
    batches = list(islice(subject.data.batches(asked.batch_size, asked.seed), _BATCHES))
    return Health(
        _tried(lambda: population_statistics(module, batches, seed=asked.seed)) if norms else None,
        {name: norm.eps for name, norm in norms.items()},
        _tried(lambda: statistics_drift(module, batches, asked.loss, seed=asked.seed))
        if _has_trained(norms)
        else None,
        _tried(lambda: scale_invariance(module, batches[0], asked.loss, seed=asked.seed))
        if asked.weight_decay
        else None,
    )


def _batches(subject: Subject, asked: Asked) -> int:
    return min(_BATCHES, subject.data.samples_used // asked.batch_size)


def _norms(module: nn.Module) -> dict[str, _BatchNorm]:
    return batch_norms(unwrapped(module))


def _has_trained(norms: Mapping[str, _BatchNorm]) -> bool:
    """Whether running statistics were ever written."""
    return any(
        norm.num_batches_tracked is not None and norm.num_batches_tracked > 0 for norm in norms.values()
    )


def _tried(measure: Callable[[], Found]) -> Found | None:
    try:
        return measure()
    except (NormfieldError, torch.OutOfMemoryError):
        return None
