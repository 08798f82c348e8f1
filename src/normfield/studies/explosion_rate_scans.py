"""Yang et al. on taming the explosion: its rate over ε, γ, β and batch size, and growth with skip connections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.studies.curves import number
from normfield.studies.deep_networks import (
    Estimate,
    growth_by_network,
    plain_chain,
    residual_chain,
    seeds,
    squared_gradients,
    stationary,
)
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.scan_checks import verdict
from normfield.studies.scan_figures import draw, tabulate
from normfield.studies.scan_rows import BATCH_SIZE, BETA, EPS, GAMMA, SIZES, SKIP
from normfield.theory import DepthLimits, depth_limits


@dataclass(frozen=True)
class Scan:
    """One quantity varied, for some activations, everything else at γ = 1, β = 0, ε = 0 and one batch size."""

    name: str
    activations: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Settings:
    """Which scans, on which networks, and how many of each."""

    scans: tuple[Scan, ...]
    width: int
    layers: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"scan": scan.name, "activation": activation, "value": value, "seed": seed}
        for scan in settings.scans
        for activation in scan.activations
        for value in scan.values
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """Rate and growth of some networks, and by theory; of a residual network its exponent stands for the rate."""
    scan, activation, value = str(point["scan"]), str(point["activation"]), number(point, "value")
    own = seeds(int(number(point, "seed")), f"{scan} {activation} {value:g}", settings.networks)
    if scan == SKIP:
        return _measured_skip(activation, int(value), settings.width, own)
    return _measured_plain(scan, activation, value, settings, own)


def _measured_plain(scan: str, activation: str, value: float, settings: Settings, own: list[int]) -> Row:
    batch_size = int(value) if scan == SIZES else BATCH_SIZE
    varied = {} if scan == SIZES else {scan: value}
    network = plain_chain(activation, settings.layers, settings.width, **varied)
    gradients = np.array([squared_gradients(network, batch_size, seed) for seed in own])
    limits = depth_limits(activation, batch_size, **varied, weight_variance=1.0)
    inner = gradients[:, stationary(settings.layers)]
    grown = limits.gradient_growth(inner.shape[1] - 1)
    return _row(limits, growth_by_network(gradients), inner, grown)


def _measured_skip(activation: str, blocks: int, width: int, own: list[int]) -> Row:
    """Each block multiplies the squared gradient by 1 + λ_G/(l + 1/μ*): the stream's variance is 1 + lμ* there."""
    network = residual_chain(activation, blocks, width)
    gradients = np.array([squared_gradients(network, BATCH_SIZE, seed) for seed in own])
    limits = depth_limits(activation, BATCH_SIZE, weight_variance=1.0)
    per_exponent = 1 / (np.arange(blocks) + 1 / limits.fixed_point.spread)
    exponents = (gradients[:, :-1] / gradients[:, 1:] - 1).sum(axis=1) / per_exponent.sum()
    grown = float(np.prod(1 + limits.residual_exponent * per_exponent))
    return _row(limits, exponents, gradients, grown)


def _row(limits: DepthLimits, rates: np.ndarray, gradients: np.ndarray, grown: float) -> Row:
    rate, logarithm = Estimate.of(rates), Estimate.of(np.log(gradients[:, 0] / gradients[:, -1]))
    return {
        "theory": float(limits.explosion_rate),
        "simulated": rate.value,
        "error": rate.error,
        "theory_grown": float(grown),
        "simulated_grown": float(np.exp(logarithm.value)),
        "grown_error": logarithm.error,
        "norm_rate": float(limits.norm_rate),
        "transition": float(limits.transition.symmetric),
        "outlier_transition": float(limits.transition.outlier),
        "regime": str(limits.regime),
        "networks": len(rates),
    }


