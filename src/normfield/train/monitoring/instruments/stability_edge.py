"""How near the learning rate is to the edge of stability, for gradient descent and as the optimizer steps.

[Cohen 2021] is Cohen, Kaur, Li, Kolter and Talwalkar, "Gradient Descent on Neural Networks Typically Occurs at the
Edge of Stability", arXiv:2103.00065; [Cohen 2022] its sequel on adaptive optimizers, arXiv:2207.14484.
"""

from __future__ import annotations

from typing import Any

from torch.optim import SGD, Optimizer

from normfield.errors import InvalidInput
from normfield.measure import Curvature, PreconditionedCurvature, curvature, preconditioned_curvature
from normfield.measure.optimizers.update_rules import family_of
from normfield.train.monitoring.moment import Moment

TOLERANCE = 1e-2
"""Relative error asked of the largest eigenvalues: a hundredth of the distance to the edge."""


class Edge:
    """η·λ_max/2 of the Hessian, 1 being the edge of stability [Cohen 2021]; and η·Λ/2, as the optimizer's own
    steps see it, with momentum, preconditioner and decay [Cohen 2022].
    """

    def __call__(self, moment: Moment) -> dict[str, float]:
        """λ_max, its relative error and η·λ_max/2; the same of P^-½HP^-½ where the optimizer's rule is known."""
        rate = moment.rate_for("edge")
        seen = _as_optimized(moment)
        plain = _plain(moment, seen)
        largest = plain.largest_eigenvalue
        found = {
            "largest_eigenvalue": largest,
            "relative_error": plain.error,
            "sharpness_times_rate": rate * max(largest, 0.0) / 2,
        }
        if seen is not None:
            found["preconditioned_largest_eigenvalue"] = seen.largest_eigenvalue
            found["preconditioned_relative_error"] = seen.error
            found["preconditioned_sharpness_times_rate"] = seen.sharpness_times_rate
        return found


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


def _plain(moment: Moment, seen: PreconditionedCurvature | None) -> Curvature | PreconditionedCurvature:
    """The Hessian's own, which for SGD without weight decay is what was seen already."""
    if seen is not None and _is_plain(moment):
        return seen
    return curvature(moment.model, list(moment.batches), moment.loss, **_settings(moment))


def _is_plain(moment: Moment) -> bool:
    """Whether the optimizer is SGD without weight decay over all that is trainable."""
    optimizer = moment.optimizer
    if type(optimizer) is not SGD or any(group["weight_decay"] for group in optimizer.param_groups):
        return False
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return all(id(p) in held for p in moment.model.parameters() if p.requires_grad)


def _settings(moment: Moment) -> dict[str, Any]:
    return {
        "kind": "hessian",
        "statistics": moment.statistics,
        "tolerance": TOLERANCE,
        "seed": moment.seed,
        "on_failure": "return",
    }
