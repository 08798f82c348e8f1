"""``normfield theory``: the population theory of a described network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import click

from normfield.cli.flags import flag, taking_flags, typed_flags
from normfield.cli.network_flags import NetworkFlags, described_in
from normfield.errors import InvalidInput, NotCovered
from normfield.network import Network
from normfield.report.plain_json import json_text
from normfield.theory import MeanField, mean_field


@dataclass(frozen=True)
class TheoryFlags:
    """What is asked of the theory."""

    model: str | None = flag(
        None, "A description in FILE.toml or FILE.json instead of the flags of a network.", kind=str
    )
    statistics: str = flag(
        "batch",
        "batch (as it trains), frozen (constants of the data) or published (Wei et al. 2019).",
        kind=click.Choice(["batch", "frozen", "published"]),
    )
    parameters: str | None = flag(
        None,
        "Which to count; published counts weights, the others all.",
        kind=click.Choice(["all", "weights"]),
    )
    samples: int | None = flag(None, "Samples m of a finite data set (default: infinitely many).", kind=int)
    momentum: float = flag(0.9, "Heavy-ball momentum μ.")
    loss: str = flag(
        "squared",
        "cross_entropy gives an interval over networks.",
        kind=click.Choice(["squared", "cross_entropy"]),
    )
    seed: int = flag(0, "Of the networks drawn for cross_entropy.")
    json: bool = flag(False, "Print JSON.")


@click.command(
    epilog="Example: normfield theory --inputs 784 --width 1000 --depth 4 --outputs 10 --gamma 1 --statistics published"
)
@taking_flags
def theory(network: NetworkFlags, ask: TheoryFlags) -> None:
    """λ_max of the Fisher matrix and the largest stable learning rate, by mean-field theory."""
    field = mean_field(
        _described(network, ask.model),
        cast(Any, ask.statistics),
        samples=ask.samples,
        parameters=cast(Any, ask.parameters),
    )
    answer = field.as_dict(ask.momentum)
    if ask.loss == "cross_entropy":
        answer |= _cross_entropy(field, ask)
    click.echo(json_text(answer) if ask.json else _words(field, answer))


def _described(flags: NetworkFlags, model: str | None) -> Network:
    """The network of the file where one is named, else of the flags, with ε = 0 unless given."""
    if model is None:
        return flags.network((3, 32, 32) if flags.conv else None, eps=0.0)
    if idle := typed_flags(NetworkFlags):
        raise InvalidInput(
            expected="either --model or the flags of a network", got=f"--model and {', '.join(idle)}"
        )
    network = described_in(model)
    if network is None:
        raise InvalidInput(
            expected="a description in a .toml or .json file",
            got=model,
            instead="for a module use normfield diagnose, whose first answer is theory",
        )
    return network


def _cross_entropy(field: MeanField, ask: TheoryFlags) -> dict:
    if not field.largest_eigenvalue > 0:
        raise NotCovered("theory finds no direction that samples share (λ_max = 0): use the measured answer")
    found = field.cross_entropy(seed=ask.seed)
    scale = 2 * (1 + ask.momentum)
    return {
        "largest_eigenvalue": found.mean,
        "max_learning_rate": scale / found.mean,
        "largest_eigenvalue_interval": [found.low, found.high],
        "max_learning_rate_interval": [scale / found.high, scale / found.low],
        "squared_loss_eigenvalue": field.largest_eigenvalue,
        "loss": "cross_entropy",
    }


def _words(field: MeanField, answer: dict) -> str:
    lines = [
        str(field.network),
        "",
        f"largest Fisher eigenvalue  λ_max = {answer['largest_eigenvalue']:.4g}"
        f"   ({field.statistics} statistics, {field.parameters} parameters)",
        f"largest stable step        η*    = {answer['max_learning_rate']:.4g}   (momentum {answer['momentum']:g})",
    ]
    if "max_learning_rate_interval" in answer:
        low, high = answer["max_learning_rate_interval"]
        lines.append(f"   for cross-entropy; 90 % of networks between {low:.3g} and {high:.3g}")
    p = field.order_parameters
    lines += ["", "layer        q     q_xy        q̂     q̂_xy        q̃     q̃_xy"]
    for l in range(len(p.q)):
        row = [p.q[l], p.q_xy[l], p.q_hat[l], p.q_hat_xy[l], p.q_tilde[l], p.q_tilde_xy[l]]
        lines.append(f"{l + 1:>5}" + "".join(f" {value:>8.4g}" for value in row))
    return "\n".join([*lines, "", answer["assumption"]])
