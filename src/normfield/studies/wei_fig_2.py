"""Wei et al., Fig. 2: test loss over γ and the learning rate, and whether runs explode where theory says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from normfield.network import Network
from normfield.report import Figure, Table
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.phase_diagrams.axis import Axis, Theory
from normfield.studies.phase_diagrams.boundaries import maps
from normfield.studies.phase_diagrams.checks import (
    CLOSE,
    best_check,
    distance_check,
    offset_words,
    partition_check,
    smaller_check,
)
from normfield.studies.phase_diagrams.figures import columns_table, distance_figure, map_figure
from normfield.studies.phase_diagrams.panels import Images, Panel, steps
from normfield.studies.phase_diagrams.training import MOMENTUM, Settings, cells, trained
from normfield.studies.verdicts import Verdict
from normfield.theory import mean_field


def _network(panel: Panel, gamma: float) -> Network:
    return panel.network(batch_norm=True, gamma=gamma)


def _published(network: Network) -> float:
    return mean_field(network, "published").max_learning_rate(MOMENTUM)


def _training_mode(network: Network) -> float:
    return mean_field(network, "batch").max_learning_rate(MOMENTUM)


PUBLISHED = Theory("published_eta", "as published", _published)
TRAINING_MODE = Theory("training_mode_eta", "of training mode", _training_mode)
AXIS = Axis("gamma", "γ", "batch norm's scale γ", _network, (PUBLISHED, TRAINING_MODE))


def _points(settings: Settings, seed: int) -> Rows:
    return cells(settings, AXIS, seed)


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    return trained(settings, AXIS, group)


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """The paper's panels, then how far each boundary is from each theory."""
    found = maps(rows, AXIS)
    panels = (map_figure(one, rows, AXIS) for one in found)
    return (*panels, *(distance_figure(found, theory, AXIS) for theory in AXIS.theories))


def _tabulate(rows: Rows) -> Table:
    return columns_table(maps(rows, AXIS), AXIS)


def _verdict(rows: Rows) -> Verdict:
    found = maps(rows, AXIS)
    checks = (
        *(distance_check(one, PUBLISHED, "paper") for one in found),
        partition_check(found),
        best_check(found, PUBLISHED, "paper"),
        smaller_check(found, AXIS),
        *(distance_check(one, TRAINING_MODE, "normfield") for one in found),
        best_check(found, TRAINING_MODE, "normfield"),
    )
    offsets = "; ".join(
        f"{one.panel}, {offset_words(one, PUBLISHED)} the published η* and {offset_words(one, TRAINING_MODE)} that of "
        "training mode"
        for one in found
    )
    return Verdict(f"Runs explode (mean and scatter over γ): {offsets}.", checks)


_FEW = (0.1, 0.5, 0.9, 1.7, 2.5, 3.3)


def _smoke(**architecture: Any) -> Panel:
    grid: Any = {"across": (0.1, 1.0, 3.0), "rates": steps(-2.5, 1.0, 0.25)}
    return Panel(images=Images("digits"), **grid, restarts=2, epochs=2, **architecture)


def _small(data: str, **architecture: Any) -> Panel:
    """A coarser map than that of the dense network on MNIST."""
    grid: Any = {"across": _FEW, "rates": steps(-2.5, 0.75, 0.25)}
    return Panel(images=Images(data, 5_000, 2_000), **grid, restarts=3, epochs=3, **architecture)


def _paper(data: str, **architecture: Any) -> Panel:
    grid: Any = {"across": _GAMMAS, "rates": steps(-3.4, 0.4, 0.2)}
    return Panel(images=Images(data), **grid, restarts=5, epochs=5, **architecture)


_GAMMAS = steps(0.1, 3.9, 0.2)
_LEADING = Panel(
    images=Images("mnist", 10_000, 2_000),
    across=_GAMMAS,
    rates=steps(-3.0, 0.8, 0.2),
    restarts=5,
    epochs=3,
    width=300,
)
_FEW_CHANNELS, _MANY_CHANNELS = (8, 16, 16), (30, 60, 90)

