"""What the study of diverging updates draws: losses along the step, channel moments, gradients as heat maps."""

from __future__ import annotations

import numpy as np

from normfield.report import Column, Figure, Mark, Series, Table, format_number, heat_map, lines
from normfield.studies.curves import number
from normfield.studies.divergence.checks import diverging_lengths
from normfield.studies.divergence.table import (
    DIVERGED,
    LARGEST,
    LOSS,
    MEAN,
    NETWORKS,
    NORMED,
    OUTPUT,
    PLAIN,
    VALUE,
    VARIANCE,
    agreement,
    growth,
    of_run,
    of_runs,
    places,
    seeds,
)
from normfield.studies.frame import Rows

#: Where the axis of relative losses ends.
DRAWN = 1e6


def draw(rows: Rows) -> tuple[Figure, ...]:
    return (
        _loss_figure(rows),
        _depth_figure(rows),
        _update_figure(rows),
        *(_output_figure(rows, network) for network in (PLAIN, NORMED)),
    )


def _loss_figure(rows: Rows) -> Figure:
    """A line for each batch of the first run, one colour for each network."""
    series = [
        Series(
            f"{network}, batch {int(batch)}",
            places(rows, LOSS, "at"),
            np.minimum(values, DRAWN),
            group=network,
        )
        for network in NETWORKS
        for batch, values in zip(places(rows, LOSS), of_run(rows, LOSS, network, seeds(rows)[0]), strict=True)
    ]
    plain, normed = (diverging_lengths(rows, network) for network in (PLAIN, NORMED))
    return lines(
        series,
        "length a of the step along the gradient",
        "loss after the step over loss before",
        log_x=True,
        log_y=True,
        marks=[Mark(DIVERGED, "diverged", "y")],
        title=_loss_title(plain, normed),
        caption=f"A line for each of the first {len(places(rows, LOSS))} batches of the first run; drawn up to a "
        "million.",
    )


def _loss_title(plain: np.ndarray, normed: np.ndarray) -> str:
    """By the shortest steps that diverge, infinite where none does."""
    if not np.isfinite([*plain, *normed]).any():
        return "No step tried multiplies the loss by 1000, with batch norm or without"
    return f"The loss is multiplied by 1000 {_steps(plain)} without batch norm, {_steps(normed)} with it"


def _steps(lengths: np.ndarray) -> str:
    found = lengths[np.isfinite(lengths)]
    if not len(found):
        return "by no step tried"
    low, high = (format_number(float(end), 2) for end in (found.min(), found.max()))
    return f"by steps from {low} on" if low == high else f"by steps from {low}–{high} on"


def _depth_figure(rows: Rows) -> Figure:
    plain, normed = (format_number(float(np.median(growth(rows, network))), 2) for network in (PLAIN, NORMED))
    return lines(
        [_by_block(rows, network, kind) for network in NETWORKS for kind in (VARIANCE, MEAN)],
        "block",
        "channels of a block's last convolution",
        log_y=True,
        title=f"Before training channel variance grows {plain} times over the blocks without batch norm, {normed} "
        "times with it",
        caption="Lines: variance over images and positions, mean over channels; dashed: modulus of the channels' mean. "
        f"Medians over {len(seeds(rows))} runs.",
    )


def _by_block(rows: Rows, network: str, kind: str) -> Series:
    """The median over runs before training; both kinds of a network in one colour."""
    values = np.median(of_runs(rows, kind, network)[:, :, 0], axis=0)
    style = "line" if kind == VARIANCE else "dashed"
    return Series(f"{network}, {kind}", places(rows, kind), values, style, group=network)


def _update_figure(rows: Rows) -> Figure:
    values = of_run(rows, VARIANCE, PLAIN, seeds(rows)[0])
    last, diverged = values[-1], np.isfinite(diverging_lengths(rows, PLAIN)[0])
    return heat_map(
        places(rows, VARIANCE),
        places(rows, VARIANCE, "at"),
        [[None if value >= LARGEST else value for value in row] for row in values.T],
        "block",
        "share of the update made (%)",
        "channel variance",
        log_values=True,
        title=f"In {'a diverging' if diverged else 'the longest'} update the last block's channel variance goes "
        f"from {format_number(float(last[0]), 2)} to {_bounded(float(last[-1]))}",
        caption="Without batch norm, first batch of the first run: the shortest step tried that multiplies the loss "
        "by 1000, or the longest if none does. Empty: 1e30 or above.",
    )


def _bounded(value: float) -> str:
    return "1e30 or more" if value >= LARGEST else format_number(value, 2)


def _output_figure(rows: Rows, network: str) -> Figure:
    """Images upwards, classes across, as in the paper."""
    values = of_run(rows, OUTPUT, network, seeds(rows)[0])
    return heat_map(
        [f"{int(label)}" for label in places(rows, OUTPUT, "at")],
        places(rows, OUTPUT),
        values,
        "class",
        "image of the batch",
        "gradient with respect to the output",
        limits=(-1.0, 1.0),
        title=f"{network.capitalize()} the output gradients of two images have a cosine of "
        f"{agreement(rows, network).mean():.2f}",
        caption="Before training, first run; the gradient of each image's own loss. The cosine is the mean over "
        "pairs of images and over runs.",
    )


def tabulate(rows: Rows) -> Table:
    columns = [
        Column("kind"),
        Column("network"),
        Column("run"),
        Column("batch, block or image"),
        Column("step, % or class"),
        Column("value"),
    ]
    order = seeds(rows)
    body = [
        (
            row["kind"],
            row["network"],
            order.index(int(number(row, "seed"))) + 1,
            row["place"],
            row["at"],
            row[VALUE],
        )
        for row in rows
    ]
    notes = (
        "relative loss: by batch and length of the step; channel variance and mean: by block and percent of the "
        "update; output gradient: by image and class; agreement of a kernel's gradients: by block.",
        "1e30 stands for all that is larger or not a number.",
    )
    return Table("Every value", columns, body, notes)
