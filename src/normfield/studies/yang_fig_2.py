"""Yang et al., Fig. 2: networks with batch norm that are deeper than 16ξ do not train, whatever the batch size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.network import mlp
from normfield.report import Column, Figure, Mark, Series, Table, lines
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.rate_rows import trainable_depth
from normfield.studies.trainability.maps import accuracy_map
from normfield.studies.trainability.reach import BEYOND, TRAINED, UNTRAINED, by_depth, least, most, reach
from normfield.studies.trainability.training import Training, trained
from normfield.studies.verdicts import Check, Verdict
from normfield.theory import depth_limits

EPS = 1e-3
#: "Beyond depth 50" no batch size helps.
DEEPEST = 50
#: What trains: networks of less than so many times 16ξ.
WITHIN = 0.5
#: The depth where accuracy falls to a half follows 16ξ to so much of a factor.
ALONG = 1.5


@dataclass(frozen=True)
class Settings:
    """Which depths and batch sizes, how wide, how trained, and how many networks of each."""

    depths: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    width: int
    training: Training
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"batch_size": batch_size, "depth": depth, "seed": seed + k}
        for batch_size in settings.batch_sizes
        for depth in settings.depths
        for k in range(settings.networks)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """The networks of one batch size, trained one by one, and the rate of their gradients by theory."""
    data = settings.training.read()
    batch_size = int(number(group[0], "batch_size"))
    rate = float(depth_limits("relu", batch_size, eps=EPS).explosion_rate)
    found = []
    for point in group:
        depth, seed = int(number(point, "depth")), int(number(point, "seed"))
        network = mlp(data.input_shape[0], settings.width, depth, data.outputs, bias_variance=0.0, eps=EPS)
        found.append({"theory_rate": rate, **trained(network, data, settings.training, batch_size, seed)})
    return found


def _sizes(rows: Rows) -> list[Rows]:
    """The rows of each batch size."""
    return [where(rows, batch_size=size) for size in dict.fromkeys(row["batch_size"] for row in rows)]


def _limits(rows: Rows) -> np.ndarray:
    """16ξ of each row."""
    return trainable_depth(column(rows, "theory_rate"))


def _draw(rows: Rows) -> tuple[Figure, ...]:
    """The map, and all batch sizes over depth as a multiple of 16ξ."""
    deepest = max(reach(own) for own in _sizes(rows))
    over = accuracy_map(
        rows,
        "batch_size",
        "batch size B",
        log_x=True,
        title=f"No batch size makes networks deeper than {deepest:.0f} layers get half of the test images right",
        caption="ReLU, batch norm in every layer. Line: theory at infinite width, nothing fitted. Points: half of "
        "the test images right.",
    )
    return over, _along(rows)


def _along(rows: Rows) -> Figure:
    series = []
    for own in _sizes(rows):
        depths, accuracies = by_depth(own)
        series.append(Series(f"B = {own[0]['batch_size']}", depths / _limits(own)[0], 100 * accuracies))
    edges = _edges(rows)
    return lines(
        series,
        "depth, as a multiple of 16ξ",
        "test accuracy (%)",
        marks=[Mark(1.0, "16ξ")],
        title=f"Accuracy falls to a half at {edges.min():.2f} to {edges.max():.2f} times 16ξ, whatever the batch size",
        caption="Where the theory's depth is the only one that matters, all lines are one.",
    )


def _edges(rows: Rows) -> np.ndarray:
    """For each batch size the depth at which accuracy falls to a half, over 16ξ."""
    return np.array([reach(own) / _limits(own)[0] for own in _sizes(rows)])


def _tabulate(rows: Rows) -> Table:
    columns = [
        Column("batch size"),
        Column("depth"),
        Column("16ξ"),
        Column("test accuracy", "%"),
        Column("diverged"),
    ]
    body = [
        (
            own[0]["batch_size"],
            int(depth),
            float(_limits(own)[0]),
            100 * float(accuracy),
            sum(number(row, "diverged") for row in where(own, depth=int(depth))),
        )
        for own in _sizes(rows)
        for depth, accuracy in zip(*by_depth(own), strict=True)
    ]
    notes = (
        "The mean over the networks of a cell; one that diverged counts as guessing one of ten classes, 10 %.",
    )
    return Table("Test accuracy by batch size and depth", columns, body, notes)


def _verdict(rows: Rows) -> Verdict:
    edges = _edges(rows)
    deep = most(column(_deeper(rows, DEEPEST), "trained_accuracy"))
    sentence = (
        f"Test accuracy falls to a half at {edges.min():.2f} to {edges.max():.2f} times 16ξ over {len(edges)} batch "
        f"sizes; beyond depth {DEEPEST} the best network gets {100 * deep:.0f} % right."
    )
    checks = (_beyond_check(rows), _deepest_check(rows), _within_check(rows), _along_check(edges))
    return Verdict(sentence, checks)


def _deeper(rows: Rows, than: float) -> list[Row]:
    return [row for row in rows if number(row, "depth") > than]


def _beyond_check(rows: Rows) -> Check:
    beyond = column(rows, "depth") > BEYOND * _limits(rows)
    best = most(column(rows, "trained_accuracy")[beyond])
    return Check(
        f"Of the {beyond.sum()} networks deeper than {BEYOND:g} times 16ξ the best gets {100 * best:.0f} % of the test "
        "images right.",
        100 * best,
        "% right, the best",
        f"untrainable beyond about 16ξ: at most {100 * UNTRAINED:.0f} %, twice guessing, above {BEYOND:g} times 16ξ",
        best <= UNTRAINED,
    )


def _deepest_check(rows: Rows) -> Check:
    deep = _deeper(rows, DEEPEST)
    best = most(column(deep, "trained_accuracy"))
    return Check(
        f"Of the {len(deep)} networks deeper than {DEEPEST} layers the best gets {100 * best:.0f} % right.",
        100 * best,
        "% right, the best",
        f"untrainable at any batch size: at most {100 * UNTRAINED:.0f} %",
        best <= UNTRAINED,
    )


def _within_check(rows: Rows) -> Check:
    within = column(rows, "depth") <= WITHIN * _limits(rows)
    worst = least(column(rows, "trained_accuracy")[within])
    return Check(
        f"Of the {within.sum()} networks of at most {WITHIN:g} times 16ξ layers the worst gets {100 * worst:.0f} % "
        "right: it is depth that keeps the others from training.",
        100 * worst,
        "% right, the worst",
        f"trainable well within 16ξ: at least {100 * TRAINED:.0f} %",
        worst >= TRAINED,
    )


def _along_check(edges: np.ndarray) -> Check:
    factor = float(np.max(edges) / np.min(edges))
    return Check(
        f"The depth at which accuracy falls to a half is {edges.min():.2f} to {edges.max():.2f} times 16ξ: the line "
        f"has the right shape within a factor {factor:.2f}.",
        factor,
        "largest over least multiple of 16ξ",
        f"within a factor {ALONG:g} over all batch sizes",
        factor <= ALONG,
        "normfield",
    )


_BATCH_SIZES = (4, 8, 16, 32, 64, 128, 256)

STUDY = Study(
    name="yang-fig-2",
    title="How deep does a network with batch norm train?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, Fig. 2",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "Fully connected ReLU networks with batch norm and without skip connections do not train when they are deeper "
        "than about 16ξ layers, ξ being the depth over which their gradients grow e-fold at initialisation, and beyond "
        "50 layers at no batch size."
    ),
    background=(
        "With batch norm the squared gradient grows by a factor λ_G at each layer going backwards; ξ = 1/ln λ_G is the "
        "number of layers over which it grows e-fold, and theory gives it for each batch size. Over 16 such depths it "
        "grows nine million times: the first layers' steps are out of all proportion to the last ones'. A map of test "
        "accuracy over batch size and depth shows whether training stops at that depth."
    ),
    setting=(
        "Networks h ← ReLU(BN(Wh)) of one width and a dense layer of ten outputs as PyTorch modules, γ = 1, β = 0, "
        "ε = 1e-3, trained by plain gradient steps on the cross-entropy. The learning rate is in proportion to the "
        "batch, so that the learning rates of all steps add up to 6 at each batch size and at each size of the study, "
        "as with the paper's 1e-5·B over ten passes of 60,000 images. Accuracy is over test images in batches as "
        "in training. Trained means half of the test images right, untrained 20 % or less, twice what guessing gives; "
        "between the depths tried the accuracy is read along straight lines."
    ),
    differences=(
        "At the sizes smoke and small fewer images are seen, by fewer and larger steps in proportion (small: 6e-4·B "
        "instead of 1e-5·B), and networks are narrower than the paper's 384. The theory is about networks of "
        "infinite width at initialisation and knows neither; the claim is about depth, and is tested on the same "
        "depths and batch sizes.",
        "The paper's further panels, with RMSProp, with CIFAR-10 and with statistics over parts of a batch, are left "
        "out. It does not name the loss.",
    ),
    sizes={
        "smoke": Size(
            "digits, width 64, 4 depths, batch sizes 16 and 64, 2 passes",
            "5 s on one core",
            Settings((4, 16, 52, 64), (16, 64), 64, Training("digits", 1408, 320, epochs=2), networks=1),
        ),
        "small": Size(
            "MNIST, width 128, 9 depths, 7 batch sizes, 2 passes of 5,000 images, 1 network each",
            "3 minutes on one core",
            Settings(
                (4, 8, 12, 16, 24, 32, 40, 52, 64),
                _BATCH_SIZES,
                128,
                Training("mnist", 5000, 1024, epochs=2),
                networks=1,
            ),
        ),
        "paper": Size(
            "MNIST, width 384, 16 depths, 9 batch sizes, 10 passes of 60,000 images, 3 networks each",
            "days on one GPU; not yet run by us",
            Settings(
                (2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 64),
                (*_BATCH_SIZES, 512, 1024),
                384,
                Training("mnist", 60000, 10000, epochs=10),
                networks=3,
            ),
        ),
    },
    points=_points,
    groups=sharing("batch_size"),
    measure=_measure,
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
