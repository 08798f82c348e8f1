"""Santurkar et al., sec. 3.1 and appendix: the landscape along the gradient of a linear network of 25 layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normfield.data.random_state import seeded_random_state
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.halted_training import Batch, evenly
from normfield.studies.landscapes.checks import verdict
from normfield.studies.landscapes.figures import draw, tabulate
from normfield.studies.landscapes.measuring import Walk, looks
from normfield.studies.landscapes.table import NORMED, PLAIN

#: Layers, their units, and the samples of the one batch.
DEPTH, WIDTH, SAMPLES = 25, 10, 100


@dataclass(frozen=True)
class Settings:
    """How long the networks train, how often they are looked at, and how many pairs of them there are."""

    steps: int
    looks: int
    lengths: int
    runs: int

    @property
    def walk(self) -> Walk:
        """The paper's learning rate and range."""
        return Walk(1e-6, 0.01, 30.0, self.lengths, evenly(self.steps, self.looks))


def squared_distance(outputs: Tensor, targets: Tensor) -> Tensor:
    """‖W₂₅ … W₁x − Ax‖², summed over samples and outputs."""
    return (outputs - targets).square().sum()


def linear_network(seed: int, *, batch_norm: bool, depth: int = DEPTH) -> nn.Module:
    """Weight matrices with independent normal entries of variance 1/10; batch norm after each but the last, or not."""
    layers: list[nn.Module] = []
    with seeded_random_state(seed):
        for layer in range(depth):
            made = nn.Linear(WIDTH, WIDTH, bias=False, dtype=torch.float64)
            nn.init.normal_(made.weight, std=WIDTH**-0.5)
            layers.append(made)
            if batch_norm and layer < depth - 1:
                layers.append(nn.BatchNorm1d(WIDTH, dtype=torch.float64))
    return nn.Sequential(*layers)


def regression(seed: int) -> Batch:
    """Normal inputs x (samples, 10), and Ax with a matrix A of normal entries."""
    generator = torch.Generator().manual_seed(2**32 + seed)
    matrix = torch.randn(WIDTH, WIDTH, generator=generator, dtype=torch.float64)
    inputs = torch.randn(SAMPLES, WIDTH, generator=generator, dtype=torch.float64)
    return inputs, inputs @ matrix.T


def _points(settings: Settings, seed: int) -> Rows:
    rate = settings.walk.learning_rate
    return [
        {"network": network, "seed": seed + k, "learning_rate": rate, "step": step}
        for network in (NORMED, PLAIN)
        for k in range(settings.runs)
        for step in settings.walk.at
    ]


def _measure(settings: Settings, group: Rows) -> Sequence[Row]:
    """One run, the whole batch in each step."""
    seed = int(number(group[0], "seed"))
    model = linear_network(seed, batch_norm=group[0]["network"] == NORMED)
    return list(looks(model, _forever(regression(seed)), settings.walk, squared_distance))


def _forever(batch: Batch) -> Iterator[Batch]:
    while True:
        yield batch


STUDY = Study(
    name="santurkar-linear-network",
    title="Does batch norm smooth the loss of a network that is only a product of matrices?",
    citation="Santurkar, Tsipras, Ilyas, Madry 2018, How Does Batch Normalization Help Optimization?, deep linear "
    "network",
    link="https://arxiv.org/abs/1805.11604",
    claim=(
        "In a linear network of 25 layers, too, batch norm makes the loss vary less along the gradient, the gradient "
        "predict better what lies ahead, and the effective smoothness smaller."
    ),
    background=(
        "A linear network computes one matrix, as a product of 25, and learns another one. Without the "
        "nonlinearities that make networks useful it shows what depth does to optimisation. Its loss is a polynomial "
        "of degree 50 in the weights, so that a step of moderate length can end where the loss is larger by orders "
        "of magnitude. The question is whether batch norm tames that, independently of images and activations."
    ),
    setting=(
        f"The loss ‖W₂₅ … W₁x − Ax‖² over {SAMPLES} normal inputs x of {WIDTH} entries, summed, with a "
        f"{WIDTH}×{WIDTH} matrix A of normal entries, in float64; gradient steps of the whole batch at learning rate "
        "1e-6, without momentum. At some steps losses and gradients are taken along the gradient, at lengths from "
        "1/100 to 30 learning rates. With batch norm each layer but the last is followed by one; weights begin the "
        "same, normal of variance 1/10."
    ),
    differences=(
        "The paper gives depth, loss, A, learning rate and range of the lengths. That the loss is summed and not "
        "averaged over samples, how many there are, and the initial weights are our choice: at 1e-6 an average "
        "would hardly move.",
        "The paper judges by its figures; the criteria are ours. Medians over the steps that were looked at are "
        "compared, pair of runs by pair of runs. What is above 1e30, and all of a run from where it diverged on, "
        "counts as 1e30.",
        "The line at 2/η in the last figure is not the paper's: it is the curvature at which gradient steps along "
        "an eigenvector neither grow nor shrink, and to which training rises by itself (“edge of stability”).",
        "Size smoke only shows that all of it runs: training has hardly begun after 200 steps.",
    ),
    sizes={
        "smoke": Size(
            "200 steps, looked at 5 times, 2 pairs of runs", "4 s on one core", Settings(200, 5, 6, 2)
        ),
        "small": Size(
            "2,000 steps, looked at 51 times, 5 pairs of runs",
            "1 minute on one core",
            Settings(2_000, 51, 12, 5),
        ),
        "paper": Size(
            "20,000 steps, looked at 401 times, 10 pairs of runs",
            "half an hour on one core; not yet run by us",
            Settings(20_000, 401, 24, 10),
        ),
    },
    points=_points,
    groups=sharing("network", "seed"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
