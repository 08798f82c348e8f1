"""φ of correlated Gaussians against the textbook recursions, a two-dimensional rule and its own error estimate."""

import numpy as np
import pytest

from normfield.network import ACTIVATIONS, ActivationFunction
from normfield.theory import ops, pair_moments
from normfield.theory.gaussian import derivative
from normfield.theory.kernels.layer.gaussian_pairs import plain_moments, plain_pull_back
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.pair_laws.choice import pair_law
from normfield.theory.kernels.pair_laws.hermite_pairs import HermiteLaw, hermite_law
from normfield.theory.kernels.pair_laws.laws import Arguments, correlations, deviations

FIELDS = ("second", "pulled", "by_scale", "by_shift", "mean")
VALUES = ("mean", "product", "slopes", "argued")
DERIVATIVES = ("bent_left", "bent_right", "curved", "both")
SMOOTH = ["tanh", "gelu", "gelu_tanh", "silu", "sigmoid", "softplus", "mish", "erf"]


def batch(samples, inputs, seed=0):
    """K and Θ of samples whose norms differ by up to a factor of four."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, inputs)) * rng.uniform(0.5, 2.0, (samples, 1))
    tangent = rng.standard_normal((samples, samples))
    return x @ x.T / inputs, tangent @ tangent.T


def relu_by_angle(K):
    """Cho and Saul's arc-cosine kernels of orders 1 and 0."""
    size = np.sqrt(np.diag(K))
    angle = np.arccos(np.clip(K / np.outer(size, size), -1, 1))
    second = np.outer(size, size) / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
    return second, (np.pi - angle) / (2 * np.pi)


def erf_by_williams(K):
    size = 1 + 2 * np.diag(K)
    second = 2 / np.pi * np.arcsin(2 * K / np.sqrt(np.outer(size, size)))
    return second, 4 / np.pi / np.sqrt(np.outer(size, size) - 4 * K**2)


def plane(f, variances, covariance, step=0.12, reach=11.0):
    """E f(a, b) by the trapezoidal rule over the plane, which converges geometrically for smooth f."""
    z = np.arange(-reach, reach + step / 2, step)
    w = np.exp(-z * z / 2)
    w /= w.sum()
    L = np.linalg.cholesky([[variances[0], covariance], [covariance, variances[1]]])
    a = L[0, 0] * z[:, None] + 0 * z
    b = L[1, 0] * z[:, None] + L[1, 1] * z
    return w @ f(a, b) @ w


@pytest.mark.parametrize(("name", "textbook"), [("relu", relu_by_angle), ("erf", erf_by_williams)])
def test_four_layers_equal_the_textbook_recursion(name, textbook):
    K, _ = batch(20, 7)
    ours, theirs = [K, K], [K, K]
    for _ in range(4):
        m = plain_moments(*ours, ACTIVATIONS[name])
        ours = [2 * m.second + 0.3, 2 * m.pulled + m.second + 1]
        second, slopes = textbook(theirs[0])
        theirs = [2 * second + 0.3, 2 * slopes * theirs[1] + second + 1]
    # The textbook's angle of a sample with itself is round-off to the power ½; off the diagonal both are exact.
    apart = ~np.eye(20, dtype=bool)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine[apart], other[apart], rtol=1e-10)
        np.testing.assert_allclose(np.diag(mine), np.diag(other), rtol=1e-6)


