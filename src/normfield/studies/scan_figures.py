"""Figures and table of the scans of explosion rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from normfield.report import Band, Column, Figure, Mark, Series, Table, lines
from normfield.report.series import LineStyle
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Rows
from normfield.studies.rate_rows import FINE, activation_words, activations, trainable_depth
from normfield.studies.scan_rows import BATCH_SIZE, BETA, EPS, GAMMA, LETTERS, SIZES, SKIP, is_stable


def draw(rows: Rows) -> tuple[Figure, ...]:
    """One figure for each scan, the leading one over γ."""
    return (
        _gamma_figure(where(rows, scan=GAMMA)),
        _beta_figure(where(rows, scan=BETA)),
        _eps_figure(where(rows, scan=EPS)),
        _size_figure(where(rows, scan=SIZES)),
        _skip_figure(where(rows, scan=SKIP)),
    )


_CAPTION = (
    "Lines: theory at infinite width, nothing fitted. Points: networks at initialisation, with two standard "
    "errors (mostly smaller than the point)."
)


def _gamma_figure(own: Rows) -> Figure:
    series = [one for name in activations(own) for one in _depth_series(name, where(own, activation=name))]
    return lines(
        series,
        "batch norm's scale γ",
        "16ξ = 16/ln λ_G, about the deepest network that trains",
        log_x=True,
        log_y=True,
        title="A small γ slows the explosion with smooth activations; ReLU does not feel it",
        caption=f"Batch size {BATCH_SIZE}. {_CAPTION}",
    )


def _size_figure(own: Rows) -> Figure:
    series = [one for name in activations(own) for one in _depth_series(name, where(own, activation=name))]
    return lines(
        series,
        "batch size B",
        "16ξ = 16/ln λ_G, about the deepest network that trains",
        log_x=True,
        title="Larger batches help little beyond about 32 samples",
        caption=_CAPTION,
    )


def _depth_series(name: str, own: Rows) -> list[Series]:
    value, rate, error = (column(own, key) for key in ("value", "simulated", "error"))
    x, theory = _smooth(np.log(value), column(own, "theory"))
    depth = trainable_depth(rate)
    return [
        Series(
            f"{activation_words(name)}, theory",
            np.exp(x),
            trainable_depth(theory),
            group=activation_words(name),
        ),
        Series(
            f"{activation_words(name)}, simulated",
            value,
            depth,
            "markers",
            low=trainable_depth(rate + 2 * error),
            high=np.where(rate - 2 * error > 1, trainable_depth(rate - 2 * error), depth),
            group=activation_words(name),
        ),
    ]


def _smooth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve through the table's points."""
    if len(x) < 3:
        return x, y
    fine = np.linspace(x.min(), x.max(), FINE)
    return fine, PchipInterpolator(x, y)(fine)


def _rate_series(
    name: str, own: Rows, *, log_x: bool, parts: Sequence[tuple[Rows, LineStyle]]
) -> list[Series]:
    """The theory's line in parts, and the simulated points."""
    words, drawn = activation_words(name), []
    for part, style in parts:
        if part:
            x, y = _smooth(
                np.log(column(part, "value")) if log_x else column(part, "value"), column(part, "theory")
            )
            drawn.append(Series(f"{words}, theory", np.exp(x) if log_x else x, y, style, group=words))
    rate, error = column(own, "simulated"), 2 * column(own, "error")
    points = Series(
        f"{words}, simulated",
        column(own, "value"),
        rate,
        "markers",
        low=rate - error,
        high=rate + error,
        group=words,
    )
    return [*drawn, points]


def _beta_figure(own: Rows) -> Figure:
    series = [
        one
        for name in activations(own)
        for part in [where(own, activation=name)]
        for one in _rate_series(name, part, log_x=False, parts=_by_stability(part))
    ]
    return lines(
        series,
        "batch norm's shift β",
        "explosion rate λ_G",
        marks=[Mark(1.0, "", axis="y")],
        title="A shift into the straight part tames ReLU and GELU, and does the opposite to tanh",
        caption=f"Batch size {BATCH_SIZE}; at 1 gradients keep their size. Dashed: by a fixed point that is unstable "
        f"(λ_L > 1), which the networks leave. {_CAPTION}",
    )


