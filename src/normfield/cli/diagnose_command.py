"""``normfield diagnose``: the main job."""

from __future__ import annotations

import time
from dataclasses import dataclass

import click

from normfield.cli.command_line import command_line
from normfield.cli.flags import flag, taking_flags
from normfield.cli.loss_flag import LOSS_WORDS, read_loss
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.diagnosis import Diagnosis
from normfield.diagnosis.answer import was_stopped
from normfield.diagnosis.asking import ask as answer_all
from normfield.diagnosis.clock import Clock
from normfield.report import checked_target, print_table

_RESERVE = 1.5  # seconds to write the page, print the table, and for the interpreter to end


@dataclass(frozen=True)
class DiagnoseFlags:
    """How it is trained, how long to take, and where the report goes."""

    loss: str = flag("squared", LOSS_WORDS)
    batch_size: int | None = flag(
        None, "Samples per step (default: 128 or all, fewer where the budget does not hold it).", kind=int
    )
    kind: str | None = flag(
        None,
        "Which matrix to measure (default: fisher).",
        kind=click.Choice(["fisher", "ggn", "hessian"]),
    )
    statistics: str = flag(
        "batch",
        "batch (as it trains), frozen or running, for theory and measurement.",
        kind=click.Choice(["batch", "frozen", "running"]),
    )
    momentum: float = flag(0.9, "Heavy-ball momentum μ.")
    learning_rate: float | None = flag(
        None, "The rate you mean to train with: is it above the limit?", kind=float
    )
    weight_decay: float = flag(0.0, "The decay you mean to train with: which weights does it not regularise?")
    budget: float = flag(60.0, "Seconds for everything, from the command's start.")
    html: str | None = flag(None, "Write the report to this file.", kind=str)
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield diagnose --data digits --gamma 0.5 --html report.html")
@taking_flags
def diagnose(network: NetworkFlags, model: ModelFlags, ask: DiagnoseFlags) -> None:
    """How large a learning rate this network takes: theory, kernel, measurement and training side by side.

    MODEL is your own, as path.py:function or package.module:function; without it the flags describe a network. What
    does not fit the budget is shortened, and the answers say how. Ctrl-C gives what was found so far.
    """
    if ask.html is not None:
        checked_target(ask.html)
    clock = Clock(ask.budget, click.get_current_context().find_root().obj or time.monotonic(), _RESERVE)
    loss = read_loss(ask.loss)
    given, data = model.read(network)
    with shown_progress(clock.began + clock.budget) as progress:
        found = answer_all(
            clock,
            given,
            data,
            loss,
            ask.batch_size,
            ask.momentum,
            model.seed,
            ask.kind,
            ask.statistics,
            progress,
            ask.learning_rate,
            ask.weight_decay,
        )
        page = None if ask.html is None else found.to_html(ask.html, command=command_line())
    if ask.json:
        click.echo(found.to_json())
    else:
        _print(found)
        if page is not None:
            click.echo(f"\nreport: {page}")
    if was_stopped(found.answers):
        click.echo("normfield: stopped by Ctrl-C; this is what was found by then", err=True)
        click.get_current_context().exit(130)


def _print(found: Diagnosis) -> None:
    click.echo(f"{found.subject.name}\n{found.subject.data}\n\n{found.headline}\n")
    print_table(found.table())
    click.echo()
    for finding in found.findings:
        click.echo(f"• {finding.sentence}")
