"""The lowest point of a loss that was seen at a few learning rates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def lowest(losses: Mapping[float, float]) -> float | None:
    """The x with the lowest finite loss; None where none is finite."""
    seen = {x: loss for x, loss in losses.items() if math.isfinite(loss)}
    return min(seen, key=seen.__getitem__, default=None)


def is_at_end(losses: Mapping[float, float], side: int) -> bool:
    """Whether the lowest loss was seen at the lowest (side −1) or highest (+1) x of all."""
    best = lowest(losses)
    return best is not None and best == (min(losses) if side < 0 else max(losses))


def vertex(losses: Mapping[float, float]) -> float | None:
    """The vertex of the parabola through the lowest loss and its neighbours, no further than half way to either.

    The parabola is in the loss's logarithm where all three losses are positive. Where a neighbour is missing or not
    finite, the lowest x itself; None where no loss is finite.
    """
    best = lowest(losses)
    if best is None:
        return None
    xs = sorted(losses)
    i = xs.index(best)
    if i in (0, len(xs) - 1):
        return best
    heights = _heights([losses[x] for x in xs[i - 1 : i + 2]])
    if not all(map(math.isfinite, heights)):
        return best
    below, above = xs[i - 1] - best, xs[i + 1] - best
    return best + min(max(_turning_point(below, above, heights), below / 2), above / 2)


def _heights(losses: Sequence[float]) -> list[float]:
    return (
        [math.log(loss) if loss < math.inf else loss for loss in losses] if min(losses) > 0 else list(losses)
    )


def _turning_point(below: float, above: float, heights: Sequence[float]) -> float:
    """Where a parabola through (below, h₀), (0, h₁), (above, h₂) turns; 0 where it is flat."""
    left, right = (heights[0] - heights[1]) / below, (heights[2] - heights[1]) / above
    bend = (right - left) / (above - below)
    return (left * above - right * below) / (above - below) / (-2 * bend) if bend > 0 else 0.0
