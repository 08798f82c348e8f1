"""A group's training: steps until they are done, all have diverged or the clock runs out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from normfield.data.random_state import seeded_random_state
from normfield.train.descent import CUT_SHORT, DIVERGED, Descent
from normfield.train.ensemble.endings import end_infinite, endings, measured, record
from normfield.train.ensemble.group import Chunk, Group
from normfield.train.ensemble.member import Member
from normfield.train.ensemble.programs import Compilation
from normfield.train.ensemble.refusal import NotVectorised
from normfield.train.ensemble.schedule import Schedule
from normfield.train.ensemble.side_by_side import side_by_side
from normfield.train.ensemble.stack import Stack, stacked
from normfield.train.ensemble.vectorised import Together
from normfield.train.epochs import Epoch
from normfield.train.prepared import Prepared
from normfield.train.run import Run

_BLOCK = 8
"""Steps that a chunk takes before the next chunk, since its members are then still in the processor's cache, and whose
losses are read together, since reading waits for a device; a member goes on so long past its end."""


@dataclass(frozen=True, eq=False)
class Training:
    """How all groups train."""

    together: Together
    schedule: Schedule
    compilation: Compilation
    chunk: int

    def group(self, members: Sequence[Member], modules: Sequence[nn.Module]) -> list[Run]:
        """Train some modules in place and say how each ended."""
        began = time.perf_counter()
        schedule, prepared = self.schedule, self.schedule.prepared
        with seeded_random_state(members[0].seed):
            group = self._started(members, stacked(modules))
            with _told_of_the_model():
                first = measured(group, self.together, prepared.evaluation, False).losses
            compiled = self.compilation.seconds
            self._descend(group, members)
            last = endings(group, self.together, prepared, schedule.recording)
            compiled = self.compilation.seconds - compiled
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
        return Group(stack, places, descents, self.chunk, full=self.compilation.wanted)

    def _descend(self, group: Group, members: Sequence[Member]) -> None:
        schedule = self.schedule
        left, factor = schedule.steps, schedule.settings.divergence_factor
        for orders in schedule.passes(members):
            todo = min(left, schedule.prepared.steps_per_epoch)
            for first in range(0, todo, _BLOCK):
                if time.monotonic() > schedule.deadline:
                    group.end(group.alive, CUT_SHORT)
                if not group.alive:
                    return
                group.read(self._losses(group, orders, range(first, min(first + _BLOCK, todo))), factor)
                group.leave_out_ended()
            left -= todo
            end_infinite(group)
            group.leave_out_ended()
            if schedule.recording.every_epoch:
                record(group, self.together, schedule.prepared, schedule.recording)
            if left <= 0 or not group.alive:
                return

    def _losses(self, group: Group, orders: Tensor | None, steps: Sequence[int]) -> Tensor:
        """Some steps of every chunk; the losses before each, (steps, rows)."""
        self._compile(group.chunks[0], orders, steps[0])
        with side_by_side(self._workers(group)) as mapped:
            return torch.cat(list(mapped(lambda chunk: self._block(chunk, orders, steps), group.chunks)), 1)

    def _compile(self, chunk: Chunk, orders: Tensor | None, i: int) -> None:
        """Have the program before chunks ask for it side by side."""
        if self.compilation.wanted:
            self.compilation.step(self.together, chunk.stack, *self.schedule.batch(orders, chunk.places, i))

    def _workers(self, group: Group) -> int:
        """How many chunks step at a time: torch's threads, where a step is one program on them that draws nothing."""
        device = next(iter(group.stack.trained.values())).device
        alone = not self.compilation.happened or self.compilation.draws or device.type != "cpu"
        return 1 if alone else min(torch.get_num_threads(), len(group.chunks))

    def _block(self, chunk: Chunk, orders: Tensor | None, steps: Sequence[int]) -> Tensor:
        """Some steps of a chunk; the losses before each, (steps, rows)."""
        first = self.schedule.batch(orders, chunk.places, steps[0])
        step = self.compilation.step(self.together, chunk.stack, *first)
        with _told_of_the_model():
            losses = [step(*first)]
            losses += [step(*self.schedule.batch(orders, chunk.places, i)) for i in steps[1:]]
        return torch.stack(losses)


@contextmanager
def _told_of_the_model() -> Iterator[None]:
    """A vectorised pass complains of the model: in an evaluation or, with batches of their own, in a step."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise NotVectorised(
            expected="a model whose operations torch.func.vmap can vectorise",
            got=str(error).splitlines()[0],
            instead="train such models one by one with train_once",
        ) from error


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
