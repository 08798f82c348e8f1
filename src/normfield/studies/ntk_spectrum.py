"""The tangent kernel's spectrum with and without batch norm, and what a network of coordinates learns of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.network import Network, mlp
from normfield.studies.coordinates.by_kernel import residuals
from normfield.studies.coordinates.by_training import Fit, best_rate, fitted
from normfield.studies.coordinates.checks import verdict
from normfield.studies.coordinates.figures import draw, tabulate
from normfield.studies.coordinates.images import BANDS, encoded, energy_by_band, in_decibels, test_image
from normfield.studies.coordinates.pictures import as_text
from normfield.studies.coordinates.table import NORMED, PLAIN, RANKS
from normfield.studies.curves import number
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.theory.kernels.batch import batch_kernel
from normfield.theory.kernels.batch_result import BatchKernel, on_host

MOMENTUM = 0.9
#: Learning rates that are tried, as multiples of the largest stable one by the kernel.
RATES = (0.25, 0.5, 0.9)


@dataclass(frozen=True)
class Settings:
    """The image's side, the network, how coordinates are given, and how long how many networks train."""

    side: int
    width: int
    frequencies: tuple[int, ...]
    steps: tuple[int, ...]
    networks: int
    depth: int = 4


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"network": kind, "frequencies": frequencies, "seed": seed}
        for kind in (PLAIN, NORMED)
        for frequencies in settings.frequencies
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """The kernel's spectrum, and the image as it was fitted and as the kernel expects it to be."""
    inputs = encoded(settings.side, int(number(point, "frequencies")))
    network = mlp(inputs.shape[1], settings.width, settings.depth, 1, batch_norm=point["network"] == NORMED)
    kernel = batch_kernel(network, inputs)
    image = test_image(settings.side).ravel()
    target = image - image.mean()
    multiple, fits = _trained(settings, network, kernel, inputs, target, int(number(point, "seed")))
    rate = multiple * kernel.max_learning_rate(MOMENTUM)
    expected = residuals(on_host(kernel.ntk), target, rate, MOMENTUM, settings.steps)
    trained = np.stack([fit.mean_squares for fit in fits])
    return {
        **_spectrum(kernel),
        "rate_of_limit": multiple,
        "learning_rate": rate,
        **_by_step("trained", settings, in_decibels(trained).mean(axis=0)),
        **_by_step("kernel", settings, in_decibels(np.mean(expected**2, axis=1))),
        "trained_spread": float(in_decibels(trained[:, -1]).std(ddof=1)),
        **_by_band("trained", target, [fit.left for fit in fits]),
        **_by_band("kernel", target, [expected[-1]]),
        "picture": as_text(image - fits[0].left),
    }


def _trained(
    settings: Settings,
    network: Network,
    kernel: BatchKernel,
    inputs: np.ndarray,
    target: np.ndarray,
    seed: int,
) -> tuple[float, list[Fit]]:
    """The best of the learning rates by the first network, and all networks trained at it."""

    def fit(multiple: float, one_seed: int) -> Fit:
        rate = multiple * kernel.max_learning_rate(MOMENTUM)
        return fitted(network, inputs, target, rate, MOMENTUM, settings.steps, one_seed)

    tried = [fit(multiple, seed) for multiple in RATES]
    best = best_rate(RATES, tried)
    return RATES[best], [tried[best], *(fit(RATES[best], seed + k) for k in range(1, settings.networks))]


def _spectrum(kernel: BatchKernel) -> dict[str, float]:
    """Of Θ/B: mean, variance, largest and its share of the trace, the eigenvalues at some ranks, and their errors."""
    values = kernel.eigenvalues
    found = {f"eigenvalue_{rank}": float(values[rank - 1]) for rank in RANKS if rank <= len(values)}
    return {
        **kernel.spectrum,
        "median": float(np.median(values)),
        "least": float(values[-1]),
        **found,
        "kernel_error": kernel.error,
    }


def _by_step(name: str, settings: Settings, decibels: np.ndarray) -> dict[str, float]:
    return {f"{name}_psnr_{step}": float(value) for step, value in zip(settings.steps, decibels, strict=True)}


def _by_band(name: str, target: np.ndarray, left: list[np.ndarray]) -> dict[str, float]:
    """What is left of the target at the end in each band of frequency, as a share of what it holds there."""
    shares = np.mean([energy_by_band(one) for one in left], axis=0) / energy_by_band(target)
    return {f"{name}_left_{band}": float(share) for band, share in zip(BANDS, shares, strict=True)}


STUDY = Study(
    name="ntk-spectrum",
    title="Does batch norm let a network of coordinates learn fine detail?",
    citation="Cai, Zhu, Shen, Wang, Cao 2024, Towards the Spectral Bias Alleviation by Normalizations",
    link="https://arxiv.org/abs/2407.17834",
    claim=(
        "Batch norm greatly reduces the maximum and the variance of the eigenvalues of a coordinate network's neural "
        "tangent kernel while it slightly modifies their mean, which shifts them towards the largest, so that the "
        "network learns high frequencies that it would otherwise miss."
    ),
    background=(
        "A coordinate network takes the place of a pixel and gives its brightness: it is the image. Gradient descent "
        "learns each eigenvector of its neural tangent kernel at a speed in proportion to the eigenvalue, and the "
        "largest eigenvalue limits the learning rate. Fine detail lies along small eigenvalues and is learned last, if "
        "at all: spectral bias. What matters is therefore how small the others are beside the largest. Fits are judged "
        "by the peak signal-to-noise ratio, PSNR: 10 dB more is a tenth of the mean squared difference."
    ),
    setting=(
        "ReLU networks of four affine layers, σ_w² = 2, σ_b² = 0.5, γ = 1, β = 0, ε = 1e-5; a test image made of "
        "rings, a disc and a square, its mean taken off, all pixels as one batch; given are the two coordinates, or "
        "the sines and cosines of 2^k π times each (Fourier features). Full-batch gradient descent with momentum 0.9 "
        "on the squared loss, the initial output taken off; each network at the best of 0.25, 0.5 and 0.9 times its "
        "own largest stable learning rate. Spectra are of the infinitely wide network, exact; its prediction of "
        "training has no free parameter."
    ),
    differences=(
        "The paper fits larger images with Adam and measures kernels of finite networks. Here gradient descent is "
        "plain, for its steps are what the kernel predicts, and the kernel is exact at infinite width.",
        "The kernel is of infinite width and stays as it is while networks train: real ones fall behind it where small "
        "eigenvalues are learned, as the figures and the checks show.",
        "Two coordinates span two directions only: at ε = 0 the first batch norm's gradient would then have no finite "
        "second moment, and the kernel none either. ε > 0 is part of the network here, not a detail.",
        "“Greatly” and “slightly” are read as factors, named with each criterion.",
    ),
    sizes={
        "smoke": Size(
            "16×16 pixels, width 64, coordinates alone, 100 steps, 2 networks",
            "5 s on one core",
            Settings(16, 64, (0,), (1, 3, 10, 30, 100), networks=2),
        ),
        "small": Size(
            "32×32 pixels, width 256, coordinates alone and 5 Fourier frequencies, 300 steps, 3 networks",
            "about 3 minutes on one free core",
            Settings(32, 256, (0, 5), (1, 2, 5, 10, 20, 50, 100, 200, 300), networks=3),
        ),
        "paper": Size(
            "48×48 pixels, width 1000, coordinates alone, 1 and 5 Fourier frequencies, 1000 steps, 5 networks",
            "many hours; not yet run by us",
            Settings(48, 1000, (0, 1, 5), (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000), networks=5),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
