"""The door to ensembles: many training runs at fixed learning rates, the same as one by one, in one program."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.train.builders import as_builder, data_for
from normfield.train.ensemble.descending import Training
from normfield.train.ensemble.member import as_members
from normfield.train.ensemble.optimizers import RULES
from normfield.train.ensemble.programs import Compilation, pays
from normfield.train.ensemble.result import Ensemble
from normfield.train.ensemble.rewriting import multiplies_first
from normfield.train.ensemble.room import needs_of, room_for
from normfield.train.ensemble.schedule import Schedule
from normfield.train.ensemble.vectorised import Together
from normfield.train.epochs import Probes, as_recording
from normfield.train.losses import as_training_loss
from normfield.train.prepared import prepare
from normfield.train.run import Run
from normfield.train.settings import Settings, positive

MEMORY = 2 * 2**30
_PASSES_OF_A_STEP = 3
"""Matrix products of a step over those of an evaluated batch."""


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
    every_epoch: bool = False,
    probes: Probes | None = None,
    precision: str | None = None,
    compiled: bool | str = "auto",
    progress: Callable[[str], object] | None = None,
) -> Ensemble:
    """Train many networks of one shape together, each with its own learning rate, momentum, seed and initial values.

    Parameters, gradients and optimizer states are held as (K, …) and stepped at once, so that small networks share the
    cost of every operation; the runs are those that `train_once` makes one by one, to round-off. What becomes NaN in
    one member never meets another; one that diverges is left out within eight steps, later within a quarter of those
    taken and at most 32 (in a compiled program, as soon as those left fill a chunk less).

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
    every_epoch, probes
        As for `train_once`: what the members alive are worth at the end of every epoch, as ``by_epoch`` of their runs.
    precision : {None, "float32", "bfloat16"}
        None trains modules in their own. "float32" casts them to it; "bfloat16" too, but takes matrix products and
        convolutions in bfloat16 (``torch.autocast``), in training and in the losses and accuracies reported, with
        weights, statistics of batch norms and the optimizer's state in float32.
    compiled : {"auto", True, False}
        Whether steps and evaluations are compiled by ``torch.compile``, which needs a C++ compiler on a CPU. "auto"
        does from 20,000 planned steps of single networks (members × steps) on, three evaluated batches counted as one,
        the same whatever the machine, so that a repeated sweep repeats its numbers: compiling took 6 to 17 s of one
        core and saved 0.7 ms (width 64) to 2.5 ms (width 256) of each such step. Where it cannot compile, "auto" goes
        on without, and the result says so.
    progress : callable, optional
        Told of every finished group in a line.

    Returns
    -------
    Ensemble

    Raises
    ------
    InvalidInput
        Members of different shapes, settings out of range, data that do not fit, a model that cannot be vectorised,
        ``compiled=True`` where that fails.

    Notes
    -----
    Draws inside the model (dropout) are each member's own but not those of `train_once`.

    Dense layers, convolutions, batch norms, pointwise layers and poolings in ``nn.Sequential`` (all that `build` makes)
    are written for all members at once; anything else goes through ``torch.func.vmap``.

    Examples
    --------
    >>> import torch
    >>> inputs = torch.eye(4)
    >>> found = train_ensemble(nn.Linear(4, 2), (inputs, inputs[:, :2]), [0.1, 1e3], batch_size=None, epochs=9)
    >>> [run.status for run in found.runs]
    ['finished', 'diverged']
    """
    began = time.perf_counter()
    settings = Settings(0.0, batch_size, epochs, steps, divergence_factor)
    recording = as_recording(every_epoch, probes)
    given = as_members(members)
    _check(optimizer, memory, precision, compiled)
    cast = nn.Module.float if precision else _as_it_is
    makers = [as_builder(build if each.build is None else each.build) for each in given]
    first = cast(makers[0](given[0].seed))
    prepared = prepare(
        first,
        data_for(build if given[0].build is None else given[0].build, data, None),
        as_training_loss(loss),
        batch_size,
    )
    rule, function = RULES[optimizer], prepared.loss.function
    needs = needs_of(first, function, prepared.evaluation[0], rule)
    room = room_for(len(given), needs, memory, next(first.parameters()).device)
    limit = math.inf if deadline is None else deadline
    if precision == "bfloat16" and multiplies_first(first) and isinstance(prepared.inputs, Tensor):
        prepared = replace(prepared, inputs=prepared.inputs.bfloat16())
    schedule = Schedule(prepared, settings, order_seed if shared_order else None, limit, recording)
    together = Together(function, rule, schedule.is_shared, precision == "bfloat16")
    training = Training(
        together,
        schedule,
        steps=_compilation(compiled, len(given) * schedule.steps),
        evaluations=_compilation(compiled, len(given) * schedule.evaluated_batches // _PASSES_OF_A_STEP),
        chunk=room.chunk,
    )
    runs: list[Run] = []
    models: list[nn.Module] = []
    for start in range(0, len(given), room.at_once):
        own = given[start : start + room.at_once]
        modules = [cast(makers[start + i](member.seed)) for i, member in enumerate(own)]
        runs += training.group(own, modules)
        models += modules if keep_models else []
        if progress is not None:
            progress(f"{len(runs)} of {len(given)} runs")
    return Ensemble(
        members=given,
        runs=tuple(runs),
        at_once=room.at_once,
        optimizer=optimizer,
        models=tuple(models),
        seconds=time.perf_counter() - began,
        compiled=training.steps.happened,
        compile_seconds=training.compile_seconds,
    )


def _compilation(compiled: bool | str, steps: int) -> Compilation:
    """Of what is as much work as so many steps of single networks."""
    return Compilation(pays(steps) if compiled == "auto" else bool(compiled), compiled is True)


def _as_it_is(module: nn.Module) -> nn.Module:
    return module


def _check(optimizer: Any, memory: Any, precision: Any, compiled: Any) -> None:
    if optimizer not in RULES:
        raise InvalidInput(expected=f"optimizer one of {', '.join(RULES)}", got=repr(optimizer))
    positive(memory, "memory")
    if precision not in (None, "float32", "bfloat16"):
        raise InvalidInput(
            expected='precision None, "float32" or "bfloat16"',
            got=repr(precision),
            instead="leave it out to train modules in their own",
        )
    if not isinstance(compiled, bool) and compiled != "auto":
        raise InvalidInput(
            expected='compiled True, False or "auto"', got=repr(compiled), instead="leave it out"
        )
