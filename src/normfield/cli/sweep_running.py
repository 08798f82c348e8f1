"""``normfield sweep run`` and ``resume``: trainings over a grid, kept in a store group by group."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
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
from normfield.sweep import Cell, Store, Sweep, resume_sweep, run_sweep
from normfield.train.sweeps import TrainingTask

_ARGUMENTS = "normfield.cli.sweep_running.arguments"
_STOPPED = 130


class _RunCommand(click.Command):
    """A run's arguments are kept in the store; a sweep's TOML file among them stands for the flags that it holds."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = expanded(args, _names())
        ctx.meta[_ARGUMENTS] = tuple(given)  # a copy: parsing empties the list
        return super().parse_args(ctx, given)


@click.command(
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
    _check_values(task, axes)
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


@click.command(epilog="Example: normfield sweep resume map.db --engine processes --workers 4")
@click.argument("file", metavar="FILE")
@taking_flags
@click.option("--again", is_flag=True, help="Run the groups of failed trials once more, as wholes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def resume(file: str, engine: EngineFlags, again: bool, as_json: bool) -> None:
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
            again=again,
            progress=progress,
        )
    _end(found, Path(file), as_json)


def _check_values(task: TrainingTask, axes: Mapping[str, Sequence[Cell]]) -> None:
    """Refuse a value that no run can have before a file is made: each is tried once, the others at their first."""
    task.check(tuple(axes))
    first = {name: values[0] for name, values in axes.items()}
    task.group([{**first, name: value} for name, values in axes.items() for value in values])


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
        click.echo(
            f"next: normfield sweep plot {place} --html map.html, normfield sweep export {place} --to map.csv"
        )


def _names() -> list[str]:
    """Flags that a sweep's file may hold."""
    groups = (AxesFlags, NetworkFlags, ModelFlags, TrainingFlags, EngineFlags, OutFlags)
    idle = ("axis", "target")
    return [item.name for group in groups for item in fields(group) if item.name not in idle]
