"""What the members of a group are worth at an epoch's end and after their last step."""

from __future__ import annotations

import math

import torch

from normfield.train.descent import DIVERGED
from normfield.train.ensemble.computing import Computing
from normfield.train.ensemble.group import Group
from normfield.train.ensemble.stack import Stack
from normfield.train.epochs import Epoch, Recording
from normfield.train.prepared import Prepared


def record(group: Group, computing: Computing, prepared: Prepared, recording: Recording) -> None:
    """Keep what the members alive are worth at an epoch's end."""
    for k, epoch in _epochs(group, computing, prepared, recording).items():
        group.descents[k].epochs.append(epoch)


def endings(group: Group, computing: Computing, prepared: Prepared, recording: Recording) -> dict[int, Epoch]:
    """The members that finished after their last step, by place; one whose loss is not finite diverged after all."""
    if recording.every_epoch:
        last = {k: group.descents[k].epochs[-1] for k in group.alive}
    else:
        last = _epochs(group, computing, prepared, recording)
    group.end([k for k in last if not math.isfinite(last[k].train_loss)], DIVERGED)
    return {k: last[k] for k in group.alive}


def end_infinite(group: Group) -> None:
    """Members of which a parameter is not finite diverged."""
    finite = _all_finite(group.stack)
    group.end([k for k in group.alive if not finite[group.row(k)]], DIVERGED)


def _all_finite(stack: Stack) -> list[bool]:
    """Whether every parameter of each member is finite (K,)."""
    held = [t.reshape(len(t), -1) for t in stack.trained.values() if t.numel()]
    largest = [torch.linalg.vector_norm(t, math.inf, 1) for t in held]
    return torch.stack([size.isfinite() for size in largest]).all(0).tolist()


def _epochs(group: Group, computing: Computing, prepared: Prepared, recording: Recording) -> dict[int, Epoch]:
    """The members alive at an epoch's end, by place."""
    if not group.alive:
        return {}
    train = computing.measured(group, prepared.evaluation, prepared.labelled)
    test = computing.measured(group, prepared.test, prepared.labelled) if prepared.test else None
    return {
        k: Epoch(
            epoch=len(group.descents[k].epochs) + 1,
            train_loss=train.losses[row],
            train_accuracy=train.accuracies[row],
            test_loss=None if test is None else test.losses[row],
            test_accuracy=None if test is None else test.accuracies[row],
            probes=recording.probed(group.stack.as_module(row)) if recording.probes else {},
        )
        for k, row in ((k, group.row(k)) for k in group.alive)
    }
