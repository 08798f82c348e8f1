"""The door to ensembles: many training runs at fixed learning rates, the same as one by one, in one program."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from normfield.data.batching import shuffled_order
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput
from normfield.samples import count
from normfield.train.builders import as_builder, data_for
from normfield.train.descent import CUT_SHORT, DIVERGED, FINISHED, Descent
from normfield.train.ensemble.member import Member, as_members
from normfield.train.ensemble.optimizers import RULES, Rule
from normfield.train.ensemble.room import bytes_each, members_at_once
from normfield.train.ensemble.stack import Stack, Together, gathered, stacked
from normfield.train.losses import as_training_loss
from normfield.train.prepared import Prepared, prepare
from normfield.train.run import Run
from normfield.train.settings import Settings, positive

if TYPE_CHECKING:
    import pandas

MEMORY = 2 * 2**30


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Runs of an ensemble, in the order of its members.

    Attributes
    ----------
    members : tuple of Member
    runs : tuple of Run
        As `train_once` gives them; ``seconds`` of each is its share of its group's.
    at_once : int
        How many were trained together.
    optimizer : str
    models : tuple of nn.Module
        The trained modules; empty unless they were asked for.
    seconds : float
    """

    members: tuple[Member, ...]
    runs: tuple[Run, ...]
    at_once: int
    optimizer: str
    models: tuple[nn.Module, ...]
    seconds: float

    def to_frame(self) -> pandas.DataFrame:
        """One row for each member: everything of its run but the losses of its steps."""
        import pandas

        return pandas.DataFrame([run.summary() for run in self.runs])

    def __str__(self) -> str:
        diverged = sum(run.status == DIVERGED for run in self.runs)
        return (
            f"{len(self.runs)} runs, {self.at_once} at once, by {self.optimizer}: {diverged} diverged; "
            f"{self.seconds:.2g} s"
        )


@dataclass(eq=False)
class _Group:
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


def train_ensemble(
    build: Any,
    data: Any,
    members: Any,
    *,
    optimizer: str = "sgd",
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    epochs: int = 3,
    steps: int | None = None,
    shared_order: bool = False,
    order_seed: int = 0,
    divergence_factor: float = 1e3,
    memory: float = MEMORY,
    deadline: float | None = None,
    keep_models: bool = False,
    progress: Callable[[str], object] | None = None,
) -> Ensemble:
    """Train many networks of one shape together, each with its own learning rate, momentum, seed and initial values.

    Parameters, gradients and optimizer states are held as (K, …) and stepped at once, so that small networks share the
    cost of every operation; the runs are those that `train_once` makes one by one, to round-off. A member that diverges
    leaves the stack and costs no more; what becomes NaN in one never meets another.

    Parameters
    ----------
    build : Network, nn.Module or callable seed -> nn.Module
        What makes the members that do not say it themselves.
    data
        All that ``normfield.data.load`` takes.
    members : list of Member, or of learning rates
        Plain rates get momentum 0.9 and seed 0.
    optimizer : {"sgd", "adam", "rmsprop"}
        Torch's formulas and defaults; a member's momentum is μ, for Adam β₁.
    loss, batch_size, epochs, steps, divergence_factor
        As for `train_once`.
    shared_order : bool
        Whether all members take the same batches, in the order of `order_seed`, instead of each in that of its own
        seed. Saves the memory of a batch for each.
    memory : float
        Bytes that may be taken; members train in as many groups as that needs.
    deadline : float, optional
        Reading of ``time.monotonic()`` after which runs are cut short.
    keep_models : bool
        Whether the result holds the trained modules.
    progress : callable, optional
        Told of every finished group in a line.

    Returns
    -------
    Ensemble

    Raises
    ------
    InvalidInput
        Members of different shapes, settings out of range, data that do not fit, a model that cannot be vectorised.

    Notes
    -----
    Draws inside the model (dropout) are each member's own but not those of `train_once`.

    Examples
    --------
    >>> inputs = torch.eye(4)
    >>> found = train_ensemble(nn.Linear(4, 2), (inputs, inputs[:, :2]), [0.1, 1e3], batch_size=None, epochs=9)
    >>> [run.status for run in found.runs]
    ['finished', 'diverged']
    """
    began = time.perf_counter()
    settings = Settings(0.0, batch_size, epochs, steps, divergence_factor)
    given = as_members(members)
    _check(optimizer, memory)
    makers = [as_builder(build if each.build is None else each.build) for each in given]
    first = makers[0](given[0].seed)
    prepared = prepare(
        first,
        data_for(build if given[0].build is None else given[0].build, data, None),
        as_training_loss(loss),
        batch_size,
    )
    each = bytes_each(first, prepared.loss.function, prepared.evaluation[0])
    at_once = members_at_once(len(given), each, memory)
    schedule = _Schedule(
        prepared, settings, order_seed if shared_order else None, math.inf if deadline is None else deadline
    )
    runs: list[Run] = []
    models: list[nn.Module] = []
    for start in range(0, len(given), at_once):
        own = given[start : start + at_once]
        modules = [makers[start + i](member.seed) for i, member in enumerate(own)]
        runs += _train_group(own, modules, optimizer, schedule)
        models += modules if keep_models else []
        if progress is not None:
            progress(f"{len(runs)} of {len(given)} runs")
    return Ensemble(given, tuple(runs), at_once, optimizer, tuple(models), time.perf_counter() - began)


