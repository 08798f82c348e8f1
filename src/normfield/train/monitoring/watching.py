"""Watching a training run: instruments that take their turns, within a bound on what they cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput, NormfieldError
from normfield.measure.subject.losses import recognise
from normfield.seeds import whole_seed
from normfield.train.monitoring.accounts import Accounts
from normfield.train.monitoring.asked import (
    checked_model,
    checked_optimizer,
    checked_overhead,
    checked_statistics,
    checked_steps,
    held_batches,
    own_instruments,
    schedule_of,
)
from normfield.train.monitoring.guarding import Guarded
from normfield.train.monitoring.instruments.registry import BY_NAME
from normfield.train.monitoring.losses_told import Told
from normfield.train.monitoring.moment import Instrument, Moment
from normfield.train.monitoring.noted import notes_of
from normfield.train.monitoring.readings import Reading, readings_of
from normfield.train.monitoring.record import MonitorRecord
from normfield.train.monitoring.schedule import Schedule
from normfield.train.monitoring.stopwatch import Stopwatch
from normfield.train.monitoring.watched import Watched
from normfield.train.user_functions import source_file


class Monitor:
    """Follow a training run with instruments, each on a schedule, and leave the run bit for bit as it would have been.

    Call `step` once for every step of the training loop, wherever in it. An instrument with interval n has its turn at
    step 0 and at every multiple of n. What instruments take is booked, and each takes no more than

        max(its first time, its share of overhead · training seconds):

    one over its share waits, and the record says so. The shares are fair: a dear instrument does not crowd out a cheap
    one. Parameters, buffers, gradients, modes, hooks and the global random state are afterwards as before, so that the
    run ends in the same weights as without a monitor.

    What an instrument raises the first time is raised by `step`, since it is a mistake in how it was set up; later
    failures are written into the record and training goes on; after three in a row the instrument is switched off.
    While the told loss is not finite nothing is measured.

    Parameters
    ----------
    model : nn.Module
        Any; wrappers of compilation and data parallelism are taken off while measuring (under data parallelism each
        process measures its own batch).
    loss : "squared", "cross_entropy", nn.MSELoss, nn.CrossEntropyLoss, or callable(outputs, targets) -> scalar
        As the instruments take it.
    optimizer : torch.optim.Optimizer, optional
        Where learning rates are read, and the preconditioner of "edge".
    batch : pair (inputs, targets), or several, optional
        Copied and measured on all along; without it each instrument measures on the batch of its step.
    every : mapping of str to int, optional
        Interval in steps of each instrument: "signals", "landscape", "edge", "shift", "scale_invariance",
        "statistics_drift", "gradient_noise", and names in `instruments`. By default signals every 50 steps and, with
        an optimizer, landscape every 200 and edge every 500, where `steps` is told at most half of it.
    instruments : mapping of str to callable, optional
        Your own: a function of a `Moment` (with ``.model``, ``.batch``, ``.step``, …) that returns a number, numbers by
        name, or numbers by name and layer. It sees training's gradients as copies, and what it does to the model is
        undone; it must not step the optimizer, nor write into the batch.
    overhead : float or None
        The part of the training time that measuring may take, after each instrument's first measurement; None for no
        bound.
    statistics : {"batch", "frozen", "running"}
        Which statistics batch norms use while they are measured.
    seed : int
        Of the instruments' random draws, alike at each step.
    steps : int, optional
        How many steps the run will take, where that is known: an interval that never comes due again after step 0 is
        then refused.
    clock : callable
        Seconds; for tests.

    Raises
    ------
    InvalidInput
        A model, loss, optimizer, batch, schedule or setting that cannot be used.

    Examples
    --------
    >>> layer = torch.nn.Linear(2, 1)
    >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    >>> batch = (torch.eye(2), torch.zeros(2, 1))
    >>> norm = lambda moment: moment.model.weight.norm()
    >>> with Monitor(layer, "squared", every={"norm": 2}, instruments={"norm": norm}, overhead=None) as monitor:
    ...     for _ in range(4):
    ...         loss = 0.5 * (layer(batch[0]) - batch[1]).square().sum(1).mean()
    ...         optimizer.zero_grad()
    ...         loss.backward()
    ...         optimizer.step()
    ...         monitor.step(batch, loss_value=loss)
    >>> [(reading.step, reading.quantity) for reading in monitor.record.readings]
    [(0, 'norm'), (2, 'norm')]
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Any = "squared",
        *,
        optimizer: Optimizer | None = None,
        batch: Any = None,
        every: Mapping[str, int] | None = None,
        instruments: Mapping[str, Callable[[Moment], Any]] | None = None,
        overhead: float | None = 0.05,
        statistics: str = "batch",
        seed: int = 0,
        steps: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._seed = whole_seed(seed)
        checked_model(model, loss, self._seed)
        checked_optimizer(optimizer, model)
        self._model, self._loss, self._optimizer = model, loss, optimizer
        self._statistics = checked_statistics(statistics)
        self._overhead = checked_overhead(overhead)
        own = own_instruments(instruments)
        self._every = schedule_of(every, own, optimizer, checked_steps(steps))
        self._held = held_batches(batch, self._every, model, self._statistics)
        makers = {name: BY_NAME[name]() for name in self._every if name in BY_NAME}
        self._instruments: dict[str, Instrument] = {**makers, **own}
        self._schedule = Schedule(self._every)
        self._accounts = Accounts(self._every, self._overhead)
        self._told, self._readings = Told(), list[Reading]()
        self._clock, self._watch = clock, Stopwatch(clock)

    def __enter__(self) -> Monitor:
        self._watch.restarted()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Whatever ended the run, Ctrl-C included, goes on; the record holds what was found."""

    def step(self, batch: Any = None, *, loss_value: Any = None, learning_rate: float | None = None) -> None:
        """Tell that a training step was made; instruments whose turn it is run now.

        Parameters
        ----------
        batch : pair (inputs, targets), or mapping with targets in it, optional
            The step's; it may be left out where the monitor holds a batch of its own.
        loss_value : float or scalar tensor, optional
            The step's loss, for the record; on a GPU it is read later.
        learning_rate : float, optional
            The step's, where there is no optimizer to read it from, or a scheduler has stepped since.

        Raises
        ------
        InvalidInput
            A loss that is no number; on the first measurement a mistake in how the monitor was set up, among them a
            model wholly in eval mode and a batch that does not fit.
        """
        number = self._told.steps
        rate = present_rate(self._optimizer) if learning_rate is None else float(learning_rate)
        self._told.add(loss_value, rate)
        self._watch.arrived()
        try:
            due = self._schedule.due(number)
            turns = self._accounts.affordable(due, number + 1, self._watch.training)
            if turns:
                self._settle()
            if turns and self._told.last_is_finite:
                self._take_turns(turns, self._moment(number, batch, rate))
        finally:
            self._watch.left()

    @property
    def record(self) -> MonitorRecord:
        """What was found until now."""
        watched = tuple(
            Watched.of(name, self._every[name], self._accounts[name], isinstance(each, Guarded))
            for name, each in self._instruments.items()
        )
        return MonitorRecord(
            model=type(self._model).__name__,
            loss=recognise(self._loss).name,
            optimizer=None if self._optimizer is None else type(self._optimizer).__name__,
            statistics=self._statistics,
            seed=self._seed,
            losses=tuple(self._told.losses),
            learning_rates=tuple(self._told.learning_rates),
            readings=tuple(self._readings),
            instruments=watched,
            training_seconds=self._watch.training,
            monitor_seconds=self._watch.watching,
            overhead_limit=self._overhead,
            notes=notes_of(watched, self._told, self._optimizer),
        )

    def _settle(self) -> None:
        """Wait for what the device still has to do, which is training's time."""
        device = next(self._model.parameters()).device
        if device.type == "cuda":
            self._watch.left()
            torch.cuda.synchronize(device)
            self._watch.arrived()

    def _moment(self, step: int, batch: Any, rate: float | None) -> Moment:
        if batch is None and self._held is None:
            raise InvalidInput(
                expected="a batch to measure on",
                got="none",
                instead="call monitor.step((inputs, targets)), or give batch= to the Monitor",
            )
        batches = (batch,) if self._held is None else self._held
        return Moment(
            step, self._model, batches, self._loss, self._optimizer, rate, self._statistics, self._seed
        )

    def _take_turns(self, turns: list[str], moment: Moment) -> None:
        for name in turns:
            late = self._schedule.taken(name, moment.step)
            began = self._clock()
            try:
                self._run(name, moment)
            finally:
                self._accounts[name].attempted(self._clock() - began, late)

    def _run(self, name: str, moment: Moment) -> None:
        """An instrument's turn: its readings, or its failure in words; the first failure of a first turn is raised."""
        account = self._accounts[name]
        try:
            if not account.attempts:
                _check_training_mode(moment)
            self._readings += readings_of(self._instruments[name](moment), name, moment.step)
        except Exception as error:
            account.failed(_in_words(error, self._instruments[name]))
            if not account.attempts:
                raise _raised(error, name, account.last_failure) from error
        else:
            account.answered()


def present_rate(optimizer: Optimizer | None) -> float | None:
    """The largest learning rate of the optimizer's groups."""
    if optimizer is None:
        return None
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _check_training_mode(moment: Moment) -> None:
    if moment.statistics != "running" and not any(module.training for module in moment.model.modules()):
        raise InvalidInput(
            expected="a model in training mode while it trains",
            got="every submodule in eval mode",
            instead='call model.train() before the loop, or use statistics="running"',
        )


def _in_words(error: Exception, instrument: Instrument) -> str:
    """One line; of the caller's own function with the line in which it happened."""
    if isinstance(error, NormfieldError):
        return str(error)
    function: Any = instrument.function if isinstance(instrument, Guarded) else None
    return described(error, None if function is None else source_file(function))


def _raised(error: Exception, name: str, words: str) -> Exception:
    """What a first failure is raised as: what is ours as it is, what comes from the caller's code in one line."""
    if isinstance(error, NormfieldError | torch.OutOfMemoryError):
        return error
    return InvalidInput(
        expected=f"instrument {name!r} to run", got=words, instead="correct it, or leave it out of every"
    )
