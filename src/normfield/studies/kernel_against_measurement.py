"""The exact kernel of a batch beside the measured λ_max of real networks, over γ, depth, width and data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from normfield.data import load
from normfield.measure import curvature
from normfield.nets import build
from normfield.network import Network, mlp
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.kernel_agreement.checks import verdict
from normfield.studies.kernel_agreement.figures import draw, tabulate
from normfield.theory import mean_field
from normfield.theory.kernels.batch import batch_kernel

OUTPUTS = 10

FEATURES = 64


@dataclass(frozen=True)
class Settings:
    """Which data, depths and γ at the full width; one of them at further widths; the hard cases; how many networks."""

    data: tuple[str, ...]
    depths: tuple[int, ...]
    gammas: tuple[float, ...]
    width: int
    widths: tuple[int, ...]
    hard: tuple[str, ...]
    samples: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    """At the full width first, then one network made narrower, then the hard cases."""
    full = [
        (d, L, g, settings.width) for d in settings.data for L in settings.depths for g in settings.gammas
    ]
    deepest = settings.depths[-1]
    narrower = [(settings.data[0], deepest, 1.0, width) for width in settings.widths]
    hard = [(d, settings.depths[0], g, settings.width) for d in settings.hard for g in settings.gammas]
    return [
        {"data": data, "depth": depth, "gamma": gamma, "width": width, "seed": seed}
        for data, depth, gamma, width in full + narrower + hard
    ]


def inputs_of(data: str, samples: int, seed: int) -> Tensor:
    """The batch in float64, (samples, features), scaled so that the mean of ‖x‖² is the number of features."""
    if data == "normal":
        drawn = torch.randn(samples, FEATURES, generator=torch.Generator().manual_seed(seed))
        given = (drawn - drawn.mean()).double()
    else:
        name, by_pixel, _ = data.partition(", by pixel")
        given = load(name, samples, "pixel" if by_pixel else "global").flattened().inputs
    assert isinstance(given, Tensor)
    given = given.double()
    return given * (given.shape[1] / given.square().sum(1).mean()).sqrt()


def _network(point: Row, features: int) -> Network:
    return mlp(
        features,
        int(number(point, "width")),
        int(number(point, "depth")),
        OUTPUTS,
        gamma=number(point, "gamma"),
    )


def _measure(settings: Settings, point: Row) -> Row:
    """Several networks on one batch, and what the kernel of that batch and mean-field theory say of them."""
    seed = int(number(point, "seed"))
    inputs = inputs_of(str(point["data"]), settings.samples, seed)
    network = _network(point, inputs.shape[1])
    kernel = batch_kernel(network, inputs.numpy())
    theory = {
        "published": mean_field(network, "published").largest_eigenvalue,
        "frozen": mean_field(network, "frozen", samples=settings.samples).largest_eigenvalue,
        "batch": mean_field(network, "batch", samples=settings.samples).largest_eigenvalue,
    }
    measured = _measured(network, inputs.float(), [seed + k for k in range(settings.networks)])
    return {"kernel": kernel.largest_eigenvalue, "kernel_error": kernel.error, **theory, **measured}


def _measured(network: Network, inputs: Tensor, seeds: list[int]) -> Row:
    """Mean and spread over networks of the mean of the ten top eigenvalues, and of the largest."""
    batch = (inputs, torch.zeros(len(inputs), OUTPUTS))
    found = [curvature(build(network, seed), batch, top=OUTPUTS, tolerance=3e-3, seed=seed) for seed in seeds]
    mean = np.array([one.cluster_mean for one in found])
    largest = np.array([one.largest_eigenvalue for one in found])
    return {
        "measured_mean": float(mean.mean()),
        "mean_spread": float(mean.std(ddof=1)),
        "measured_largest": float(largest.mean()),
        "largest_spread": float(largest.std(ddof=1)),
        "measurement_error": max(one.error for one in found),
        "networks": len(found),
    }


_ALL = ("normal", "digits", "mnist")

STUDY = Study(
    name="kernel-against-measurement",
    title="Does the kernel of a batch predict the network that trains?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, section 3, taken to one batch's tangent kernel",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "A wide network with batch norm behaves at initialisation as its infinitely wide counterpart, in which "
        "every batch norm acts on a Gaussian vector over the whole batch, so that kernels computed for the very "
        "batch predict how it trains."
    ),
    background=(
        "λ_max says how steep the loss is in its steepest direction; gradient descent with momentum μ is stable up to "
        "the learning rate 2(1 + μ)/λ_max. Mean-field theory gives λ_max from a handful of averages and assumes that "
        "samples are independent. The kernel knows the samples: it follows two matrices over the batch, the covariance "
        "of activations and the neural tangent kernel, through every layer, with the batch's own mean and variance and "
        "the gradient through them. Divided by the batch size, the top eigenvalue of the tangent kernel is λ_max, once "
        "for each output."
    ),
    setting=(
        "ReLU networks with batch norm as PyTorch modules in training mode at initialisation, σ_w² = 2, σ_b² = 0.5, β "
        "= 0, ε = 1e-5, ten outputs, squared loss; the whole data set is one batch. Data have one mean and one "
        "standard deviation and are scaled so that the mean of ‖x‖² is the number of inputs; i.i.d. normal inputs have "
        "64 features. Measured are the ten top eigenvalues of the Fisher matrix, by Lanczos iteration. The kernel is "
        "exact, to 1e-8."
    ),
    differences=(
        "The paper follows the covariance; the tangent kernel of a batch with γ, β, ε and biases, its exact integrals "
        "and the criteria here are ours. Nothing was trained for this page.",
        "At infinite width the ten top eigenvalues are equal, one for each output. A finite width spreads them: the "
        "kernel is compared with their mean, and with the largest by a wider criterion.",
        "The hard case, each pixel standardised by itself, is reported as it comes and does not count.",
    ),
    sizes={
        "smoke": Size(
            "digits at depth 3, width 300 and narrower; 100 samples, 2 values of γ, 3 networks",
            "10 s on one core",
            Settings(
                ("digits",), (3,), (0.3, 1.0), 300, (40, 110), ("digits, by pixel",), samples=100, networks=3
            ),
        ),
        "small": Size(
            "i.i.d. normal inputs, digits and MNIST, depth 4 and 8, width 1000, and 125 to 500 beside it; 400 samples, "
            "3 values of γ, 8 networks each",
            "about 20 minutes on one free core; needs MNIST",
            Settings(
                _ALL,
                (4, 8),
                (0.1, 1.0, 3.0),
                1000,
                (125, 250, 500),
                ("mnist, by pixel",),
                samples=400,
                networks=8,
            ),
        ),
        "paper": Size(
            "the same with digits by pixel, widths 64 to 2000; 1000 samples, 7 values of γ, 20 networks each",
            "many hours; not yet run by us",
            Settings(
                _ALL,
                (4, 8),
                (0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0),
                2000,
                (64, 125, 250, 500, 1000),
                ("mnist, by pixel", "digits, by pixel"),
                samples=1000,
                networks=20,
            ),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
