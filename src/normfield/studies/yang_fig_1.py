"""Yang et al., Fig. 1: explosion rate against batch size, gradients against depth, simulated on the theory's line."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from normfield.report import Column, Table
from normfield.studies.curves import column, number, where
from normfield.studies.deep_networks import (
    Estimate,
    growth_by_network,
    plain_chain,
    seeds,
    squared_gradients,
    stationary,
)
from normfield.studies.frame import Row, Rows, Size, Study
from normfield.studies.groups import each_alone, one_by_one
from normfield.studies.rate_figures import draw, steps
from normfield.studies.rate_rows import (
    activation_words,
    activations,
    furthest_in_percent,
    off_theory,
    ratio,
    relative_error,
    trainable_depth,
)
from normfield.studies.verdicts import Check, Verdict
from normfield.theory import depth_limits

#: "On the theory's line": so near, twice the standard error counted against it.
NEAR = 0.03
#: The same for a product over twenty layers and more.
PRODUCT = 1.25
#: Root mean square of deviations in standard errors that chance explains.
CHANCE = 2.0
#: Every so many layers the gradient's growth is kept.
STEP = 4

LINEAR = "linear"


@dataclass(frozen=True)
class Settings:
    """Which networks, at which batch sizes, and how many of each."""

    activations: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    width: int
    layers: int
    networks: int

    @property
    def steps(self) -> range:
        """Numbers of stationary layers after which the gradient's growth is kept."""
        inner = stationary(self.layers)
        return range(STEP, inner.stop - inner.start, STEP)


def _points(settings: Settings, seed: int) -> Rows:
    return [
        {"activation": activation, "batch_size": batch_size, "seed": seed}
        for activation in settings.activations
        for batch_size in settings.batch_sizes
    ]


def _measure(settings: Settings, point: Row) -> Row:
    """The rate of some networks, and by theory; the growth over several layers of the typical network."""
    activation, batch_size = str(point["activation"]), int(number(point, "batch_size"))
    network = plain_chain(activation, settings.layers, settings.width)
    own = seeds(int(number(point, "seed")), f"{activation} {batch_size}", settings.networks)
    gradients = np.array([squared_gradients(network, batch_size, seed) for seed in own])
    rate = Estimate.of(growth_by_network(gradients))
    theory = depth_limits(activation, [batch_size, math.inf])
    found: dict[str, float] = {
        "theory": float(theory.explosion_rate[0]),
        "theory_infinite": float(theory.explosion_rate[1]),
        "simulated": rate.value,
        "error": rate.error,
        "networks": settings.networks,
    }
    last = stationary(settings.layers).stop - 1
    for step in settings.steps:
        grown = np.log(gradients[:, last - step] / gradients[:, last])
        found[f"grown_{step}"] = float(np.exp(grown.mean()))
        found[f"spread_{step}"] = float(grown.std(ddof=1))
    return found


def _tabulate(rows: Rows) -> Table:
    columns = [
        Column("activation"),
        Column("batch size"),
        Column("λ_G, theory", digits=5),
        Column("simulated", digits=5),
        Column("± error", digits=2),
        Column("16ξ"),
    ]
    body = [
        (
            activation_words(row["activation"]),
            row["batch_size"],
            row["theory"],
            row["simulated"],
            row["error"],
            float(trainable_depth(column([row], "theory"))[0]),
        )
        for row in rows
    ]
    notes = (
        f"Simulated: mean over {rows[0]['networks']} networks and the stationary layers, with its standard error. "
        "16ξ: layers beyond which networks do not train.",
    )
    return Table("Explosion rates, by theory and simulated", columns, body, notes)


def _verdict(rows: Rows) -> Verdict:
    names = activations(rows)
    checks = [
        _explosion_check(rows),
        *(_line_check(name, where(rows, activation=name)) for name in names),
        _least_check(rows),
        _product_check(rows),
        _chance_check(rows),
    ]
    rates = column(rows, "simulated")
    sentence = (
        f"Simulated rates of {len(names)} activations at {len(rows) // len(names)} batch sizes are within "
        f"{furthest_in_percent(rows)} of theory; the squared gradient grows by {rates.min():.3g} to {rates.max():.3g} "
        "per layer."
    )
    return Verdict(sentence, tuple(checks))


def _explosion_check(rows: Rows) -> Check:
    sure = column(rows, "simulated") - 2 * column(rows, "error")
    place = int(np.argmin(sure))
    least = rows[place]
    return Check(
        f"Gradients grow going backwards in every network; least with {activation_words(least['activation'])} at "
        f"B = {least['batch_size']}, by {number(least, 'simulated'):.5g} ± {number(least, 'error'):.1g} per layer.",
        float(sure[place]),
        "least rate less two standard errors",
        "above 1 at every batch size and with every activation",
        bool(np.all(sure > 1)),
    )