def test_a_sample_with_itself_is_exact():
    K, T = batch(6, 4)
    m = plain_moments(K, T, ACTIVATIONS["relu"])
    np.testing.assert_allclose(np.diag(m.second), np.diag(K) / 2, rtol=1e-14)
    np.testing.assert_allclose(np.diag(m.pulled), np.diag(T) / 2, rtol=1e-14)


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize(("gamma", "beta"), [(1.0, 0.0), (-0.8, 0.5)])
def test_smooth_activations_equal_a_rule_over_the_plane(name, gamma, beta):
    phi, norm = ACTIVATIONS[name], BatchNormalisation(gamma, beta)
    slope = derivative(phi)
    K, T = batch(5, 3)
    m = plain_moments(K, T, phi, norm)
    for i, j in ((0, 1), (2, 4), (3, 1)):
        variances = (K[i, i], K[j, j])
        value = plane(
            lambda a, b: phi.function(ops, gamma * a + beta) * phi.function(ops, gamma * b + beta),
            variances,
            K[i, j],
        )
        slopes = plane(lambda a, b: slope(gamma * a + beta) * slope(gamma * b + beta), variances, K[i, j])
        argued = plane(
            lambda a, b: slope(gamma * a + beta) * slope(gamma * b + beta) * a * b, variances, K[i, j]
        )
        assert m.second[i, j] == pytest.approx(value, abs=1e-10)
        assert m.by_shift[i, j] == pytest.approx(slopes, abs=1e-10)
        assert m.by_scale[i, j] == pytest.approx(argued, abs=1e-10)
        assert m.pulled[i, j] == pytest.approx(gamma**2 * slopes * T[i, j], abs=1e-9)
    assert m.error < 1e-10


@pytest.mark.parametrize("name", ["elu", "selu"])
@pytest.mark.parametrize("c", [-0.7, 0.3, 0.8])
def test_bent_activations_equal_quadrature_through_the_conditional_law(name, c):
    q = 1.7
    expected = pair_moments(ACTIVATIONS[name], q, q * c)
    m = plain_moments(q * np.array([[1, c], [c, 1]]), None, ACTIVATIONS[name])
    assert m.second[0, 1] == pytest.approx(float(expected.product), rel=1e-9)
    assert m.by_shift[0, 1] == pytest.approx(float(expected.slope_product), rel=1e-9)
    assert m.second[0, 0] == pytest.approx(float(expected.second), rel=1e-12)
    assert m.mean[0] == pytest.approx(float(expected.mean), rel=1e-12)


@pytest.mark.parametrize(("name", "q"), [("tanh", 9.0), ("tanh", 100.0), ("selu", 1.0), ("gelu", 100.0)])
@pytest.mark.parametrize("c", [0.9, 0.999, -0.9999])
def test_the_error_covers_what_is_really_missed(name, q, c):
    expected = pair_moments(ACTIVATIONS[name], q, q * c)
    m = plain_moments(q * np.array([[1, c], [c, 1]]), None, ACTIVATIONS[name])
    missed = abs(m.second[0, 1] - expected.product) / expected.second
    bent = abs(m.by_shift[0, 1] - expected.slope_product) / expected.slope_second
    assert max(missed, bent) <= m.error + 1e-9


@pytest.mark.parametrize(("name", "q"), [("elu", 1.0), ("selu", 3.0), ("tanh", 30.0), ("gelu", 100.0)])
@pytest.mark.parametrize("c", [0.97, 0.9999, -0.999])
def test_nearly_coinciding_samples_of_bent_and_steep_activations(name, q, c):
    expected = pair_moments(ACTIVATIONS[name], q, q * c)
    m = plain_moments(q * np.array([[1, c], [c, 1]]), None, ACTIVATIONS[name])
    assert m.second[0, 1] == pytest.approx(float(expected.product), abs=1e-9 * expected.second)
    assert m.by_shift[0, 1] == pytest.approx(float(expected.slope_product), abs=1e-9 * expected.slope_second)
    assert m.error < 1e-8


