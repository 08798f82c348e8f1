"""Daneshmand et al.: batch norm makes the samples of a batch orthogonal, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.measure.signals import signals
from normfield.studies.curves import number
from normfield.studies.deep_networks import seeds
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.orthogonality.checks import verdict
from normfield.studies.orthogonality.figures import draw, tabulate
from normfield.studies.orthogonality.networks import alike, linear_network
from normfield.studies.orthogonality.table import NORMALISERS

#: Between the inputs of any two samples.
CORRELATION = 0.9


@dataclass(frozen=True)
class Settings:
    """Which widths, how many layers, samples in a batch and networks."""

    widths: tuple[int, ...]
    layers: int
    samples: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {
            "normaliser": normaliser,
            "width": width,
            "layer": layer,
            "samples": settings.samples,
            "seed": seed,
        }
        for normaliser in NORMALISERS
        for width in settings.widths
        for layer in range(1, settings.layers + 1)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """The gap at every layer of one normaliser and width, averaged over networks; weights are those of the others."""
    normaliser, width = str(group[0]["normaliser"]), int(number(group[0], "width"))
    own = seeds(int(number(group[0], "seed")), f"width {width}", settings.networks)
    found = np.array([_gaps(settings, normaliser, width, seed) for seed in own])
    return [{"gap": float(gap)} for gap in found.mean(axis=0)]


def _gaps(settings: Settings, normaliser: str, width: int, seed: int) -> list[float]:
    model = linear_network(normaliser, width, settings.layers, seed)
    found = signals(model, alike(settings.samples, width, CORRELATION, seed))
    return [float(layer.orthogonality_gap or 0.0) for layer in found.layers[:-1]]


STUDY = Study(
    name="daneshmand-orthogonality",
    title="Does batch norm make samples orthogonal?",
    citation="Daneshmand, Joudaki, Bach 2021, Batch normalization orthogonalizes representations",
    link="https://arxiv.org/abs/2106.03970",
    claim=(
        "In random linear networks with batch norm the samples of a batch become orthogonal: their orthogonality gap "
        "decays exponentially with depth, down to a term that falls with the width, "
        "while without batch norm the samples stay as alike as they were."
    ),
    background=(
        "Two images of one thing are nearly the same vector. A random layer without normalisation keeps their angle or "
        "makes it smaller, so that deep random networks give all samples one answer and training has to pull them "
        "apart first. Batch norm divides each unit by its size over the batch, which weakens the direction that all "
        "samples share and strengthens the others, until no direction is left that they share more of. The "
        "orthogonality gap V = ‖G/tr G − 1/n‖_F of the n samples' Gram matrix G is 0 of orthogonal samples of equal "
        "length and nearly 1 of equal ones."
    ),
    setting=(
        "Networks h ← N(Wh) of linear layers at initialisation, as PyTorch modules, W_ij ~ N(0, 1/width), biases 0, N "
        "one of three: the paper's normaliser, which divides each unit by its root mean square over the batch; "
        "PyTorch's batch norm, which centres as well (ε = 1e-8); nothing. The weights are the same for each. Inputs "
        f"are normal, any two samples correlated by {CORRELATION:g}. The gap is that behind each affine map, in front "
        "of its normaliser, averaged over networks."
    ),
    differences=(
        "The paper measures behind the normaliser, where at finite width the gap is smaller by the noise that one more "
        "random layer brings.",
        "The abstract calls the term that is left inversely proportional to the width, which of the gap as it is "
        "defined here would be the power −1. What is asked is a fall at least like one over the root of the width, to "
        "what few networks can tell; the fitted power stands beside it.",
        "The paper takes no mean off, for simplicity. Batch norm as it is used does, and centred samples cannot be "
        "orthogonal to each other: their gap cannot fall below 1/√(n(n − 1)). That floor is ours, and outside the "
        "verdict.",
        "The paper's further result, that networks train faster from orthogonal representations, is not part of this.",
        "That the gap without batch norm stays within a factor 1.15, and that the floor is fitted through all widths, "
        "was set after a first run.",
    ),
    sizes={
        "smoke": Size(
            "widths 64, 128 and 256, 24 layers, 8 samples, 4 networks each",
            "4 s on one core",
            Settings((64, 128, 256), 24, 8, networks=4),
        ),
        "small": Size(
            "widths 64 to 1024, 48 layers, 16 samples, 12 networks each",
            "1 minute on one core",
            Settings((64, 128, 256, 512, 1024), 48, 16, networks=12),
        ),
        "paper": Size(
            "widths 64 to 4096, 100 layers, 32 samples, 20 networks each",
            "about an hour on one GPU; not yet run by us",
            Settings((64, 128, 256, 512, 1024, 2048, 4096), 100, 32, networks=20),
        ),
    },
    points=_points,
    groups=sharing("normaliser", "width"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
