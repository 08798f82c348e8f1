"""Santurkar et al., Fig. 4: loss, gradient and smoothness along the gradient while a VGG trains on CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch.nn import functional as F

from normfield.studies.architectures.vgg_pair import vgg11
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.halted_training import endless_batches, evenly
from normfield.studies.image_training.images import Images
from normfield.studies.landscapes.checks import verdict
from normfield.studies.landscapes.figures import draw, tabulate
from normfield.studies.landscapes.measuring import Walk, looks
from normfield.studies.landscapes.table import NORMED, PLAIN


@dataclass(frozen=True)
class Settings:
    """Which images, how wide a network, how long it trains and how often it is looked at, and how many pairs."""

    images: Images
    channels: int
    steps: int
    looks: int
    lengths: int
    runs: int
    batch_size: int = 128

    @property
    def walk(self) -> Walk:
        """The paper's learning rate and range."""
        return Walk(0.1, 0.5, 4.0, self.lengths, evenly(self.steps, self.looks))


def _points(settings: Settings, seed: int) -> Rows:
    rate = settings.walk.learning_rate
    return [
        {"network": network, "seed": seed + k, "learning_rate": rate, "step": step}
        for network in (NORMED, PLAIN)
        for k in range(settings.runs)
        for step in settings.walk.at
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One run."""
    data, seed = settings.images.read(), int(number(group[0], "seed"))
    model = vgg11(
        settings.channels,
        data.outputs,
        seed,
        batch_norm=group[0]["network"] == NORMED,
        colours=data.input_shape[0],
    )
    batches = endless_batches(data, settings.batch_size, seed)
    return list(looks(model, batches, settings.walk, F.cross_entropy))


STUDY = Study(
    name="santurkar-landscape",
    title="Is the loss smoother along the gradient with batch norm?",
    citation="Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization?, Fig. 4",
    link="https://arxiv.org/abs/1805.11604",
    claim=(
        "While a VGG trains on CIFAR-10, batch norm makes the loss vary less along the gradient, the gradient "
        "predict better what lies ahead, and the effective smoothness smaller, at every step of training."
    ),
    background=(
        "A gradient says how the loss falls for a step that is infinitely short. For real steps it is a good guide "
        "if the loss is smooth: if it goes on falling along the gradient, and if the gradient further on is much the "
        "same. The paper argues that this, and not less shift of the distributions of activations, is what batch "
        "norm is good for. It follows the gradient from each step of training and records the range of the loss, the "
        "change of the gradient, and that change per length, which it calls effective smoothness."
    ),
    setting=(
        "VGG11 (eight convolutions, one dense layer) for images of 32×32, each convolution followed by batch norm or "
        "by nothing, at the same initial weights (normal, variance 2 over the inputs of a unit); cross-entropy, "
        "batches of 128 (size smoke: 32), gradient steps at learning rate 0.1 without momentum. At some steps losses "
        "and gradients of the step's batch are taken along the gradient, at lengths from half to four learning "
        "rates, each network in training mode."
    ),
    differences=(
        "The paper looks along the gradient at every step of a whole training of a VGG that it does not number; "
        "here, at size small, the network has an eighth of the channels and is looked at in the first steps only. "
        "Initial weights, and that there is no momentum, are our choice.",
        "VGG11 was chosen because it learns without batch norm, too, in the steps that there is time for. VGG16 was "
        "tried first: without batch norm it had hardly begun to learn after 200 steps (loss 2.1, guessing 2.3), its "
        "gradients were small, and all three numbers were smaller without batch norm.",
        "The paper judges by its figure; the criteria are ours. Medians over the steps that were looked at are "
        "compared, pair of runs by pair of runs. All three numbers grow with the gradient, which is small where a "
        "network does not learn; beside them, therefore, the change of the gradient in multiples of its norm.",
        "The line at 2/η in the last figure is not the paper's: it is the curvature at which gradient steps along "
        "an eigenvector neither grow nor shrink, and to which training rises by itself (“edge of stability”).",
        "A run counts as 1e30 in each number from where it diverged on. Size smoke only shows that all of it runs.",
    ),
    sizes={
        "smoke": Size(
            "digits enlarged to 32×32, 2 channels in the first layer, 6 steps, looked at 4 times, 2 pairs of runs",
            "5 s on one core",
            Settings(Images("digits", 256, 64), 2, steps=6, looks=4, lengths=3, runs=2, batch_size=32),
        ),
        "small": Size(
            "8,192 images of CIFAR-10, 8 channels in the first layer, 400 steps, looked at 21 times, 2 pairs of runs",
            "3 minutes on one core",
            Settings(Images("cifar10", 8192, 512), 8, steps=400, looks=21, lengths=8, runs=2),
        ),
        "paper": Size(
            "all of CIFAR-10, 64 channels in the first layer, 15,000 steps, looked at 501 times, 5 pairs of runs",
            "an hour or two on a GPU; not yet run by us",
            Settings(Images("cifar10", 50_000, 10_000), 64, steps=15_000, looks=501, lengths=8, runs=5),
        ),
    },
    points=_points,
    groups=sharing("network", "seed"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
