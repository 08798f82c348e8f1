"""One rule for each step: from the kernels in front of it to those behind it.

Standard parametrisation. A dense layer with N_in inputs takes K, Θ to

    K ← σ_w² K + σ_b²,    Θ ← σ_w² Θ + N_in K + 1,

N_in K from its weights and 1 from its bias; units behind an activation are independent, so that second moments are all
it needs. A norm with its activation takes Θ to E[J Θ Jᵀ] + E[φ′φ′ᵀ ∘ uuᵀ] (γ) + E[φ′φ′ᵀ] (β).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from array_api_compat import array_namespace

from normfield.errors import InvalidInput, NotCovered
from normfield.theory.kernels.layer.gaussian_pairs import plain_moments
from normfield.theory.kernels.layer.moments import LayerMoments
from normfield.theory.kernels.walk import positions
from normfield.theory.kernels.walk.plain_runs import along_run, run_length
from normfield.theory.kernels.walk.signal import Law, Signal
from normfield.theory.kernels.walk.steps import (
    Affine,
    Averaged,
    Branched,
    Flattened,
    Normed,
    Pointwise,
    SampleNormed,
    Step,
)
from normfield.theory.kernels.walk.ways import Used, Ways, batch_normalised

PARAMETERS = ("weight", "bias", "gamma", "beta")

Normalise = Callable[..., tuple[LayerMoments, Used]]
"""A batch norm with its activation, called like `batch_normalised`: whose statistics each sample is normalised by."""


@dataclass(frozen=True)
class Asked:
    """How to compute, whose parameters the tangent kernel counts, and whose statistics batch norm divides by.

    Without ``keeps`` only the last step's kernels stay in memory; the others are None.
    """

    ways: Ways
    parameters: frozenset[str] = frozenset(PARAMETERS)
    normalise: Normalise = batch_normalised
    keeps: bool = True


@dataclass(frozen=True, eq=False)
class Passed:
    """A step with the signal in front of and behind it, and for a branched one what its paths passed."""

    step: Step
    before: Signal
    after: Signal
    used: Used | None = None
    error: float = 0.0
    status: str = ""
    branch: tuple[Passed, ...] = ()
    shortcut: tuple[Passed, ...] = ()


def pass_along(steps: tuple[Step, ...], signal: Signal, asked: Asked) -> tuple[Passed, ...]:
    """Every step in order."""
    passed: list[Passed] = []
    while len(passed) < len(steps):
        left = steps[len(passed) :]
        run = left[: 0 if asked.keeps else run_length(left)]
        beyond = along_run(run, signal, asked.parameters) if run else None
        if beyond is not None:
            passed = [*map(_forgotten, passed), *_hurried(run, signal)]
            passed.append(Passed(run[len(run) - 1], _emptied(signal), beyond))
            signal = beyond
            continue
        each = pass_step(steps[len(passed)], signal, asked)
        signal = each.after
        if not asked.keeps:
            passed = [_forgotten(earlier) for earlier in passed]
            each = replace(each, before=_emptied(each.before))
        passed.append(each)
    return tuple(passed)


def _hurried(run: tuple[Step, ...], signal: Signal) -> list[Passed]:
    """The steps of a plain run but the last, whose kernels were never made."""
    passed = []
    for step in run[:-1]:
        after = replace(_emptied(signal), law="gaussian" if isinstance(step, Affine) else "other")
        after = replace(after, shape=step.shape) if isinstance(step, Affine) else after
        passed.append(Passed(step, _emptied(signal), after))
        signal = after
    return passed


def _emptied(signal: Signal) -> Signal:
    return replace(signal, nngp=None, ntk=None)


def _forgotten(passed: Passed) -> Passed:
    """Without the kernels behind it, and behind its paths."""
    branch, shortcut = (tuple(map(_forgotten, path)) for path in (passed.branch, passed.shortcut))
    return replace(passed, after=_emptied(passed.after), branch=branch, shortcut=shortcut)


def in_order(passed: Iterable[Passed]) -> list[Passed]:
    """Steps in one row, those of branches before the sum they lead to."""
    found: list[Passed] = []
    for each in passed:
        found += [*in_order(each.branch), *in_order(each.shortcut), each]
    return found


def pass_step(step: Step, signal: Signal, asked: Asked) -> Passed:
    """One step."""
    if isinstance(step, Affine):
        return Passed(step, signal, _affine(step, signal, asked))
    if isinstance(step, Normed):
        return _normed(step, signal, asked)
    if isinstance(step, SampleNormed):
        return _sample_normed(step, signal, asked)
    if isinstance(step, Pointwise):
        return _pointwise(step, signal)
    if isinstance(step, Averaged):
        return Passed(step, signal, _averaged(step, signal))
    if isinstance(step, Flattened):
        return Passed(step, signal, _flattened(step, signal))
    return _branched(step, signal, asked)


def _affine(step: Affine, signal: Signal, asked: Asked) -> Signal:
    """Of a convolution the mean over a window's places takes the kernel's part."""
    nngp, ntk = signal.nngp, signal.ntk
    if step.windows is not None:
        nngp, ntk = (
            positions.convolved(kernel, signal.samples, signal.positions, step.windows)
            for kernel in (nngp, ntk)
        )
    elif signal.positions:
        nngp, ntk = (positions.same_place(kernel, signal.samples, signal.positions) for kernel in (nngp, ntk))
    xp = array_namespace(nngp)
    tangent = step.weight_variance * ntk
    if "weight" in asked.parameters:
        tangent += step.fan_in * nngp
    if step.bias and "bias" in asked.parameters:
        tangent += 1.0
    covariance = step.weight_variance * nngp
    covariance += step.bias_variance
    mean = xp.zeros(covariance.shape[:1], dtype=covariance.dtype, device=covariance.device)
    return Signal(covariance, tangent, mean, "gaussian", step.shape, signal.samples)


def _activated(
    signal: Signal, moments: LayerMoments, asked: Asked, has_shift: bool, law: Law = "other"
) -> Signal:
    """Behind a norm and its activation: what flows through, and what γ and β add."""
    tangent = moments.pulled
    if "gamma" in asked.parameters:
        tangent = tangent + moments.by_scale
    if has_shift and "beta" in asked.parameters:
        tangent = tangent + moments.by_shift
    return replace(signal, nngp=moments.second, ntk=tangent, mean=moments.mean, law=law)


def _normed(step: Normed, signal: Signal, asked: Asked) -> Passed:
    _require_gaussian(signal, "batch norm", step.name)
    xp, on_image = array_namespace(signal.ntk), bool(signal.positions)
    is_finite = bool(xp.all(xp.isfinite(signal.ntk)))
    tangent = signal.ntk if is_finite else None
    moments, used = asked.normalise(
        signal.nngp, tangent, step.norm, step.phi, asked.ways, step.name, on_image
    )
    if not is_finite:  # a layer before diverged, and says so
        moments = replace(moments, pulled=xp.full_like(signal.ntk, math.inf))
    after = _activated(signal, moments, asked, has_shift=True)
    return Passed(step, signal, after, used, moments.error, moments.status)


def _pointwise(step: Pointwise, signal: Signal) -> Passed:
    _require_gaussian(signal, "an activation", step.name)
    moments = plain_moments(signal.nngp, signal.ntk, step.phi)
    after = replace(signal, nngp=moments.second, ntk=moments.pulled, mean=moments.mean, law="other")
    return Passed(step, signal, after, error=moments.error, status=moments.status)


def _sample_scales(signal: Signal, mean: Any, eps: float) -> Any:
    """√(variance over a sample's units and positions + ε) for each of the n values."""
    xp = array_namespace(signal.nngp)
    variances = xp.reshape(xp.linalg.diagonal(signal.nngp) - mean**2, (signal.samples, -1))
    per_sample = xp.sqrt(xp.mean(variances, axis=1) + eps)
    if not bool(xp.all(per_sample > 0)):
        raise InvalidInput(
            expected="samples whose values differ in front of a per-sample norm with ε = 0",
            got="a sample of constant values",
            instead="give the norm an ε above 0, or take the sample out",
        )
    return xp.repeat(per_sample, variances.shape[1])


def per_sample_unit(step: SampleNormed, signal: Signal) -> tuple[Signal, Any]:
    """The normalised signal, before γ and β, and the products of two samples' scales that it was divided by."""
    mean = signal.mean if step.centred else array_namespace(signal.mean).zeros_like(signal.mean)
    scale = _sample_scales(signal, mean, step.norm.eps)
    outer = scale[:, None] * scale[None, :]
    unit = replace(
        signal,
        nngp=(signal.nngp - mean[:, None] * mean[None, :]) / outer,
        ntk=signal.ntk / outer,
        mean=(signal.mean - mean) / scale,
    )
    return unit, outer


def _sample_normed(step: SampleNormed, signal: Signal, asked: Asked) -> Passed:
    """Division by constants at infinite width; its backward projections are O(1/N)."""
    if step.phi.name != "linear":
        _require_gaussian(signal, "a per-sample norm with an activation", step.name)
    unit, _ = per_sample_unit(step, signal)
    if step.phi.name == "linear":
        after = _linear_norm(step, unit, asked)
        return Passed(step, signal, after)
    moments = plain_moments(unit.nngp, unit.ntk, step.phi, step.norm)
    return Passed(step, signal, _activated(unit, moments, asked, step.centred), error=moments.error)


def _linear_norm(step: SampleNormed, unit: Signal, asked: Asked) -> Signal:
    """γu + β."""
    gamma, beta = step.norm.gamma, step.norm.beta
    tangent = gamma**2 * unit.ntk
    if "gamma" in asked.parameters:
        tangent = tangent + unit.nngp
    if step.centred and "beta" in asked.parameters:
        tangent = tangent + 1.0
    mean = gamma * unit.mean
    cross = beta * (mean[:, None] + mean[None, :])
    return replace(unit, nngp=gamma**2 * unit.nngp + cross + beta**2, ntk=tangent, mean=mean + beta)


def _averaged(step: Averaged, signal: Signal) -> Signal:
    nngp, ntk = (
        positions.averaged(kernel, signal.samples, signal.positions, step.windows)
        for kernel in (signal.nngp, signal.ntk)
    )
    mean = positions.averaged_vector(signal.mean, signal.samples, signal.positions, step.windows)
    return replace(signal, nngp=nngp, ntk=ntk, mean=mean, shape=step.shape)


def _flattened(step: Flattened, signal: Signal) -> Signal:
    """Positions become units, whose values are no longer of one law."""
    if not signal.positions:
        return signal
    xp = array_namespace(signal.nngp)
    nngp, ntk = (
        positions.same_place(kernel, signal.samples, signal.positions) for kernel in (signal.nngp, signal.ntk)
    )
    mean = xp.mean(xp.reshape(signal.mean, (signal.samples, -1)), axis=1)
    return Signal(nngp, ntk, mean, "data" if signal.law == "data" else "other", step.shape, signal.samples)


def _branched(step: Branched, signal: Signal, asked: Asked) -> Passed:
    """Independent paths: moments and tangent kernels add, and products of two means."""
    _require_fresh_weights(step)
    branch = pass_along(step.branch, signal, asked)
    shortcut = pass_along(step.shortcut, signal, asked)
    left = branch[-1].after if branch else signal
    right = shortcut[-1].after if shortcut else signal
    crossed = left.mean[:, None] * right.mean[None, :]
    after = Signal(
        nngp=left.nngp + right.nngp + crossed + crossed.T,
        ntk=left.ntk + right.ntk,
        mean=left.mean + right.mean,
        law="gaussian" if left.law == right.law == "gaussian" else "other",
        shape=left.shape,
        samples=left.samples,
    )
    return Passed(step, signal, after, branch=branch, shortcut=shortcut)


def _require_fresh_weights(step: Branched) -> None:
    """Refuse paths that are not independent of each other given what they start from."""
    if any(isinstance(each, Affine) for path in (step.branch, step.shortcut) for each in path):
        return
    raise NotCovered(
        f"layer {step.name} adds two paths without weights of their own, which are not independent: the measured "
        "answer covers it"
    )


def _require_gaussian(signal: Signal, what: str, name: str) -> None:
    if signal.law == "gaussian":
        return
    stands = {
        "data": "acts on the data themselves",
        "other": "stands behind an activation, a sum or Flatten, where values are not jointly Gaussian",
    }[signal.law]
    raise NotCovered(
        f"{what} at layer {name} {stands}: put it right behind a Dense or Conv, or take the measured answer"
    )
