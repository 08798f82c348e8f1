"""How far the distribution of every layer's inputs has moved between two snapshots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from normfield.errors import InvalidInput
from normfield.measure.shift.distances import (
    gaussian_divergence,
    histogram_divergence,
    moments,
    wasserstein,
)
from normfield.measure.shift.drift_result import DistributionShift, LayerShift
from normfield.measure.shift.grouped import Grouped, Jackknifed, Ways
from normfield.measure.shift.snapshot_result import LayerInput, LayerInputs

_NONE = Jackknifed(math.nan, math.nan, math.nan)


def distribution_shift(before: LayerInputs, after: LayerInputs, *, bins: int = 16) -> DistributionShift:
    """Compare what every layer is given at two times of training: internal covariate shift [Ioffe].

    Every unit's distribution before, q, and after, p, is compared by itself, and the mean over units is reported:

    - Kullback–Leibler divergence D(p ‖ q) = Σ_k p_k ln(p_k/q_k) of histograms, in nats, a lower bound on that of
      the distributions themselves. The bins have equal probability under a Gaussian fitted to both snapshots
      together, the outermost are open, and half a value is added to each.
    - the same of Gaussian fits, ½(σ′²/σ² + (μ′ − μ)²/σ² − 1 − ln σ′²/σ²).
    - Wasserstein-1, ∫|F − G|/σ; the drift of the mean, |μ′ − μ|/σ, and of the standard deviation, |ln σ′/σ|.

    Bias and standard errors come from leaving groups of samples out in turn (a jackknife): out of both snapshots
    at once where they are of the same samples, of one at a time where not. The bias, which falls as 1/samples, is
    taken off both divergences. The other three are absolute values, hence too large by about their standard error
    where nothing has moved and the samples are not the same. Where a layer's samples cannot be told apart
    (`LayerInput.samples_apart`), there is neither: errors and bias are NaN, and no bias is taken off.

    Parameters
    ----------
    before, after : LayerInputs
        Of one module, with the same choice of layers, units, positions and statistics, and the same seed.
    bins : int
        K, at least 2.

    Returns
    -------
    DistributionShift

    Raises
    ------
    InvalidInput
        Other types, snapshots that do not match, bins that are no whole number from 2.

    Examples
    --------
    >>> import torch
    >>> layer, x = torch.nn.Linear(1, 1), torch.linspace(-1, 1, 64)[:, None]
    >>> snapshots = [layer_inputs(layer, (x + moved, x)) for moved in (0.0, 0.1)]
    >>> round(distribution_shift(*snapshots).layers[0].mean_drift, 3)
    0.171
    """
    _check(before, after, bins)
    same = before.samples_digest == after.samples_digest
    layers = tuple(
        _compared(old, new, bins, same) for old, new in zip(before.layers, after.layers, strict=True)
    )
    return DistributionShift(layers, bins, same, (before.samples, after.samples), before.statistics)


def _check(before: LayerInputs, after: LayerInputs, bins: int) -> None:
    for name, given in (("before", before), ("after", after)):
        if not isinstance(given, LayerInputs):
            raise InvalidInput(
                expected=f"{name} as what layer_inputs gives",
                got=f"a {type(given).__name__}",
                instead="take both snapshots with layer_inputs(model, batch)",
            )
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 2:
        raise InvalidInput(expected="bins as a whole number of at least 2", got=repr(bins))
    if before.statistics != after.statistics:
        raise InvalidInput(
            expected="two snapshots under the same statistics",
            got=f'"{before.statistics}" and "{after.statistics}"',
            instead="take both with one of them",
        )
    if min(before.samples, after.samples) < 2:
        raise InvalidInput(
            expected="snapshots of at least 2 samples", got="one of 1", instead="give larger batches"
        )
    _check_layers(before.layers, after.layers)


def _check_layers(before: Sequence[LayerInput], after: Sequence[LayerInput]) -> None:
    names = [[layer.name for layer in layers] for layers in (before, after)]
    if names[0] != names[1]:
        other = sorted(set(names[0]) ^ set(names[1]))
        raise InvalidInput(
            expected="two snapshots of the same layers",
            got=f"{other[0]!r} in one of them only" if other else "another order of calls",
            instead="give layer_inputs the same layers both times",
        )
    for old, new in zip(before, after, strict=True):
        same = (old.units, old.positions, old.samples_apart) == (new.units, new.positions, new.samples_apart)
        kept = np.array_equal(old.kept_units, new.kept_units) and np.array_equal(
            old.kept_positions, new.kept_positions
        )
        if not (same and kept):
            raise InvalidInput(
                expected="two snapshots with the same units and positions of every layer",
                got=f"others at {old.name!r}",
                instead="give layer_inputs the same units, positions and seed, and inputs of one shape",
            )


def _compared(old: LayerInput, new: LayerInput, bins: int, same_samples: bool) -> LayerShift:
    q, p = Grouped.of(old.values), Grouped.of(new.values)
    ways = Ways.of(q.groups, p.groups, same_samples and q.groups == p.groups)
    varying = _varying(q) & _varying(p)
    constant = int((~varying).sum())
    found = _distances(_only(q, varying), _only(p, varying), ways, bins) if varying.any() else (_NONE,) * 5
    if not old.samples_apart:
        found = tuple(map(_without_errors, found))
    kl, gaussian, distance, mean, deviation = found
    return LayerShift(
        name=old.name,
        units=len(varying) - constant,
        constant_units=constant,
        kl=kl.corrected,
        kl_error=kl.error,
        kl_bias=kl.bias,
        gaussian_kl=gaussian.corrected,
        gaussian_kl_error=gaussian.error,
        wasserstein=distance.value,
        wasserstein_error=distance.error,
        mean_drift=mean.value,
        mean_drift_error=mean.error,
        deviation_drift=deviation.value,
        deviation_drift_error=deviation.error,
    )


def _varying(sample: Grouped) -> np.ndarray:
    """(units,): whether a unit varies by more than round-off, whichever group is left out; of one group, none does."""
    if sample.groups < 2:
        return np.zeros(sample.values.shape[1], dtype=bool)
    centre = sample.values.mean(0)
    return np.all(moments(sample, centre)[1] > (1e-10 * centre) ** 2, axis=0)


def _only(sample: Grouped, units: np.ndarray) -> Grouped:
    return Grouped(sample.values[:, units], sample.group, sample.groups)


def _distances(q: Grouped, p: Grouped, ways: Ways, bins: int) -> tuple[Jackknifed, ...]:
    """Histogram and Gaussian divergence, Wasserstein-1, drift of mean and standard deviation: means over units."""
    centre = q.values.mean(0)
    old = tuple(part[list(ways.before)] for part in moments(q, centre))
    new = tuple(part[list(ways.after)] for part in moments(p, centre))
    deviation = np.sqrt(old[1])
    by_unit = (
        histogram_divergence(q, p, ways, bins),
        gaussian_divergence(old, new),
        wasserstein(q, p, ways) / deviation,
        np.abs(new[0] - old[0]) / deviation,
        np.abs(np.log(new[1] / old[1])) / 2,
    )
    return tuple(Jackknifed.of(values.mean(1), ways) for values in by_unit)


def _without_errors(found: Jackknifed) -> Jackknifed:
    """Rows of which nobody knows the sample say nothing of bias and error."""
    return Jackknifed(found.value, math.nan, math.nan)
