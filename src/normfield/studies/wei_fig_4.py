"""Wei et al., Fig. 4: VGG16 and a residual network learn faster when batch norm's γ starts at 0.1 instead of 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from normfield.nets import init_gamma_
from normfield.report import Column, Figure, Series, Table, lines
from normfield.studies.architectures import preact_resnet18, vgg16
from normfield.studies.curves import column, number, where
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.image_training.images import Images
from normfield.studies.image_training.loop import Recipe, accuracies_by_epoch
from normfield.studies.verdicts import Check, Verdict

SMALL, USUAL = 0.1, 1.0
#: "Faster": the accuracy that γ = 1 has at the end, after so much less of the epochs.
SOONER = 0.9

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"VGG16": vgg16, "PreAct-ResNet18": preact_resnet18}
# The columns of training and of test accuracy after epoch 1, 2, …
TRAIN, TEST = "trained_accuracy", "trained_test_accuracy"
_WORDS = {TRAIN: "training", TEST: "test"}


@dataclass(frozen=True)
class Settings:
    """Which images, channels of the first layers, how trained, and how many runs."""

    images: Images
    channels: int
    recipe: Recipe
    runs: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"gamma": gamma, "architecture": name, "seed": seed + k}
        for gamma in (SMALL, USUAL)
        for name in ARCHITECTURES
        for k in range(settings.runs)
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """One run; weights, order of the images and their shifts are the same for both γ."""
    data, seed = settings.images.read(), int(number(point, "seed"))
    make = ARCHITECTURES[str(point["architecture"])]
    model = make(settings.channels, data.outputs, seed, colours=data.input_shape[0])
    model = init_gamma_(model, number(point, "gamma")).to("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, float] = {}
    for epoch, reached in enumerate(accuracies_by_epoch(model, data, settings.recipe, seed), start=1):
        found |= {f"{TRAIN}_{epoch}": reached.train, f"{TEST}_{epoch}": reached.test}
    return found


@dataclass(frozen=True)
class Curves:
    """Accuracy by run and epoch (runs, epochs) of one architecture, in percent, with γ = 0.1 and with γ = 1."""

    small: np.ndarray
    usual: np.ndarray

    @property
    def leads(self) -> np.ndarray:
        """The mean over epochs of how far γ = 0.1 is ahead, run by run (runs,)."""
        return (self.small - self.usual).mean(axis=1)

    @property
    def epochs(self) -> np.ndarray:
        """1, 2, …"""
        return np.arange(1, self.small.shape[1] + 1)

    @property
    def time(self) -> float:
        """After which share of the epochs γ = 0.1 has the accuracy that γ = 1 ends with; NaN where it never has."""
        reached = np.flatnonzero(self.small.mean(axis=0) >= self.usual.mean(axis=0)[-1])
        return float(reached[0] + 1) / self.small.shape[1] if reached.size else math.nan


def _curves(rows: Rows, architecture: str, kind: str) -> Curves:
    own = where(rows, architecture=architecture)
    names = [
        name for name in own[0] if name.startswith(f"{kind}_") and name.removeprefix(f"{kind}_").isdigit()
    ]

    def by_run(gamma: float) -> np.ndarray:
        return 100 * np.stack([column(where(own, gamma=gamma), name) for name in names], axis=1)

    return Curves(by_run(SMALL), by_run(USUAL))


def _draw(rows: Rows) -> tuple[Figure, ...]:
    return tuple(_figure(rows, name) for name in ARCHITECTURES)


def _figure(rows: Rows, architecture: str) -> Figure:
    """As in the paper: training and test accuracy by epoch, a colour for each γ."""
    series = []
    for kind, style in ((TEST, "line"), (TRAIN, "dashed")):
        curves = _curves(rows, architecture, kind)
        for gamma, found in ((SMALL, curves.small), (USUAL, curves.usual)):
            mean, spread = found.mean(axis=0), found.std(axis=0)
            series.append(
                Series(
                    f"{_WORDS[kind]}, γ = {gamma:g}",
                    curves.epochs,
                    mean,
                    style,  # type: ignore[arg-type]
                    low=mean - spread if kind == TEST else None,
                    high=mean + spread if kind == TEST else None,
                    group=f"γ = {gamma:g}",
                )
            )
    test = _curves(rows, architecture, TEST)
    runs = len(test.leads)
    return lines(
        series,
        "epoch",
        "accuracy (%)",
        title=f"{architecture}: over the epochs γ = 0.1 is {_signed(test.leads.mean())} points of test accuracy "
        f"{'ahead of' if test.leads.mean() >= 0 else 'behind'} γ = 1",
        caption="Lines: test images; dashed: each epoch's shifted and mirrored training images. Means over "
        f"{runs} runs, which begin at the same weights for both γ; bands: their spread.",
    )


def _signed(points: float) -> str:
    return f"{abs(points):.1f}"


def _tabulate(rows: Rows) -> Table:
    columns = [
        Column("network"),
        Column("γ at the start"),
        Column("run"),
        Column("training accuracy, mean over epochs", "%"),
        Column("test accuracy, mean over epochs", "%"),
        Column("training accuracy, last epoch", "%"),
        Column("test accuracy, last epoch", "%"),
    ]
    body = []
    for name in ARCHITECTURES:
        train, test = _curves(rows, name, TRAIN), _curves(rows, name, TEST)
        for gamma, a, b in ((SMALL, train.small, test.small), (USUAL, train.usual, test.usual)):
            body += [
                (name, gamma, k + 1, float(x.mean()), float(y.mean()), float(x[-1]), float(y[-1]))
                for k, (x, y) in enumerate(zip(a, b, strict=True))
            ]
    notes = (
        "Runs of one number begin at the same weights for both γ and see the same images in the same order.",
    )
    return Table("Accuracy of each run", columns, body, notes)


def _verdict(rows: Rows) -> Verdict:
    checks = [_lead_check(rows, name, kind) for name in ARCHITECTURES for kind in (TRAIN, TEST)]
    checks += [_time_check(rows, name) for name in ARCHITECTURES]
    words = "; ".join(
        f"{name}: {_curves(rows, name, TRAIN).leads.mean():+.1f} points in training, "
        f"{_curves(rows, name, TEST).leads.mean():+.1f} on test images"
        for name in ARCHITECTURES
    )
    return Verdict(f"Mean lead of γ = 0.1 over γ = 1 in accuracy, over the epochs: {words}.", tuple(checks))


def _lead_check(rows: Rows, architecture: str, kind: str) -> Check:
    leads = _curves(rows, architecture, kind).leads
    return Check(
        f"{architecture}: {_WORDS[kind]} accuracy with γ = 0.1 is ahead by {leads.min():+.1f} to {leads.max():+.1f} "
        f"points in the mean over the epochs, in {len(leads)} pairs of runs.",
        float(leads.min()),
        "points ahead, the least of the pairs",
        "converges faster: above 0 in every pair",
        bool(np.all(leads > 0)),
    )


def _time_check(rows: Rows, architecture: str) -> Check:
    curves = _curves(rows, architecture, TRAIN)
    epochs, share = len(curves.epochs), curves.time
    when = "never" if math.isnan(share) else f"by epoch {share * epochs:.0f}"
    return Check(
        f"{architecture}: the training accuracy that γ = 1 has by epoch {epochs} γ = 0.1 has {when}.",
        1.0 + 1 / epochs if math.isnan(share) else share,
        "share of the epochs (above 1: never)",
        f"after at most {SOONER:g} of the epochs",
        share <= SOONER,
        "normfield",
    )


STUDY = Study(
    name="wei-fig-4",
    title="Do networks learn faster when γ starts at 0.1?",
    citation="Wei, Stokes, Schwab 2019, Fig. 4 (sec. 6.5)",
    link="https://arxiv.org/abs/1903.02606",
    claim=(
        "A small γ at the start, 0.1 instead of the usual 1, makes VGG16 and PreAct-ResNet18 with batch norm converge "
        "faster on CIFAR-10 at the same hyperparameters."
    ),
    background=(
        "Batch norm gives every unit mean 0 and standard deviation 1 over a batch, then multiplies it by γ, which is "
        "trained and usually starts at 1. By the paper's theory a smaller γ makes the loss flatter, so that larger "
        "learning rates are stable; the authors tried whether real networks also learn faster from there, with "
        "everything else as it was."
    ),
    setting=(
        "VGG16 and PreAct-ResNet18 as PyTorch modules with torch's initial weights, cross-entropy, SGD with learning "
        "rate 0.1, momentum 0.9 and weight decay 5e-4 throughout, batches of 128 (size smoke: 64); γ of every batch "
        "norm set by nf.init_gamma_. Images are shifted by up to four pixels and mirrored at random in training. "
        "Test accuracy is in inference mode, with running statistics. Runs come in pairs that differ in γ alone."
    ),
    differences=(
        "The paper names architecture, learning rate, momentum and weight decay; batch size, augmentation, initial "
        "weights and the form of VGG16 for small images (one dense layer) are the usual ones of such experiments. It "
        "judges by its curves; the criteria are ours.",
        "At the size small networks have an eighth of the channels and take 320 steps, fewer than one of the paper's "
        "100 epochs has: the beginning of training is compared, not where it ends. Size smoke only shows that all "
        "of it runs.",
    ),
    sizes={
        "smoke": Size(
            "digits enlarged to 32×32, 2 channels in the first layer, 2 runs of 2 epochs of 256 images, batches of 64",
            "5 s on one core",
            Settings(Images("digits", 256, 128), 2, Recipe(epochs=2, batch_size=64), runs=2),
        ),
        "small": Size(
            "4,096 images of CIFAR-10, 8 channels in the first layer, 3 runs of 10 epochs",
            "8 minutes on one core",
            Settings(Images("cifar10", 4096, 1024), 8, Recipe(epochs=10), runs=3),
        ),
        "paper": Size(
            "all of CIFAR-10, 64 channels in the first layer, 5 runs of 100 epochs",
            "about a day on one GPU; not yet run by us",
            Settings(Images("cifar10", 50000, 10000), 64, Recipe(epochs=100), runs=5),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=_draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
