"""``normfield sweep``: a grid of trainings kept in one file, gone on with, looked at, exported and drawn."""

from __future__ import annotations

import click

from normfield.cli.lazy_commands import LazyCommands

_RUNNING, _READING = "normfield.cli.sweep_running", "normfield.cli.sweep_reading"


@click.group(
    cls=LazyCommands,
    homes={
        "run": _RUNNING,
        "status": _READING,
        "resume": _RUNNING,
        "export": _READING,
        "plot": "normfield.cli.sweep_plotting",
    },
    epilog="Example: normfield sweep run --axis gamma=log:0.1:3:8 --axis learning_rate=log:1e-3:3:15 --out map.db",
)
def sweep() -> None:
    """Train networks over a grid of axes, kept in one file that survives a crash; then export or draw it."""
