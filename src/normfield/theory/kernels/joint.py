"""The door to the kernels of a network on a batch and further samples."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from array_api_compat import array_namespace

from normfield.errors import InvalidInput, NumericalFailure
from normfield.network import Network
from normfield.theory.kernels.batch import MEMORY, methods_in_words, read_batch, read_question
from normfield.theory.kernels.batch_result import LayerKernel
from normfield.theory.kernels.joint_result import CrossBatchKernel
from normfield.theory.kernels.joint_ways import STATISTICS, JointNormalisation
from normfield.theory.kernels.walk.rules import PARAMETERS, Asked, Passed, in_order, pass_along
from normfield.theory.kernels.walk.signal import of_data
from normfield.theory.kernels.walk.steps import Affine, Branched, Step
from normfield.theory.kernels.walk.ways import doubts_in_words


def cross_batch_kernel(
    net: Network,
    x: Any,
    other: Any,
    statistics: str = "batch",
    method: str = "auto",
    *,
    parameters: str | Iterable[str] = "all",
    tolerance: float = 1e-6,
    samples: int = 10_000,
    seed: int = 0,
    layers: bool = False,
    memory: float = MEMORY,
    on_failure: str = "raise",
) -> CrossBatchKernel:
    """NNGP and neural tangent kernel between two batches that an infinitely wide network normalises separately.

    Pre-activations of both, (z₁, z₂) ~ N(0, K), are jointly normal; each batch is normalised by its own mean and
    variance, or the second by those of the first (``statistics="population"``, as at inference, with the gradient
    through them). Blocks of K and Θ go from layer to layer as in `batch_kernel`, those between the batches with

        E[h₁h₂ᵀ],    E[J₁Θ₁₂J₂ᵀ],

    both normalisers integrated out [Yang, appendix on cross batch dynamics; the tangent kernel derived here].

    Parameters
    ----------
    net : Network
        As for `batch_kernel`.
    x, other : array
        (B, *net.input_shape) and (n, *net.input_shape).
    statistics : {"batch", "population"}
        Whose statistics the other samples are normalised by: their own, or those of `x`.
    method : {"auto", "exact", "concentrated", "monte_carlo"}
        As for `batch_kernel`; "auto" is exact for dense layers with φ(x) = c₁x + c₂|x| and β = 0, else concentrated.
        Exact kernels between two batches are integrals over two variables: some hundred B×n products for each layer.
    parameters, samples, seed, layers, memory, on_failure
        As for `batch_kernel`.
    tolerance : float
        Relative, of the exact integrals.

    Returns
    -------
    CrossBatchKernel

    Raises
    ------
    NotCovered
        A layer or an order of layers has no kernel.
    InvalidInput
        Data that do not fit, are not finite or would not fit into memory; a batch without variance at ε = 0; a method
        that an activation does not have.
    NumericalFailure
        The tangent kernel is infinite (ε = 0 with variance in too few directions); `result` holds the rest.

    Examples
    --------
    >>> import numpy as np
    >>> from normfield.network import mlp
    >>> x = np.random.default_rng(0).standard_normal((24, 16))
    >>> kernel = cross_batch_kernel(mlp(16, 1000, 3, 1), x[:16], x[16:])
    >>> kernel.nngp_between.shape, kernel.method
    ((16, 8), 'exact')
    """
    steps, asked = read_question(net, method, parameters, tolerance, samples, seed, on_failure)
    return joint_kernels(net, steps, asked, x, other, statistics, layers, memory, on_failure)


def joint_kernels(
    net: Network,
    steps: tuple[Step, ...],
    asked: Asked,
    x: Any,
    other: Any,
    statistics: str,
    layers: bool,
    memory: float,
    on_failure: str,
    with_tangent: bool = True,
) -> CrossBatchKernel:
    """`cross_batch_kernel` after its words were read; without the tangent kernel it takes half the time."""
    began = time.perf_counter()
    if statistics not in STATISTICS:
        raise InvalidInput(expected='statistics "batch" or "population"', got=repr(statistics))
    data, first = _both(net, steps, x, other, memory)
    rule = JointNormalisation(statistics, first, data.shape[0], with_tangent)
    passed = pass_along(steps, of_data(data, net.input_shape), replace(asked, normalise=rule))
    result = _result(net, passed, asked, rule, layers, time.perf_counter() - began)
    if result.status != "converged" and on_failure == "raise":
        raise NumericalFailure(f'{result.status}; or use on_failure="return"', result)
    return result


def _both(net: Network, steps: tuple[Step, ...], x: Any, other: Any, memory: float) -> tuple[Any, int]:
    """The samples of both in one array, and how many are the first's."""
    first, second = (read_batch(each, net, steps, memory) for each in (x, other))
    if array_namespace(first) is not array_namespace(second):
        raise InvalidInput(
            expected="both batches as arrays of one library",
            got=f"{type(first).__name__} and {type(second).__name__}",
            instead="give both as NumPy arrays, or both as tensors",
        )
    space = array_namespace(first)
    return read_batch(space.concat([first, second], axis=0), net, steps, memory), first.shape[0]


def _result(
    net: Network,
    passed: tuple[Passed, ...],
    asked: Asked,
    rule: JointNormalisation,
    layers: bool,
    seconds: float,
) -> CrossBatchKernel:
    flat = in_order(passed)
    used = [each.used for each in flat if each.used is not None]
    statuses = [f"{each.status} at layer {each.step.name}" for each in flat if each.status]
    last = passed[-1].after
    return CrossBatchKernel(
        nngp=last.nngp,
        ntk=last.ntk,
        batch=rule.first,
        others=rule.samples - rule.first,
        statistics=rule.statistics,
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


def _layer(passed: Passed) -> LayerKernel:
    is_affine = isinstance(passed.step, Affine | Branched)
    return LayerKernel(passed.step.name, passed.after.nngp, passed.after.ntk, is_affine, passed.error)
