"""Depth's rates against random networks of finite width: how gradients grow, and how a batch forgets its inputs."""

import numpy as np
import pytest
from simulated_networks import Simulated

import normfield as nf

SIGMAS = 4


def inputs(batch_size, width, seed):
    return np.random.default_rng(5000 + seed).standard_normal((batch_size, width))


def slope_of_log(values, layers):
    return np.polyfit(layers, np.log(values), 1)[0]


def growth_per_layer(name, batch_size, width, depth, networks, **settings):
    """Mean and standard error of −slope of ln‖δ‖² over the layers, first and last left out."""
    slopes = [
        -slope_of_log(
            Simulated(name, inputs(batch_size, width, seed), depth, seed, **settings).squared_gradients()[
                2:-2
            ],
            np.arange(depth - 4),
        )
        for seed in range(networks)
    ]
    return np.mean(slopes), np.std(slopes, ddof=1) / np.sqrt(networks)


def agrees_in_log(rate, measured, finite_width):
    """ln of the rate within 4 standard errors, and what a finite width adds."""
    mean, error = measured
    assert abs(np.log(rate) - mean) <= SIGMAS * error + finite_width, (
        f"{rate} against {np.exp(mean)} ± {error}"
    )


@pytest.mark.parametrize(
    ("name", "batch_size", "settings"),
    [
        ("relu", 16, {}),
        ("tanh", 16, {"gamma": 1.5, "beta": 0.3}),
        ("identity", 16, {}),
        ("tanh", 16, {"eps": 0.6}),
    ],
)
def test_gradients_grow_by_the_explosion_rate(name, batch_size, settings):
    rate = nf.depth_limits(name, batch_size, **settings).explosion_rate
    measured = growth_per_layer(name, batch_size, 300, 24, 12, **settings)
    agrees_in_log(rate, measured, finite_width=3 / 300)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "batch_size", "settings"),
    [("relu", 16, {}), ("relu", 64, {}), ("tanh", 16, {}), ("tanh", 64, {}), ("identity", 16, {})],
)
def test_gradients_of_wide_networks_grow_by_the_explosion_rate(name, batch_size, settings):
    rate = nf.depth_limits(name, batch_size, **settings).explosion_rate
    measured = growth_per_layer(name, batch_size, 1000, 36, 12, **settings)
    agrees_in_log(rate, measured, finite_width=3 / 1000)


def test_gradients_of_residual_networks_grow_like_a_power():
    limits = nf.depth_limits("relu", 32)
    depth, layers = 60, np.arange(6, 50)
    ahead = 1 / limits.fixed_point.spread  # blocks that the inputs' own variance is worth
    slopes = [
        -slope_of_log(
            Simulated("relu", inputs(32, 300, seed), depth, seed, residual=True).squared_gradients()[layers],
            np.log(layers + ahead),
        )
        for seed in range(12)
    ]
    assert np.mean(slopes) == pytest.approx(limits.residual_exponent, abs=0.15)
    assert limits.residual_gradient_growth(50, 11) < 0.01 * limits.gradient_growth(39)


def decay(values, reference, first, last):
    """Rate per layer at which a component along a fixed reference decays."""
    along = [float((value * reference).sum()) for value in values[first : last + 1]]
    return (along[-1] / along[0]) ** (1 / (last - first))


def inputs_with(covariance, width, seed):
    """Inputs whose x xᵀ/width is exactly the covariance."""
    random = np.random.default_rng(seed).standard_normal((width, len(covariance)))
    orthonormal = np.linalg.qr(random)[0].T * np.sqrt(width)
    return np.linalg.cholesky(covariance) @ orthonormal


def components(covariance):
    """Parts in 𝕃 (the diagonal of GΣG) and in 𝕄 (what remains off it) of a covariance."""
    B = len(covariance)
    G = np.eye(B) - 1 / B
    centred = G @ covariance @ G
    x = (np.diag(centred) - np.diag(centred).mean()) / (1 - 2 / B)
    common = np.trace(centred) / (B - 1) * G
    return x, centred - common - G @ np.diag(x) @ G


def mean_components(covariance, width, depth, networks):
    x = inputs_with(covariance, width, seed=3)
    mean = np.mean([Simulated("relu", x, depth, seed).covariances() for seed in range(networks)], axis=0)
    return [components(value) for value in mean]


SIZES = [(300, 80, 0.06), pytest.param(600, 200, 0.025, marks=pytest.mark.long)]


@pytest.mark.parametrize(("width", "networks", "tolerance"), SIZES)
def test_samples_of_uneven_norm_become_alike_at_the_norm_rate(width, networks, tolerance):
    found = mean_components(np.diag(np.linspace(0.6, 1.4, 8)), width, 7, networks)
    norms = [value for value, _ in found]
    assert decay(norms, norms[0], 2, 6) == pytest.approx(nf.depth_limits("relu", 8).norm_rate, rel=tolerance)


