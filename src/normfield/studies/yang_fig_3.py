"""Yang et al., Fig. 3: the explosion of gradients at the start is gone after one step, and the weights carry it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from normfield.data import DataSet, load
from normfield.measure.signals import first_steps
from normfield.nets import build
from normfield.studies.curves import number
from normfield.studies.deep_networks import seeds
from normfield.studies.first_ten_steps.checks import verdict
from normfield.studies.first_ten_steps.figures import draw, tabulate
from normfield.studies.first_ten_steps.table import GRADIENT, WEIGHT, WEIGHT_GRADIENT
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import sharing
from normfield.studies.network_kinds import NORMED, deep_network
from normfield.theory import depth_limits

STEPS = 10
EPS = 1e-5


@dataclass(frozen=True)
class Settings:
    """Which networks on which data, at which learning rates, and how many of each."""

    data: str
    depths: tuple[int, ...]
    rates: tuple[float, ...]
    width: int
    batch_size: int
    networks: int


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"depth": depth, "learning_rate": rate, "step": step, "layer": layer, "seed": seed}
        for depth in settings.depths
        for rate in settings.rates
        for step in range(STEPS + 1)
        for layer in range(2, depth)
    ]


def _measure(settings: Settings, group: Rows) -> list[Row]:
    """All steps and inner layers of the networks of one depth at one learning rate; geometric means over networks."""
    depth, rate = int(number(group[0], "depth")), number(group[0], "learning_rate")
    data = load(settings.data, settings.batch_size * STEPS, quiet=True).flattened()
    own = seeds(int(number(group[0], "seed")), f"{depth} layers", settings.networks)
    logs = np.mean([np.log(_norms(settings, data, depth, rate, one)) for one in own], axis=0)
    theory = float(depth_limits("relu", settings.batch_size).explosion_rate)
    return [
        {**dict(zip((WEIGHT, GRADIENT, WEIGHT_GRADIENT), layer, strict=True)), "theory_rate": theory}
        for layer in np.exp(logs).reshape(-1, 3).tolist()
    ]


def _norms(settings: Settings, data: DataSet, depth: int, rate: float, seed: int) -> np.ndarray:
    """‖W‖, ‖∂ℓ/∂z‖ and ‖∂ℓ/∂W‖ (steps, inner layers, 3) of one network, each step on a batch of its own."""
    network = deep_network(
        NORMED, "relu", data.input_shape[0], settings.width, depth, weight_variance=2.0, eps=EPS
    )
    batches = list(data.batches(settings.batch_size, seed))
    found = first_steps(
        build(network, seed), batches, "cross_entropy", learning_rate=rate, steps=STEPS, seed=seed
    )
    return np.array(
        [
            [(one.weight, one.gradient, one.weight_gradient) for one in after.layers[1:-1]]
            for after in found.signals
        ]
    )


STUDY = Study(
    name="yang-fig-3",
    title="Is the explosion of gradients gone after one step?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, Fig. 3",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "In deep ReLU networks with batch norm gradients explode at initialisation, but after a single step of "
        "optimisation the networks come to a relatively stable equilibrium, in which gradients span a dramatically "
        "smaller range over the layers and the norms of the weights carry the growth instead."
    ),
    background=(
        "With batch norm the squared gradient grows by a factor λ_G at each layer going backwards, so that the first "
        "layers' first step is far too large. But what batch norm is given may have any scale: the outputs do not "
        "change when a layer's weights grow, and their gradient shrinks as they do, ∇_W ∝ 1/‖W‖. A step that is too "
        "large makes the weights large, and with that the next gradient small."
    ),
    setting=(
        "Networks h ← ReLU(BN(Wh)) and a dense layer of ten outputs as PyTorch modules in training mode, γ = 1, β = 0, "
        f"ε = {EPS:g}, σ_w² = 2, biases 0; plain gradient steps on the cross-entropy, each on a batch of images that "
        "no other step sees. Norms are taken before the first step and after each of ten, always on the first batch; "
        "geometric means over networks, the first and the last layer left out. How far layers are apart is log₁₀ of "
        "the largest norm over the smallest, in decades."
    ),
    differences=(
        "The paper names neither learning rate nor data of this figure. The claim is judged at the largest learning "
        "rate tried, 1, and what smaller ones do stands beside it: a first step that is small beside the weights "
        "cannot outgrow them.",
        "“Dramatically smaller” is read as at most half of the decades, of the weights' gradients and of the signal's, "
        "each for itself.",
        "The first and the last layer have no batch norm in front and behind them, respectively, and their norms are "
        "those of other shapes.",
        "That the two gradients are judged each for itself, and that what is left must fall with the learning rate, "
        "was set after first runs.",
    ),
    sizes={
        "smoke": Size(
            "digits, 24 and 36 layers of width 48, 2 learning rates, batches of 64, 2 networks each",
            "5 s on one core",
            Settings("digits", (24, 36), (0.1, 1.0), 48, 64, networks=2),
        ),
        "small": Size(
            "MNIST, 16, 32 and 64 layers of width 200, 3 learning rates, batches of 128, 3 networks each",
            "half a minute on one core",
            Settings("mnist", (16, 32, 64), (0.01, 0.1, 1.0), 200, 128, networks=3),
        ),
        "paper": Size(
            "MNIST, 16 to 128 layers of width 1000, 4 learning rates, batches of 128, 10 networks each",
            "hours on one GPU; not yet run by us",
            Settings("mnist", (16, 32, 64, 128), (0.001, 0.01, 0.1, 1.0), 1000, 128, networks=10),
        ),
    },
    points=_points,
    groups=sharing("depth", "learning_rate"),
    measure=_measure,
    draw=draw,
    tabulate=tabulate,
    verdict=verdict,
)
