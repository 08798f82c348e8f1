"""A plain ReLU network's kernels by Normfield and by neural-tangents, in turn in one process; prints JSON.

Run by the environment that jax.sh makes. Both compute NNGP and NTK of one batch in float64, in the standard
parametrisation; neural-tangents is compiled before anything is timed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
from kernel_cases import batch, network
from neural_tangents import stax
from rounds import alternate

import normfield as nf

SAMPLES, DEPTH, ROUNDS = 1024, 4, 15
WEIGHT_VARIANCE, BIAS_VARIANCE, WIDTH = 2.0, 0.5, 1000


def their_kernels(depth: int) -> Callable[[np.ndarray], Any]:
    """neural-tangents' kernel function of the same network, compiled at its first call."""
    spread = {"W_std": math.sqrt(WEIGHT_VARIANCE), "b_std": math.sqrt(BIAS_VARIANCE)}
    hidden = [stax.Dense(WIDTH, parameterization="standard", **spread), stax.Relu()]
    last = stax.Dense(10, parameterization="standard", **spread)
    kernels = stax.serial(*hidden * (depth - 1), last)[2]
    return jax.jit(lambda x: kernels(x, None, ("nngp", "ntk")))


def exact_diagonal(x: np.ndarray, depth: int) -> np.ndarray:
    """The NTK's diagonal by hand: E[φ²] = K/2 and E[φ′²] = ½ for one sample alone."""
    second = np.mean(x**2, axis=1)
    covariance, tangent = WEIGHT_VARIANCE * second + BIAS_VARIANCE, x.shape[1] * second + 1
    for _ in range(depth - 1):
        tangent = WEIGHT_VARIANCE * tangent / 2 + WIDTH * covariance / 2 + 1
        covariance = WEIGHT_VARIANCE * covariance / 2 + BIAS_VARIANCE
    return tangent


def differences(ours: nf.BatchKernel, theirs: Any, x: np.ndarray) -> dict[str, float]:
    """Largest relative differences: between the two, and of each NTK's diagonal from its closed form."""
    nngp, ntk = np.asarray(theirs.nngp), np.asarray(theirs.ntk)
    away = np.abs(ours.ntk / ntk - 1)
    diagonal = exact_diagonal(x, DEPTH)
    return {
        "nngp": float(np.abs(ours.nngp / nngp - 1).max()),
        "ntk": float(away[~np.eye(len(x), dtype=bool)].max()),
        "our_diagonal": float(np.abs(np.diag(ours.ntk) / diagonal - 1).max()),
        "their_diagonal": float(np.abs(np.diag(ntk) / diagonal - 1).max()),
    }


def main() -> None:
    """Time both, compare them, print."""
    jax.config.update("jax_enable_x64", True)
    x, net, theirs = batch(SAMPLES), network(DEPTH, batch_norm=False), their_kernels(DEPTH)

    def our_call() -> nf.BatchKernel:
        return nf.batch_kernel(net, x)

    def their_call() -> Any:
        found = theirs(x)
        return jax.block_until_ready((found.nngp, found.ntk))

    timed = alternate({"normfield": lambda _: our_call, "neural-tangents": lambda _: their_call}, ROUNDS)
    seconds = {name: [each.seconds for each in rounds] for name, rounds in timed.items()}
    versions = {name: version(name) for name in ("neural-tangents", "jax")}
    print(json.dumps({"seconds": seconds, "versions": versions} | differences(our_call(), theirs(x), x)))


if __name__ == "__main__":
    main()
