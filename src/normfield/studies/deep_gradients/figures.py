"""What the study of deep gradients draws: norms by layer beside their predictions, one figure for each activation."""

from __future__ import annotations

from normfield.report import Column, Figure, Series, Table, lines
from normfield.studies.curves import column
from normfield.studies.deep_gradients.table import (
    NETWORKS,
    WITH_BOTH,
    WITH_NORM,
    WORDS,
    growth,
    own_rows,
    relative,
    span,
)
from normfield.studies.frame import Rows

#: Every so many layers there is a point.
_EVERY = 4


def draw(rows: Rows) -> tuple[Figure, ...]:
    return (*(_figure(rows, one) for one in NETWORKS), _skip_figure(rows))


def _figure(rows: Rows, activation: str) -> Figure:
    series = []
    for network in NETWORKS[activation]:
        own = own_rows(rows, activation, network)
        layers = column(own, "layer")
        series += [
            Series(network.name, layers[::_EVERY], relative(own)[::_EVERY], "markers", group=network.name),
            Series(f"{network.name}, theory", layers, column(own, "theory"), group=network.name),
        ]
    bare, normed, both = (
        own_rows(rows, activation, one) for one in (NETWORKS[activation][0], WITH_NORM, WITH_BOTH)
    )
    return lines(
        series,
        "layer, counted from the input",
        "‖∂ℓ/∂z‖ of the layer / of the last but one",
        log_y=True,
        title=f"{WORDS[activation]}: gradients are multiplied by {growth(bare):.2f} per layer without batch norm, by "
        f"{growth(normed):.2f} with it; skip connections leave {span(both):.1f} decades",
        caption="Points: networks at initialisation; lines: theory of infinite width, nothing fitted.",
    )


def _skip_figure(rows: Rows) -> Figure:
    series = []
    for activation, words in WORDS.items():
        own = own_rows(rows, activation, WITH_BOTH)
        layers = column(own, "layer")
        series += [
            Series(words, layers, relative(own), "markers", group=words),
            Series(f"{words}, theory", layers, column(own, "theory"), group=words),
        ]
    widest = max(span(own_rows(rows, one, WITH_BOTH)) for one in NETWORKS)
    return lines(
        series,
        "layer, counted from the input",
        "‖∂ℓ/∂z‖ of the layer / of the last but one",
        log_x=True,
        log_y=True,
        title=f"With batch norm and skip connections gradients grow by a power of the depth: {widest:.1f} decades",
        caption="Points: networks at initialisation; lines: theory, the power λ_G/2 of the skip connection's variance; "
        "nothing fitted.",
    )


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("activation"),
        Column("network"),
        Column("layer"),
        Column("‖∂ℓ/∂z‖"),
        Column("over that of the last but one"),
        Column("theory"),
    ]
    body = [
        (WORDS[activation], network.name, row["layer"], row["gradient"], float(share), row["theory"])
        for activation, networks in NETWORKS.items()
        for network in networks
        for own in (own_rows(rows, activation, network),)
        for row, share in zip(own, relative(own), strict=True)
    ]
    return Table("Gradients by layer", columns, body, ("Geometric means over the networks drawn.",))
