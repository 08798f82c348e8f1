"""The third answer: curvature of the module itself, as thoroughly as half of the time left allows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from normfield.diagnosis.answer import Answer
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.clock import Clock
from normfield.diagnosis.costs import Costs
from normfield.diagnosis.memory import in_words, usable_bytes
from normfield.diagnosis.planning import Measuring, measuring, measuring_share
from normfield.diagnosis.subject import Subject
from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure import Curvature, curvature
from normfield.train.losses import as_training_loss, rows

_SAMPLES = 1024
_ENOUGH_PRODUCTS = 700  # no measurement takes more: it need not be told
_TOLERANCES = (1e-3, 1e-2)
_USABLE_ERROR = 0.1  # of a measurement that the budget ended


def measured_answer(subject: Subject, asked: Asked, costs: Costs, clock: Clock) -> Answer:
    """Curvature of the module itself at its initial weights, by default in the mode in which it trains.

    One batch first, and as many more as that one's time allows.
    """
    began = time.perf_counter()
    seconds = measuring_share(asked, costs, clock.left) * clock.left
    memory = usable_bytes(next(subject.module.parameters()).device)
    manner = measuring(asked, costs, subject.data.outputs, seconds, memory)
    if manner.products < 1:
        return Answer.without("measured", "cut", _no_room(asked, costs, seconds, memory))
    try:
        found = _measured(subject, asked, manner, 1, seconds)
        wanted = min(subject.data.samples_used, _SAMPLES) // asked.batch_size
        if found.is_converged and not manner.only_largest:
            found = _on_more(subject, asked, manner, found, wanted, began + seconds)
    except (NumericalFailure, InvalidInput) as failure:  # the model trains: its curvature is what is refused
        status = "not covered" if isinstance(failure, InvalidInput) else "failed"
        return Answer.without("measured", status, str(failure), time.perf_counter() - began)
    return _answer(found, asked, manner, wanted, time.perf_counter() - began)


def _on_more(
    subject: Subject, asked: Asked, manner: Measuring, one: Curvature, wanted: int, deadline: float
) -> Curvature:
    """The same on as many batches as fit before the deadline, or the one where they do not converge."""
    left = deadline - time.perf_counter()
    count = min(wanted, int(left / max(one.seconds, 1e-6)))
    if count < 2:
        return one
    more = _measured(subject, asked, manner, count, left)
    return more if more.is_converged else one


def _measured(subject: Subject, asked: Asked, manner: Measuring, count: int, seconds: float) -> Curvature:
    batches = subject.data.batches(asked.batch_size, asked.seed)
    fixed: dict[str, Any] = {
        "statistics": asked.statistics,
        "seed": asked.seed,
        "tolerance": _TOLERANCES[manner.only_largest],
        "max_products": manner.products if manner.products < _ENOUGH_PRODUCTS else None,
        "method": "auto" if manner.may_be_dense else "lanczos",
        "budget": seconds,
        "on_failure": "return",
    }
    chosen = [batches[i] for i in range(count)]
    if not manner.only_largest:
        return curvature(subject.module, chosen, asked.loss, kind=asked.matrix, **fixed)
    kind = "hessian" if asked.matrix == "hessian" else "ggn"  # for squared losses the Fisher matrix
    found = curvature(subject.module, chosen, _opaque(asked), kind=kind, **fixed)
    return replace(found, kind=asked.matrix, loss=asked.loss_name)


def _opaque(asked: Asked) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A squared loss as any function, whose one largest eigenvalue is looked for from its gradient."""
    loss = as_training_loss(asked.loss)
    return lambda outputs, targets: loss.function(outputs, rows(outputs, targets))


def _no_room(asked: Asked, costs: Costs, seconds: float, memory: int) -> str:
    """Why not even one product fits."""
    needed = costs.measuring_bytes(asked.batch_size, 1)
    if needed > memory:
        return (
            f"measuring on batches of {asked.batch_size} would take about {in_words(needed)}, and "
            f"{in_words(memory)}, half of what is free, may be used: give a smaller batch size"
        )
    return (
        f"a look at it takes about {costs.step(asked.batch_size):.2g} s, each product with the matrix "
        f"{costs.product(asked.batch_size):.2g} s, and the budget of {asked.budget:g} s left {seconds:.2g} s"
    )


def _answer(found: Curvature, asked: Asked, manner: Measuring, wanted: int, seconds: float) -> Answer:
    if not found.is_converged and not _is_usable(found):
        return _unknown(found, asked, seconds)
    cut = ", ".join(_cuts(found, asked, manner, wanted))
    return Answer(
        name="measured",
        status="answered",
        max_learning_rate=found.max_learning_rate(asked.momentum),
        largest_eigenvalue=found.largest_eigenvalue,
        seconds=seconds,
        assumes=_words(found, asked) + (f" Cut: {cut}." if cut else ""),
        detail=found,
        cut=cut,
    )


def _is_usable(found: Curvature) -> bool:
    """Whether what was found by the end of the budget is known well enough to be an answer."""
    return len(found.eigenvalues) > 0 and found.largest_eigenvalue > 0 and found.error <= _USABLE_ERROR


def _unknown(found: Curvature, asked: Asked, seconds: float) -> Answer:
    """Too little is known: a bound, where there is one."""
    reason = found.status
    if len(found.eigenvalues) and found.largest_eigenvalue > 0:
        reason += f" ({found.products} products); λ_max is at least {found.largest_eigenvalue:.4g}, so the learning "
        reason += f"rate at most {found.max_learning_rate(asked.momentum):.3g}"
    return Answer.without("measured", "cut", reason, seconds)


def _cuts(found: Curvature, asked: Asked, manner: Measuring, wanted: int) -> list[str]:
    """How it was shortened, item by item."""
    cuts = [asked.batch_note] if asked.batch_note else []
    if found.batches < wanted:
        cuts.append(f"{found.batches} batch{'es' * (found.batches > 1)} instead of {wanted}")
    if manner.only_largest:
        cuts.append("only the largest eigenvalue, not the mean of the top ones")
    if not found.is_converged:
        unchecked = "and no check that nothing larger was missed"
        cuts.append(f"{found.products} products, to about {100 * found.error:.1g} % {unchecked}")
    elif manner.only_largest:
        cuts.append("to 1 %")
    return cuts


def _words(found: Curvature, asked: Asked) -> str:
    what = {"fisher": "Fisher", "ggn": "Gauss–Newton", "hessian": "Hessian"}[found.kind]
    size = (
        f"{found.batches} batches of {asked.batch_size}"
        if found.batches > 1
        else f"a batch of {asked.batch_size}"
    )
    mode = "" if asked.statistics == "batch" else f" with {asked.statistics} statistics, not as it trains,"
    where = f"{what} matrix of this module{mode} at its initial weights, on {size}"
    return f"{where}; linear stability, so the first steps."
