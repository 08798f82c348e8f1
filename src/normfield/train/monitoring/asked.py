"""What a monitor is asked for, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from normfield.errors import InvalidInput
from normfield.measure.subject.batches import Batch, read_batches
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import recognise
from normfield.measure.subject.modes import STATISTICS, batch_norms
from normfield.samples import Samples, mapped
from normfield.train.monitoring.guarding import Guarded
from normfield.train.monitoring.instruments.registry import (
    BY_NAME,
    FEWEST_BATCHES,
    WITH_RATE,
    WITH_SAME_BATCH,
)
from normfield.train.monitoring.moment import Instrument

DEFAULT = {"signals": 50, "landscape": 200, "edge": 500}
"""Intervals unless told, at most half a run of known length; with a learning rate only where there is an optimizer."""


def checked_model(model: Any, loss: Any, seed: int) -> None:
    """Refuse what no instrument could measure."""
    ModelFunction.of(model, seed)
    recognise(loss)


def checked_optimizer(optimizer: Any, model: nn.Module) -> None:
    """Refuse what is no optimizer of this model."""
    if optimizer is None:
        return
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput(
            expected="optimizer as a torch.optim.Optimizer or None",
            got=type(optimizer).__name__,
            instead="without one, tell step(learning_rate=...)",
        )
    own = {id(parameter) for parameter in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InvalidInput(
            expected="an optimizer over this model's parameters",
            got="one that holds none of them",
            instead="build it from this model's parameters()",
        )


def checked_statistics(statistics: Any) -> str:
    """One of the three, or InvalidInput."""
    if statistics not in STATISTICS:
        raise InvalidInput(expected=f"statistics one of {', '.join(STATISTICS)}", got=repr(statistics))
    return statistics


def checked_overhead(overhead: Any) -> float | None:
    """A part of the training time, or None for no bound."""
    if overhead is None:
        return None
    if isinstance(overhead, bool) or not isinstance(overhead, int | float) or not 0 < overhead < math.inf:
        raise InvalidInput(
            expected="overhead as a part of the training time above 0, or None for no bound",
            got=repr(overhead),
            instead="give 0.05 for five per cent",
        )
    return float(overhead)


def checked_steps(steps: Any) -> int | None:
    """How many steps the run will take, or None."""
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise InvalidInput(
            expected="steps as a whole number of at least 1, or None where the run's length is not known",
            got=repr(steps),
        )
    return steps


def own_instruments(given: Any) -> dict[str, Instrument]:
    """The caller's functions by name, each guarded."""
    named = {} if given is None else given
    if not isinstance(named, Mapping) or not all(callable(each) for each in named.values()):
        raise InvalidInput(
            expected="instruments as a dict of names and functions of a moment",
            got=repr(given) if not isinstance(named, Mapping) else "a value that cannot be called",
            instead='give e.g. {"norm": lambda moment: moment.model[0].weight.norm()}',
        )
    for name in named:
        if not isinstance(name, str) or not name or name in BY_NAME or name == "training":
            raise InvalidInput(
                expected=f"names of your own for instruments, other than training, {', '.join(BY_NAME)}",
                got=repr(name),
                instead="rename it",
            )
    return {name: Guarded(function) for name, function in named.items()}


def schedule_of(
    every: Any, own: Mapping[str, Callable[..., Any]], optimizer: Optimizer | None, steps: int | None
) -> dict[str, int]:
    """The intervals by name, each of which comes due within the run again after step 0.

    Raises
    ------
    InvalidInput
        Nothing to do, an unknown name, an own instrument without interval, an interval that is no whole number of at
        least 1 or not below the number of steps.
    """
    if every is None:
        names = [name for name in DEFAULT if optimizer is not None or name not in WITH_RATE]
        return {name: _default(name, steps) for name in [*names, *own]}
    if not isinstance(every, Mapping) or not every:
        raise InvalidInput(
            expected="every as a dict of instruments and intervals in steps, with one at least",
            got=repr(every),
            instead='give e.g. {"signals": 50, "edge": 500}',
        )
    _check_names(every, own)
    for name, interval in every.items():
        _check_interval(name, interval, steps)
    return dict(every)


def _default(name: str, steps: int | None) -> int:
    """That of signals for the caller's own."""
    interval = DEFAULT.get(name, DEFAULT["signals"])
    return interval if steps is None else max(min(interval, steps // 2), 1)


def _check_names(every: Mapping[Any, Any], own: Mapping[str, Any]) -> None:
    known = [*BY_NAME, *own]
    for name in every:
        if name not in known:
            raise InvalidInput(
                expected=f"instruments among {', '.join(known)}",
                got=repr(name),
                instead="give functions of your own as instruments={name: function}",
            )
    for name in own:
        if name not in every:
            raise InvalidInput(
                expected=f"an interval in every for your instrument {name!r}",
                got="none, so that it would never run",
                instead=f'add every={{..., "{name}": 50}}',
            )


def _check_interval(name: str, interval: Any, steps: int | None) -> None:
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
        raise InvalidInput(
            expected=f"an interval of at least 1 step for {name!r}",
            got=f"{interval!r}, with which it would never run",
            instead="leave it out of every to switch it off",
        )
    if steps is not None and interval >= steps > 1:
        raise InvalidInput(
            expected=f"an interval for {name!r} below the run's {steps} steps",
            got=f"{interval}, with which it would never run after step 0",
            instead=f"take {max(steps // 10, 1)}",
        )


def held_batches(
    batch: Any, every: Mapping[str, int], model: nn.Module, statistics: str
) -> tuple[tuple[Samples, Samples], ...] | None:
    """Copies of the batches to measure on all along, as pairs (inputs, targets); None for each step's own.

    Raises
    ------
    InvalidInput
        Batches that cannot be read; none where an instrument in the schedule compares the same samples at two steps,
        or too few where one looks across batches.
    """
    same = sorted(WITH_SAME_BATCH & every.keys())
    if batch is None and same:
        raise InvalidInput(
            expected=f"batch= for the instrument {same[0]!r}, which compares the same samples at two steps",
            got="none",
            instead="give one batch (inputs, targets) to keep",
        )
    read = None if batch is None else read_batches(batch)
    if batch_norms(model) and statistics != "running":
        _check_count(1 if read is None else len(read.items), every)
    return None if read is None else tuple(_copied(item) for item in read.items)


def _copied(batch: Batch) -> tuple[Samples, Samples]:
    """What a loader writes into its tensors later is not seen."""
    return mapped(batch.inputs, Tensor.clone), mapped(batch.targets, Tensor.clone)


def _check_count(count: int, every: Mapping[str, int]) -> None:
    for name in FEWEST_BATCHES.keys() & every.keys():
        if count < FEWEST_BATCHES[name]:
            raise InvalidInput(
                expected=f"batch= with at least {FEWEST_BATCHES[name]} batches for the instrument {name!r}, since the "
                "model has batch norm",
                got=f"{count}",
                instead="give a list of pairs (inputs, targets), for example list(itertools.islice(loader, 16))",
            )
