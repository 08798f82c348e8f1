"""Fixed point and rates against batches drawn at random, for activations and settings drawn at random."""

import math

import numpy as np
import pytest
from sphere_oracle import (
    correlation_direction,
    cross_batch_slope,
    draw,
    explosion,
    forward,
    norm_direction,
    second_moment,
    spread,
)

import normfield as nf
from normfield.network import ACTIVATIONS
from normfield.theory import ops

SAMPLES, SIGMAS = 60_000, 4


def random_case(seed):
    rng = np.random.default_rng(1000 + seed)
    name = rng.choice([*ACTIVATIONS])
    batch_size = int(rng.choice([10, 13, 24, 40]))
    gamma, beta = float(rng.uniform(0.3, 2.5)), float(rng.normal())
    return (
        str(name),
        batch_size,
        gamma,
        beta,
        float(rng.choice([0.0, 0.01, 0.3])),
        float(rng.uniform(0.5, 3.0)),
    )


CASES = [random_case(seed) for seed in range(9)]


def agrees(value, estimated):
    mean, error = estimated
    assert abs(value - mean) <= SIGMAS * error + 1e-12, f"{value} against {mean} ± {error}"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_rates_equal_their_definitions_on_random_batches(case):
    name, batch_size, gamma, beta, share, sigma = case
    eps = share * nf.depth_limits(name, batch_size, gamma, beta, weight_variance=sigma).transition.symmetric
    found = nf.depth_limits(name, batch_size, gamma, beta, eps, weight_variance=sigma)
    assert found.regime == "normalised"
    variance = sigma * found.fixed_point.spread
    drawn = draw(ACTIVATIONS[name], batch_size, gamma, beta, eps, variance, SAMPLES, seed=7)
    agrees(found.fixed_point.spread, spread(drawn))
    agrees(found.fixed_point.second_moment, second_moment(drawn))
    agrees(found.explosion_rate, explosion(drawn, sigma, seed=8))
    centred = draw(ACTIVATIONS[name], batch_size, gamma, beta, eps, variance, SAMPLES, seed=9)
    mean, error = cross_batch_slope(centred, sigma)
    assert abs(math.sqrt(found.cross_batch_rate) - abs(mean)) <= SIGMAS * error
    agrees(found.norm_rate, forward(drawn, norm_direction(batch_size, 3), variance, sigma))
    agrees(found.correlation_rate, forward(drawn, correlation_direction(batch_size, 3), variance, sigma))


@pytest.mark.parametrize("eps", [1e-3, 0.2])
def test_the_common_scale_returns_at_its_rate(eps):
    sigma, step = 2.0, 0.05
    found = nf.depth_limits("gelu", 16, 1.3, 0.2, eps, weight_variance=sigma)
    variance = sigma * found.fixed_point.spread
    after = [
        sigma
        * draw(ACTIVATIONS["gelu"], 16, 1.3, 0.2, eps, variance * factor, 200_000, 1).h.var(axis=1, ddof=1)
        for factor in (1 + step, 1 - step)
    ]
    slopes = (after[0] - after[1]) / (2 * step * variance)
    error = slopes.std(ddof=1) / math.sqrt(len(slopes))
    assert abs(found.scale_rate - slopes.mean()) <= SIGMAS * error + 3 * step**2 * found.scale_rate


@pytest.mark.parametrize(("batch_size", "eps"), [(2, 0.1), (3, 0.1), (4, 0.05)])
@pytest.mark.parametrize(("name", "beta"), [("relu", 0.0), ("tanh", 0.4), ("relu", 0.3)])
def test_the_smallest_batches_have_rates_at_positive_eps(batch_size, eps, name, beta):
    found = nf.depth_limits(name, batch_size, 1.0, beta, eps)
    variance = 2 * found.fixed_point.spread
    drawn = draw(ACTIVATIONS[name], batch_size, 1.0, beta, eps, variance, 400_000, seed=5)
    agrees(found.fixed_point.spread, spread(drawn))
    agrees(found.explosion_rate, explosion(drawn, 2.0, seed=6))
    assert found.status == ""
    assert math.isnan(found.correlation_rate) == (batch_size < 4)
    assert math.isnan(found.norm_rate) == (batch_size < 3)


@pytest.mark.parametrize("batch_size", [4, 5, 7])
def test_the_smallest_batches_without_eps_equal_the_sphere(batch_size):
    """The radius integrates to (B−1)/(B−3) by hand, since its 1/χ² has no finite variance here."""
    found = nf.depth_limits("gelu", batch_size, 1.5, 0.3)
    g = np.random.default_rng(2).standard_normal((400_000, batch_size))
    g -= g.mean(axis=1, keepdims=True)
    z = g * np.sqrt(batch_size / (g * g).sum(axis=1, keepdims=True))
    drawn = draw(ACTIVATIONS["gelu"], batch_size, 1.5, 0.3, 0.0, 1.0, 400_000, seed=2)
    np.testing.assert_allclose(drawn.u, z, rtol=1e-9, atol=1e-12)
    on_sphere = type(drawn)(z, drawn.h, drawn.slopes, np.ones(len(z)), 1.5)
    mean, error = explosion(on_sphere, 1.0, seed=3)
    inverse = batch_size / (batch_size - 3) / found.fixed_point.spread
    assert abs(found.explosion_rate - mean * inverse) <= SIGMAS * error * inverse


@pytest.mark.parametrize("name", ["relu", "abs", "selu"])
def test_an_outlying_sample_grows_by_its_own_threshold(name):
    """A batch along e₁ − 1/B, far smaller than ε, keeps its direction and grows by ε_c/ε."""
    batch_size, eps, gamma, sigma = 12, 0.3, 1.4, 1.7
    found = nf.depth_limits(name, batch_size, gamma, eps=eps, weight_variance=sigma).transition.outlier
    along = np.eye(batch_size)[0] - 1 / batch_size
    grown = []
    for sign in (1, -1):
        y = sign * 1e-7 * along
        h = ACTIVATIONS[name].function(ops, gamma * y / math.sqrt(eps))
        grown.append(sigma * ((h - h.mean()) ** 2).sum() / (y @ y))
        np.testing.assert_allclose((h - h.mean()) / (h - h.mean())[0], along / along[0], atol=1e-6)
    assert np.mean(grown) == pytest.approx(found / eps, rel=1e-5)
