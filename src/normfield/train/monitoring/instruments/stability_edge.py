"""How near the learning rate is to the edge of stability, for gradient descent and as the optimizer steps.

[Cohen 2021] is Cohen, Kaur, Li, Kolter and Talwalkar, "Gradient Descent on Neural Networks Typically Occurs at the
Edge of Stability", arXiv:2103.00065; [Cohen 2022] its sequel on adaptive optimizers, arXiv:2207.14484.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch.optim import SGD, Optimizer

from normfield.errors import InvalidInput
from normfield.measure import PreconditionedCurvature, curvature, preconditioned_curvature
from normfield.measure.optimizers.update_rules import family_of
from normfield.train.monitoring.moment import Moment

TOLERANCE = 5e-2
"""Relative error asked of the largest eigenvalues: a twentieth of the distance to the edge."""

MOST_PRODUCTS = 60
"""Products with each matrix: what has not converged by then is given with its error."""


class Edge:
    """η·λ_max/2 of the Hessian, 1 being the edge of stability [Cohen 2021]; and η·Λ/2, as the optimizer's own
    steps see it, with momentum, preconditioner and decay [Cohen 2022].
    """

    def __call__(self, moment: Moment) -> dict[str, float]:
        """λ_max, its relative error and η·λ_max/2; the same of P^-½HP^-½ where the optimizer's rule is known."""
        rate = moment.rate_for("edge")
        seen = _as_optimized(moment)
        plain = _plain(moment, seen)
        found = {
            "largest_eigenvalue": plain.largest,
            "relative_error": plain.error,
            "sharpness_times_rate": rate * max(plain.largest, 0.0) / 2,
        }
        if seen is not None:
            found["preconditioned_largest_eigenvalue"] = seen.largest_eigenvalue
            found["preconditioned_relative_error"] = seen.error
            limit = max(seen.stability_eigenvalue, 0.0) / 2
            found["preconditioned_sharpness_times_rate"] = (
                rate * limit
            )  # the step's, whatever a scheduler did since
        return found


@dataclass(frozen=True)
class _Sharpness:
    """λ_max of the Hessian, and its estimated relative error."""

    largest: float
    error: float


def is_known(optimizer: Optimizer) -> bool:
    """Whether the optimizer's steps are those of a known rule."""
    try:
        family_of(optimizer)
    except InvalidInput:
        return False
    return True


def _as_optimized(moment: Moment) -> PreconditionedCurvature | None:
    optimizer = moment.optimizer
    if optimizer is None or not is_known(optimizer):
        return None
    return preconditioned_curvature(
        moment.model, list(moment.batches), moment.loss, optimizer, **_settings(moment)
    )


def _plain(moment: Moment, seen: PreconditionedCurvature | None) -> _Sharpness:
    """The Hessian's own: what was seen already, less the penalty, where SGD sees the Hessian itself."""
    penalty = _penalty(moment)
    if seen is not None and penalty is not None:
        return _Sharpness(seen.largest_eigenvalue - penalty, seen.error)
    found = curvature(moment.model, list(moment.batches), moment.loss, **_settings(moment))
    return _Sharpness(found.largest_eigenvalue, found.error)


def _penalty(moment: Moment) -> float | None:
    """a where the optimizer is SGD with one weight decay a over all that is trainable: it then sees H + a."""
    optimizer = moment.optimizer
    if type(optimizer) is not SGD:
        return None
    penalties = {float(group["weight_decay"]) for group in optimizer.param_groups}
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    is_whole = all(id(p) in held for p in moment.model.parameters() if p.requires_grad)
    return penalties.pop() if is_whole and len(penalties) == 1 else None


def _settings(moment: Moment) -> dict[str, Any]:
    return {
        "kind": "hessian",
        "statistics": moment.statistics,
        "tolerance": TOLERANCE,
        "max_products": MOST_PRODUCTS,
        "seed": moment.seed,
        "on_failure": "return",
    }
