"""The kernel's λ_max at the settings of the reference table: width 1000, 400 samples, σ_w² = 2, σ_b² = 0.5."""

import os

import numpy as np
import pytest

import normfield as nf

NEEDS_MNIST = pytest.mark.skipif(
    not os.environ.get("NORMFIELD_DATA"), reason="needs NORMFIELD_DATA with MNIST"
)


def scaled(x):
    """Mean ‖x‖² = N₀."""
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    x = (x - x.mean()) / x.std()
    return x / np.sqrt(np.mean(np.sum(x**2, 1)) / x.shape[1])


def data(name):
    if name == "iid":
        return scaled(np.random.default_rng(0).standard_normal((400, 64)))
    return scaled(nf.load(name, samples=400, standardise="none").inputs)


@pytest.mark.parametrize(
    ("name", "depth", "gamma", "expected"),
    [
        ("iid", 4, 0.1, 3.417),
        ("iid", 4, 1.0, 162.2),
        ("iid", 4, 3.0, 1445.0),
        ("digits", 4, 0.1, 3.441),
        ("digits", 4, 1.0, 164.4),
        pytest.param("mnist", 4, 0.1, 3.423, marks=NEEDS_MNIST),
        pytest.param("mnist", 4, 1.0, 164.6, marks=NEEDS_MNIST),
        pytest.param("mnist", 4, 3.0, 1467.0, marks=NEEDS_MNIST),
        pytest.param("mnist", 8, 1.0, 171.0, marks=NEEDS_MNIST),
    ],
)
def test_exact_kernel(name, depth, gamma, expected):
    """To the digits given; i.i.d. data were drawn anew, which moves the fourth digit."""
    x = data(name)
    found = nf.batch_kernel(nf.mlp(x.shape[1], 1000, depth, 10, gamma=gamma), x, method="exact")
    assert found.largest_eigenvalue == pytest.approx(expected, rel=2e-3 if name == "iid" else 6e-4)