def _line_check(name: str, own: Rows) -> Check:
    off = off_theory(own)
    place = int(np.argmax(off))
    return Check(
        f"{activation_words(name)[:1].upper() + activation_words(name)[1:]}: the simulated rate is "
        f"{100 * (ratio(own)[place] - 1):+.2g} ± {100 * relative_error(own)[place]:.1g} % off theory where it is "
        f"furthest, at B = {own[place]['batch_size']}.",
        100 * float(off[place]),
        "% off theory, two standard errors added",
        f"within {100 * NEAR:g} % at every batch size",
        bool(np.all(off <= NEAR)),
    )


def _least_check(rows: Rows) -> Check:
    """Linear networks explode least, Yang's reason to stay near the linear regime."""
    least = where(rows, activation=LINEAR)
    excess = [
        number(row, "simulated") - number(base, "simulated")
        for base in least
        for row in where(rows, batch_size=base["batch_size"])
        if row["activation"] != LINEAR
    ]
    return Check(
        f"At each batch size the identity's rate is the smallest, the next one larger by {min(excess):.2g} at least.",
        min(excess),
        "least distance to the identity's rate",
        "above 0 at every batch size",
        min(excess) > 0,
    )


def _product_check(rows: Rows) -> Check:
    layers = steps(rows)
    powers = np.array([[number(row, "theory") ** k for k in layers] for row in rows])
    grown = np.array([[number(row, f"grown_{k}") for k in layers] for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        worst = float(np.max(np.exp(np.abs(np.log(grown / powers)))))
    return Check(
        f"Over up to {layers[-1]} layers the typical squared gradient is within a factor {worst:.2f} of λ_G to the "
        "power of the layers.",
        worst,
        "factor between simulation and theory, the largest",
        f"within a factor {PRODUCT:g} at every depth",
        worst <= PRODUCT,
    )


def _chance_check(rows: Rows) -> Check:
    deviations = (column(rows, "simulated") - column(rows, "theory")) / column(rows, "error")
    size = float(np.sqrt(np.mean(deviations**2)))
    return Check(
        f"Simulated rates differ from theory by {size:.2f} standard errors, root mean square: the width's finiteness "
        f"{'does not show' if size <= CHANCE else 'shows'}.",
        size,
        "standard errors",
        f"at most {CHANCE:g}, as by chance",
        size <= CHANCE,
        "normfield",
    )


_ACTIVATIONS = ("relu", "gelu", "tanh", LINEAR)

STUDY = Study(
    name="yang-fig-1",
    title="How fast do gradients explode with batch norm?",
    citation="Yang, Pennington, Rao, Sohl-Dickstein, Schoenholz 2019, Fig. 1",
    link="https://arxiv.org/abs/1902.08129",
    claim=(
        "In wide fully connected networks with batch norm in every layer the squared norm of the gradient grows at "
        "initialisation by a factor λ_G > 1 at each layer going backwards, whatever the activation, least with "
        "a linear one, and networks of width 1000 grow by the factor that the theory gives."
    ),
    background=(
        "Backpropagation multiplies the gradient by one more matrix at each layer. With batch norm the mean effect "
        "is a fixed factor λ_G on its squared norm, which depends on the activation and on the batch size alone, "
        "not on how large the weights are. A factor of 1.5 per layer is a factor of 100,000 over 30 layers: the first "
        "layers get gradients that the last ones do not. Networks deeper than about 16/ln λ_G layers do not train."
    ),
    setting=(
        "Networks h ← φ(BN(Wh)) at initialisation, as PyTorch modules, γ = 1, β = 0, ε = 1e-8 (theory: 0), inputs "
        "and the gradients at the outputs independent and normal. A layer's rate is the ratio of its squared gradient, "
        "behind the affine map, to the next layer's; it is averaged over the stationary layers (the first "
        "quarter and the last two left out), then over networks, whose spread gives the standard error."
    ),
    differences=(
        "Beside ReLU and tanh we draw GELU, which came into use later, and the identity, for which the theory is "
        "λ_G = (B − 2)/(B − 3).",
        "Below B = 6 a unit's squared gradient has infinite variance, and averages over 1000 units no longer settle: "
        "simulation starts at 6. At B = 3 the rate itself is infinite, at B = 2 the gradient is 0.",
    ),
    sizes={
        "smoke": Size(
            "ReLU and the identity, 2 batch sizes, width 300, 16 layers, 12 networks each",
            "3 s on one core",
            Settings(("relu", LINEAR), (8, 16), width=300, layers=16, networks=12),
        ),
        "small": Size(
            "4 activations, 6 batch sizes, width 1000, 30 layers, 8 networks each",
            "about 5 minutes on 2 free cores",
            Settings(_ACTIVATIONS, (6, 8, 16, 32, 64, 128), width=1000, layers=30, networks=8),
        ),
        "paper": Size(
            "4 activations, 9 batch sizes, width 1000, 50 layers, 200 networks each",
            "hours on 2 free cores; not yet run by us",
            Settings(_ACTIVATIONS, (6, 8, 12, 16, 24, 32, 64, 128, 256), width=1000, layers=50, networks=200),
        ),
    },
    points=_points,
    groups=each_alone,
    measure=one_by_one(_measure),
    draw=draw,
    tabulate=_tabulate,
    verdict=_verdict,
)