_ALL = ("relu", "gelu", "tanh")
_SMALL = (
    Scan(EPS, _ALL, (0.001, 0.003, 0.01, 0.03, 0.06, 0.1, 0.18, 0.24, 0.33, 0.6, 0.75, 1.4, 2.0, 3.0)),
    Scan(GAMMA, _ALL, (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)),
    Scan(BETA, _ALL, (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)),
    Scan(SIZES, _ALL, (6, 8, 12, 16, 24, 32, 64, 128, 256)),
    Scan(SKIP, ("relu", "tanh"), (4, 8, 16, 32, 64)),
)

STUDY = Study(
    name="explosion-rate-scans",
    title="What tames exploding gradients?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, Fig. 4 and residual networks",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "The gradient explosion that batch norm causes cannot be eliminated without skip connections, but it is "
        "reduced by tuning the network close to its linear regime, by a small γ with tanh or a large β with ReLU, and "
        "with skip connections gradients grow only like a power of the depth."
    ),
    background=(
        "In a deep network with batch norm the squared gradient grows by a factor λ_G at each layer going backwards; "
        "networks deeper than about 16ξ, ξ = 1/ln λ_G, do not train. A network of linear layers with batch norm has "
        "the smallest rate, (B − 2)/(B − 3). An activation acts almost linearly where its inputs reach only a straight "
        "part of it: close to 0 for tanh (small γ), far above 0 for ReLU (large β). ε, the number that batch norm "
        "adds to the variance, damps the explosion too, but from ε_c on it is the variance that is small beside "
        "it, and what distinguishes samples dies out."
    ),
    setting=(
        "Networks h ← φ(γ BN(Wh) + β) at initialisation, as PyTorch modules, weights of variance 1/N, batch size "
        f"{BATCH_SIZE} where it is not varied, γ = 1, β = 0 and ε = 1e-8 (theory: 0) where they are not; blocks "
        "x + Wφ(BN(x)) with skip connections. A layer's rate is the ratio of its squared gradient to the next layer's, "
        "averaged over the stationary layers (the first quarter and the last two left out) and networks. A block's "
        "ratio is "
        "1 + λ_G/(l + 1/μ*) by theory; the simulated exponent stands for λ_G there."
    ),
    differences=(
        "The paper's Fig. 4 shows how well networks trained over depth and γ, β or ε. Here nothing is trained: the "
        "gradients themselves are measured, and 16ξ is the paper's rule for the depth that follows.",
        "Between the two transitions of ReLU, ε_c for like samples and a larger one for a batch with an outlier, "
        "theory gives no single rate; the points there show what random batches do.",
        "The theory's fixed point treats all samples of a batch alike. Where λ_L > 1 it is unstable, such as with tanh "
        "at β ≥ 1.5: some samples' norms then grow at the others' expense, and the rate is another one. Such points "
        "are drawn, the theory dashed, and judged apart.",
    ),
    sizes={
        "smoke": Size(
            "ReLU and tanh, 2 values of each, width 200, 16 layers, 8 networks each",
            "10 s on one core",
            Settings(
                (
                    Scan(EPS, ("relu", "tanh"), (0.03, 2.0)),
                    Scan(GAMMA, ("relu", "tanh"), (0.1, 1.0)),
                    Scan(BETA, ("relu", "tanh"), (0.0, 2.0)),
                    Scan(SIZES, ("relu", "tanh"), (12, 32)),
                    Scan(SKIP, ("relu", "tanh"), (8, 16)),
                ),
                width=200,
                layers=16,
                networks=8,
            ),
        ),
        "small": Size(
            "ReLU, GELU and tanh, 9 to 14 values of each, width 500, 24 layers, 6 networks each",
            "about 5 minutes on 2 free cores",
            Settings(_SMALL, width=500, layers=24, networks=6),
        ),
        "paper": Size(
            "the same at width 1000, 40 layers, 50 networks each",
            "hours on 2 free cores; not yet run by us",
            Settings(_SMALL, width=1000, layers=40, networks=50),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
