"""What is asked of a map: where its boundary lies, whether it is one, where the best rate is, and its loss."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from normfield.studies.phase_diagrams.axis import Axis, Theory
from normfield.studies.phase_diagrams.boundaries import Map
from normfield.studies.verdicts import Check, Whose

#: "Closely agrees", in decades: a tenth as in theory-against-measurement, and a tenth for the cells of the grid.
CLOSE = 0.2
#: "Clearly partitions": so much of what lies above the boundary may be without an explosion.
INSIDE = 0.05
#: "Around η*/2": within a factor 2 of it, either way.
AROUND_HALF = (0.25, 1.0)
#: "A tendency": this rank correlation at least.
TENDENCY = 0.5


def distance_check(found: Map, theory: Theory, whose: Whose) -> Check:
    """How far a map's boundary is from a theory: offset and scatter over the columns, judged by both together."""
    above = _judged(found, theory)
    return Check(
        f"{_capital(found.panel)}: {_distance_words(found, theory)}.",
        root_mean_square(above),
        "decades apart (root mean square over the columns)",
        f"{'“closely agrees” read as ' if whose == 'paper' else ''}within {CLOSE:g} decades",
        root_mean_square(above) <= CLOSE,
        whose,
    )


def partition_check(found: Sequence[Map]) -> Check:
    """Whether what lies above the boundary explodes."""
    shares = {one.panel: _share_inside(one) for one in found}
    worst = max(shares, key=lambda name: -1.0 if math.isnan(shares[name]) else shares[name])
    share = math.nan if any(math.isnan(one) for one in shares.values()) else shares[worst]
    return Check(
        f"Of the cells above the first explosion of their column {_per_cent(share)} hold no exploded run ({worst}).",
        share,
        "share of the cells, the largest of the maps",
        f"“clearly partitions” read as {100 * INSIDE:g} % or less",
        share <= INSIDE,
    )


def best_check(found: Sequence[Map], theory: Theory, whose: Whose) -> Check:
    """Where the best learning rate lies below η*."""
    ratios = {one.panel: _typical_best(one, theory) for one in found}
    far = np.array([abs(math.log(ratio / 0.5)) if ratio > 0 else math.nan for ratio in ratios.values()])
    value = math.nan if np.any(np.isnan(far)) else list(ratios.values())[int(np.argmax(far))]
    low, high = AROUND_HALF
    words = "; ".join(f"{name}, {ratio:.2f}" for name, ratio in ratios.items())
    return Check(
        f"The best learning rate is, over η* {theory.words} and in the median of the columns: {words}.",
        value,
        "best η / η*, the furthest from ½",
        f"“around η*/2” read as {low:g} to {high:g} in every map",
        low <= value <= high,
        whose,
    )


def smaller_check(found: Sequence[Map], axis: Axis) -> Check:
    """Whether columns of smaller values reach lower losses."""
    ranks = [rank_correlation(one.values("value"), one.values("best_loss")) for one in found]
    least = float(np.min(ranks))
    words = "; ".join(
        f"{one.panel}, {one.lines[0].best_loss:.3g} at {axis.symbol} = {one.lines[0].value:g} and "
        f"{one.lines[-1].best_loss:.3g} at {one.lines[-1].value:g}"
        for one in found
    )
    return Check(
        f"The test loss at each column's best learning rate: {words}; it rises with {axis.symbol}, by a rank "
        f"correlation of {least:.2f} at least.",
        least,
        "rank correlation, the least of the maps",
        f"“a tendency” read as {TENDENCY:g} or more in every map",
        least >= TENDENCY,
    )


def offset_words(found: Map, theory: Theory) -> str:
    """Mean and standard deviation over the columns, in decades; "0.10 ± 0.05 decades above", to go on with what."""
    above = _judged(found, theory)
    if not above.size:
        return "no known distance from"
    side = "above" if above.mean() >= 0 else "below"
    return f"{abs(above.mean()):.2f} ± {above.std():.2f} decades {side}"


def root_mean_square(values: np.ndarray) -> float:
    """√⟨x²⟩; NaN of nothing."""
    return float(np.sqrt(np.mean(values**2))) if values.size else math.nan


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ of values without ties; NaN where a value is missing or all are alike."""
    if not np.all(np.isfinite(x) & np.isfinite(y)) or min(len(np.unique(x)), len(np.unique(y))) < 2:
        return math.nan
    return float(np.corrcoef(np.argsort(np.argsort(x)), np.argsort(np.argsort(y)))[0, 1])


def _judged(found: Map, theory: Theory) -> np.ndarray:
    """Decades above the theory, where the grid reaches the boundary of at least half the columns."""
    above = found.above(theory.column)
    return above if 2 * len(above) >= len(found.lines) else above[:0]


def _distance_words(found: Map, theory: Theory) -> str:
    missing = len(found.lines) - len(found.above(theory.column))
    beyond = f"; {missing} of {len(found.lines)} columns reach it outside the grid" if missing else ""
    return (
        f"runs explode {offset_words(found, theory)} η* {theory.words} (mean and scatter over the columns"
        f"{beyond})"
    )


def _share_inside(found: Map) -> float:
    above, quiet = np.sum([line.inside for line in found.lines], axis=0)
    return float(quiet / above) if above else math.nan


def _typical_best(found: Map, theory: Theory) -> float:
    """The median over columns of the best η over η*; NaN where one is missing."""
    return float(10 ** np.median([line.best - line.theory[theory.column] for line in found.lines]))


def _per_cent(share: float) -> str:
    return "no number" if math.isnan(share) else f"{100 * share:.1f} %"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