@pytest.mark.parametrize("name", ["relu", "abs"])
def test_the_table_of_near_pairs_equals_closed_forms(name):
    """Samples of different variances whose correlations lie between 0.8 and 1."""
    rng = np.random.default_rng(0)
    x = (1.0 + 0.2 * rng.standard_normal((8, 30))) * rng.uniform(0.7, 1.4, (8, 1))
    size = deviations(x @ x.T / 30, 0.0)
    given = Arguments(correlations(x @ x.T / 30, size, 1.0), size, 0.0)
    closed, series = pair_law(ACTIVATIONS[name], given), hermite_law(ACTIVATIONS[name], given)
    assert isinstance(series, HermiteLaw)
    assert series.near_values is not None
    assert series.near_values.rows.size > 20
    apart = ~np.eye(8, dtype=bool)
    for field in VALUES:
        ours, theirs = getattr(closed.values(), field), getattr(series.values(), field)
        np.testing.assert_allclose(ours, theirs, atol=1e-11, err_msg=field)
    for field in DERIVATIVES:
        ours, theirs = getattr(closed.derivatives(), field), getattr(series.derivatives(), field)
        np.testing.assert_allclose(ours[apart], theirs[apart], atol=1e-9, err_msg=field)


@pytest.mark.long
def test_a_bend_away_from_zero_says_that_near_pairs_are_inexact():
    """Two bends at nearly one place are no smooth function of angle and scales: the error must know."""
    rng = np.random.default_rng(0)
    x = (1.0 + 0.1 * rng.standard_normal((8, 30))) * rng.uniform(0.7, 1.4, (8, 1))
    size = deviations(x @ x.T / 30, 0.0)
    given = Arguments(correlations(x @ x.T / 30, size, 1.0), size, 0.5)
    exact, series = (
        law.values()
        for law in (pair_law(ACTIVATIONS["relu"], given), hermite_law(ACTIVATIONS["relu"], given))
    )
    for field in ("product", "slopes", "argued"):
        ours, theirs = getattr(exact, field), getattr(series, field)
        assert np.abs(ours - theirs).max() / np.diag(ours).max() < series.error


def test_a_wrong_derivative_shows_in_the_error():
    K, T = batch(5, 3)
    wrong = ActivationFunction("wrong", ACTIVATIONS["tanh"].function, lambda ops, x: 1.1 - ops.tanh(x) ** 2)
    assert plain_moments(K, T, wrong).error > 0.01


def test_a_missing_derivative_is_a_difference():
    K, T = batch(5, 3)
    own = ActivationFunction("own", lambda ops, x: x * ops.sigmoid(x))
    m, known = plain_moments(K, T, own), plain_moments(K, T, ACTIVATIONS["silu"])
    np.testing.assert_allclose(m.pulled, known.pulled, atol=1e-7)
    assert m.error < 1e-7


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "linear"])
@pytest.mark.parametrize("beta", [0.4, -1.3])
@pytest.mark.parametrize("gamma", [1.0, -0.6])
def test_orthants_equal_the_series(name, beta, gamma):
    """Two derivations of one law: closed forms and Hermite coefficients by quadrature."""
    K, _ = batch(7, 6)
    size = deviations(K, 0.0)
    given = Arguments(correlations(K, size, float(K.max())), gamma * size, beta)
    closed, series = pair_law(ACTIVATIONS[name], given), hermite_law(ACTIVATIONS[name], given)
    assert type(closed) is not type(series)
    for field in VALUES:
        ours, theirs = getattr(closed.values(), field), getattr(series.values(), field)
        np.testing.assert_allclose(ours, theirs, atol=2e-13, err_msg=field)
    apart = ~np.eye(7, dtype=bool)
    for field in DERIVATIVES:
        ours, theirs = getattr(closed.derivatives(), field), getattr(series.derivatives(), field)
        np.testing.assert_allclose(ours[apart], theirs[apart], atol=2e-12, err_msg=field)
    for left, right in (("bent_left", "bent_right"), ("both", "curved")):  # of one variable only sums count
        ours, theirs = (
            np.diag(getattr(law.derivatives(), left) + getattr(law.derivatives(), right))
            for law in (closed, series)
        )
        np.testing.assert_allclose(ours, theirs, atol=2e-12)


