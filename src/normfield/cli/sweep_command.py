"""``normfield sweep``: a grid of trainings kept in one file, gone on with, looked at, exported and drawn."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from pathlib import Path

import click

from normfield.cli.flags import taking_flags
from normfield.cli.model_flags import ModelFlags
from normfield.cli.network_flags import NetworkFlags
from normfield.cli.sweep_display import shown_sweep
from normfield.cli.sweep_file import expanded
from normfield.cli.sweep_flags import AxesFlags, EngineFlags, OutFlags, TrainingFlags
from normfield.cli.sweep_recipe import arguments_in, recipe_of, task_again, task_of
from normfield.cli.sweep_shown import status_json, status_lines
from normfield.sweep import Store, Sweep, resume_sweep, run_sweep

_ARGUMENTS = "normfield.cli.sweep_command.arguments"
_STOPPED = 130
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_file = click.argument("file", metavar="FILE")


@click.group(
    epilog="Example: normfield sweep run --axis gamma=log:0.1:3:8 --axis learning_rate=log:1e-3:3:15 --out map.db"
)
def sweep() -> None:
    """Train networks over a grid of axes, kept in one file that survives a crash; then export it."""


class _RunCommand(click.Command):
    """A run's arguments are kept in the store; a sweep's TOML file among them stands for the flags that it holds."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = expanded(args, _names())
        ctx.meta[_ARGUMENTS] = tuple(given)  # a copy: parsing empties the list
        return super().parse_args(ctx, given)


@sweep.command(
    cls=_RunCommand,
    epilog="Example: normfield sweep run --width 32 --depth 3 --axis gamma=0.1,1 --axis learning_rate=log:1e-2:1:5",
)
@taking_flags
def run(
    points: AxesFlags,
    network: NetworkFlags,
    model: ModelFlags,
    training: TrainingFlags,
    engine: EngineFlags,
    out: OutFlags,
) -> None:
    """Train at every point of a grid, all combinations of the axes.

    Axes of a network described by flags or FILE.toml: learning_rate, momentum, batch_size, loss, seed, gamma, beta,
    eps, weight_variance, bias_variance, activation, batch_norm, width, depth. Axes of a function: its keyword
    arguments. In place of flags a sweep may stand in a TOML file (normfield sweep run sweep.toml): the same names as
    keys, the axes in a table [axes]. Each group of trials is kept as soon as it is done; normfield sweep resume goes on
    after a stop.
    """
    axes = points.read(model.seed)
    path = out.path(axes)
    task = task_of(network, model, training)
    with shown_sweep(out.json) as progress:
        found = run_sweep(
            task,
            axes,
            path,
            engine=engine.engine,
            workers=engine.workers,
            address=engine.address,
            gpus_per_worker=engine.gpus_per_worker,
            recipe=recipe_of(click.get_current_context().meta[_ARGUMENTS]),
            progress=progress,
        )
    _end(found, path, out.json)


@sweep.command(epilog="Example: normfield sweep resume map.db --engine processes --workers 4")
@_file
@taking_flags
@_json
def resume(file: str, engine: EngineFlags, as_json: bool) -> None:
    """Go on with a sweep that was stopped, with the same values as if it had not been."""
    with Store.open(file) as store:
        arguments = arguments_in(store.recipe, file)
    task = task_again(run, arguments)
    with shown_sweep(as_json) as progress:
        found = resume_sweep(
            file,
            task,
            engine=engine.engine,
            workers=engine.workers,
            address=engine.address,
            gpus_per_worker=engine.gpus_per_worker,
            progress=progress,
        )
    _end(found, Path(file), as_json)


@sweep.command(epilog="Example: normfield sweep status map.db")
@_file
@_json
def status(file: str, as_json: bool) -> None:
    """Say how far a sweep is, also while it runs: trials, diverged, failed with the first errors, rate."""
    with Store.open(file) as store:
        click.echo(status_json(store) if as_json else status_lines(store))


@sweep.command(epilog="Example: normfield sweep export map.db --to map.parquet")
@_file
@click.option("--to", "target", required=True, help="New file: .csv, .parquet or .jsonl.")
@click.option("--curves", is_flag=True, help="The numbers by epoch instead of one row for each trial.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def export(file: str, target: str, curves: bool, overwrite: bool) -> None:
    """Write the finished trials as a table, one row for each."""
    with Store.open(file) as store:
        write = store.export_curves if curves else store.export
        write(target, overwrite=overwrite)
        click.echo(f"{store.status().finished:,} trials in {target}")


def _end(found: Sweep, path: Path, as_json: bool) -> None:
    """Say how a sweep ended; after Ctrl-C what is kept and how it goes on."""
    place = shlex.quote(str(path))
    if found.interrupted:
        counts = f"{found.status.finished:,} of {found.status.trials:,} trials are kept in {path}"
        print(f"normfield: stopped; {counts}; normfield sweep resume {place} goes on", file=sys.stderr)
        click.get_current_context().exit(_STOPPED)
    with Store.open(path) as store:
        click.echo(status_json(store) if as_json else "\n".join([status_lines(store), *found.notes]))
    if not as_json:
        click.echo(f"next: normfield sweep export {place} --to map.csv")


def _names() -> list[str]:
    """Flags that a sweep's file may hold."""
    groups = (AxesFlags, NetworkFlags, ModelFlags, TrainingFlags, EngineFlags, OutFlags)
    idle = ("axis", "target")
    return [item.name for group in groups for item in fields(group) if item.name not in idle]
