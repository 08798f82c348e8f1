"""The cells of a map, and how the runs of one of its columns end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from normfield.nets import build
from normfield.network import Network
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows
from normfield.studies.phase_diagrams.axis import Axis
from normfield.studies.phase_diagrams.panels import Panel, named
from normfield.train.ensemble import Member, train_ensemble
from normfield.train.run import Run

MOMENTUM = 0.9


@dataclass(frozen=True)
class Settings:
    """The maps, and the batch size of all training."""

    panels: tuple[Panel, ...]
    batch_size: int = 128


def cells(settings: Settings, axis: Axis, seed: int) -> Rows:
    """Every cell of every map, column by column; the seed is that of a cell's first run, the next ones follow it."""
    return [
        {"panel": panel.name, axis.column: value, "log10_eta": rate, "seed": seed}
        for panel in settings.panels
        for value in panel.across
        for rate in panel.rates
    ]


def trained(settings: Settings, axis: Axis, column: Rows) -> list[Row]:
    """All runs of one column of a map as one ensemble, summed up cell by cell, with each theory's η*."""
    panel = named(settings.panels, column[0]["panel"])
    network = axis.network(panel, number(column[0], axis.column))
    theories = {theory.column: theory.rate(network) for theory in axis.theories}
    runs = _runs(settings, panel, network, column)
    return [_summary(runs[k : k + panel.restarts]) | theories for k in range(0, len(runs), panel.restarts)]


def _runs(settings: Settings, panel: Panel, network: Network, column: Rows) -> Sequence[Run]:
    """Run by run, those of one cell together; restart k has the same weights and order of images in every cell."""
    device = "cuda" if torch.cuda.is_available() else "cpu"

    def on_device(seed: int) -> nn.Module:
        return build(network, seed).to(device)

    members = [
        Member(10 ** number(cell, "log10_eta"), MOMENTUM, int(number(cell, "seed")) + k)
        for cell in column
        for k in range(panel.restarts)
    ]
    images = panel.images.load().shaped(network.input_shape)
    return train_ensemble(
        on_device, images, members, batch_size=settings.batch_size, epochs=panel.epochs
    ).runs


def _summary(runs: Sequence[Run]) -> dict[str, float | int | None]:
    """Of the runs of one cell: how many diverged or ended worse than they began, and means where none diverged."""
    diverged = sum(_is_lost(run) for run in runs)
    return {
        "runs": len(runs),
        "diverged": diverged,
        "ended_worse": sum(_is_lost(run) or bool(run.ended_worse) for run in runs),
        "test_loss": None if diverged else _mean([run.test_loss for run in runs]),
        "test_accuracy": None if diverged else _mean([run.test_accuracy for run in runs]),
        "train_loss": None if diverged else _mean([run.final_loss for run in runs]),
    }


def _is_lost(run: Run) -> bool:
    """A run whose loss on test images is not finite has exploded, too."""
    return run.status == "diverged" or not math.isfinite(math.nan if run.test_loss is None else run.test_loss)


def _mean(values: Sequence[float | None]) -> float:
    return math.fsum(value for value in values if value is not None) / len(values)
