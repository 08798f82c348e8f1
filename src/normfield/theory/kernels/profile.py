"""The door to the depth profile: signal and gradient by layer before any training."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from normfield.errors import InvalidInput, NumericalFailure
from normfield.network import Network
from normfield.theory.kernels.batch import MEMORY, methods_in_words, read_batch, read_question
from normfield.theory.kernels.profile_result import DepthProfile, LayerProfile
from normfield.theory.kernels.walk import positions
from normfield.theory.kernels.walk.gradients import Returned, return_along
from normfield.theory.kernels.walk.output_gradients import (
    cross_entropy_gradient,
    squared_loss_gradient,
    target_rows,
)
from normfield.theory.kernels.walk.rules import pass_along
from normfield.theory.kernels.walk.signal import of_data
from normfield.theory.kernels.walk.steps import Affine, Branched, Normed, Step, flat_steps
from normfield.theory.kernels.walk.ways import Ways, doubts_in_words, not_exact


def depth_profile(
    net: Network,
    x: Any,
    targets: Any = None,
    loss: str = "squared",
    *,
    method: str = "auto",
    tolerance: float = 1e-8,
    samples: int = 10_000,
    networks: int = 200,
    seed: int = 0,
    memory: float = MEMORY,
    on_failure: str = "raise",
) -> DepthProfile:
    """Signal, correlation and gradient at every affine layer of an infinitely wide network on one batch.

    Forwards the batch's kernel K gives q = E z² and the correlations. Backwards the second moment Π = Σ_units E[δ δᵀ]
    of the loss's gradient δ = ∂ℓ/∂z, over one batch, takes

        Π ← σ_w² Π through weights,    Π ← E[Jᵀ Π J] through batch norm and its activation,

    from Π^L = (C K^L + YYᵀ)/B² at the outputs of the squared loss; √tr Π is the gradient's norm [Yang, section 4]. The
    gradient through the batch's statistics is in J: no limit of large batches is taken.

    Parameters
    ----------
    net : Network
        As `batch_kernel` takes it.
    x : array
        (B, *net.input_shape).
    targets : array, optional
        (B, C), or B classes; for the squared loss 0 without them, cross-entropy needs them.
    loss : {"squared", "cross_entropy"}
        ½‖f − y‖², or softmax cross-entropy, averaged over samples.
    method : {"auto", "exact", "concentrated", "monte_carlo"}
        How batch-normed layers are computed, as in `batch_kernel`; but where there are no exact integrals "auto" is
        Monte Carlo for networks without convolutions, since what "concentrated" leaves out, a few 1/B of the squared
        gradient at each layer, adds up over the depth.
    tolerance : float
        Relative, of the exact integrals.
    samples : int
        Draws of "monte_carlo" for each layer.
    networks : int
        Outputs drawn for the cross-entropy's gradient.
    seed : int
        Of all draws.
    memory : float
        Bytes that the recursion may take.
    on_failure : {"raise", "return"}
        What becomes of a gradient that is infinite.

    Returns
    -------
    DepthProfile

    Raises
    ------
    NotCovered
        A layer or an order of layers has no kernel; the message says which and why.
    InvalidInput
        Data, targets or settings that do not fit.
    NumericalFailure
        Gradients are infinite (ε = 0 with variance in two directions or fewer); `result` holds the rest.

    Examples
    --------
    >>> from normfield.network import mlp
    >>> x = np.random.default_rng(0).standard_normal((32, 64))
    >>> profile = depth_profile(mlp(64, 1000, 20, 10), x)
    >>> round(profile.explosion_rate, 2)
    1.52
    """
    began = time.perf_counter()
    _check(loss, networks)
    steps, asked = read_question(net, method, "all", tolerance, samples, seed, on_failure)
    asked = replace(asked, ways=_ways(steps, asked.ways))
    data = read_batch(x, net, steps, memory)
    rows = None if targets is None else target_rows(targets, data.shape[0], net.output_shape[0])
    passed = pass_along(steps, of_data(data, net.input_shape), asked)
    start = _start(passed[-1].after.nngp, net.output_shape[0], rows, loss, networks, seed)
    returned = return_along(passed, start, asked.ways)
    result = _result(net, returned, loss, time.perf_counter() - began)
    if result.status != "converged" and on_failure == "raise":
        raise NumericalFailure(f'{result.status}; or use on_failure="return"', result)
    return result


def _check(loss: Any, networks: Any) -> None:
    if loss not in ("squared", "cross_entropy"):
        raise InvalidInput(expected='loss "squared" or "cross_entropy"', got=repr(loss))
    if isinstance(networks, bool) or not isinstance(networks, int) or networks < 1:
        raise InvalidInput(expected="at least 1 network to draw outputs of", got=repr(networks))


def _ways(steps: tuple[Step, ...], ways: Ways) -> Ways:
    """Of "auto", Monte Carlo for a dense network with a batch norm that has no exact integrals."""
    flat = list(flat_steps(steps))
    inexact = any(isinstance(each, Normed) and not_exact(each.norm, each.phi) for each in flat)
    on_image = any(isinstance(each, Affine) and each.windows is not None for each in flat)
    return replace(ways, method="monte_carlo") if ways.method == "auto" and inexact and not on_image else ways


def _start(nngp: Any, outputs: int, targets: np.ndarray | None, loss: str, networks: int, seed: int) -> Any:
    """Π^L."""
    if loss == "squared":
        return squared_loss_gradient(nngp, outputs, targets)
    if targets is None:
        raise InvalidInput(
            expected="targets for cross-entropy",
            got="none",
            instead="give targets=, one class for each sample",
        )
    if outputs < 2:
        raise InvalidInput(expected="at least 2 outputs for cross-entropy", got=str(outputs))
    return cross_entropy_gradient(nngp, outputs, targets, networks, seed)


def _flat(returned: tuple[Returned, ...]) -> Iterator[Returned]:
    """Steps in the order of the way forwards, those of branches before the sum they lead to."""
    for each in returned:
        yield from _flat(each.branch)
        yield from _flat(each.shortcut)
        yield each


def _result(net: Network, returned: tuple[Returned, ...], loss: str, seconds: float) -> DepthProfile:
    flat = list(_flat(returned))
    used = [each.passed.used for each in flat if each.passed.used is not None]
    statuses = [
        f"{each.passed.status} at layer {each.passed.step.name}" for each in flat if each.passed.status
    ]
    return DepthProfile(
        layers=tuple(_layer(each) for each in flat if isinstance(each.passed.step, Affine)),
        samples=returned[-1].passed.after.samples,
        loss=loss,
        method=methods_in_words([each.method for each in used]),
        error=max((max(each.error, each.passed.error) for each in flat), default=0.0),
        status=statuses[0] if statuses else "converged",
        doubts=doubts_in_words(used),
        has_skips=any(isinstance(each.passed.step, Branched) for each in flat),
        seconds=seconds,
        network=net,
    )


def _layer(returned: Returned) -> LayerProfile:
    signal, xp = returned.passed.after, array_namespace(returned.behind)
    places = math.prod(signal.positions)
    squares = float(xp.sum(xp.linalg.diagonal(signal.nngp)))
    total = float(xp.sum(xp.linalg.diagonal(returned.behind)))
    return LayerProfile(
        name=returned.passed.step.name,
        units=signal.shape[0],
        positions=places,
        mean_square=squares / (signal.samples * places),
        correlation=_mean_cosine(positions.same_place(signal.nngp, signal.samples, signal.positions)),
        gradient=math.sqrt(total),
        gradient_mean_square=total / (signal.samples * places * signal.shape[0]),
        gradient_correlation=_mean_cosine(
            positions.same_place(returned.behind, signal.samples, signal.positions)
        ),
    )


def _mean_cosine(kernel: Any) -> float | None:
    """Over all pairs of different samples."""
    xp, samples = array_namespace(kernel), kernel.shape[0]
    squares = xp.linalg.diagonal(kernel)
    if samples < 2 or not bool(xp.all(squares > 0)) or not bool(xp.all(xp.isfinite(squares))):
        return None
    inverse = 1 / xp.sqrt(squares)
    total = float(inverse @ kernel @ inverse)
    return (total - samples) / (samples * (samples - 1))
