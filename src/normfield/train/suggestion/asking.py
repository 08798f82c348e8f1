"""The door: which learning rate to take for a run, found by much shorter ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from normfield.errors import InvalidInput
from normfield.seeds import whole_seed
from normfield.train.builders import as_builder, data_for, what_varies
from normfield.train.losses import TrainingLoss, as_training_loss
from normfield.train.prepared import Prepared, prepare
from normfield.train.reference import ROUGHLY, Reference, given_reference, measured_reference
from normfield.train.settings import Settings, positive, whole
from normfield.train.suggestion.holding_out import with_held_out
from normfield.train.suggestion.looking import Seen, closer_look, look_for_boundary, survey
from normfield.train.suggestion.plan import Plan, plan_for
from normfield.train.suggestion.result import LearningRateSuggestion
from normfield.train.suggestion.trying import Tries

_PRODUCT_GRADIENTS = 3
"""A product with the matrix, in gradients of the same batch: 2.6 for a network with batch norm, counted as 3."""
_PRODUCTS_SHARE = 1 / 8  # of all gradients
_FEWEST_PRODUCTS = 2


def suggest_learning_rate(
    build: Any,
    data: Any,
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    momentum: float = 0.9,
    budget: float | None = None,
    seed: int = 0,
    *,
    epochs: int = 3,
    steps: int | None = None,
    restarts: int = 2,
    effort: float = 2.0,
    start: float | None = None,
    samples: int | None = None,
    divergence_factor: float = 1e3,
    progress: Callable[[str], object] | None = None,
) -> LearningRateSuggestion:
    """Suggest the learning rate of a run with heavy ball, from short runs that together cost about two of it.

    Runs of θ ← θ − η∇L + μ(θ − θ_prev) at many fixed η are trained together: a survey of 1/16 of the full run's steps
    at rates half a decade apart around η* = 2(1+μ)/λ_max [Wei, Eq. 7], then runs of 1/6 of its steps at rates a quarter
    decade apart around the best, each with ``restarts`` seeds. The best is the vertex of a parabola through the loss
    on held-out training samples, moved to the length of the full run by η ∝ steps⁻ᵖ (p from trials, by the loss), and
    never above half of the lowest rate that diverged. What is left is spent on narrowing the boundary.

    Parameters
    ----------
    build
        Callable seed -> module, a Network, or a module. A module is copied for every run, so that restarts vary the
        order of the data only; the result's ``varies`` says so. Nothing given is ever trained itself.
    data
        A data set, its name, or a pair (inputs, targets): all that ``normfield.data.load`` takes. Rates are compared
        on a fifth of the training samples, at most 1,024, that the short runs leave out; test data are not looked at.
        With ``batch_size=None`` or very few samples they are compared by the loss on the training samples.
    loss
        "squared", "cross_entropy", ``nn.MSELoss()``, ``nn.CrossEntropyLoss()`` or a callable
        (outputs, targets) -> scalar; η is in its units.
    batch_size
        Samples per step; None for all.
    momentum
        μ.
    budget
        Seconds after which it ends with what it has.
    seed
        Of the survey's initial weights and data order; the closer look takes the ``restarts`` seeds after it.
    epochs, steps
        Length of the full run that is to be advised on: passes over the data, or steps, which override them.
    restarts
        Seeds at each rate of the closer look; their spread goes into the error bar.
    effort
        Gradients to take, in full runs.
    start
        A first guess of η*, in place of the measured one.
    samples
        Use the first so many training samples.
    divergence_factor
        How many times the first loss counts as diverged.
    progress
        Called with one line after every wave of runs.

    Returns
    -------
    LearningRateSuggestion
        Also after Ctrl-C or a spent budget, with the runs by then and a status that says so.

    Raises
    ------
    InvalidInput
        For settings out of range, a full run of less than 16 steps, data that do not fit the model, or a loss that is
        not one finite number.

    Examples
    --------
    >>> import torch
    >>> found = suggest_learning_rate(torch.nn.Linear(2, 2), (torch.eye(2) * 2**0.5, torch.eye(2)),
    ...     batch_size=None, momentum=0.0, steps=64)
    >>> 0.2 < found.learning_rate < 2.0
    True
    """
    began = time.monotonic()
    settings = Settings(momentum, batch_size, epochs, steps, divergence_factor)
    seed = whole_seed(seed)
    _check(restarts, effort, start, budget)
    make, training_loss = as_builder(build), as_training_loss(loss)
    dataset = data_for(build, data, samples)
    model = make(seed)
    varies = what_varies(model, make(seed + 1))
    full = prepare(model, replace(dataset, test_inputs=None, test_targets=None), training_loss, batch_size)
    plan = plan_for(steps or epochs * full.steps_per_epoch, restarts, effort)
    part, held_out = with_held_out(dataset, batch_size)
    reference = _reference(model, full, loss, momentum, start, plan)
    tries = Tries(
        make,
        part,
        loss,
        settings,
        plan.allowed,
        math.inf if budget is None else began + budget,
        progress,
        gradients=_PRODUCT_GRADIENTS * reference.products,
    )
    seen = _looked(tries, plan, reference, training_loss, seed)
    return LearningRateSuggestion(
        seen=seen,
        runs=tuple(tries.runs),
        reference=reference.learning_rate,
        reference_source=reference.source,
        reference_gradients=_PRODUCT_GRADIENTS * reference.products,
        gradient_evaluations=tries.gradients,
        full_steps=plan.full_steps,
        held_out=held_out,
        varies=varies,
        stopped=tries.stopped,
        alone=tries.alone,
        loss=training_loss.name,
        **asdict(settings),
        restarts=restarts,
        effort=effort,
        seed=seed,
        budget=budget,
        samples=dataset.samples_used,
        data=str(dataset),
        compile_seconds=tries.compile_seconds,
        seconds=time.monotonic() - began,
    )


def _looked(
    tries: Tries, plan: Plan, reference: Reference, loss: TrainingLoss, seed: int
) -> tuple[Seen, ...]:
    """What the survey and the closer look saw, as far as they came."""
    first = survey(tries, plan, reference.start, seed)
    if first is None:
        return ()
    seeds = [seed + 1 + i for i in range(plan.restarts)]
    closer = closer_look(tries, plan, first, loss.name, seeds)
    look_for_boundary(tries, plan, seed)
    return (first,) if closer is None else (first, closer)


def _reference(
    model: nn.Module, prepared: Prepared, loss: object, momentum: float, start: float | None, plan: Plan
) -> Reference:
    """The given first guess, or η* of one batch, measured roughly: a start needs no more."""
    if start is not None:
        return given_reference(float(start))
    most = max(_FEWEST_PRODUCTS, int(_PRODUCTS_SHARE * plan.allowed / _PRODUCT_GRADIENTS))
    care = replace(ROUGHLY, most_products=min(most, ROUGHLY.most_products or most))
    return measured_reference(model, prepared, loss, momentum, care)


def _check(restarts: int, effort: float, start: float | None, budget: float | None) -> None:
    whole(restarts, "restarts", 1)
    positive(effort, "effort")
    if effort < 1:
        raise InvalidInput(
            expected="effort of at least 1, in full runs", got=f"{effort:g}", instead="try effort=2"
        )
    if start is not None:
        positive(start, "start")
    if budget is not None:
        positive(budget, "budget")
