"""Training as what a sweep runs: points become members of ensembles, and their runs outcomes."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from normfield.data import DataSet
from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.sweep import Cell, Outcome, Point, Resources
from normfield.sweep.points import point_key
from normfield.train.epochs import Probes
from normfield.train.identity import digest
from normfield.train.sweeps.loaded_data import LoadedData
from normfield.train.sweeps.makers import FromNetwork, maker_of
from normfield.train.sweeps.portable import check_portable
from normfield.train.sweeps.room import bytes_of_member
from normfield.train.sweeps.task_settings import OWN_AXES, TaskSettings
from normfield.train.sweeps.threads import limited_threads
from normfield.train.sweeps.trials import Trial, trained, trial_at

# Members of a group, the unit of what is committed and run again: enough for an ensemble to share its cost (on a GPU,
# which takes more to fill, more), few enough that a crash costs minutes.
_MOST, _MOST_ON_GPU = 64, 256
# Axes that never change a shape, whatever is built.
_FREE = ("learning_rate", "momentum", "seed")


class TrainingTask:
    """Training runs as trials of a sweep, many of one shape trained together.

    A trial's columns are ``status`` ("finished" or "diverged"), ``diverged_at``, ``first_loss``, ``final_loss``,
    ``test_loss``, ``test_accuracy`` and ``ended_worse``, as `train_once` has them; its curves are training and test
    loss and accuracy by epoch, and the probes. A function that raises for one point fails that trial alone.

    Parameters
    ----------
    build : Network, nn.Module, callable or str
        What is trained. Axes of a Network are its numbers and words, changed in every layer that has them: gamma, beta,
        eps, weight_variance, bias_variance, activation, batch_norm, width, depth. Axes of a function are its keyword
        arguments besides ``seed``; it returns a module or a Network. ``"path.py:function"`` and
        ``"package.module:function"`` name one, which workers in other processes import for themselves.
    data
        All that ``normfield.data.load`` takes. Data by name are loaded in every process; others travel with the task.
    loss, batch_size, momentum, optimizer, shared_order, precision, compiled, divergence_factor
        As for `train_ensemble`; ``loss`` (by name), ``batch_size`` and ``momentum`` can be axes as well.
    learning_rate, seed : float, int
        Where these are no axes.
    epochs, steps
        Passes over the data in each run, or its number of steps, which overrides them.
    samples : int, optional
        Use the first so many training samples.
    every_epoch : bool
        Whether losses and accuracies are recorded at the end of every epoch.
    probes : mapping of name to callable, optional
        Numbers of a module that are recorded with them.
    memory : float, optional
        Bytes for one ensemble; larger groups train one part after another.
    device : str, optional
        Where modules are moved to; by default they stay where `build` makes them.
    threads : int, optional
        Of torch while it runs; the last digits of results depend on it. By default as the engine has it.

    Raises
    ------
    InvalidInput
        Settings out of range, a `build` that is none of these, data that cannot be read.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> task = TrainingTask(mlp(64, 8, 3, 10), "digits", samples=256, epochs=1)
    >>> points = [{"learning_rate": eta, "gamma": 1.0} for eta in (1e-2, 1e4)]
    >>> task.group(points)
    [[0, 1]]
    >>> [outcome.values["status"] for outcome in task.run(points)]
    ['finished', 'diverged']
    """

    def __init__(
        self,
        build: Any,
        data: Any,
        *,
        loss: str | Callable = "squared",
        batch_size: int | None = 128,
        epochs: int = 3,
        steps: int | None = None,
        momentum: float = 0.9,
        learning_rate: float | None = None,
        seed: int = 0,
        optimizer: str = "sgd",
        samples: int | None = None,
        shared_order: bool = False,
        precision: str | None = None,
        compiled: bool | str = "auto",
        divergence_factor: float = 1e3,
        every_epoch: bool = True,
        probes: Probes | None = None,
        memory: float | None = None,
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._how = TaskSettings(
            loss=loss,
            batch_size=batch_size,
            epochs=epochs,
            steps=steps,
            momentum=momentum,
            learning_rate=learning_rate,
            seed=seed,
            optimizer=optimizer,
            shared_order=shared_order,
            precision=precision,
            compiled=compiled,
            divergence_factor=divergence_factor,
            every_epoch=every_epoch,
            probes=probes,
            memory=memory,
            device=device,
            threads=threads,
        )
        self._maker = maker_of(build)
        self._data = LoadedData(data, samples, floats=isinstance(self._maker, FromNetwork))
        self._deciders: dict[tuple[str, ...], list[str]] = {}
        self._shapes: dict[Hashable, Hashable] = {}
        self._settings: dict[str, Cell] = {}
        self._name = ""

    def __getstate__(self) -> dict[str, Any]:
        """Without what each process finds out for itself."""
        return vars(self) | {"_shapes": {}}

    @property
    def settings(self) -> Mapping[str, Cell]:
        """What tells this task from another: a short cell for each of its parameters."""
        if not self._settings:
            words = {"build": self._maker.words, "data": self._data.words}
            self._settings = {**words, **self._how.cells()}
            self._name = digest(sorted(self._settings.items()), 20)
        return self._settings

    @property
    def axes(self) -> tuple[str, ...] | None:
        """The axes that there are; None where the function takes any."""
        own = self._maker.axes
        return None if own is None else (*OWN_AXES, *(name for name in own if name not in OWN_AXES))

    @property
    def data(self) -> DataSet:
        """What is trained on; loaded at the first call."""
        return self._data.in_shape(None)

    def network(self, point: Point) -> Network | None:
        """The description of a point's network; None where there is none."""
        return self._maker.network(point)

    def check(self, axes: Sequence[str]) -> None:
        """Refuse axes that mean nothing here, and a sweep that lacks one.

        Raises
        ------
        InvalidInput
            An axis that there is not, with the nearest that there is; or one that is needed and was not given.
        """
        for name in axes:
            if self.axes is not None and name not in self.axes:
                near = difflib.get_close_matches(name, self.axes, n=1)
                raise InvalidInput(
                    expected=f"axes among {', '.join(self.axes)}",
                    got=repr(name),
                    instead=f"did you mean {near[0]!r}?"
                    if near
                    else "for others give a function that takes them",
                )
        missing = list(self._maker.missing(axes))
        if self._how.learning_rate is None and "learning_rate" not in axes:
            missing.append("learning_rate")
        if missing:
            raise InvalidInput(
                expected=f"an axis {missing[0]}, which has no default",
                got=", ".join(axes) or "no axes",
                instead=f"add it, if need be with one value: {{{missing[0]!r}: [0.1], ...}}",
            )

    def check_portable(self) -> None:
        """Refuse functions that no other process can import.

        Raises
        ------
        InvalidInput
            The message names the function and says what to do.
        """
        check_portable({"build": self._maker.portable, "loss": self._how.loss, **(self._how.probes or {})})

    def key(self, point: Point) -> str:
        """20 hexadecimal digits that name the point and this task."""
        if not self._name:
            _ = self.settings
        return point_key(point, {"task": self._name})

    def group(self, points: Sequence[Point]) -> list[list[int]]:
        """Places of points of one shape, batch size and loss, in the order of their learning rates.

        Neighbours in learning rate diverge at about the same time, so that ensembles cut from such groups stay full or
        end early. Of each shape one module is made, one after another; points whose module cannot be made are a group
        of their own, and fail when they are run.

        Raises
        ------
        InvalidInput
            A learning rate, momentum, seed, batch size or loss that no run can have.
        """
        self._how.check_values(points)
        alike: dict[Hashable, list[int]] = {}
        for i, point in enumerate(points):
            alike.setdefault(self._deciding(point), []).append(i)
        groups: dict[Hashable, list[int]] = {}
        for deciding, places in alike.items():
            groups.setdefault(self._shape(deciding, points[places[0]]), []).extend(places)
        rates = [self._how.at(point, "learning_rate") for point in points]
        return [sorted(places, key=lambda i: (rates[i], i)) for places in groups.values()]

    def capacity(self, resources: Resources) -> int:
        """How many members fit into a worker's memory, up to 64, on a GPU 256."""
        is_gpu = resources.gpus > 0 or str(self._how.device).startswith("cuda")
        memory = min(resources.memory, self._how.memory or resources.memory)
        each = bytes_of_member(self._maker, self._how.seed)
        return min(_MOST_ON_GPU if is_gpu else _MOST, max(1, int(memory // each)))

    def run(self, points: Sequence[Point]) -> list[Outcome]:
        """Train the points, those of one shape together; the same values for the same points in the same order.

        Raises
        ------
        InvalidInput, DataUnavailable
            The data cannot be read, which is no trial's own failure.
        """
        began = time.perf_counter()
        _ = self.data
        with limited_threads(self._how.threads):
            outcomes = self._outcomes(points)
        share = (time.perf_counter() - began) / max(len(points), 1)
        return [replace(outcome, seconds=share) for outcome in outcomes]

    def _outcomes(self, points: Sequence[Point]) -> list[Outcome]:
        made = [trial_at(point, self._maker, self._how) for point in points]
        alike: dict[Hashable, dict[int, Trial]] = {}
        for i, trial in enumerate(made):
            if isinstance(trial, Trial):
                alike.setdefault(trial.alike, {})[i] = trial
        outcomes = {i: outcome for i, outcome in enumerate(made) if isinstance(outcome, Outcome)}
        for trials in alike.values():
            found = trained(list(trials.values()), self._data, self._how)
            outcomes |= dict(zip(trials, found, strict=True))
        return [outcomes[i] for i in range(len(points))]

    def _deciding(self, point: Point) -> Hashable:
        """The axes that decide what a point can train with, and its values there."""
        axes = tuple(point)
        if axes not in self._deciders:
            own, free = self._maker.axes, {*_FREE, *self._maker.values_only}
            self._deciders[axes] = [
                name
                for name in sorted(axes)
                if name in ("batch_size", "loss") or (name not in free and (own is None or name in own))
            ]
        names = self._deciders[axes]
        return tuple(names), tuple(point[name] for name in names)

    def _shape(self, deciding: Hashable, point: Point) -> Hashable:
        """What a point must share with others to train with them, found once for each combination that decides it."""
        if deciding not in self._shapes:
            rest = (self._how.at(point, "batch_size"), self._how.at(point, "loss"))
            try:
                self._shapes[deciding] = (self._maker.shape(point), *rest)
            except torch.OutOfMemoryError:
                raise
            except (Exception, SystemExit):
                self._shapes[deciding] = ("cannot be made", deciding)
        return self._shapes[deciding]
