"""Bjorck et al., Figs. 3–6 and Table 1: what goes wrong without batch norm when a step is too long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from normfield.studies.architectures import residual_network
from normfield.studies.curves import number
from normfield.studies.divergence.checks import verdict
from normfield.studies.divergence.figures import draw, tabulate
from normfield.studies.divergence.measuring import (
    Values,
    agreements_of_kernels,
    chosen_blocks,
    losses_along_steps,
    moments_along_update,
    output_gradients_of_images,
)
from normfield.studies.divergence.table import (
    AGREEMENT,
    DIVERGED,
    LOSS,
    MEAN,
    NETWORKS,
    NORMED,
    OUTPUT,
    VALUE,
    VARIANCE,
)
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.halted_training import endless_batches
from normfield.studies.image_training.images import Images

#: Learning rate between the batches at which losses are looked at, and classes.
LEARNING_RATE, CLASSES = 1e-4, 10
#: Shares of the update at which moments are taken, in percent.
PERCENTS = (0.0, 20.0, 40.0, 60.0, 80.0, 100.0)


@dataclass(frozen=True)
class Settings:
    """Which images, how wide and deep a network, how many lengths, batches, blocks and images are looked at, how often.

    Attributes
    ----------
    blocks
        In each of three stages.
    per_decade
        Lengths from 1e-5 to 10 in each decade.
    batches
        The first so many, at which losses along the step are taken.
    looked_at
        How many of the blocks.
    shown
        Images whose output gradients are kept.
    """

    images: Images
    channels: int
    blocks: int
    per_decade: int
    batches: int
    looked_at: int
    shown: int
    runs: int
    batch_size: int = 128

    @property
    def lengths(self) -> list[float]:
        """Of steps, rising."""
        return [float(f"{10.0 ** (k / self.per_decade - 5):.4g}") for k in range(6 * self.per_decade + 1)]

    @property
    def places(self) -> list[int]:
        """Numbers of blocks."""
        return chosen_blocks(3 * self.blocks, self.looked_at)


def _where(settings: Settings) -> Iterator[tuple[str, int, float]]:
    """Kind, place and where it is at of every value of one run, in the order of the table."""
    for batch in range(1, settings.batches + 1):
        yield from ((LOSS, batch, length) for length in settings.lengths)
    for kind in (VARIANCE, MEAN):
        yield from ((kind, block, percent) for block in settings.places for percent in PERCENTS)
    for image in range(1, settings.shown + 1):
        yield from ((OUTPUT, image, float(label)) for label in range(CLASSES))
    yield from ((AGREEMENT, block, 0.0) for block in settings.places)


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"network": network, "seed": seed + k, "kind": kind, "place": place, "at": at}
        for network in NETWORKS
        for k in range(settings.runs)
        for kind, place, at in _where(settings)
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One network, everything but the losses of later batches before training."""
    found = _values(settings, str(group[0]["network"]), int(number(group[0], "seed")))
    return [{VALUE: found[str(row["kind"]), int(number(row, "place")), number(row, "at")]} for row in group]


def _values(settings: Settings, network: str, seed: int) -> Values:
    data = settings.images.read()
    model = residual_network(
        settings.channels,
        settings.blocks,
        CLASSES,
        seed,
        batch_norm=network == NORMED,
        colours=data.input_shape[0],
    )
    first = next(endless_batches(data, settings.batch_size, seed))
    found = output_gradients_of_images(model, first, settings.shown)
    found |= agreements_of_kernels(model, first, settings.places)
    start = model.state_dict()
    kept = {name: value.clone() for name, value in start.items()}
    batches = endless_batches(data, settings.batch_size, seed)
    found |= losses_along_steps(model, batches, settings.batches, settings.lengths, LEARNING_RATE)
    model.load_state_dict(kept)
    return found | moments_along_update(model, first, _length(found, settings), PERCENTS, settings.places)


def _length(found: Values, settings: Settings) -> float:
    """The shortest at which the first batch's loss is 1000 times larger; the longest where there is none."""
    diverging = [length for length in settings.lengths if found[LOSS, 1, length] >= DIVERGED]
    return diverging[0] if diverging else settings.lengths[-1]


STUDY = Study(
    name="bjorck-divergence",
    title="What goes wrong without batch norm when a step is too long?",
    citation="Bjorck, Gomes, Selman, Weinberger 2018, Understanding Batch Normalization, Figs. 3–6 and Table 1",
    link="https://arxiv.org/abs/1806.02375",
    claim=(
        "Without batch norm the loss of a deep residual network explodes along its gradient at steps above 1e-3, "
        "because channel moments grow exponentially with depth and explode in the higher layers and because "
        "gradients of the images and positions of a batch agree and add up, none of which happens with batch norm."
    ),
    background=(
        "Large learning rates are what batch norm is good for, the paper says (see the study bjorck-learning-rates); "
        "here it asks why networks without it cannot take them. It walks along the gradient of single batches, "
        "watches the mean and variance of channels while a diverging update is made bit by bit, and looks at the "
        "gradients of the last layer's outputs: at random weights an unnormalised network gives nearly all images "
        "the same class, so that their gradients point the same way."
    ),
    setting=(
        "The residual networks of CIFAR-10 (three stages, two 3×3 convolutions in each block, the shortcut padded "
        "with zeros), batch norm after each convolution or nothing, the same initial weights (normal, variance "
        "2/(inputs + outputs) of a unit); cross-entropy. Losses along the gradient are those of the first batches "
        f"while the network trains at learning rate {LEARNING_RATE:g}, everything else is measured before training "
        "on the first batch. The diverging update is the shortest step tried that multiplies the loss by 1000, or "
        "the longest if none does. Channel variance and mean are those of the outputs of each block's last "
        "convolution, over images and positions."
    ),
    differences=(
        "The paper's network is ResNet-110 on images of 32×32. At the size small it has all 110 layers, half the "
        "channels, and images of half the side.",
        "The paper judges by its figures; the criteria are ours. That the loss explodes “above 1e-3” is read as: it "
        "is 1000 times larger at a step of 0.01 at the latest.",
        "Size smoke has one small batch of small images; it only shows that all of it runs.",
    ),
    sizes={
        "smoke": Size(
            "digits enlarged to 16×16, 110 layers, 4 channels, one batch of 16, one run of each network",
            "5 s on one core",
            Settings(
                Images("digits", 256, 64, side=16),
                channels=4,
                blocks=18,
                per_decade=1,
                batches=1,
                looked_at=4,
                shown=8,
                runs=1,
                batch_size=16,
            ),
        ),
        "small": Size(
            "2,048 images of CIFAR-10 at 16×16, 110 layers, 8 channels, 4 batches of 128, 2 runs of each network",
            "1.5 minutes on one core",
            Settings(
                Images("cifar10", 2048, 512, side=16), 8, 18, 2, batches=4, looked_at=18, shown=24, runs=2
            ),
        ),
        "paper": Size(
            "all of CIFAR-10 at 32×32, 110 layers, 16 channels, 7 batches of 128, 10 runs of each network",
            "an hour on one GPU; not yet run by us",
            Settings(
                Images("cifar10", 50_000, 10_000), 16, 18, 4, batches=7, looked_at=54, shown=64, runs=10
            ),
        ),
    },
    points=_points,
    groups=sharing("network", "seed"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
