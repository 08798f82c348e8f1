"""A group's training: steps until they are done, all have diverged or the clock runs out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from normfield.data.batching import Pair
from normfield.data.random_state import seeded_random_state
from normfield.train.descent import CUT_SHORT, DIVERGED, Descent
from normfield.train.ensemble.computing import Computing
from normfield.train.ensemble.endings import end_infinite, endings, record
from normfield.train.ensemble.group import Chunk, Group
from normfield.train.ensemble.member import Member
from normfield.train.ensemble.programs import Compilation
from normfield.train.ensemble.schedule import Schedule
from normfield.train.ensemble.side_by_side import side_by_side
from normfield.train.ensemble.stack import Stack, stacked
from normfield.train.ensemble.vectorised import Together
from normfield.train.epochs import Epoch
from normfield.train.prepared import Prepared
from normfield.train.run import Run

_BLOCK = range(8, 33)
"""Steps that a chunk takes before the next chunk, since its members are then still in the processor's cache, and whose
losses are read together, since reading waits for a device; a member goes on so long past its end, which most reach
early: a quarter of the steps taken before, within this range."""


@dataclass(frozen=True, eq=False)
class Training:
    """How all groups train."""

    together: Together
    schedule: Schedule
    steps: Compilation
    evaluations: Compilation
    chunk: int

    @property
    def compile_seconds(self) -> float:
        """Spent on compiling so far."""
        return self.steps.seconds + self.evaluations.seconds

    def group(self, members: Sequence[Member], modules: Sequence[nn.Module]) -> list[Run]:
        """Train some modules in place and say how each ended."""
        began = time.perf_counter()
        schedule, prepared = self.schedule, self.schedule.prepared
        with seeded_random_state(members[0].seed):
            group = self._started(members, stacked(modules))
            compiled = self.compile_seconds
            with side_by_side() as mapped:
                computing = Computing(self.together, self.steps, self.evaluations, mapped)
                first = computing.measured(group, prepared.evaluation, prepared.labelled).losses
                self._descend(group, members, computing)
                last = endings(group, computing, prepared, schedule.recording)
            compiled = self.compile_seconds - compiled
        for k in group.alive:
            group.stack.write(group.row(k), modules[k])
        seconds = (time.perf_counter() - began - compiled) / len(members)
        return [
            replace(_run(members[k], descent, first[k], prepared, last.get(k)), seconds=seconds)
            for k, descent in enumerate(group.descents)
        ]

    def _started(self, members: Sequence[Member], stack: Stack) -> Group:
        """Before the first step."""
        device = next(iter(stack.trained.values())).device
        stack.state = self.together.rule.start(stack.trained)
        for name, attribute in (("rates", "learning_rate"), ("momenta", "momentum")):
            own = [getattr(member, attribute) for member in members]
            stack.pace[name] = torch.tensor(own, dtype=torch.float64, device=device)
        places, descents = list(range(len(members))), [Descent([]) for _ in members]
        return Group(stack, places, descents, self.chunk, full=self.steps.wanted)

    def _descend(self, group: Group, members: Sequence[Member], computing: Computing) -> None:
        schedule = self.schedule
        left, factor = schedule.steps, schedule.settings.divergence_factor
        for orders in schedule.passes(members):
            todo = min(left, schedule.prepared.steps_per_epoch)
            for taken in _blocks(schedule.steps - left, todo):
                if time.monotonic() > schedule.deadline:
                    group.end(group.alive, CUT_SHORT)
                if not group.alive:
                    return
                group.read(computing.descended(group, partial(self._batch, orders), taken), factor)
                group.leave_out_ended()
            left -= todo
            end_infinite(group)
            group.leave_out_ended()
            if schedule.recording.every_epoch:
                record(group, computing, schedule.prepared, schedule.recording)
            if left <= 0 or not group.alive:
                return

    def _batch(self, orders: Tensor | None, chunk: Chunk, i: int) -> Pair:
        """A chunk's i-th batch of a pass."""
        return self.schedule.batch(orders, chunk.places, i)


def _blocks(before: int, todo: int) -> Iterator[range]:
    """A pass's steps in blocks, after so many of passes before."""
    first = 0
    while first < todo:
        size = min(max((before + first) // 4, _BLOCK[0]), _BLOCK[-1])
        yield range(first, min(first + size, todo))
        first += size


def _run(member: Member, descent: Descent, first: float, prepared: Prepared, ending: Epoch | None) -> Run:
    """A member's run; its share of the time is put in later."""
    return Run(
        learning_rate=member.learning_rate,
        momentum=member.momentum,
        seed=member.seed,
        status=descent.status,
        diverged_at=len(descent.losses) if descent.status == DIVERGED else None,
        losses=tuple(descent.losses),
        first_loss=first,
        final_loss=None if ending is None else ending.train_loss,
        test_loss=None if ending is None else ending.test_loss,
        test_accuracy=None if ending is None else ending.test_accuracy,
        dropped_samples=prepared.dropped_samples,
        seconds=0.0,
        by_epoch=tuple(descent.epochs),
    )
