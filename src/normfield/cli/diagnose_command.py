"""``normfield diagnose``: the main job."""

from __future__ import annotations

from dataclasses import dataclass

import click

from normfield.cli.flags import flag, taking_flags
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.progress import shown_progress
from normfield.diagnosis import Diagnosis
from normfield.diagnosis import diagnose as ask_all
from normfield.report import checked_target, print_table


@dataclass(frozen=True)
class DiagnoseFlags:
    """How it is trained, how long to take, and where the report goes."""

    loss: str = flag("squared", "The loss.", kind=click.Choice(["squared", "cross_entropy"]))
    batch_size: int | None = flag(None, "Samples per step (default: 128, or all).", kind=int)
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
    budget: float = flag(60.0, "Seconds for everything.")
    html: str | None = flag(None, "Write the report to this file.", kind=str)
    json: bool = flag(False, "Print JSON.")


@click.command(epilog="Example: normfield diagnose --data digits --gamma 0.5 --html report.html")
@taking_flags
def diagnose(network: NetworkFlags, model: ModelFlags, ask: DiagnoseFlags) -> None:
    """How large a learning rate this network takes on these data: theory, measurement and training side by side."""
    if ask.html is not None:
        checked_target(ask.html)
    given, data = model.read(network)
    with shown_progress() as progress:
        found = ask_all(
            given,
            data,
            ask.loss,
            ask.batch_size,
            ask.momentum,
            ask.budget,
            model.seed,
            kind=ask.kind,
            statistics=ask.statistics,
            progress=progress,
        )
    page = None if ask.html is None else found.to_html(ask.html)
    if ask.json:
        click.echo(found.to_json())
        return
    _print(found)
    if page is not None:
        click.echo(f"\nreport: {page}")


def _print(found: Diagnosis) -> None:
    click.echo(f"{found.subject.name}\n{found.subject.data}\n")
    print_table(found.table())
    click.echo()
    for finding in found.findings:
        click.echo(f"• {finding.sentence}")
