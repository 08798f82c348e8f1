"""Bjorck et al.: with batch norm a residual network trains at learning rates at which it does not without."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from normfield.studies.architectures import residual_network
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.image_training.images import Images
from normfield.studies.survival.checks import verdict
from normfield.studies.survival.figures import draw, tabulate
from normfield.studies.survival.table import CLASSES, GUESSING, LOSS, NORMED, PLAIN, TEST
from normfield.train.run import Run, train_once

MOMENTUM = 0.9
#: The loss, in multiples of the first step's, at which a run counts as diverged and is stopped.
STOPPED = 1e3


@dataclass(frozen=True)
class Settings:
    """Which images, how wide and deep, at which learning rates (small, middle, large), and how long how many train."""

    images: Images
    channels: int
    blocks: int
    rates: tuple[float, float, float]
    epochs: int
    runs: int
    batch_size: int = 128


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"network": kind, "learning_rate": rate, "seed": seed + k}
        for kind in (NORMED, PLAIN)
        for rate in settings.rates
        for k in range(settings.runs)
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """One run; weights and order of the images are the same with batch norm and without."""
    data, seed = settings.images.read(), int(number(point, "seed"))
    model = residual_network(
        settings.channels,
        settings.blocks,
        data.outputs,
        seed,
        batch_norm=point["network"] == NORMED,
        colours=data.input_shape[0],
    )
    run = train_once(
        model.to("cuda" if torch.cuda.is_available() else "cpu"),
        data,
        learning_rate=number(point, "learning_rate"),
        momentum=MOMENTUM,
        loss="cross_entropy",
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=seed,
        divergence_factor=STOPPED,
        every_epoch=True,
    )
    diverged = int(run.status == "diverged")
    return {"diverged": diverged, "trained_peak": _peak(run), **_curves(run, settings.epochs)}


def _peak(run: Run) -> float:
    """The largest loss of a step over the first one's; at most that at which runs are stopped."""
    if run.status == "diverged":
        return STOPPED
    return min(max(run.losses) / run.losses[0], STOPPED)


def _curves(run: Run, epochs: int) -> dict[str, float]:
    """Training loss and test accuracy after each epoch; from where it diverged on a run counts as guessing."""
    found = {f"{LOSS}_0": run.first_loss}
    for epoch in range(1, epochs + 1):
        found |= {f"{LOSS}_{epoch}": GUESSING, f"{TEST}_{epoch}": 1 / CLASSES}
    for each in run.by_epoch:
        if math.isfinite(each.train_loss) and each.test_accuracy is not None:
            found |= {f"{LOSS}_{each.epoch}": each.train_loss, f"{TEST}_{each.epoch}": each.test_accuracy}
    return found


STUDY = Study(
    name="bjorck-learning-rates",
    title="Is it large learning rates that batch norm is good for?",
    citation="Bjorck, Gomes, Selman, Weinberger 2018, Understanding Batch Normalization",
    link="https://arxiv.org/abs/1806.02375",
    claim=(
        "A residual network trains about as well without batch norm as with it at a small learning rate, but only with "
        "batch norm does it survive the larger ones, which is where it gets its higher accuracy, for without it the "
        "loss explodes at steps above 1e-3."
    ),
    background=(
        "A gradient step is as good as the straight line that it follows is long. Without normalisation each block of "
        "a residual network adds to what it is given, activations grow with depth, and steps that are not tiny make "
        "the loss larger instead of smaller. Batch norm keeps activations in bounds. The question is whether that "
        "helps by itself, or by the learning rates that it allows, whose noise finds flatter and better minima."
    ),
    setting=(
        "The residual networks of CIFAR-10 (three stages, two 3×3 convolutions in each block, the shortcut padded with "
        "zeros) as PyTorch modules, batch norm after each convolution or nothing, the same initial weights (normal, "
        "variance 2/(inputs + outputs) of a unit); cross-entropy, gradient steps with momentum 0.9 at a fixed learning "
        "rate, batches of 128. Losses and accuracies are taken after each epoch with each batch's own statistics. A "
        "run diverges when a step's loss passes 1000 times the first one's or is not finite."
    ),
    differences=(
        "The paper trains ResNet-110. At the size small the network has 38 layers of half the channels on images of "
        "half the side, and the learning rates small, middle and large are 0.001, 0.01 and 0.1 instead of the size "
        "paper's 0.0001, 0.003 and 0.1: in the 160 steps taken here nothing would be learned at 0.0001. Learning rates "
        "are not lowered in the course of training, and images are not augmented.",
        "The paper's closer look at diverging updates, the relative loss along the step, moments of channels and "
        "heat maps of gradients, is the study bjorck-divergence. That the loss explodes is read here from the losses "
        "of the steps of training alone.",
    ),
    sizes={
        "smoke": Size(
            "digits enlarged to 16×16, 8 layers, 4 channels, 2 runs of 2 epochs of 512 images",
            "4 s on one core",
            Settings(Images("digits", 512, 256, side=16), 4, 1, (0.001, 0.01, 0.1), epochs=2, runs=2),
        ),
        "small": Size(
            "2,048 images of CIFAR-10 at 16×16, 38 layers, 8 channels, 2 runs of 10 epochs",
            "3.5 minutes on one core",
            Settings(Images("cifar10", 2048, 512, side=16), 8, 6, (0.001, 0.01, 0.1), epochs=10, runs=2),
        ),
        "paper": Size(
            "all of CIFAR-10 at 32×32, 110 layers, 16 channels, 5 runs of 165 epochs",
            "days on one GPU; not yet run by us",
            Settings(Images("cifar10", 50000, 10000), 16, 18, (0.0001, 0.003, 0.1), epochs=165, runs=5),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
