"""``normfield critical``: where training really diverges."""

from __future__ import annotations

from dataclasses import dataclass

import click

from normfield.cli.flags import flag, taking_flags
from normfield.cli.loss_flag import LOSS_WORDS, read_loss
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.train import critical_learning_rate
from normfield.train.batch_size import batch_size_for


@dataclass(frozen=True)
class CriticalFlags:
    """How it is trained."""

    loss: str = flag("squared", LOSS_WORDS)
    batch_size: int | None = flag(
        None, "Samples per step (default: 128, or all where there are fewer).", kind=int
    )
    momentum: float = flag(0.9, "Heavy-ball momentum μ.")
    epochs: int = flag(3, "Passes over the data in each run.")
    restarts: int = flag(5, "How often the edge is found anew; the spread is its error bar.")
    budget: float | None = flag(None, "Seconds after which to stop with what there is.", kind=float)
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield critical --data digits --gamma 0.3 --restarts 2")
@taking_flags
def critical(network: NetworkFlags, model: ModelFlags, ask: CriticalFlags) -> None:
    """The learning rate above which training diverges, and the one above which it ends worse than it began."""
    loss = read_loss(ask.loss)
    given, data = model.read(network)
    with shown_progress() as progress:
        found = critical_learning_rate(
            given,
            data,
            loss,
            batch_size_for(data.samples_used, ask.batch_size),
            ask.momentum,
            ask.epochs,
            ask.restarts,
            model.seed,
            budget=ask.budget,
            progress=progress,
        )
    click.echo(found.to_json() if ask.json else str(found))
