"""A map of test accuracy over depth and something else, with the theory's 16ξ as a line."""

from __future__ import annotations

import numpy as np

from normfield.report import Figure, Series, heat_map
from normfield.studies.curves import column, where
from normfield.studies.frame import Rows
from normfield.studies.rate_rows import trainable_depth
from normfield.studies.trainability.reach import by_depth, is_inside, reach

LINE, EDGE = "theory: 16ξ", "half right"


def accuracy_map(
    rows: Rows, across: str, x_title: str, *, log_x: bool = False, title: str, caption: str
) -> Figure:
    """Test accuracy, depth upwards and the column ``across`` to the right; points stand where it falls to a half.

    Where that is beyond the depths tried there is no point.
    """
    values = list(dict.fromkeys(row[across] for row in rows))
    columns = [where(rows, **{across: value}) for value in values]
    x = [float(value) for value in values]  # type: ignore[arg-type]
    depths = by_depth(columns[0])[0]
    accuracies = 100 * np.array([by_depth(own)[1] for own in columns]).T
    limits = np.array([trainable_depth(column(own, "theory_rate"))[0] for own in columns])
    return heat_map(
        x,
        depths.tolist(),
        accuracies.tolist(),
        x_title,
        "depth (layers)",
        "test accuracy (%)",
        log_x=log_x,
        limits=(10, 100),
        series=[
            Series(LINE, x, limits, "dashed"),
            Series(EDGE, x, [reach(own) if is_inside(own) else None for own in columns], "markers"),
        ],
        title=title,
        caption=caption,
    )
