"""``normfield measure``: the curvature of a module, in the mode in which it trains."""

from __future__ import annotations

from dataclasses import dataclass

import click
from torch import nn

from normfield.cli.flags import flag, taking_flags
from normfield.cli.loss_flag import LOSS_WORDS, read_loss
from normfield.cli.measured import Subject
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.measure.subject.losses import recognise
from normfield.network import Network
from normfield.report.plain_json import json_text
from normfield.train.batch_size import batch_size_for
from normfield.train.builders import as_builder


@dataclass(frozen=True)
class MeasureFlags:
    """What is to be measured."""

    kind: str | None = flag(
        None,
        "Which matrix (default: fisher, or ggn for a loss that has none).",
        kind=click.Choice(["fisher", "ggn", "hessian"]),
    )
    statistics: str = flag(
        "batch",
        "batch (as it trains), frozen (this batch's, constant) or running (the module's buffers).",
        kind=click.Choice(["batch", "frozen", "running"]),
    )
    loss: str = flag("squared", LOSS_WORDS)
    batch_size: int | None = flag(
        None,
        "Samples that share batch norm's statistics (default: 128, or all where there are fewer).",
        kind=int,
    )
    batches: int = flag(8, "How many batches, at most.", kind=click.IntRange(1))
    top: int = flag(1, "How many eigenvalues.", kind=click.IntRange(1))
    tolerance: float = flag(1e-3, "Relative error of the largest eigenvalue.")
    trace: bool = flag(False, "Also the trace, with its standard error and each layer's share.")
    density: bool = flag(False, "Also the distribution of all eigenvalues.")
    by_layer: bool = flag(False, "Also the largest eigenvalue and the trace of each layer by itself.")
    momentum: float = flag(0.9, "Heavy-ball momentum μ.", kind=click.FloatRange(0, 1, max_open=True))
    budget: float | None = flag(
        None, "Seconds after which to stop with what there is; the status then says so.", kind=float
    )
    json: bool = flag(False, "Print JSON.")

    @property
    def parts(self) -> list[str]:
        """What is asked for beside the largest eigenvalues."""
        asked = {"trace": self.trace, "density": self.density, "by_layer": self.by_layer}
        return [part for part, is_asked in asked.items() if is_asked]


@click.command(epilog="Example: normfield measure --data digits --depth 4 --gamma 0.5 --loss cross_entropy")
@taking_flags
def measure(network: NetworkFlags, model: ModelFlags, ask: MeasureFlags) -> None:
    """Largest eigenvalues of the Fisher, Gauss–Newton or Hessian matrix of a module on data, its trace, its whole
    spectrum and its blocks by layer."""
    loss = read_loss(ask.loss)
    given, data = model.read(network)
    module = as_builder(given)(model.seed)
    batches = data.batches(batch_size_for(data.samples_used, ask.batch_size), model.seed)
    subject = Subject(
        module,
        [batches[i] for i in range(min(len(batches), ask.batches))],
        loss,
        ask.kind or ("ggn" if recognise(loss).no_fisher else "fisher"),
        ask.statistics,
        model.seed,
        ask.budget,
    )
    with shown_progress() as progress:
        result = subject.measure(ask.top, ask.tolerance, ask.parts, progress)
    found = result.curvature
    if ask.json:
        click.echo(
            json_text(
                {
                    "largest_eigenvalue": found.largest_eigenvalue,
                    "max_learning_rate": found.max_learning_rate(ask.momentum),
                    "momentum": ask.momentum,
                    "cluster_mean": found.cluster_mean,
                    "eigenvalues": found.eigenvalues,
                    "residual": found.residual,
                    "error": found.error,
                    "products": found.products,
                    "status": found.status,
                    "kind": found.kind,
                    "loss": found.loss,
                    "statistics": found.statistics,
                    "method": found.method,
                    "samples": found.samples,
                    "batches": found.batches,
                    "network": _words(given, module),
                    "data": str(data),
                    "seconds": found.seconds,
                    **result.for_json(),
                }
            )
        )
    else:
        click.echo(f"{_words(given, module)}\n{data}\n{found}")
        click.echo(
            f"largest stable learning rate {found.max_learning_rate(ask.momentum):.4g} at momentum {ask.momentum:g}"
            f"{result.words()}"
        )


def _words(given: object, module: nn.Module) -> str:
    """What was measured, in a line."""
    if isinstance(given, Network):
        return given.path
    return f"{type(module).__name__}, {sum(p.numel() for p in module.parameters()):,} parameters"