@pytest.mark.parametrize(("width", "networks", "tolerance"), SIZES)
def test_correlated_pairs_become_like_the_others_at_the_correlation_rate(width, networks, tolerance):
    """Half the difference of both signs, so that what is quadratic in the correlation cancels."""
    alike, opposed = (
        mean_components(np.kron(np.eye(4), np.array([[1, c], [c, 1]])), width, 5, networks)
        for c in (0.5, -0.5)
    )
    odd = [plus - minus for (_, plus), (_, minus) in zip(alike, opposed, strict=True)]
    rate = nf.depth_limits("relu", 8).correlation_rate
    assert decay(odd, odd[0], 1, 4) == pytest.approx(rate, rel=1.5 * tolerance)


def across(correlation, batch_size, width, depth, networks):
    """Mean covariance of two batches by layer, whose inputs are correlated pair by pair."""
    c = np.array([[1, correlation], [correlation, 1]])
    batches = np.split(inputs_with(np.kron(c, np.eye(batch_size)), width, seed=4), 2)
    found = []
    for seed in range(networks):
        one, two = (Simulated("relu", x, depth, seed).activations for x in batches)
        found.append([h @ k.T / width for h, k in zip(one, two, strict=True)])
    return np.mean(found, axis=0)


@pytest.mark.parametrize(("width", "networks", "tolerance"), SIZES)
def test_two_batches_forget_what_they_share_at_the_cross_batch_rate(width, networks, tolerance):
    limits = nf.depth_limits("relu", 8)
    G = np.eye(8) - 1 / 8
    alike, opposed = (across(c, 8, width, 6, networks) for c in (0.3, -0.3))
    odd = [G @ (plus - minus) @ G for plus, minus in zip(alike, opposed, strict=True)]
    assert decay(odd, odd[0], 1, 5) == pytest.approx(limits.cross_batch_rate, rel=tolerance)
    assert alike[-1].mean() == pytest.approx(limits.fixed_point.cross_batch, rel=tolerance)


@pytest.mark.parametrize(("name", "eps"), [("tanh", 0.7), ("relu", 0.2)])
def test_below_the_transition_the_batch_keeps_the_predicted_spread(name, eps):
    limits = nf.depth_limits(name, 16, eps=eps, weight_variance=1.0)
    assert limits.regime == "normalised"
    spreads = [
        Simulated(name, inputs(16, 300, seed), 30, seed, eps=eps, variance=1.0).spreads()[20:].mean()
        for seed in range(8)
    ]
    error = np.std(spreads, ddof=1) / np.sqrt(len(spreads))
    assert (
        abs(np.mean(spreads) - limits.fixed_point.spread) <= SIGMAS * error + 0.01 * limits.fixed_point.spread
    )


def test_above_the_transition_the_batch_of_a_smooth_activation_collapses_at_the_predicted_rate():
    limits = nf.depth_limits("tanh", 16, beta=0.4, eps=1.0, weight_variance=1.0)
    assert limits.regime == "collapsed"
    spreads = np.mean(
        [
            Simulated("tanh", inputs(16, 300, seed), 40, seed, beta=0.4, eps=1.0, variance=1.0).spreads()
            for seed in range(6)
        ],
        axis=0,
    )
    assert np.exp(slope_of_log(spreads[20:], np.arange(20))) == pytest.approx(limits.scale_rate, rel=0.02)
    assert limits.scale_rate == pytest.approx(limits.transition.symmetric, rel=1e-9)
    gradients = growth_per_layer("tanh", 16, 300, 40, 8, beta=0.4, eps=1.0, variance=1.0)
    assert gradients[0] < 0


def test_between_the_transitions_of_relu_only_an_outlying_sample_keeps_the_batch_alive():
    limits = nf.depth_limits("relu", 16, eps=0.38, weight_variance=1.0)
    assert limits.regime == "outlier"
    x = inputs(16, 400, 0) * 0.05
    outlying = x.copy()
    outlying[0] *= 40
    alive = [Simulated("relu", outlying, 50, s, eps=0.38, variance=1.0).spreads()[-1] for s in range(4)]
    above = [Simulated("relu", outlying, 50, s, eps=0.55, variance=1.0).spreads()[-1] for s in range(4)]
    alike = [Simulated("relu", x, 6, s, eps=0.38, variance=1.0).spreads() for s in range(6)]
    assert np.median(alive) > 50 * np.median(above)
    assert np.mean(alike, axis=0)[5] < np.mean(alike, axis=0)[0]
