"""What the study of coordinate networks draws: spectra, fits over steps, frequencies, and the images themselves."""

from __future__ import annotations

from normfield.report import Column, Figure, Series, Table, lines
from normfield.studies.coordinates.images import BANDS, in_decibels, test_image
from normfield.studies.coordinates.pictures import as_text, from_text, side_by_side
from normfield.studies.coordinates.table import NORMED, PLAIN, Pair, pairs, ranks, steps
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows

_EDGES = (1, 2, 4, 8, 16)


def draw(rows: Rows) -> tuple[Figure, ...]:
    """For the first way to give coordinates, the hardest, everything; for the others the fits over steps."""
    first, *others = pairs(rows)
    return (
        _fit_figure(first),
        _pictures_figure([first, *others]),
        _spectrum_figure([first, *others]),
        _frequency_figure(first),
        *map(_fit_figure, others),
    )


def _both(pair: Pair) -> tuple[tuple[str, Row], ...]:
    return ((PLAIN, pair.plain), (NORMED, pair.normed))


def _fit_figure(pair: Pair) -> Figure:
    """PSNR over steps, trained and by the kernel."""
    series = []
    for words, row in _both(pair):
        at = steps(row)
        trained = [number(row, f"trained_psnr_{step}") for step in at]
        kernel = [number(row, f"kernel_psnr_{step}") for step in at]
        series += [
            Series(f"{words}: kernel", at, kernel, "line", group=f"{words} (line: kernel, points: trained)"),
            Series(
                f"{words}: trained", at, trained, "markers", group=f"{words} (line: kernel, points: trained)"
            ),
        ]
    last = steps(pair.plain)[-1]
    plain, normed = (number(row, f"trained_psnr_{last}") for row in (pair.plain, pair.normed))
    return lines(
        series,
        "steps of gradient descent",
        "fit of the image, PSNR (dB)",
        log_x=True,
        title=f"After {last} steps the network with batch norm fits the image at {normed:.1f} dB, the one without at "
        f"{plain:.1f} dB ({pair.words})",
        caption="Each at the best of its learning rates. Points: the mean over networks. Lines: the infinitely wide "
        "network, nothing fitted.",
    )


def _pictures_figure(found: list[Pair]) -> Figure:
    first = found[0]
    side = len(from_text(str(first.plain["picture"])))
    wanted = from_text(as_text(test_image(side)))
    last = steps(first.plain)[-1]
    images = {"the image<br>itself": wanted}
    images |= {
        f"{words}<br>{_decibels(row, last)}": from_text(str(row["picture"])) for words, row in _both(first)
    }
    return side_by_side(
        images,
        title=f"What each has learned of the image after {last} steps ({first.words})",
        caption=f"{side}×{side} pixels, one network each; its mean squared difference as PSNR.",
    )


def _decibels(row: Row, last: int) -> str:
    return f"{number(row, f'trained_psnr_{last}'):.1f} dB"


def _spectrum_figure(found: list[Pair]) -> Figure:
    """Every eigenvalue beside the largest, by rank."""
    series = []
    for k, pair in enumerate(found):
        for words, row in _both(pair):
            at = ranks(row)
            values = [number(row, f"eigenvalue_{rank}") / number(row, "largest") for rank in at]
            series.append(Series(f"{words}, {pair.words}", at, values, "dashed" if k else "line"))
    ratio = found[0].ratio("median") / found[0].ratio("largest")
    return lines(
        series,
        "rank of the eigenvalue",
        "eigenvalue, as a share of the largest",
        log_x=True,
        log_y=True,
        title=f"Batch norm lifts the median eigenvalue {_times(ratio)} against the largest ({found[0].words})",
        caption="Of the exact kernel at infinite width. The higher a curve, the more of the image is learned at a "
        "stable learning rate.",
    )


def _times(ratio: float) -> str:
    return f"{ratio:.0f}-fold" if ratio >= 10 else f"{ratio:.2g}-fold"


def _frequency_figure(pair: Pair) -> Figure:
    """What is left of each band of spatial frequency."""
    series = []
    for words, row in _both(pair):
        group = f"{words} (line: kernel, points: trained)"
        for source, style in (("kernel", "line"), ("trained", "markers")):
            left = [100 * number(row, f"{source}_left_{band}") for band in BANDS]
            series.append(Series(f"{words}: {source}", _EDGES, left, style, group=group))  # type: ignore[arg-type]
    last = steps(pair.plain)[-1]
    plain, normed = (100 * number(row, "trained_left_8_to_16") for row in (pair.plain, pair.normed))
    return lines(
        series,
        "lower edge of the octave of spatial frequency (half periods per side)",
        "left of the image's energy there (%)",
        log_x=True,
        title=f"After {last} steps {_share(plain)} of the image's detail at 8 to 16 half periods is missing without "
        f"batch norm, {_share(normed)} with it ({pair.words})",
        caption="At the start 100 % is missing, at 0 all is learned. The last octave goes up to the finest detail.",
    )


def _share(percent: float) -> str:
    return f"{percent:.2g} %"


def tabulate(rows: Rows) -> Table:
    """Spectra and fits, a row for each network."""
    last = steps(rows[0])[-1]
    columns = [
        Column("network"),
        Column("Fourier frequencies"),
        Column("mean eigenvalue"),
        Column("variance"),
        Column("largest"),
        Column("median"),
        Column("least"),
        Column("learning rate"),
        Column("of the largest stable one"),
        Column(f"PSNR after {last} steps", "dB"),
        Column("±", digits=2),
        Column("by the kernel", "dB"),
    ]
    names = ("mean", "variance", "largest", "median", "least", "learning_rate", "rate_of_limit")
    fits = (f"trained_psnr_{last}", "trained_spread", f"kernel_psnr_{last}")
    body = [(row["network"], row["frequencies"], *(row[name] for name in (*names, *fits))) for row in rows]
    blank = float(in_decibels(test_image(32).var()))
    notes = (f"Eigenvalues of Θ/B. The image's mean alone, nothing learned, has {blank:.1f} dB.",)
    return Table("The kernel's spectrum, and the fit of the image", columns, body, notes)
