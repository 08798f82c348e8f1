"""The door to the kernels of a network on one batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from normfield.errors import InvalidInput, NumericalFailure
from normfield.network import Network
from normfield.theory.kernels.batch_result import BatchKernel, LayerKernel
from normfield.theory.kernels.layer.draws import LEAST_DRAWS
from normfield.theory.kernels.walk.rules import PARAMETERS, Asked, Passed, in_order, pass_along
from normfield.theory.kernels.walk.signal import of_data
from normfield.theory.kernels.walk.steps import Affine, Branched, Step, read_steps
from normfield.theory.kernels.walk.ways import METHODS, Ways, doubts_in_words

ARRAYS_AT_ONCE = 14
"""Square arrays of a layer's kernels that are in memory at the same time."""

MEMORY = 4 * 2**30


def batch_kernel(
    net: Network,
    x: Any,
    method: str = "auto",
    *,
    parameters: str | Iterable[str] = "all",
    tolerance: float = 1e-8,
    samples: int = 10_000,
    seed: int = 0,
    layers: bool = False,
    memory: float = MEMORY,
    on_failure: str = "raise",
) -> BatchKernel:
    """Exact NNGP and neural tangent kernel of an infinitely wide network on one batch, batch norm in training mode.

    Batch norm makes every output depend on the whole batch: the kernels are functions of the batch, not of pairs.
    With K (B, B) the covariance of one unit's pre-activations z ~ N(0, K), G = 1 − 11ᵀ/B, R = ‖Gz‖² + Bε, h =
    φ(γ√B·Gz/√R + β) and J = ∂h/∂z, a layer takes

        K ← σ_w² E[h hᵀ] + σ_b²,
        Θ ← σ_w² (E[J Θ Jᵀ] + E[φ′φ′ᵀ ∘ uuᵀ] (γ) + E[φ′φ′ᵀ] (β)) + N_in E[h hᵀ] + 1,

    N_in from the weights, 1 from the bias [Jacot, NeurIPS 2018; Yang, section 3]. λ_max of the Fisher matrix
    (1/B) Σ_x Σ_c ∇f_c ∇f_cᵀ is the top eigenvalue of Θ/B, C times.

    Parameters
    ----------
    net : Network
        Dense or Conv layers; batch norm with its activation right behind them; LayerNorm and RMSNorm there or behind an
        activation; average pooling, Flatten, Residual; a Dense layer last.
    x : array
        (B, *net.input_shape), or images of as many numbers for a network of features; NumPy, or any array of the
        array API standard (a torch tensor on a GPU stays there).
    method : {"auto", "exact", "concentrated", "monte_carlo"}
        How batch-normed layers are computed. "exact" integrates the normaliser out, for φ(x) = c₁x + c₂|x| (ReLU,
        leaky ReLU, |x|, linear) and β = 0; "concentrated" takes it at its mean, exact as the batch grows;
        "monte_carlo" draws, with a standard error; "auto" is exact where that exists (on images up to 1024 samples ×
        positions), else concentrated, and says which.
    parameters : "all", "weights", or some of "weight", "bias", "gamma", "beta"
        Whose gradients the tangent kernel counts.
    tolerance : float
        Relative, of the exact integrals.
    samples, seed : int
        Draws of "monte_carlo" for each layer.
    layers : bool
        Whether to keep both kernels of every layer.
    memory : float
        Bytes that the recursion may take; convolutions need (samples × positions)² numbers for each of 14 arrays.
    on_failure : {"raise", "return"}
        What becomes of a kernel that is infinite: its `status` says so either way.

    Returns
    -------
    BatchKernel

    Raises
    ------
    NotCovered
        A layer or an order of layers has no kernel; the message says which and why.
    InvalidInput
        Data that do not fit, are not finite or would not fit into memory; a method that an activation does not have.
    NumericalFailure
        The tangent kernel is infinite (ε = 0 with variance in two directions or fewer); `result` holds the rest.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> x = np.random.default_rng(0).standard_normal((100, 64))
    >>> kernel = batch_kernel(mlp(64, 1000, 4, 10), x)
    >>> kernel.ntk.shape, kernel.method
    ((100, 100), 'exact')
    """
    began = time.perf_counter()
    steps, asked = read_question(net, method, parameters, tolerance, samples, seed, on_failure)
    data = read_batch(x, net, steps, memory)
    passed = pass_along(steps, of_data(data, net.input_shape), replace(asked, keeps=layers))
    result = _result(net, passed, asked, layers, time.perf_counter() - began)
    if result.status != "converged" and on_failure == "raise":
        raise NumericalFailure(f'{result.status}; or use on_failure="return"', result)
    return result