STUDY = Study(
    name="wei-fig-2",
    title="Do networks explode where theory says?",
    citation="Wei, Stokes, Schwab 2019, Fig. 2",
    link="https://arxiv.org/abs/1903.02606",
    claim=(
        "The plane of γ and log₁₀η clearly partitions into training that converges and training that explodes, the "
        "theory's largest learning rate η* closely agrees with the boundary, the best learning rate is around η*/2, "
        "and smaller γ tends to give a lower test loss after the same number of epochs."
    ),
    background=(
        "Batch norm rescales every unit's input over a batch to mean 0 and standard deviation γ, here the same in "
        "every layer at the start. Theory gives the largest eigenvalue λ_max of the Fisher matrix at initialisation, "
        "and from it the largest stable learning rate η* = 2(1 + μ)/λ_max at momentum μ. Each cell of a map is a few "
        "networks trained from scratch at that γ and learning rate. Two theories are drawn: as published, in which no "
        "gradient flows through the batch's mean and variance, and of training mode, in which it does, as in training."
    ),
    setting=(
        "Four affine layers with ReLU, batch norm after all but the last, σ_w² = 2, σ_b² = 0.5, β = 0, ε = 1e-5; "
        "convolutions 3×3 with stride 2 and no padding, a dense head. Squared loss ½‖f − y‖² with one-hot y, "
        f"stochastic gradient descent with momentum {MOMENTUM:g}, batches of 128 with their own statistics, also "
        "in tests, all parameters trained, γ and β included. A run explodes when its loss is not finite or a "
        "thousand times the first. Restart k has the same initial weights, γ apart, and the same order of images in "
        "every cell."
    ),
    differences=(
        "The paper names neither loss nor batch size; its theory is of the squared loss, which is taken here, with "
        "batches of 128. Neither does it give its grid; ours is the same at every size but for its fineness.",
        "Whether “closely agrees” holds is judged by one number for each map, the root mean square over γ of the "
        f"distance in decades between boundary and η*; a reader of a figure over three decades may call more than "
        f"{CLOSE:g} close.",
        "Stability at initialisation is not all that limits training: a network can jump above η* and settle where the "
        "loss is flatter, or drift below it to where it is steeper.",
        "For convolutions both theories give lower bounds of λ_max.",
    ),
    sizes={
        "smoke": Size(
            "digits, 64–32–32–32–10, and 8 and 16 channels; 3 × 15 cells, 2 runs each, 2 epochs",
            "10 s on one core",
            Settings((_smoke(width=32), _smoke(channels=(8, 16))), batch_size=64),
        ),
        "small": Size(
            "MNIST, 784–300–300–300–10: 20 × 20 cells, 5 runs each, 3 epochs of 10,000 images; 8, 16 and 16 channels "
            "on MNIST and on CIFAR-10, and 3072–200–200–200–10 on CIFAR-10: 6 × 14 cells, 3 runs each, 3 epochs of "
            "5,000 images; tested on 2,000 images",
            "17 minutes on one core",
            Settings(
                (
                    _LEADING,
                    _small("mnist", channels=_FEW_CHANNELS),
                    _small("cifar10", width=200),
                    _small("cifar10", channels=_FEW_CHANNELS),
                )
            ),
        ),
        "paper": Size(
            "three hidden layers of 1000 units, and 30, 60 and 90 channels, on all of MNIST and CIFAR-10: 20 × 20 "
            "cells each, 5 runs in each, 5 epochs",
            "hours on a GPU; not yet run by us",
            Settings(
                (
                    _paper("mnist", width=1000),
                    _paper("mnist", channels=_MANY_CHANNELS),
                    _paper("cifar10", width=1000),
                    _paper("cifar10", channels=_MANY_CHANNELS),
                )
            ),
        ),
    },
    points=_points,
    groups=sharing("panel", AXIS.column),
    measure=_measure,
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