def test_erf_without_shift_equals_its_series():
    K, _ = batch(7, 5)
    size = deviations(K, 0.0)
    given = Arguments(correlations(K, size, float(K.max())), size, 0.0)
    closed, series = pair_law(ACTIVATIONS["erf"], given), hermite_law(ACTIVATIONS["erf"], given)
    assert type(closed) is not type(series)
    for field in VALUES:
        np.testing.assert_allclose(
            getattr(closed.values(), field), getattr(series.values(), field), atol=1e-13
        )
    for field in DERIVATIVES:
        ours, theirs = getattr(closed.derivatives(), field), getattr(series.derivatives(), field)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["relu", "erf", "tanh", "selu"])
def test_a_permuted_batch_permutes_the_kernels_and_they_are_symmetric(name):
    K, T = batch(9, 4)
    order = np.random.default_rng(3).permutation(9)
    m = plain_moments(K, T, ACTIVATIONS[name])
    p = plain_moments(K[np.ix_(order, order)], T[np.ix_(order, order)], ACTIVATIONS[name])
    for field in FIELDS:
        whole = getattr(m, field)
        there = whole[order] if whole.ndim == 1 else whole[np.ix_(order, order)]
        np.testing.assert_allclose(getattr(p, field), there, rtol=1e-13, atol=1e-15)
        if whole.ndim == 2:
            np.testing.assert_allclose(whole, whole.T, atol=1e-14)


@pytest.mark.parametrize("name", ["relu", "erf", "tanh", "selu", "gelu"])
def test_twins_and_a_sample_at_zero(name):
    phi = ACTIVATIONS[name]
    x = np.random.default_rng(0).standard_normal((6, 3))
    x[3] = x[1]  # a twin
    x[5] = 0.0  # a sample without variance
    K = x @ x.T
    m = plain_moments(K, K, phi)
    for field in FIELDS:
        assert np.isfinite(getattr(m, field)).all()
    np.testing.assert_allclose(m.second[3], m.second[1], atol=1e-13)
    assert m.by_shift[1, 3] == pytest.approx(m.by_shift[1, 1], rel=1e-13)
    zero, slope = float(phi.function(ops, np.zeros(1))[0]), float(derivative(phi)(np.zeros(1))[0])
    assert m.second[5, 5] == pytest.approx(zero**2, abs=1e-15)
    assert m.by_shift[5, 5] == pytest.approx(slope**2, abs=1e-15)
    np.testing.assert_allclose(m.second[5, :5], zero * m.mean[:5], atol=1e-14)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_homogeneous_moments_scale(scale):
    K, T = batch(6, 4)
    m, scaled = (plain_moments(f * K, T, ACTIVATIONS["relu"]) for f in (1.0, scale))
    np.testing.assert_allclose(scaled.second, scale * m.second, rtol=1e-12)
    np.testing.assert_allclose(scaled.pulled, m.pulled, rtol=1e-12)


def test_without_a_tangent_kernel_nothing_is_pulled():
    K, T = batch(6, 4)
    bare, full = (plain_moments(K, tangent, ACTIVATIONS["gelu"]) for tangent in (None, T))
    assert bare.pulled is None
    np.testing.assert_array_equal(bare.second, full.second)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_the_pull_back_is_the_adjoint(name):
    K, T = batch(6, 4)
    P = batch(6, 4, seed=5)[1]
    norm = BatchNormalisation(0.7, 0.2)
    pulled = plain_moments(K, T, ACTIVATIONS[name], norm).pulled
    back = plain_pull_back(K, P, ACTIVATIONS[name], norm)
    assert np.sum(P * pulled) == pytest.approx(np.sum(T * back), rel=1e-13)


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_torch_arrays_stay_torch_arrays(name):
    torch = pytest.importorskip("torch")
    K, T = batch(6, 4)
    ours = plain_moments(torch.from_numpy(K), torch.from_numpy(T), ACTIVATIONS[name])
    numpy = plain_moments(K, T, ACTIVATIONS[name])
    for field in FIELDS:
        assert isinstance(getattr(ours, field), torch.Tensor)
        np.testing.assert_allclose(getattr(ours, field).numpy(), getattr(numpy, field), atol=1e-14)
