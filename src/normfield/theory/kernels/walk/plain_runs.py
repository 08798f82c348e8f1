r"""Dense layers with φ(x) = c₁x + c₂|x| and no norm between them, block by block through all of them.

Their rules act on every pair of samples by itself, given the variances, which follow

    K_ii ← σ_w² (c₁² + c₂²) K_ii + σ_b²

by themselves: a block of rows passes the whole run in a processor's cache, and no matrix is made on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from normfield.theory.kernels.layer.plain_arcs import Arcs, arcs_of, blocks_of, mirror
from normfield.theory.kernels.walk.signal import Signal
from normfield.theory.kernels.walk.steps import Affine, Pointwise, Step


@dataclass(frozen=True, eq=False)
class _Layer:
    """K ← σ_w²K + σ_b², Θ ← σ_w²Θ + weights·K + bias, and what the activation behind it needs."""

    weight_variance: float
    bias_variance: float
    weights: float
    bias: float
    arcs: Arcs | None


def run_length(steps: Sequence[Step]) -> int:
    """How many steps from the first on are Affine, (Pointwise, Affine)…; 0 where there is no activation among them."""
    length = 0
    while _is_pair(steps[length : length + 2]):
        length += 2
    while length and not (length < len(steps) and _is_dense(steps[length])):
        length -= 2
    return length + 1 if length else 0


def _is_dense(step: Step) -> bool:
    return isinstance(step, Affine) and step.windows is None


def _is_pair(steps: Sequence[Step]) -> bool:
    return (
        len(steps) == 2
        and _is_dense(steps[0])
        and isinstance(steps[1], Pointwise)
        and steps[1].phi.homogeneous is not None
    )


def _layers(run: Sequence[Step], variances: Any, parameters: frozenset[str]) -> list[_Layer] | None:
    """Every affine step with the activation behind it; None where a sample has no variance."""
    found, xp = [], array_namespace(variances)
    for step, following in zip(run[::2], [*run[1::2], None], strict=True):
        assert isinstance(step, Affine)
        variances = step.weight_variance * variances + step.bias_variance
        if not bool(xp.all(variances > 0)):
            return None
        arcs = None
        if isinstance(following, Pointwise) and following.phi.homogeneous is not None:
            c1, c2 = following.phi.homogeneous
            arcs = arcs_of(xp.sqrt(variances), c1, c2)
            variances = (c1**2 + c2**2) * variances
        found.append(
            _Layer(
                step.weight_variance,
                step.bias_variance,
                step.fan_in if "weight" in parameters else 0,
                1.0 if step.bias and "bias" in parameters else 0.0,
                arcs,
            )
        )
    return found


def along_run(run: Sequence[Step], signal: Signal, parameters: frozenset[str]) -> Signal | None:
    """The signal behind the last affine step of a run; None where the run cannot be taken at once."""
    xp = array_namespace(signal.nngp)
    layers = None if signal.positions else _layers(run, xp.linalg.diagonal(signal.nngp), parameters)
    if layers is None:
        return None
    nngp, ntk = xp.empty_like(signal.nngp), xp.empty_like(signal.nngp)
    for own in blocks_of(nngp):
        k = xp.asarray(signal.nngp[own, own.start :], copy=True)
        t = xp.asarray(signal.ntk[own, own.start :], copy=True)
        for layer in layers:
            t *= layer.weight_variance
            t += layer.weights * k
            t += layer.bias
            k *= layer.weight_variance
            k += layer.bias_variance
            if layer.arcs is not None:
                k, slopes = layer.arcs.of_block(k, own)
                t *= slopes
        nngp[own, own.start :], ntk[own, own.start :] = k, t
    mirror(nngp)
    mirror(ntk)
    last = run[-1]
    assert isinstance(last, Affine)
    mean = xp.zeros(nngp.shape[:1], dtype=nngp.dtype, device=nngp.device)
    return Signal(nngp, ntk, mean, "gaussian", last.shape, signal.samples)
