"""Yang et al., Fig. 4: the nearer a network with batch norm is to a linear one, the deeper it trains."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from normfield.data import DataSet
from normfield.network import Network, mlp
from normfield.report import Column, Figure, Table
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.rate_rows import activation_words, trainable_depth
from normfield.studies.trainability.maps import accuracy_map
from normfield.studies.trainability.reach import BEYOND, UNTRAINED, by_depth, is_inside, most, reach
from normfield.studies.trainability.training import Training, trained
from normfield.studies.verdicts import Check, Verdict
from normfield.theory import depth_limits

EPS = 1e-3
BATCH_SIZE = 64
#: "Deeper": so many times.
DEEPER = 1.5
#: "At each step": not less deep by more than this share.
STEP = 0.95


@dataclass(frozen=True)
class Scan:
    """What is varied, with which activation, its values from far from linear to near it, and what it is in words."""

    name: str
    activation: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Settings:
    """Which scans and depths, how wide and how trained."""

    scans: tuple[Scan, ...]
    depths: tuple[int, ...]
    width: int
    training: Training


_LETTERS = {"gamma": "γ", "beta": "β", "eps": "ε"}
# σ_w² of the activation; it matters only beside ε.
_WEIGHT_VARIANCE = {"tanh": 1.0, "relu": 2.0}


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"scan": scan.name, "activation": scan.activation, "depth": depth, "value": value, "seed": seed}
        for scan in settings.scans
        for depth in settings.depths
        for value in scan.values
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """The networks of one scan and depth, each beside the rate of its gradients by theory."""
    data, scan, activation = settings.training.read(), str(group[0]["scan"]), str(group[0]["activation"])
    values = [number(point, "value") for point in group]
    rates = depth_limits(
        activation,
        BATCH_SIZE,
        **{"eps": EPS, scan: values},  # type: ignore[arg-type]
        weight_variance=_WEIGHT_VARIANCE[activation],
    ).explosion_rate
    return [
        {
            "theory_rate": float(rate),
            **trained(
                _network(point, settings.width, data),
                data,
                settings.training,
                BATCH_SIZE,
                int(number(point, "seed")),
            ),
        }
        for point, rate in zip(group, rates, strict=True)
    ]


def _network(point: Row, width: int, data: DataSet) -> Network:
    activation = str(point["activation"])
    norm = {"gamma": 1.0, "beta": 0.0, "eps": EPS, str(point["scan"]): number(point, "value")}
    return mlp(
        data.input_shape[0],
        width,
        int(number(point, "depth")),
        data.outputs,
        activation=activation,
        weight_variance=_WEIGHT_VARIANCE[activation],
        bias_variance=0.0,
        gamma=norm["gamma"],
        beta=norm["beta"],
        eps=norm["eps"],
    )


def _columns(rows: Rows, scan: str) -> list[Rows]:
    """The rows of each value of a scan, from far from linear to near it."""
    own = where(rows, scan=scan)
    return [where(own, value=value) for value in dict.fromkeys(row["value"] for row in own)]


def _scans(rows: Rows) -> list[str]:
    return list(dict.fromkeys(str(row["scan"]) for row in rows))


def _value_words(own: Rows) -> str:
    """ "γ = 0.1"."""
    return f"{_LETTERS[str(own[0]['scan'])]} = {number(own[0], 'value'):g}"


def _draw(rows: Rows) -> tuple[Figure, ...]:
    return tuple(_map(rows, scan) for scan in _scans(rows))


def _map(rows: Rows, scan: str) -> Figure:
    far, *_, near = _columns(rows, scan)
    return accuracy_map(
        where(rows, scan=scan),
        "value",
        f"batch norm's {_LETTERS[scan]}",
        log_x=scan == "eps",
        title=f"{_activation_words(far)}: networks train to a depth of {_reach_words(near)} at "
        f"{_value_words(near)}, of {_reach_words(far)} at {_value_words(far)}",
        caption=f"Line: theory at infinite width, nothing fitted; where it is not drawn it lies above, or gradients do "
        f"not grow. Points: half of the test images right. {_NEARER[scan]}.",
    )


_NEARER = {
    "gamma": "Small γ keeps tanh in its linear part",
    "beta": "Large β keeps ReLU on its rising side",
    "eps": "Large ε makes the inputs of tanh smaller",
}


def _reach_words(own: Rows) -> str:
    """The depth, and whether it may lie beyond those that were tried."""
    depth = reach(own)
    side = " or more" if depth == by_depth(own)[0][-1] else " or less"
    return f"{depth:.0f}{'' if is_inside(own) else side}"


def _activation_words(own: Rows) -> str:
    """The activation at the beginning of a sentence."""
    words = activation_words(own[0]["activation"])
    return words[:1].upper() + words[1:]


def _tabulate(rows: Rows) -> Table:
    columns = [
        Column("varied"),
        Column("activation"),
        Column("value"),
        Column("depth"),
        Column("16ξ"),
        Column("test accuracy", "%"),
        Column("diverged"),
    ]
    body = [
        (
            _LETTERS[str(row["scan"])],
            activation_words(row["activation"]),
            row["value"],
            row["depth"],
            float(trainable_depth(column([row], "theory_rate"))[0]),
            100 * number(row, "trained_accuracy"),
            "yes" if number(row, "diverged") else "no",
        )
        for row in rows
    ]
    notes = (
        "A network that diverged counts as guessing one of ten classes. 16ξ is empty where gradients do not grow.",
    )
    return Table("Test accuracy by depth and γ, β or ε", columns, body, notes)


def _verdict(rows: Rows) -> Verdict:
    scans = _scans(rows)
    gains = "; ".join(
        f"to a depth of {_reach_words(near)} at {_value_words(near)}, of {_reach_words(far)} at {_value_words(far)}"
        for far, *_, near in (_columns(rows, scan) for scan in scans)
    )
    checks = [
        *(_deeper_check(_columns(rows, scan)) for scan in scans),
        _beyond_check(rows),
        _step_check([_columns(rows, scan) for scan in scans]),
    ]
    return Verdict(f"Networks train {gains}.", tuple(checks))


def _deeper_check(columns: list[Rows]) -> Check:
    far, near = columns[0], columns[-1]
    ratio = reach(near) / reach(far)
    return Check(
        f"{_activation_words(near)}: networks train to a depth of {_reach_words(near)} at {_value_words(near)}, nearer "
        f"to linear, and of {_reach_words(far)} at {_value_words(far)}.",
        ratio,
        "times as deep, at least" if reach(near) == by_depth(near)[0][-1] else "times as deep",
        f"nearer to linear trains deeper: {DEEPER:g} times or more",
        ratio >= DEEPER,
    )


def _beyond_check(rows: Rows) -> Check:
    beyond = column(rows, "depth") > BEYOND * trainable_depth(column(rows, "theory_rate"))
    best = most(column(rows, "trained_accuracy")[beyond])
    return Check(
        f"Of the {beyond.sum()} networks deeper than {BEYOND:g} times 16ξ the best gets {100 * best:.0f} % right.",
        100 * best,
        "% right, the best",
        f"what does train is not beyond about 16ξ: at most {100 * UNTRAINED:.0f} %, twice guessing",
        best <= UNTRAINED,
    )


def _step_check(scans: list[list[Rows]]) -> Check:
    """The step towards the linear regime, of all scans, at which the depth falls most or rises least."""
    steps = [pair for columns in scans for pair in itertools.pairwise(columns)]
    ratios = np.array([reach(after) / reach(before) for before, after in steps])
    before, after = steps[int(np.argmin(ratios))]
    return Check(
        f"From each value to the next nearer to linear the depth changes by a factor {ratios.min():.2f} at least: "
        f"{_activation_words(before)}, from {_reach_words(before)} at {_value_words(before)} to {_reach_words(after)} "
        f"at {_value_words(after)}.",
        float(ratios.min()),
        "times as deep, the least",
        f"at each step no less than {STEP:g} times as deep",
        bool(np.all(ratios >= STEP)),
        "normfield",
    )


STUDY = Study(
    name="yang-fig-4",
    title="Do networks nearer to linear train deeper?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, Fig. 4",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "The nearer a network with batch norm and without skip connections is tuned to the linear regime, by a small γ "
        "with tanh, a large β with ReLU or a larger ε, the deeper it can be trained."
    ),
    background=(
        "Batch norm makes gradients grow by a factor λ_G at each layer going backwards, and networks deeper than about "
        "16ξ layers, ξ = 1/ln λ_G, do not train. The explosion cannot be taken away, but it is least for linear "
        "networks. A small γ keeps the inputs of tanh where it is nearly straight; a large β keeps those of ReLU "
        "above zero, where it is straight; ε beside the variance makes batch norm divide by more than the standard "
        "deviation, so that inputs are smaller."
    ),
    setting=(
        "Networks h ← φ(γ BN(Wh) + β) of one width and a dense layer of ten outputs as PyTorch modules, γ = 1, β = 0 "
        "and ε = 1e-3 where they are not varied, batches of 64, trained by plain gradient steps on the cross-entropy; "
        "γ and β begin as said and are trained. The learning rates of all steps add up to 6, as with 1e-5·B over ten "
        "passes of 60,000 images. Accuracy is over test images in batches as in training. Networks count as trained "
        "down to the depth at which half of the test images are right, read along straight lines between the depths "
        "tried."
    ),
    differences=(
        "At the sizes smoke and small networks are narrower, and fewer images are seen by fewer and larger steps in "
        "proportion. The claim compares networks that train alike, and is tested on such.",
        "The learning rate and the width are those of the paper's Fig. 2; batch size and loss are our choice. "
        "γ = 0 is left out: such a network passes nothing on. ε is varied with tanh.",
    ),
    sizes={
        "smoke": Size(
            "digits, width 64, 3 depths, two values each of γ, β and ε, 2 passes",
            "6 s on one core",
            Settings(
                (
                    Scan("gamma", "tanh", (2.0, 0.5)),
                    Scan("beta", "relu", (0.0, 1.0)),
                    Scan("eps", "tanh", (0.001, 0.3)),
                ),
                (8, 24, 56),
                64,
                Training("digits", 1408, 320, epochs=2),
            ),
        ),
        "small": Size(
            "MNIST, width 128, 6 depths, 6 values each of γ and β and 5 of ε, 2 passes of 5,000 images",
            "3 minutes on one core",
            Settings(
                (
                    Scan("gamma", "tanh", (2.0, 1.5, 1.0, 0.5, 0.25, 0.1)),
                    Scan("beta", "relu", (0.0, 0.4, 0.8, 1.2, 1.6, 2.0)),
                    Scan("eps", "tanh", (0.001, 0.03, 0.1, 0.2, 0.5)),
                ),
                (10, 20, 40, 60, 80, 120),
                128,
                Training("mnist", 5000, 1024, epochs=2),
            ),
        ),
        "paper": Size(
            "MNIST, width 384, 9 depths, 11 values each of γ and β and 7 of ε, 10 passes of 60,000 images",
            "about a day on one GPU; not yet run by us",
            Settings(
                (
                    Scan("gamma", "tanh", (2.0, 1.8, 1.6, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2, 0.1)),
                    Scan("beta", "relu", (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)),
                    Scan("eps", "tanh", (0.001, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)),
                ),
                (10, 20, 30, 40, 60, 80, 120, 160, 240),
                384,
                Training("mnist", 60000, 10000, epochs=10),
            ),
        ),
    },
    points=_points,
    groups=sharing("scan", "depth"),
    measure=_measure,
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
