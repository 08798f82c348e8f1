"""``normfield suggest``: which learning rate to take."""

from __future__ import annotations

from dataclasses import dataclass

import click

from normfield.cli.flags import flag, taking_flags
from normfield.cli.loss_flag import LOSS_WORDS, read_loss
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.train.batch_size import batch_size_for
from normfield.train.suggestion import suggest_learning_rate


@dataclass(frozen=True)
class SuggestFlags:
    """The run that is advised on, and what the advice may cost."""

    loss: str = flag("squared", LOSS_WORDS)
    batch_size: int | None = flag(
        None, "Samples per step (default: 128, or all where there are fewer).", kind=int
    )
    momentum: float = flag(0.9, "Heavy-ball momentum μ.")
    epochs: int = flag(3, "Passes over the data in the full run.")
    steps: int | None = flag(None, "Steps of the full run, in place of --epochs.", kind=int)
    restarts: int = flag(2, "Seeds at each rate of the closer look; their spread is part of the error bar.")
    effort: float = flag(2.0, "Gradients to spend, in full runs.")
    budget: float | None = flag(None, "Seconds after which to stop with what there is.", kind=float)
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield suggest --data digits --gamma 0.3 --loss cross_entropy --epochs 20")
@taking_flags
def suggest(network: NetworkFlags, model: ModelFlags, ask: SuggestFlags) -> None:
    """The learning rate to take for a full run, from short runs that cost about two of it, with its error bar.

    MODEL is your own, as path.py:function or package.module:function; without it the flags describe a network. Ctrl-C
    gives what was found so far.
    """
    loss = read_loss(ask.loss)
    given, data = model.read(network)
    with shown_progress() as progress:
        found = suggest_learning_rate(
            given,
            data,
            loss,
            batch_size_for(data.samples_used, ask.batch_size),
            ask.momentum,
            ask.budget,
            model.seed,
            epochs=ask.epochs,
            steps=ask.steps,
            restarts=ask.restarts,
            effort=ask.effort,
            progress=progress,
        )
    click.echo(found.to_json() if ask.json else str(found))
