"""Plain layers taken at once give what the walk gives one step after another."""

import numpy as np
import pytest

import normfield as nf
from normfield.theory.kernels.walk.plain_runs import run_length
from normfield.theory.kernels.walk.steps import read_steps

X = np.random.default_rng(0).standard_normal((70, 5))


def network(*layers, bias_variance=0.3):
    return nf.Network((5,), layers, weight_variance=1.6, bias_variance=bias_variance)


PLAIN = [
    nf.Dense(40),
    nf.Activation("relu"),
    nf.Dense(30, bias=False),
    nf.Activation("leaky_relu", slope=0.4),
]
CASES = {
    "plain": network(*PLAIN, nf.Dense(2)),
    "linear and absolute": network(nf.Dense(9), nf.Activation("abs"), nf.Dense(8), nf.Activation("linear"),
                                   nf.Dense(2)),
    "behind a norm": network(nf.Dense(20), nf.BatchNorm(), nf.Activation("relu"), *PLAIN, nf.Dense(2)),
    "in front of a norm": network(*PLAIN, nf.Dense(20), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(2)),
    "in a branch": network(nf.Dense(20), nf.Residual([*PLAIN, nf.Dense(20)]), nf.Dense(2)),
    "around another activation": network(*PLAIN, nf.Dense(20), nf.Activation("tanh"), *PLAIN, nf.Dense(2)),
    "without biases": network(*PLAIN, nf.Dense(2), bias_variance=0.0),
}  # fmt: skip


@pytest.mark.parametrize("net", CASES.values(), ids=CASES)
@pytest.mark.parametrize("parameters", ["all", ("weight",), ("bias", "gamma", "beta")])
def test_equal_to_one_step_after_another(net, parameters):
    """With layers=True every step is taken by itself."""
    at_once = nf.batch_kernel(net, X, parameters=parameters)
    by_steps = nf.batch_kernel(net, X, parameters=parameters, layers=True)
    assert len(by_steps.layers) > 0
    np.testing.assert_allclose(at_once.nngp, by_steps.nngp, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(at_once.ntk, by_steps.ntk, rtol=1e-12, atol=1e-12 * np.abs(by_steps.ntk).max())


def test_a_sample_without_variance_goes_one_by_one():
    x = X.copy()
    x[3] = 0.0
    net = CASES["without biases"]
    at_once, by_steps = nf.batch_kernel(net, x), nf.batch_kernel(net, x, layers=True)
    np.testing.assert_allclose(at_once.ntk, by_steps.ntk, rtol=1e-12, atol=1e-12)
    assert np.isfinite(at_once.ntk).all()


def test_what_counts_as_a_run():
    steps = read_steps(CASES["around another activation"])
    assert run_length(steps) == 5  # Dense, ReLU, Dense, leaky ReLU, Dense
    assert run_length(steps[4:]) == 0  # tanh has no closed form of this kind
    assert run_length(steps[6:]) == 5
    assert run_length(read_steps(network(nf.Dense(2)))) == 0
