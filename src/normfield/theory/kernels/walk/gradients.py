"""The way back: how large the loss's gradient is in front of every step, from what it is at the outputs.

Π (n, n) is the gradient's second moment over the n = samples × positions values of a place, Σ_units E[δ δᵀ] with
δ = ∂ℓ/∂z of one unit. Weights that are met backwards are taken as independent of those met forwards, which infinite
width makes true [Yang, section 4], so that each step's rule is the adjoint of what it does to a tangent kernel:

    Wh + b:  Π ← σ_w² Π,      φ(γu + β):  Π ← E[Jᵀ Π J],      φ:  Π ← E[φ′φ′ᵀ] ∘ Π,

and the gradients of paths that begin at one place add. So ⟨Π, Θ⟩ is the same behind and in front of a step, but for
what its own parameters add to Θ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.layer.concentrated import concentrated_pull_back
from normfield.theory.kernels.layer.gaussian_pairs import plain_pull_back
from normfield.theory.kernels.layer.homogeneous import homogeneous_pull_back
from normfield.theory.kernels.layer.sampled_back import sampled_pull_back
from normfield.theory.kernels.pair_laws.laws import slope_at
from normfield.theory.kernels.walk import positions_back
from normfield.theory.kernels.walk.rules import Passed, per_sample_unit
from normfield.theory.kernels.walk.steps import (
    Affine,
    Averaged,
    Branched,
    Flattened,
    Normed,
    Pointwise,
    SampleNormed,
)
from normfield.theory.kernels.walk.ways import Ways


@dataclass(frozen=True, eq=False)
class Returned:
    """A step that was passed forwards, with Π behind and in front of it.

    Attributes
    ----------
    passed : Passed
    behind, front : array
        Π where the step ends and where it begins.
    error : float
        Estimated relative error of its expectation.
    branch, shortcut : tuple of Returned
        Of a branched step, in the order of the way forwards.
    """

    passed: Passed
    behind: Any
    front: Any
    error: float = 0.0
    branch: tuple[Returned, ...] = ()
    shortcut: tuple[Returned, ...] = ()


def return_along(passed: tuple[Passed, ...], pi: Any, ways: Ways) -> tuple[Returned, ...]:
    """Every step, the last one first; the result is in the order of the way forwards.

    Parameters
    ----------
    passed : tuple of Passed
        As `pass_along` gives them.
    pi : array
        Π at the end of the last.
    ways : Ways
        Tolerance of the exact integrals, draws of Monte Carlo.
    """
    returned: list[Returned] = []
    for each in reversed(passed):
        returned.append(return_step(each, pi, ways))
        pi = returned[-1].front
    return tuple(reversed(returned))


def return_step(passed: Passed, pi: Any, ways: Ways) -> Returned:
    """One step."""
    step = passed.step
    if isinstance(step, Branched):
        return _branched(passed, pi, ways)
    if isinstance(step, Normed):
        front, error = _normed(step, passed, pi, ways)
        return Returned(passed, pi, front, error)
    return Returned(passed, pi, _closed_form(step, passed, pi))


def _closed_form(
    step: Affine | SampleNormed | Pointwise | Averaged | Flattened, passed: Passed, pi: Any
) -> Any:
    """The steps whose way back is a formula."""
    before = passed.before
    if isinstance(step, Affine):
        return _affine(step, passed, pi)
    if isinstance(step, Pointwise):
        return plain_pull_back(before.nngp, pi, step.phi)
    if isinstance(step, SampleNormed):
        return _sample_normed(step, passed, pi)
    if isinstance(step, Averaged):
        return positions_back.averaged_back(pi, before.samples, before.positions, step.windows)
    return positions_back.same_place_back(pi, before.samples, before.positions)


def _affine(step: Affine, passed: Passed, pi: Any) -> Any:
    """N_in units receive each N_out gradients times N(0, σ_w²/N_in): the sums over units know neither number."""
    before = passed.before
    if step.windows is not None:
        back = positions_back.convolved_back(pi, before.samples, before.positions, step.windows)
    else:
        back = positions_back.same_place_back(pi, before.samples, before.positions)
    return step.weight_variance * back


def _normed(step: Normed, passed: Passed, pi: Any, ways: Ways) -> tuple[Any, float]:
    """The way that was taken forwards; what is infinite stays so."""
    nngp, used, xp = passed.before.nngp, passed.used, array_namespace(pi)
    if not bool(xp.all(xp.isfinite(pi))):
        return xp.full_like(pi, math.inf), math.inf
    if used is not None and used.method == "monte_carlo":
        return sampled_pull_back(nngp, pi, step.norm, step.phi, ways.samples, ways.seed)
    if used is not None and used.method == "exact":
        assert step.phi.homogeneous is not None
        resting = slope_at(step.phi, 0.0)
        return homogeneous_pull_back(nngp, pi, step.norm, *step.phi.homogeneous, ways.tolerance, resting)
    return concentrated_pull_back(nngp, pi, step.norm, step.phi), passed.error


def _sample_normed(step: SampleNormed, passed: Passed, pi: Any) -> Any:
    """Its scale is a constant at infinite width."""
    unit, outer = per_sample_unit(step, passed.before)
    if step.phi.name == "linear":
        return step.norm.gamma**2 * pi / outer
    return plain_pull_back(unit.nngp, pi, step.phi, step.norm) / outer


def _branched(passed: Passed, pi: Any, ways: Ways) -> Returned:
    """Both paths receive all of Π; fresh weights make what they return independent, so that it adds."""
    branch = return_along(passed.branch, pi, ways)
    shortcut = return_along(passed.shortcut, pi, ways)
    front = (branch[0].front if branch else pi) + (shortcut[0].front if shortcut else pi)
    return Returned(passed, pi, front, branch=branch, shortcut=shortcut)
