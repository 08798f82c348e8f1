"""Where training really diverges: the search for the critical learning rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from normfield.seeds import whole_seed
from normfield.train.boundaries import Boundary, boundary_of
from normfield.train.brackets import Brackets, close, first_brackets, next_brackets, walk_down
from normfield.train.builders import as_builder, data_for, what_varies
from normfield.train.losses import as_training_loss
from normfield.train.prepared import prepare
from normfield.train.reference import given_reference, measured_reference
from normfield.train.settings import Settings, positive, whole
from normfield.train.stability_result import CriticalLearningRate
from normfield.train.trials import Trials


def critical_learning_rate(
    build: Any,
    data: Any,
    loss: str | Callable = "squared",
    batch_size: int | None = 128,
    momentum: float = 0.9,
    epochs: int = 3,
    restarts: int = 5,
    seed: int = 0,
    *,
    start: float | None = None,
    steps: int | None = None,
    resolution: float = 0.05,
    samples: int | None = None,
    divergence_factor: float = 1e3,
    look_for_best: bool = True,
    budget: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> CriticalLearningRate:
    """Find by training the learning rate above which runs diverge, and the one above which they end worse.

    Runs of θ ← θ − η∇L + μ(θ − θ_prev) at fixed η from fresh weights, with η bracketed in log₁₀η by bisection to
    ``resolution``, for every restart anew. The search starts at η* = 2(1+μ)/λ_max [Wei, Eq. 7], measured on the
    first batches. A run diverges as `train_once` says; it ends worse when its training loss after the last step is
    higher than before the first. Both criteria share all runs. η* is the limit of linear stability at the start of
    training: a network may train above it, and the result's ``verdict`` says whether this one did.

    Parameters
    ----------
    build
        Callable seed -> module, a Network, or a module. A module is copied for every run, so that restarts vary
        the order of the data only; the result's ``varies`` says so. Nothing given is ever trained itself.
    data
        A data set, its name, or a pair (inputs, targets): all that ``normfield.data.load`` takes.
    loss
        "squared", "cross_entropy", ``nn.MSELoss()``, ``nn.CrossEntropyLoss()`` or a callable
        (outputs, targets) -> scalar; η is in its units.
    batch_size
        Samples per step; None for all.
    momentum
        μ.
    epochs, steps
        Passes over the data in each run, or its number of steps, which overrides them.
    restarts
        How many times the boundary is found, with seeds ``seed``, ``seed + 1``, ...; their spread is the error bar.
    seed
        Of the first restart: initial weights and order of the data.
    start
        A first guess of η*, in place of the measured one.
    resolution
        Width in decades at which a bracket is closed.
    samples
        Use the first so many training samples.
    divergence_factor
        How many times the first loss counts as diverged.
    look_for_best
        Run the first restart below its boundary too, so that the best learning rate seen means something.
    budget
        Seconds after which the run in progress is cut short and the search ends with what it has.
    progress
        Called with one line after every run.

    Returns
    -------
    CriticalLearningRate
        Also after Ctrl-C, with the finished runs and the status "interrupted".

    Raises
    ------
    InvalidInput
        For settings out of range, data that do not fit the model, or a loss that is not one finite number.

    Examples
    --------
    >>> import torch
    >>> found = critical_learning_rate(torch.nn.Linear(2, 2), (torch.eye(2) * 2**0.5, torch.eye(2)),
    ...     batch_size=None, momentum=0.0, epochs=400, restarts=1)
    >>> round(found.log10, 1)
    0.0
    """
    began = time.monotonic()
    settings = Settings(momentum, batch_size, epochs, steps, divergence_factor)
    seed = whole_seed(seed)
    _check_search(restarts, resolution, start, budget)
    make, training_loss, dataset = as_builder(build), as_training_loss(loss), data_for(build, data, samples)
    model = make(seed)
    varies = what_varies(model, make(seed + 1))
    prepared = prepare(model, dataset, training_loss, batch_size)
    reference = (
        measured_reference(model, prepared, loss, momentum)
        if start is None
        else given_reference(float(start))
    )
    deadline = math.inf if budget is None else began + budget
    trials = Trials(make, prepared, settings, deadline, progress)
    boundaries = _all_restarts(trials, reference.start, restarts, seed, resolution, look_for_best)
    return CriticalLearningRate(
        boundaries=boundaries,
        runs=tuple(trials.runs),
        reference=reference.learning_rate,
        reference_source=reference.source,
        varies=varies,
        stopped=trials.stopped,
        loss=training_loss.name,
        **asdict(settings),
        restarts=restarts,
        seed=seed,
        resolution=resolution,
        budget=budget,
        samples=dataset.samples_used,
        data=str(dataset),
        seconds=time.monotonic() - began,
    )


def _all_restarts(
    trials: Trials, start: float, restarts: int, seed: int, resolution: float, look_for_best: bool
) -> tuple[Boundary, ...]:
    """Bracket restart after restart, each begun where the last ended; the best rate is looked for after the first."""
    brackets = first_brackets(start, resolution)
    boundaries: list[Boundary] = []
    for i in range(restarts):
        if i > 0:
            brackets = next_brackets(brackets, start, resolution)
        close(brackets, trials, seed + i)
        boundaries += _both(brackets, seed + i)
        if i == 0 and look_for_best and trials.stopped is None:
            walk_down(brackets, trials, seed)
        if trials.stopped is not None:
            break
    return tuple(boundaries)


def _both(brackets: Brackets, seed: int) -> list[Boundary]:
    return [
        boundary_of(brackets.diverged, seed, "diverged"),
        boundary_of(brackets.worse, seed, "worse"),
    ]


def _check_search(restarts: int, resolution: float, start: float | None, budget: float | None) -> None:
    whole(restarts, "restarts", 1)
    positive(resolution, "resolution")
    if start is not None:
        positive(start, "start")
    if budget is not None:
        positive(budget, "budget")