def read_question(
    net: Any, method: Any, parameters: Any, tolerance: Any, samples: Any, seed: Any, on_failure: Any
) -> tuple[tuple[Step, ...], Asked]:
    """Everything but the data, checked."""
    if not isinstance(net, Network):
        raise InvalidInput(
            expected="a Network",
            got=type(net).__name__,
            instead="describe it with nf.describe, nf.mlp or nf.Network",
        )
    for name, value, choices in (
        ("method", method, METHODS),
        ("on_failure", on_failure, ("raise", "return")),
    ):
        if value not in choices:
            raise InvalidInput(expected=f"{name} one of {', '.join(choices)}", got=repr(value))
    _number("a tolerance above 0 and below 1", tolerance, 0 < tolerance < 1 if _is_real(tolerance) else False)
    _number(
        f"at least {LEAST_DRAWS} samples of Monte Carlo",
        samples,
        _is_whole(samples) and samples >= LEAST_DRAWS,
    )
    _number("seed as a whole number from 0", seed, _is_whole(seed) and seed >= 0)
    ways = Ways(method, float(tolerance), int(samples), int(seed))
    return read_steps(net), Asked(ways, _parameters(parameters))


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(expected: str, value: Any, is_right: bool) -> None:
    if not is_right:
        raise InvalidInput(expected=expected, got=repr(value))


def _parameters(parameters: Any) -> frozenset[str]:
    """The kinds that count."""
    if parameters == "all":
        return frozenset(PARAMETERS)
    if parameters == "weights":
        return frozenset({"weight"})
    kinds = frozenset([parameters] if isinstance(parameters, str) else parameters)
    if not kinds or not kinds <= frozenset(PARAMETERS):
        raise InvalidInput(
            expected=f'parameters "all", "weights" or some of {", ".join(PARAMETERS)}', got=repr(parameters)
        )
    return kinds


def read_batch(given: Any, net: Network, steps: tuple[Step, ...], memory: float) -> Any:
    """The data in float64, checked."""
    x: Any = given if is_array_api_obj(given) else np.asarray(given)
    xp = array_namespace(x)
    if len(net.input_shape) == 1 and x.ndim > 2 and math.prod(x.shape[1:]) == net.input_shape[0]:
        x = xp.reshape(x, (x.shape[0], -1))  # images for a network of features
    if tuple(x.shape[1:]) != net.input_shape or x.ndim == 0 or x.shape[0] < 1:
        raise InvalidInput(
            expected=f"a batch of shape (B, {', '.join(map(str, net.input_shape))})",
            got=f"shape {tuple(x.shape)}",
            instead="reshape the data, or describe a network for it",
        )
    if not xp.isdtype(x.dtype, ("real floating", "integral", "bool")):
        raise InvalidInput(expected="real numbers", got=str(x.dtype))
    x = xp.astype(x, xp.float64)
    if not bool(xp.all(xp.isfinite(x))):
        raise InvalidInput(expected="finite data", got="NaN or infinity", instead="take those samples out")
    _check_memory(x.shape[0], net, memory)
    return x


def _check_memory(samples: int, net: Network, memory: float) -> None:
    """Refuse kernels beyond the bound, with the bytes that they need."""
    most = max((math.prod(shape[1:]) for shape in net.shapes), default=1)
    needed = 8 * ARRAYS_AT_ONCE * (samples * most) ** 2
    if needed > memory:
        places = f" at {most} positions" if most > 1 else ""
        raise InvalidInput(
            expected=f"kernels within {memory:.3g} bytes of memory",
            got=f"{samples} samples{places}, which need {needed:.3g} bytes",
            instead=f"use at most {math.isqrt(int(memory / (8 * ARRAYS_AT_ONCE))) // most} samples, or raise memory=",
        )


def _result(
    net: Network, passed: tuple[Passed, ...], asked: Asked, layers: bool, seconds: float
) -> BatchKernel:
    flat = in_order(passed)
    used = [each.used for each in flat if each.used is not None]
    statuses = [f"{each.status} at layer {each.step.name}" for each in flat if each.status]
    last = passed[-1].after
    return BatchKernel(
        nngp=last.nngp,
        ntk=last.ntk,
        method=methods_in_words([each.method for each in used]),
        error=max((each.error for each in flat), default=0.0),
        status=statuses[0] if statuses else "converged",
        doubts=doubts_in_words(used),
        parameters=tuple(kind for kind in PARAMETERS if kind in asked.parameters),
        outputs=net.output_shape[0],
        layers=tuple(_layer(each) for each in flat) if layers else (),
        seconds=seconds,
        network=net,
    )


def methods_in_words(methods: list[str]) -> str:
    """The ways that were taken, in words."""
    return " and ".join(sorted(set(methods), key=METHODS.index)) or "closed form"


def _layer(passed: Passed) -> LayerKernel:
    is_affine = isinstance(passed.step, Affine | Branched)
    return LayerKernel(passed.step.name, passed.after.nngp, passed.after.ntk, is_affine, passed.error)
