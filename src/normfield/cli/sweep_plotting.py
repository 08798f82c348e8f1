"""``normfield sweep plot``: a sweep as a page, as a phase diagram with theory's lines where it is one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import click

from normfield.cli.sweep_axes import read_axis
from normfield.cli.sweep_pictures import axes_drawn, line_over, map_over, value_drawn
from normfield.cli.sweep_recipe import arguments_in, task_again
from normfield.cli.sweep_running import run
from normfield.errors import InvalidInput, NormfieldError
from normfield.report import Facts, Page, Section, checked_target, write
from normfield.sweep import Cell, Store, Sweep, Trial, read_sweep
from normfield.train.sweeps import PhaseDiagram, TrainingTask
from normfield.train.sweeps.reading_diagrams import diagram_of

_RATE, _SEED = "learning_rate", "seed"


@click.command(epilog="Example: normfield sweep plot map.db --html map.html --value test_accuracy")
@click.argument("file", metavar="FILE")
@click.option("--html", "target", required=True, help="The page to write.")
@click.option("--value", help="Column to draw (default: test_loss; final_loss without test data).")
@click.option(
    "--at",
    "fixed",
    multiple=True,
    metavar="NAME=VALUE",
    help="Only trials with this value of an axis; where more than two axes were swept. Repeatable.",
)
def plot(file: str, target: str, value: str | None, fixed: tuple[str, ...]) -> None:
    """Draw a sweep as a page: over two axes a heat map, over one a line.

    Over learning_rate and another axis it is a phase diagram: where training diverges, the best learning rate, and
    beside them theory's η*.
    """
    checked_target(target)
    sweep, at = read_sweep(file), dict(map(_fixed, fixed))
    trials = _chosen(sweep, at)
    axes, column = axes_drawn(trials), value_drawn(trials, value)
    if _is_diagram(trials, axes):
        found = _diagram(sweep, trials, _task(file), axes, column, at)
        found.to_html(target)
        click.echo(f"{found}\n\npage: {target}")
    else:
        write(_page(sweep, trials, axes, column), target)
        click.echo(f"{column} of {len(trials):,} trials over {', '.join(axes)}\n\npage: {target}")


def _fixed(text: str) -> tuple[str, Cell]:
    name, values = read_axis(text)
    if len(values) != 1:
        raise InvalidInput(expected="one value in --at NAME=VALUE", got=repr(text))
    return name, values[0]


def _chosen(sweep: Sweep, at: Mapping[str, Cell]) -> list[Trial]:
    """Finished trials at the fixed values."""
    for name in at:
        if name not in sweep.axes:
            raise InvalidInput(expected=f"--at with an axis among {', '.join(sweep.axes)}", got=name)
    trials = [
        trial for trial in sweep.results() if all(trial.point[name] == value for name, value in at.items())
    ]
    if not trials:
        words = ", ".join(f"{name}={value}" for name, value in at.items())
        raise InvalidInput(
            expected=f"at least one finished trial{f' with {words}' if at else ''}",
            got=f"none of {sweep.status.trials:,}",
            instead="give a value of the sweep" if at and sweep.status.finished else "go on with the sweep",
        )
    return trials


def _is_diagram(trials: Sequence[Trial], axes: Mapping[str, Sequence[Cell]]) -> bool:
    """Whether it is a map of trainings over the learning rate and one other axis."""
    trained = any("status" in trial.outcome.values for trial in trials)
    return trained and len(axes) == 2 and _RATE in axes and _SEED in trials[0].point


def _diagram(
    sweep: Sweep,
    trials: Sequence[Trial],
    task: TrainingTask | None,
    axes: Mapping[str, Sequence[Cell]],
    column: str,
    at: Mapping[str, Cell],
) -> PhaseDiagram:
    axis = next(name for name in axes if name != _RATE)
    seeds = sorted({seed for trial in trials if isinstance(seed := trial.point[_SEED], int)})
    return diagram_of(
        sweep,
        trials,
        task,
        axis=axis,
        columns=axes[axis],
        rates=[float(rate) for rate in axes[_RATE] if isinstance(rate, int | float)],
        restarts=len(seeds),
        seed=seeds[0],
        value=column,
        seconds=sweep.status.seconds,
        fixed=at,
    )


def _task(file: str) -> TrainingTask | None:
    """What ran the sweep; None, and a line that says why, where it cannot be made again."""
    with Store.open(file) as store:
        recipe = store.recipe
    try:
        return task_again(run, arguments_in(recipe, file))
    except NormfieldError as reason:
        print(f"normfield: theory is left out: {reason}", file=sys.stderr)
        return None


def _page(sweep: Sweep, trials: Sequence[Trial], axes: Mapping[str, Sequence[Cell]], column: str) -> Page:
    """A map over two axes or a line over one.

    Raises
    ------
    InvalidInput
        More axes, or none.
    """
    names = list(axes)
    if not 1 <= len(names) <= 2:
        raise InvalidInput(
            expected="one or two axes with more than one value",
            got=", ".join(names) or "none",
            instead=f"draw only a part, e.g. --at {names[0]}={axes[names[0]][0]}" if names else "",
        )
    if len(names) == 2:
        across, up = sorted(names, key=_RATE.__eq__)
        figure = map_over(trials, across, up, axes, column)
    else:
        figure = line_over(trials, names[0], axes[names[0]], column)
    settings = [
        (name.replace("_", " "), str(value)) for name, value in sweep.settings.items() if value is not None
    ]
    sections = [Section("", figure), Section("Settings", Facts(settings))]
    return Page(figure.title, str(sweep.path), sections, footer=str(sweep.status))
