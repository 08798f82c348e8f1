"""Flags of ``normfield sweep run``: what is swept, how it trains, and what it runs on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click

from normfield.cli.flags import flag
from normfield.cli.loss_flag import LOSS_WORDS
from normfield.cli.sweep_axes import AXIS_WORDS, read_axes
from normfield.errors import InvalidInput
from normfield.sweep import Cell

ENGINES = ("inline", "processes", "ray")


@dataclass(frozen=True)
class AxesFlags:
    """The points of a sweep."""

    axis: tuple[str, ...] = flag((), AXIS_WORDS, kind="AXIS")
    restarts: int = flag(1, "Trainings at each point, with seeds --seed, --seed + 1, ….")

    def read(self, seed: int) -> dict[str, tuple[Cell, ...]]:
        """Values by axis, the seeds of the restarts last.

        Raises
        ------
        InvalidInput
            No axis, one in another form, no restart, or restarts beside an axis of seeds.
        """
        axes = read_axes(self.axis)
        if self.restarts < 1:
            raise InvalidInput(expected="--restarts of at least 1", got=str(self.restarts))
        if "seed" not in axes:
            return {**axes, "seed": tuple(range(seed, seed + self.restarts))}
        if self.restarts > 1:
            raise InvalidInput(
                expected="either --restarts or an axis of seeds",
                got=f"--restarts {self.restarts} and --axis seed=…",
                instead="leave one out",
            )
        return axes


@dataclass(frozen=True)
class TrainingFlags:
    """How every network is trained."""

    learning_rate: float | None = flag(None, "η, where it is no axis.", kind=float)
    loss: str = flag("squared", LOSS_WORDS)
    batch_size: int | None = flag(
        None, "Samples per step (default: 128, or all where there are fewer).", kind=int
    )
    momentum: float = flag(0.9, "Heavy-ball momentum μ; of Adam β₁.")
    optimizer: str = flag("sgd", "sgd, adam or rmsprop.", kind=click.Choice(["sgd", "adam", "rmsprop"]))
    epochs: int = flag(3, "Passes over the data in each run.")
    steps: int | None = flag(None, "Steps of each run, in place of epochs.", kind=int)
    precision: str | None = flag(
        None,
        "float32, or bfloat16 (mixed, weights in float32); default: the modules' own.",
        kind=click.Choice(["float32", "bfloat16"]),
    )
    shared_order: bool = flag(False, "All networks take the same batches.")
    device: str | None = flag(None, "Where networks are moved to, e.g. cuda.", kind=str)


@dataclass(frozen=True)
class EngineFlags:
    """What a sweep runs on."""

    engine: str = flag(
        "inline", "This process, processes of this machine, or a Ray cluster.", kind=click.Choice(ENGINES)
    )
    workers: int | None = flag(None, "Groups of trials that run at the same time.", kind=int)
    address: str | None = flag(None, "With --engine ray: of the cluster (default: a local one).", kind=str)
    gpus_per_worker: float = flag(0.0, "GPUs of each worker; 0.5 puts two on one.")


@dataclass(frozen=True)
class OutFlags:
    """Where a sweep is kept, and how its end is told."""

    out: str | None = flag(None, "New file that keeps it (default: sweep-AXES.db).", kind=str)
    json: bool = flag(False, "Print JSON.")

    def path(self, axes: Iterable[str]) -> Path:
        """The file, which must be a new one in a folder that is there.

        Raises
        ------
        InvalidInput
            It is there already, or its folder is not.
        """
        swept = [name for name in axes if name != "seed"] or ["seed"]
        path = Path(f"sweep-{'-'.join(swept)}.db" if self.out is None else self.out)
        if path.exists():
            raise InvalidInput(
                expected="a new file for a new sweep",
                got=f"{path}, which is there",
                instead=f"normfield sweep resume {path} goes on with it, --out names another",
            )
        if not path.absolute().parent.is_dir():
            raise InvalidInput(expected="--out in an existing folder", got=str(path), instead="make it first")
        return path
