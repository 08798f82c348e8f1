"""``normfield kernel``: the infinite-width kernel of a network on one batch of data, and what depth does to it."""

from __future__ import annotations

from dataclasses import dataclass

import click

from normfield.cli.flags import flag, taking_flags
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.data import DataSet
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.by_kernel import OneBatch, one_batch
from normfield.diagnosis.subject import Subject
from normfield.errors import NotCovered
from normfield.report import format_number
from normfield.report.plain_json import json_text
from normfield.theory.kernels import BatchKernel, DepthProfile, batch_kernel, depth_profile
from normfield.train.batch_size import batch_size_for


@dataclass(frozen=True)
class KernelFlags:
    """What is asked of the kernel."""

    batch_size: int | None = flag(
        None,
        "Samples that share batch norm's statistics (default: 128, or all where there are fewer).",
        kind=int,
    )
    method: str = flag(
        "auto",
        "exact (ReLU, leaky ReLU, |x|, linear; β = 0), concentrated, monte_carlo, or auto, which says what it chose.",
        kind=click.Choice(["auto", "exact", "concentrated", "monte_carlo"]),
    )
    draws: int = flag(10_000, "With monte_carlo: draws for each layer.", kind=click.IntRange(32))
    top: int = flag(3, "How many eigenvalues to print.", kind=click.IntRange(1))
    momentum: float = flag(0.9, "Heavy-ball momentum μ.", kind=click.FloatRange(0, 1, max_open=True))
    loss: str = flag(
        "squared",
        "cross_entropy gives an interval over networks.",
        kind=click.Choice(["squared", "cross_entropy"]),
    )
    memory: float = flag(4.0, "GiB that kernels may take.", kind=click.FloatRange(0, min_open=True))
    profile: bool = flag(False, "Also signal, correlation and gradient at every layer.")
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield kernel --data digits --depth 4 --width 1000 --gamma 0.5 --profile")
@taking_flags
def kernel(network: NetworkFlags, model: ModelFlags, ask: KernelFlags) -> None:
    """λ_max and the largest stable learning rate by the infinite-width kernel on one batch, as the network trains.

    The batch is the one that normfield measure and diagnose begin with. A module is read as a description; where it has
    none, the message says why.
    """
    given, data = model.read(network)
    batch = _batch(given, data, ask, model.seed)
    found = batch_kernel(
        batch.network,
        batch.inputs,
        ask.method,
        samples=ask.draws,
        seed=model.seed,
        memory=ask.memory * 2**30,
    )
    answer = {**found.as_dict(ask.momentum), **_for_loss(found, ask, model.seed)}
    profile = _profile(batch, ask, model.seed) if ask.profile else None
    if ask.json:
        more = {} if profile is None else {"profile": profile.as_dict()}
        top = found.top(min(ask.top, found.samples))
        facts = {"eigenvalues": top, "network": batch.network.path, "data": str(data)}
        click.echo(json_text({**answer, **facts, **more}))
    else:
        click.echo("\n".join(_words(batch, data, found, answer, ask)))
        if profile is not None:
            click.echo(f"\n{profile}")


def _batch(given: object, data: DataSet, ask: KernelFlags, seed: int) -> OneBatch:
    """The first batch, in the shape that the description takes."""
    size = batch_size_for(data.samples_used, ask.batch_size)
    subject = Subject.of(given, data, seed)
    batch = one_batch(subject, Asked(ask.loss, size, ask.momentum, 1.0, seed))
    if batch is None:
        raise NotCovered(f"the kernel takes a network that can be described: {subject.no_network}")
    return batch


def _for_loss(found: BatchKernel, ask: KernelFlags, seed: int) -> dict:
    """The numbers of cross-entropy instead of the squared loss's."""
    if ask.loss == "squared":
        return {"loss": "squared"}
    spread, scale = found.cross_entropy(seed), 2 * (1 + ask.momentum)
    return {
        "loss": "cross_entropy",
        "largest_eigenvalue": spread.mean,
        "max_learning_rate": scale / spread.mean,
        "largest_eigenvalue_interval": [spread.low, spread.high],
        "max_learning_rate_interval": [scale / spread.high, scale / spread.low],
        "squared_loss_eigenvalue": found.largest_eigenvalue,
    }


def _profile(batch: OneBatch, ask: KernelFlags, seed: int) -> DepthProfile:
    return depth_profile(
        batch.network,
        batch.inputs,
        batch.targets,
        ask.loss,
        method=ask.method,
        samples=ask.draws,
        seed=seed,
        memory=ask.memory * 2**30,
    )


def _words(batch: OneBatch, data: DataSet, found: BatchKernel, answer: dict, ask: KernelFlags) -> list[str]:
    top = ", ".join(format_number(value, 4) for value in found.top(min(ask.top, found.samples)))
    lines = [
        str(batch.network),
        f"{data}; one batch of {found.samples}",
        "",
        f"largest Fisher eigenvalue  λ_max = {answer['largest_eigenvalue']:.4g}   ({found.method}; relative error of a "
        f"layer {found.error:.1g})",
        f"largest stable step        η*    = {answer['max_learning_rate']:.4g}   (momentum {ask.momentum:g})",
    ]
    if "max_learning_rate_interval" in answer:
        low, high = answer["max_learning_rate_interval"]
        lines.append(f"   for cross-entropy; 90 % of networks between {low:.3g} and {high:.3g}")
    mean, share = found.spectrum["mean"], found.spectrum["largest_share"]
    lines.append(
        f"spectrum of Θ/B            {top}, …; mean {format_number(mean)}, {100 * share:.1f} % of the trace in the "
        "largest"
    )
    return [*lines, *(f"doubtful: {doubt}" for doubt in found.doubts), f"{format_number(found.seconds, 2)} s"]
