"""How far the distributions of a layer's inputs lie apart, unit by unit, in every way of leaving samples out.

Letters: u units, K bins; q and p the distributions before and after, (ways, u) the result's shape.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from normfield.measure.shift.grouped import Grouped, Ways, left_out


def gaussian_edges(x: np.ndarray, y: np.ndarray, bins: int) -> np.ndarray:
    """(K − 1, u): quantiles k/K of a Gaussian with mean and variance of both together; the outermost bins are open."""
    both = np.concatenate([x, y])
    return both.mean(0) + both.std(0) * ndtri(np.arange(1, bins) / bins)[:, None]


def counts(sample: Grouped, edges: np.ndarray) -> np.ndarray:
    """(1 + groups, K, u): how many values lie in each bin, of all samples and without each group."""
    bins, units = len(edges) + 1, sample.values.shape[1]
    found = [np.searchsorted(edges[:, j], sample.values[:, j], side="right") for j in range(units)]
    places = (sample.group[:, None] * bins + np.stack(found, axis=1)) * units + np.arange(units)
    total = sample.groups * bins * units
    return left_out(np.bincount(places.ravel(), minlength=total).reshape(sample.groups, bins, units))


def histogram_divergence(before: Grouped, after: Grouped, ways: Ways, bins: int) -> np.ndarray:
    """Σ_k p_k ln(p_k/q_k), half a value added to every bin of both."""
    edges = gaussian_edges(before.values, after.values, bins)
    q, p = (
        (n + 0.5) / (n + 0.5).sum(1, keepdims=True)
        for n in (counts(before, edges)[list(ways.before)], counts(after, edges)[list(ways.after)])
    )
    return (p * np.log(p / q)).sum(1)


def moments(sample: Grouped, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance, (1 + groups, u) each, of all samples and without each group."""
    centred, rows = sample.values - centre, left_out(sample.sizes)[:, None]
    mean = left_out(sample.sums(centred)) / rows
    square = left_out(sample.sums(centred**2)) / rows
    return mean + centre, np.maximum(square - mean**2, 0)


def gaussian_divergence(q: tuple[np.ndarray, ...], p: tuple[np.ndarray, ...]) -> np.ndarray:
    """½(σ_p²/σ_q² + (μ_p − μ_q)²/σ_q² − 1 − ln σ_p²/σ_q²) from pairs (mean, variance)."""
    ratio = p[1] / q[1]
    return 0.5 * (ratio + (p[0] - q[0]) ** 2 / q[1] - 1 - np.log(ratio))


def wasserstein(before: Grouped, after: Grouped, ways: Ways) -> np.ndarray:
    """∫|F − G|, F and G the distribution functions before and after."""
    merged = np.concatenate([before.values, after.values])
    order = np.argsort(merged, axis=0)
    steps = np.diff(np.take_along_axis(merged, order, 0), axis=0)
    found = []
    for out_before, out_after in zip(ways.before, ways.after, strict=True):
        weights = np.concatenate([_weights(before, out_before), -_weights(after, out_after)])
        found.append((np.abs(np.cumsum(weights[order], 0)[:-1]) * steps).sum(0))
    return np.array(found)


def _weights(sample: Grouped, without: int) -> np.ndarray:
    """Equal weights of the rows that are left, which sum to 1."""
    kept = sample.group != without - 1
    return kept / kept.sum()
