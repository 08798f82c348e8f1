"""Members that train together, step by step, and how each ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.train.descent import CUT_SHORT, DIVERGED, FINISHED, Descent
from normfield.train.ensemble.member import Member
from normfield.train.ensemble.optimizers import RULES, Rule
from normfield.train.ensemble.schedule import Schedule
from normfield.train.ensemble.stack import Stack, stacked
from normfield.train.ensemble.vectorised import Shares, Together
from normfield.train.epochs import Epoch, Recording
from normfield.train.prepared import Prepared
from normfield.train.run import Run


@dataclass(eq=False)
class Group:
    """Members that train together, and where each stands; ``alive`` are the places of those still in the stack."""

    members: Sequence[Member]
    stack: Stack
    rule: Rule
    descents: list[Descent]
    alive: list[int]

    def drop(self, finite: Tensor) -> None:
        """Go on without the members whose place in the mask is false."""
        if bool(finite.all()):
            return
        kept = finite.nonzero()[:, 0]
        self.alive = [self.alive[i] for i in kept.tolist()]
        if self.alive:
            self.stack = self.stack.only(kept)
            self.rule.keep(kept)


def train_group(
    members: Sequence[Member], modules: Sequence[nn.Module], optimizer: str, schedule: Schedule
) -> list[Run]:
    """Train some modules in place and say how each ended."""
    began = time.perf_counter()
    stack, prepared = stacked(modules), schedule.prepared
    together = Together(stack, prepared.loss.function, schedule.is_shared)
    like = next(iter(stack.trained.values()))
    rates, momenta = (
        torch.tensor([getattr(member, name) for member in members], dtype=torch.float64, device=like.device)
        for name in ("learning_rate", "momentum")
    )
    with seeded_random_state(members[0].seed):
        first = _vectorised(lambda: together.measured(stack, prepared.evaluation, False)).losses
        rule = RULES[optimizer](stack.trained, rates, momenta)
        group = Group(members, stack, rule, [Descent([]) for _ in members], list(range(len(members))))
        _descend(group, together, schedule)
        endings = _endings(group, together, schedule)
    group.stack.write_back([modules[i] for i in group.alive])
    seconds = (time.perf_counter() - began) / len(members)
    return [
        replace(_run(members[i], descent, first[i], prepared, endings.get(i)), seconds=seconds)
        for i, descent in enumerate(group.descents)
    ]


def _vectorised(compute: Callable[[], Shares]) -> Shares:
    """The first vectorised pass, whose complaint is about the model."""
    try:
        return compute()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise InvalidInput(
            expected="a model whose operations torch.func.vmap can vectorise",
            got=str(error).splitlines()[0],
            instead="train such models one by one with train_once",
        ) from error


def _descend(group: Group, together: Together, schedule: Schedule) -> None:
    """Steps until they are done, all have diverged or the clock runs out."""
    left = schedule.settings.steps or schedule.settings.epochs * schedule.prepared.steps_per_epoch
    for orders in schedule.passes(group.members):
        for i in range(min(left, schedule.prepared.steps_per_epoch)):
            if time.monotonic() > schedule.deadline:
                _end(group, torch.zeros(len(group.alive), dtype=torch.bool), CUT_SHORT)
            if not group.alive:
                return
            _step(group, together, schedule, orders, i)
        left -= schedule.prepared.steps_per_epoch
        if group.alive:
            _end(group, _all_finite(group.stack), DIVERGED)
        if schedule.recording.every_epoch:
            _record(group, together, schedule)
        if left <= 0 or not group.alive:
            return


def _step(group: Group, together: Together, schedule: Schedule, orders: Tensor | None, i: int) -> None:
    """One step of all that are alive; those whose loss diverged leave before it."""
    inputs, targets = schedule.batch(orders, group.alive, i)
    gradients, losses = together.slopes(group.stack, inputs, targets)
    factor = schedule.settings.divergence_factor
    accepted = torch.tensor(
        [
            group.descents[k].accepts(value, factor)
            for k, value in zip(group.alive, losses.tolist(), strict=True)
        ]
    ).to(losses.device)
    if not bool(accepted.all()):
        kept = accepted.nonzero()[:, 0]
        gradients = {name: gradient[kept] for name, gradient in gradients.items()}
        group.drop(accepted)
    if group.alive:
        with torch.no_grad():
            group.rule.step(group.stack.trained, gradients)


def _end(group: Group, goes_on: Tensor, status: str) -> None:
    """Give the members whose place is false a status, and drop them."""
    for k, fine in zip(group.alive, goes_on.tolist(), strict=True):
        if not fine:
            group.descents[k].status = status
    group.drop(goes_on)


def _all_finite(stack: Stack) -> Tensor:
    """Whether every parameter of each member is finite (K,)."""
    each = [torch.isfinite(t).flatten(1).all(1) for t in stack.trained.values()]
    return torch.stack(each).all(0)


def _record(group: Group, together: Together, schedule: Schedule) -> None:
    """Keep what the members alive are worth at an epoch's end."""
    for k, epoch in _epochs(group, together, schedule.prepared, schedule.recording).items():
        group.descents[k].epochs.append(epoch)


def _epochs(group: Group, together: Together, prepared: Prepared, recording: Recording) -> dict[int, Epoch]:
    """The members alive at an epoch's end, by place."""
    if not group.alive:
        return {}
    train = together.measured(group.stack, prepared.evaluation, prepared.labelled)
    test = together.measured(group.stack, prepared.test, prepared.labelled) if prepared.test else None
    return {
        k: Epoch(
            epoch=len(group.descents[k].epochs) + 1,
            train_loss=train.losses[i],
            train_accuracy=train.accuracies[i],
            test_loss=None if test is None else test.losses[i],
            test_accuracy=None if test is None else test.accuracies[i],
            probes=recording.probed(group.stack.as_module(i)) if recording.probes else {},
        )
        for i, k in enumerate(group.alive)
    }


def _endings(group: Group, together: Together, schedule: Schedule) -> dict[int, Epoch]:
    """The members that finished after their last step, by place; one whose loss is not finite diverged after all."""
    finished = [k for k in group.alive if group.descents[k].status == FINISHED]
    if schedule.recording.every_epoch:
        last = {k: group.descents[k].epochs[-1] for k in finished}
    else:
        last = _epochs(group, together, schedule.prepared, schedule.recording)
    finite = [math.isfinite(last[k].train_loss) for k in finished]
    _end(group, torch.tensor(finite, dtype=torch.bool), DIVERGED)
    return {k: last[k] for k in group.alive}


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
