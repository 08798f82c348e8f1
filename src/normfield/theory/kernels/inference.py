"""The door to regression with the kernels of a network."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from normfield.errors import InvalidInput
from normfield.network import Network
from normfield.network.checks import finite_number
from normfield.theory.kernels.batch import MEMORY, read_batch, read_question
from normfield.theory.kernels.batch_result import on_host
from normfield.theory.kernels.inference_result import KernelRegression
from normfield.theory.kernels.joint import joint_kernels
from normfield.theory.kernels.joint_result import CrossBatchKernel
from normfield.theory.kernels.posterior import Posterior, nngp_posterior, ntk_posterior

KERNELS = ("nngp", "ntk")


def kernel_regression(
    net: Network,
    train_x: Any,
    train_y: Any,
    test_x: Any,
    kernel: str = "ntk",
    statistics: str = "batch",
    *,
    noise: float = 0.0,
    method: str = "auto",
    parameters: str | Iterable[str] = "all",
    tolerance: float = 1e-6,
    samples: int = 10_000,
    seed: int = 0,
    memory: float = MEMORY,
    on_failure: str = "raise",
) -> KernelRegression:
    """Posterior mean and covariance of an infinitely wide network at test samples, batch norm included.

    "nngp" is Bayesian inference over all weights (only the last layer is trained, from random ones below), "ntk" the
    mean and covariance over random networks trained by gradient descent on ½‖f − y‖² for infinite time, with ridge σ²
    [Lee et al. 2019, Eqs. 14-16],

        NNGP   mean K_*(K + σ²)⁻¹y,    covariance K_** − K_*(K + σ²)⁻¹K_*ᵀ
        NTK    mean Θ_*(Θ + σ²)⁻¹y,    covariance K_** + W K Wᵀ − (W K_*ᵀ + K_*Wᵀ),  W = Θ_*(Θ + σ²)⁻¹.

    The training samples are one batch. The test samples are another with its own statistics, or are normalised by the
    training batch's mean and variance at the network's present weights, which is how `eval()` predicts once running
    statistics have come to those of the training batch.

    Parameters
    ----------
    net : Network
        As for `batch_kernel`.
    train_x, test_x : array
        (B, *net.input_shape) and (n, *net.input_shape).
    train_y : array
        (B, C), or (B,) for one output.
    kernel : {"nngp", "ntk"}
    statistics : {"batch", "population"}
        Whose statistics the test samples are normalised by: their own, or the training batch's.
    noise : float
        σ² ≥ 0. At 0, directions in which the kernel vanishes (below its own error) are left out and counted: the limit
        σ² → 0.
    method, parameters, tolerance, samples, seed, memory, on_failure
        As for `cross_batch_kernel`.

    Returns
    -------
    KernelRegression

    Raises
    ------
    NotCovered
        A layer or an order of layers has no kernel.
    InvalidInput
        Data or targets that do not fit or are not finite, a batch without variance at ε = 0, a negative noise.
    NumericalFailure
        The tangent kernel is infinite (ε = 0 with variance in too few directions).

    Examples
    --------
    >>> from normfield.network import mlp
    >>> x = np.random.default_rng(0).standard_normal((24, 16))
    >>> found = kernel_regression(mlp(16, 1000, 3, 1), x[:16], x[:16, 0], x[16:], noise=0.1)
    >>> found.mean.shape, found.covariance.shape
    ((8,), (8, 8))
    """
    began = time.perf_counter()
    if kernel not in KERNELS:
        raise InvalidInput(expected='kernel "nngp" or "ntk"', got=repr(kernel))
    ridge = finite_number(noise, "noise", least=0.0)
    steps, asked = read_question(net, method, parameters, tolerance, samples, seed, on_failure)
    y, x = _targets(train_y, net.output_shape[0]), read_batch(train_x, net, steps, memory)
    if len(y) != x.shape[0]:
        raise InvalidInput(
            expected="one target for each training sample", got=f"{len(y)} for {x.shape[0]} samples"
        )
    with_tangent = kernel == "ntk"
    kernels = joint_kernels(net, steps, asked, x, test_x, statistics, False, memory, on_failure, with_tangent)
    found = _posterior(kernels, kernel, y, ridge)
    return KernelRegression(
        mean=found.mean,
        covariance=found.covariance,
        kernel=kernel,
        noise=ridge,
        left_out=found.left_out,
        unexplained=found.unexplained,
        condition=found.condition,
        status=kernels.status,
        seconds=time.perf_counter() - began,
        kernels=kernels,
    )


def _posterior(kernels: CrossBatchKernel, kernel: str, y: np.ndarray, noise: float) -> Posterior:
    nngp, ntk = on_host(kernels.nngp), on_host(kernels.ntk)
    if kernel == "nngp":
        return nngp_posterior(nngp, y, noise, kernels.error)
    if not np.all(np.isfinite(ntk)):
        nowhere = np.full((kernels.others, *y.shape[1:]), np.nan)
        return Posterior(nowhere, np.full((kernels.others,) * 2, np.nan), len(y), 1.0, np.inf)
    return ntk_posterior(nngp, ntk, y, noise, kernels.error)


def _targets(train_y: Any, outputs: int) -> np.ndarray:
    """In float64, (B,) or (B, C)."""
    try:
        y = on_host(train_y)
    except (TypeError, ValueError):
        raise InvalidInput(expected="targets as numbers", got=type(train_y).__name__) from None
    if not (y.ndim == 1 and outputs == 1) and not (y.ndim == 2 and y.shape[1] == outputs):
        raise InvalidInput(
            expected=f"targets of shape (B, {outputs})" + (" or (B,)" if outputs == 1 else ""),
            got=f"shape {y.shape}",
            instead="give labels as one-hot rows, without their mean" if y.ndim == 1 else "",
        )
    if not np.all(np.isfinite(y)):
        raise InvalidInput(expected="finite targets", got="NaN or infinity", instead="take those samples out")
    return y
