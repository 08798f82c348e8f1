"""Plain networks' kernels equal those of neural-tangents, where that is installed, as by benchmarks/jax.sh."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import normfield as nf

pytestmark = pytest.mark.filterwarnings("ignore")  # jax and tensorflow warn of each other

SAMPLES, INPUTS, WIDTH = 30, 7, 50
WEIGHT_VARIANCE, BIAS_VARIANCE = 1.7, 0.3


@pytest.fixture(scope="module")
def stax() -> Any:
    jax = pytest.importorskip("jax", reason="neural-tangents needs jax, which is not installed")
    found = pytest.importorskip(
        "neural_tangents", reason="neural-tangents is not installed", exc_type=ImportError
    )
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield found.stax
    jax.config.update("jax_enable_x64", before)


def _theirs(stax: Any, activation: str, depth: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    spread = {
        "W_std": math.sqrt(WEIGHT_VARIANCE),
        "b_std": math.sqrt(BIAS_VARIANCE),
        "parameterization": "standard",
    }
    phi = {"relu": stax.Relu, "leaky_relu": lambda: stax.LeakyRelu(0.01), "erf": stax.Erf}[activation]
    kernels = stax.serial(*[stax.Dense(WIDTH, **spread), phi()] * (depth - 1), stax.Dense(3, **spread))[2]
    found = kernels(x, None, ("nngp", "ntk"))
    return np.asarray(found.nngp), np.asarray(found.ntk)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "erf"])
def test_both_kernels_are_equal(stax: Any, activation: str, depth: int) -> None:
    """Off the NTK's diagonal to 1e-10; on it neural-tangents is √round-off off, an arc cosine at 1."""
    x = np.random.default_rng(depth).standard_normal((SAMPLES, INPUTS))
    net = nf.mlp(
        INPUTS,
        WIDTH,
        depth,
        3,
        batch_norm=False,
        activation=activation,
        weight_variance=WEIGHT_VARIANCE,
        bias_variance=BIAS_VARIANCE,
    )
    ours, (nngp, ntk) = nf.batch_kernel(net, x), _theirs(stax, activation, depth, x)
    np.testing.assert_allclose(ours.nngp, nngp, rtol=0, atol=1e-10 * np.abs(nngp).max())
    apart = ~np.eye(SAMPLES, dtype=bool)
    np.testing.assert_allclose(ours.ntk[apart], ntk[apart], rtol=0, atol=1e-10 * np.abs(ntk).max())
    np.testing.assert_allclose(np.diag(ours.ntk), np.diag(ntk), rtol=1e-6)