def _check(optimizer: Any, memory: Any) -> None:
    if optimizer not in RULES:
        raise InvalidInput(expected=f"optimizer one of {', '.join(RULES)}", got=repr(optimizer))
    positive(memory, "memory")


@dataclass(frozen=True, eq=False)
class _Schedule:
    """The data and the steps of every group."""

    prepared: Prepared
    settings: Settings
    shared_seed: int | None
    deadline: float

    @property
    def is_shared(self) -> bool:
        """Whether all members take the same batches."""
        return self.shared_seed is not None or self.prepared.batch_size is None

    def passes(self, members: Sequence[Member]) -> Iterator[Tensor | None]:
        """Orders of the data without end: one row for each member, one for all, or none for the full batch."""
        seeds = [self.shared_seed] if self.shared_seed is not None else [member.seed for member in members]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        total = count(self.prepared.inputs)
        while True:
            if self.prepared.batch_size is None:
                yield None
            else:
                yield torch.stack([shuffled_order(total, generator) for generator in generators])

    def batch(self, orders: Tensor | None, alive: Sequence[int], i: int) -> tuple[Any, Any]:
        """The i-th batch of a pass, (B, …) where it is shared, else (K, B, …) for the members alive."""
        prepared, size = self.prepared, self.prepared.batch_size
        if orders is None or size is None:
            return prepared.inputs, prepared.targets
        chosen = orders[0] if self.shared_seed is not None else orders[list(alive)]
        chosen = chosen[..., i * size : (i + 1) * size]
        return gathered(prepared.inputs, chosen), gathered(prepared.targets, chosen)


def _train_group(
    members: Sequence[Member], modules: Sequence[nn.Module], optimizer: str, schedule: _Schedule
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
        first = _vectorised(lambda: together.mean_losses(stack, prepared.evaluation)).tolist()
        rule = RULES[optimizer](stack.trained, rates, momenta)
        group = _Group(members, stack, rule, [Descent([]) for _ in members], list(range(len(members))))
        _descend(group, together, schedule)
        endings = _endings(group, together, prepared)
    group.stack.write_back([modules[i] for i in group.alive])
    seconds = (time.perf_counter() - began) / len(members)
    return [
        replace(_run(members[i], descent, first[i], prepared, endings.get(i)), seconds=seconds)
        for i, descent in enumerate(group.descents)
    ]


def _vectorised(compute: Callable[[], Tensor]) -> Tensor:
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


def _descend(group: _Group, together: Together, schedule: _Schedule) -> None:
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
        if left <= 0 or not group.alive:
            return


def _step(group: _Group, together: Together, schedule: _Schedule, orders: Tensor | None, i: int) -> None:
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


def _end(group: _Group, goes_on: Tensor, status: str) -> None:
    """Give the members whose place is false a status, and drop them."""
    for k, fine in zip(group.alive, goes_on.tolist(), strict=True):
        if not fine:
            group.descents[k].status = status
    group.drop(goes_on)


def _all_finite(stack: Stack) -> Tensor:
    """Whether every parameter of each member is finite (K,)."""
    each = [torch.isfinite(t).flatten(1).all(1) for t in stack.trained.values()]
    return torch.stack(each).all(0)


@dataclass(frozen=True)
class _Ending:
    """Evaluations of a run that finished."""

    final_loss: float
    test_loss: float | None
    test_accuracy: float | None


def _endings(group: _Group, together: Together, prepared: Prepared) -> dict[int, _Ending]:
    """Evaluations by place of the members that finished; one whose loss is not finite diverged after all."""
    if not group.alive:
        return {}
    final = together.mean_losses(group.stack, prepared.evaluation)
    _end(group, torch.isfinite(final), DIVERGED)
    if not group.alive:
        return {}
    final = final[torch.isfinite(final)].tolist()
    test: list[float | None] = [None] * len(group.alive)
    shares = list(test)
    if prepared.test:
        test = together.mean_losses(group.stack, prepared.test).tolist()
        shares = together.accuracies(group.stack, prepared.test).tolist() if prepared.labelled else shares
    return {
        k: _Ending(final[i], test[i], shares[i])
        for i, k in enumerate(group.alive)
        if group.descents[k].status == FINISHED
    }


def _run(member: Member, descent: Descent, first: float, prepared: Prepared, ending: _Ending | None) -> Run:
    """A member's run; its share of the time is put in later."""
    return Run(
        learning_rate=member.learning_rate,
        momentum=member.momentum,
        seed=member.seed,
        status=descent.status,
        diverged_at=len(descent.losses) if descent.status == DIVERGED else None,
        losses=tuple(descent.losses),
        first_loss=first,
        final_loss=None if ending is None else ending.final_loss,
        test_loss=None if ending is None else ending.test_loss,
        test_accuracy=None if ending is None else ending.test_accuracy,
        dropped_samples=prepared.dropped_samples,
        seconds=0.0,
    )
