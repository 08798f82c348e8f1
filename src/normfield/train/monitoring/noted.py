"""What a reader of a record must know beside its numbers, in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch.optim import Optimizer

from normfield.train.monitoring.instruments.stability_edge import is_known
from normfield.train.monitoring.losses_told import Told
from normfield.train.monitoring.watched import Watched
from normfield.train.monitoring.worded import counted, seconds


def notes_of(watched: Sequence[Watched], told: Told, optimizer: Optimizer | None) -> tuple[str, ...]:
    """Loss not finite, instruments that were late, failed, never ran or saw one moment only."""
    lines = [line for each in watched for line in _of(each, told.steps)]
    return (*_of_run(told), *_of_edge(watched, optimizer), *lines)


def _of_run(told: Told) -> Iterator[str]:
    if told.steps == 0:
        yield "no step was told: call monitor.step(batch, loss_value=loss) once in every step of the loop"
    elif (step := told.first_not_finite) is not None:
        yield f"the loss was {told.losses[step]} at step {step:,}: nothing is measured while it is not finite"


def _of_edge(watched: Sequence[Watched], optimizer: Optimizer | None) -> Iterator[str]:
    if optimizer is not None and not is_known(optimizer) and any(each.name == "edge" for each in watched):
        yield f"edge: not preconditioned, since the steps of {type(optimizer).__name__} are not known here"


def _of(each: Watched, steps: int) -> Iterator[str]:
    if each.late:
        yield (
            f"{each.name}: {each.late} of {counted(each.attempts, 'measurement')} came late, by up to "
            f"{counted(each.longest_wait, 'step')}, to keep within the overhead"
        )
    if each.failures:
        off = ", and was switched off" if each.switched_off else ""
        yield f"{each.name}: failed {counted(each.failures, 'time')}{off}; the last time: {each.last_failure}"
    if steps and not each.attempts:
        yield f"{each.name}: never ran"
    elif each.attempts == 1 and steps > 1:
        yield f"{each.name}: measured once only, {_why_once(each, steps)}"


def _why_once(each: Watched, steps: int) -> str:
    if each.every >= steps:
        return f"its next turn was at step {each.every:,} of a run of {counted(steps, 'step')}: take a shorter interval"
    return (
        f"since it took {seconds(each.seconds)} and the overhead left no room for a second time: train for longer, or "
        "raise overhead (None for no bound)"
    )
