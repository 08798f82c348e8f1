"""The encyclopedia's networks beyond 100 layers: they train with batch norm and skip connections together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from normfield.data import DataSet
from normfield.nets import build
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.network_kinds import KINDS, deep_network, kind_named
from normfield.studies.permuted_images import permuted
from normfield.studies.residual_depth.checks import HALF, verdict
from normfield.studies.residual_depth.figures import draw, tabulate
from normfield.theory import depth_limits
from normfield.train.run import train_once

EPS = 1e-5
MOMENTUM = 0.9


@dataclass(frozen=True)
class Settings:
    """Which networks, trained on which images at which learning rates, for how long, and how many of each."""

    data: str
    samples: int
    tests: int
    depths: tuple[int, ...]
    rates: tuple[float, ...]
    width: int
    epochs: int
    runs: int
    batch_size: int = 128


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"kind": kind.name, "depth": depth, "learning_rate": rate, "seed": seed + k}
        for kind in KINDS
        for depth in settings.depths
        for rate in settings.rates
        for k in range(settings.runs)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """The runs of one network at all learning rates, and the rate at which batch norm alone makes gradients explode."""
    data = permuted(settings.data, settings.samples, settings.tests)
    theory = float(depth_limits("relu", settings.batch_size, eps=EPS).explosion_rate)
    return [{"theory_rate": theory, **_trained(settings, data, point)} for point in group]


def _trained(settings: Settings, data: DataSet, point: Row) -> Row:
    """How a run ended; one that diverged gets right what guessing does."""
    depth, seed = int(number(point, "depth")), int(number(point, "seed"))
    network = deep_network(
        kind_named(point["kind"]),
        "relu",
        data.input_shape[0],
        settings.width,
        depth,
        weight_variance=2.0,
        eps=EPS,
    )
    run = train_once(
        build(network, seed).to("cuda" if torch.cuda.is_available() else "cpu"),
        data,
        learning_rate=number(point, "learning_rate"),
        momentum=MOMENTUM,
        loss="cross_entropy",
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=seed,
    )
    guessing = 1 / data.outputs
    accuracy = guessing if run.test_accuracy is None else run.test_accuracy
    return {"diverged": int(run.status == "diverged"), "trained_accuracy": accuracy}


STUDY = Study(
    name="article-residual-depth",
    title="Does a network of more than 100 layers train?",
    citation="Encyclopedia article Batch normalization, Gradient flow stabilization, after Analysis on gradient "
    "propagation in batch normalized residual networks, 2018",
    link="https://arxiv.org/abs/1812.00342",
    claim=(
        "Batch norm and skip connections together, and neither of them alone, let networks of more than 100 layers "
        "train stably."
    ),
    background=(
        "Skip connections let gradients by, but what the blocks add doubles the signal at each block, until outputs "
        "and gradients are astronomically large. Batch norm keeps the signal in bounds, but its gradients grow by a "
        "factor at each layer. Together each mends the other's failing: branches stay of one size, so that the signal "
        "grows like the depth and the gradient like a power of it (the studies de-branch-variance and "
        "article-deep-gradients show both at initialisation)."
    ),
    setting=(
        "Fully connected networks as PyTorch modules: ReLU(Wh), ReLU(BN(Wh)), x + Wφ(x), x + Wφ(BN(x)) with φ = ReLU; "
        "normal weights with σ_w² = 2 over the inputs of a unit (He's), biases 0, γ = 1, β = 0, ε = 1e-5. Trained on "
        "images whose pixels stand in one random order, cross-entropy, gradient steps with momentum 0.9, batches of "
        "128 (smoke: 64); accuracy over test images in batches as in training. Of each network the best of the "
        "learning rates counts."
    ),
    differences=(
        "The article means convolutional residual networks of He et al.; the study bjorck-learning-rates trains those, "
        "with and without batch norm, at 38 layers here and 110 at its size paper.",
        "The article gives no numbers. “Train” is read as 80 % of the test images right and at most 5 points below the "
        "shallowest network, “together” as 20 points ahead of either alone.",
        f"Beside it, batch norm alone is held against theory's depth limit 16ξ, with {HALF:g} % right as what counts "
        "as trained.",
    ),
    sizes={
        "smoke": Size(
            "digits, width 32, 6, 60 and 104 layers, 2 learning rates, 1 run of 1 pass",
            "8 s on one core",
            Settings("digits", 1408, 320, (6, 60, 104), (0.02, 0.1), 32, epochs=1, runs=1, batch_size=64),
        ),
        "small": Size(
            "MNIST, width 100, 10, 20, 40, 80 and 160 layers, 3 learning rates, 1 run of 3 passes over 4,096 images",
            "1.5 minutes on one core",
            Settings("mnist", 4096, 1024, (10, 20, 40, 80, 160), (0.001, 0.01, 0.1), 100, epochs=3, runs=1),
        ),
        "paper": Size(
            "MNIST, width 500, 10 to 160 layers, 5 learning rates, 3 runs of 10 passes over all images",
            "days on one GPU; not yet run by us",
            Settings(
                "mnist",
                60000,
                10000,
                (10, 20, 40, 80, 120, 160),
                (0.001, 0.003, 0.01, 0.03, 0.1),
                500,
                epochs=10,
                runs=3,
            ),
        ),
    },
    points=_points,
    groups=sharing("kind", "depth"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