def _by_stability(own: Rows) -> list[tuple[Rows, LineStyle]]:
    """Neighbours whose fixed point is stable, for a line; behind these the others with the stable one next to them."""
    stable = [is_stable(row) for row in own]
    parts: list[tuple[Rows, LineStyle]] = []
    start = 0
    for k in range(1, len(own) + 1):
        if k == len(own) or stable[k] != stable[start]:
            ends = (start, k) if stable[start] else (max(0, start - 1), min(len(own), k + 1))
            parts.append((own[ends[0] : ends[1]], "line" if stable[start] else "dashed"))
            start = k
    return sorted(parts, key=lambda part: part[1] == "dashed")


def _eps_figure(own: Rows) -> Figure:
    series, marks, bands = [], [Mark(1.0, "", axis="y")], []
    for place, name in enumerate(activations(own)):
        part = where(own, activation=name)
        low, high = number(part[0], "transition"), number(part[0], "outlier_transition")
        sides: list[tuple[Rows, LineStyle]] = [
            ([row for row in part if number(row, "value") <= low], "line"),
            ([row for row in part if number(row, "value") >= high], "line"),
        ]
        series += _rate_series(name, part, log_x=True, parts=sides)
        if high > low:
            bands.append(Band(low, high, f"{activation_words(name)}: ε_c to {high:.2f}", colour=place))
        else:
            marks.append(Mark(low, f"{activation_words(name)}: ε_c = {low:.2f}"))
    return lines(
        series,
        "ε, beside weights of variance 1",
        "explosion rate λ_G",
        log_x=True,
        marks=marks,
        bands=bands,
        title="ε damps the explosion, until beyond ε_c it drowns the signal",
        caption=f"Batch size {BATCH_SIZE}. Beyond ε_c samples become alike and gradients vanish; within the band ReLU "
        f"does so for like samples, while a batch with an outlier survives. {_CAPTION}",
    )


def _skip_figure(own: Rows) -> Figure:
    series = []
    for name in activations(own):
        part, words = where(own, activation=name), activation_words(name)
        blocks, grown = column(part, "value"), column(part, "simulated_grown")
        spread = np.exp(2 * column(part, "grown_error"))
        fine = np.geomspace(blocks.min(), blocks.max(), 40)
        series += [
            Series(f"{words}, without skip", fine, number(part[0], "theory") ** fine, "dashed"),
            Series(f"{words}, with skip", blocks, column(part, "theory_grown"), group=f"{words}, with skip"),
            Series(
                f"{words}, with skip, simulated",
                blocks,
                grown,
                "markers",
                low=grown / spread,
                high=grown * spread,
                group=f"{words}, with skip",
            ),
        ]
    return lines(
        series,
        "layers or blocks",
        "growth of the squared gradient from the last to the first",
        log_x=True,
        log_y=True,
        title="With skip connections gradients grow only like a power of the depth",
        caption="Blocks x + Wφ(BN(x)), batch size "
        f"{BATCH_SIZE}. Dashed: λ_G to the power of the layers. Lines: ∏(1 + λ_G/(l + 1/μ*)). Points: simulated.",
    )


def tabulate(rows: Rows) -> Table:
    """Every point of every scan."""
    columns = [
        Column("varied"),
        Column("activation"),
        Column("value"),
        Column("theory", digits=5),
        Column("simulated", digits=5),
        Column("± error", digits=2),
        Column("λ_L", digits=3),
        Column("growth, theory"),
        Column("growth, simulated"),
        Column("regime"),
    ]
    body = [
        (
            LETTERS.get(str(row["scan"]), "blocks with skip"),
            activation_words(row["activation"]),
            row["value"],
            row["theory"],
            row["simulated"],
            row["error"],
            row["norm_rate"],
            row["theory_grown"],
            row["simulated_grown"],
            row["regime"],
        )
        for row in rows
    ]
    notes = (
        f"Over {rows[0]['networks']} networks. Theory and simulated: λ_G, with skip connections as the exponent of the "
        "blocks' number. Growth: of the squared gradient over the stationary layers, or over all blocks.",
    )
    return Table(
        "Explosion rates over ε, γ, β and batch size, and with skip connections", columns, body, notes
    )
