"""What the study of orthogonality draws: the gap by layer, and where it settles by width."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import number
from normfield.studies.frame import Rows
from normfield.studies.orthogonality.table import (
    NORMALISERS,
    NORMED,
    PLAIN,
    SCALED,
    centred_floor,
    floors,
    gaps,
    settled,
    widths,
)
from normfield.studies.power_laws import power_law

_NAMES = {SCALED: "scale alone (the paper's)", NORMED: "batch norm (PyTorch's)", PLAIN: "no normalisation"}


def draw(rows: Rows) -> tuple[Figure, ...]:
    return _depth_figure(rows), _widths_figure(rows), _width_figure(rows)


def _depth_figure(rows: Rows) -> Figure:
    wide = widths(rows)[-1]
    series = [_curve(rows, one, wide, _NAMES[one]) for one in NORMALISERS]
    start, ends = gaps(rows, SCALED, wide)[0], {one: settled(rows, one, wide) for one in NORMALISERS}
    return lines(
        series,
        "layer",
        "orthogonality gap (0: orthogonal)",
        log_y=True,
        marks=[Mark(_floor(rows), "least of centred samples", "y")],
        title=f"The gap between like samples falls from {start:.2f} to {ends[SCALED]:.2f}, with centring to "
        f"{ends[NORMED]:.2f}; without batch norm it ends at {ends[PLAIN]:.2f}",
        caption=f"Random linear networks of width {wide} at initialisation, {_samples(rows)} samples that are nearly "
        "the same at the input.",
    )


def _widths_figure(rows: Rows) -> Figure:
    across = widths(rows)
    first, *_, last = floors(rows, SCALED)
    return lines(
        [_curve(rows, SCALED, width, f"width {width}") for width in across],
        "layer",
        "orthogonality gap (0: orthogonal)",
        log_y=True,
        title=f"The gap settles at {first:.2f} at width {across[0]}, at {last:.2f} at width {across[-1]}",
        caption="With the paper's normaliser.",
    )


def _width_figure(rows: Rows) -> Figure:
    across = widths(rows)
    law = power_law(np.array(across, dtype=float), floors(rows, SCALED))
    series = [Series(_NAMES[one], across, floors(rows, one), "markers") for one in NORMALISERS]
    if np.isfinite(law.factor):
        series.append(
            Series(
                f"∝ width to the power {_signed(law.exponent)}",
                across,
                [law.at(width) for width in across],
                "dashed",
            )
        )
    return lines(
        series,
        "width",
        "orthogonality gap, last layers",
        log_x=True,
        log_y=True,
        marks=[Mark(_floor(rows), "least of centred samples", "y")],
        title=f"Where the gap settles falls like the width to the power {_signed(law.exponent)}; "
        "centring leaves a floor",
        caption=f"Mean over the last quarter of the layers. Centred samples have a gap of at least 1/√(n(n − 1)), here "
        f"{_floor(rows):.3f}.",
    )


def _signed(number: float) -> str:
    """With a true minus."""
    return f"{number:.2f}".replace("-", "−")


def _curve(rows: Rows, normaliser: str, width: int, name: str) -> Series:
    own = gaps(rows, normaliser, width)
    return Series(name, np.arange(1, len(own) + 1), own)


def _floor(rows: Rows) -> float:
    return centred_floor(_samples(rows))


def _samples(rows: Rows) -> int:
    return int(number(rows[0], "samples"))


def tabulate(rows: Rows) -> Table:
    columns = [Column("normaliser"), Column("width"), Column("layer"), Column("orthogonality gap")]
    body = [(row["normaliser"], row["width"], row["layer"], row["gap"]) for row in rows]
    return Table("Orthogonality gap by layer", columns, body, ("Means over the networks drawn.",))
