"""Exact moments of batch-normed layers: the definitions by Monte Carlo and by quadrature, closed forms, identities."""

import math
import tracemalloc

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.network import ACTIVATIONS
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments, homogeneous_pull_back
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.walk.ways import Ways, batch_normalised

RELU, LEAKY, ABS, LINEAR = (0.5, 0.5), (0.6, 0.4), (0.0, 1.0), (1.0, 0.0)
FIELDS = ("second", "pulled", "by_scale", "by_shift", "mean")
DRAWS = 40_000


def batch(kind="full", samples=7, seed=0):
    """K and Θ."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, samples))
    if kind == "rank 6":
        x = x[:, :6]
    if kind == "rank 2":
        x = x[:, :2]
    if kind == "ill conditioned":
        x = x * 4.0 ** -np.arange(samples)
    if kind == "twins":
        x[4] = x[1]
    if kind == "one at the mean":
        x[3] = np.delete(x, 3, axis=0).mean(axis=0)
    t = rng.standard_normal((samples, samples))
    return x @ x.T + 0.3, t @ t.T + 1


def draws(K, T, norm, c1, c2, y):
    """Every field, draw by draw, for draws y of the centred pre-activations: shapes (n, …)."""
    B = len(K)
    G = np.eye(B) - 1 / B
    R = np.sum(y * y, axis=1) + B * norm.eps
    u = np.sqrt(B / R)[:, None] * y
    h = c1 * norm.gamma * u + c2 * np.abs(norm.gamma * u)
    slope = c1 + c2 * np.sign(norm.gamma * u)
    J = norm.gamma * np.sqrt(B / R)[:, None, None] * (G - y[:, :, None] * y[:, None, :] / R[:, None, None])
    J = slope[:, :, None] * J
    slopes = slope[:, :, None] * slope[:, None, :]
    pulled = np.matmul(np.matmul(J, T), np.swapaxes(J, 1, 2))
    return h[:, :, None] * h[:, None, :], pulled, slopes * u[:, :, None] * u[:, None, :], slopes, h


@pytest.mark.parametrize(
    ("kind", "eps", "phi"),
    [
        ("full", 0.0, RELU),
        ("full", 0.0, LINEAR),
        ("full", 1e-5, ABS),
        ("full", 30.0, RELU),
        ("rank 6", 0.0, LEAKY),
        ("rank 2", 0.5, RELU),
        ("ill conditioned", 0.1, RELU),
        ("ill conditioned", 1.0, ABS),
        ("twins", 0.1, LEAKY),
        ("one at the mean", 0.1, RELU),
    ],
)
def test_moments_are_within_standard_errors_of_monte_carlo(kind, eps, phi):
    K, T = batch(kind)
    norm = BatchNormalisation(gamma=-1.3, eps=eps)
    m = homogeneous_moments(K, T, norm, *phi)
    values, vectors = np.linalg.eigh(K)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    z = np.random.default_rng(3).standard_normal((DRAWS, len(K))) @ root.T
    y = z - z.mean(axis=1, keepdims=True)
    if kind == "twins":
        y[:, 4] = y[:, 1]
    if kind == "one at the mean":
        y[:, 3] = 0
    for name, drawn in zip(FIELDS, draws(K, T, norm, *phi, y), strict=True):
        standard_error = drawn.std(axis=0) / math.sqrt(DRAWS)
        off = np.abs(getattr(m, name) - drawn.mean(axis=0))
        assert (off <= 4 * standard_error + 1e-9).all(), name


@pytest.mark.parametrize("eps", [1e-6, 1e-2, 3.0])
@pytest.mark.parametrize("phi", [RELU, LEAKY])
def test_three_samples_equal_quadrature_over_the_plane(eps, phi):
    """y has two dimensions: angles sector by sector between changes of sign, radii on a logarithmic grid."""
    K, T = batch(samples=3, seed=4)
    norm = BatchNormalisation(gamma=0.8, eps=eps)
    G = np.eye(3) - 1 / 3
    values, vectors = np.linalg.eigh(G @ K @ G)
    root = vectors[:, 1:] * np.sqrt(values[1:])
    zeros = np.arctan2(-root[:, 0], root[:, 1])[:, None] + np.array([0.0, np.pi])
    ends = np.sort(zeros % (2 * np.pi), axis=None)
    ends = np.append(ends, ends[0] + 2 * np.pi)
    x, w = np.polynomial.legendre.leggauss(40)
    angles = (ends[:-1, None] + np.diff(ends)[:, None] * (x + 1) / 2).ravel()
    angle_weights = (np.diff(ends)[:, None] * w / 2).ravel()
    tau = np.linspace(-18, 2.2, 300)
    radii, radial_weights = np.exp(tau), np.exp(2 * tau - np.exp(2 * tau) / 2) * (tau[1] - tau[0])
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ root.T
    y = (radii[:, None, None] * circle).reshape(-1, 3)
    weights = (radial_weights[:, None] * angle_weights / (2 * np.pi)).ravel()
    m = homogeneous_moments(K, T, norm, *phi, tolerance=1e-10)
    for name, drawn in zip(FIELDS, draws(K, T, norm, *phi, y), strict=True):
        expected = np.tensordot(weights, drawn, axes=1)
        np.testing.assert_allclose(
            getattr(m, name), expected, atol=1e-8 * np.abs(expected).max(), err_msg=name
        )


def test_linear_on_exchangeable_data_equals_the_closed_form():
    """y/r is uniform on a sphere of n = B − 1 dimensions and independent of r², a multiple of χ²ₙ."""
    B, variance, gamma = 9, 2.3, 1.7
    n, G = B - 1, np.eye(B) - 1 / B
    T = G @ batch(samples=B)[1] @ G
    m = homogeneous_moments(variance * np.eye(B) + 0.4, T, BatchNormalisation(gamma, eps=0.0), *LINEAR)
    np.testing.assert_allclose(m.second, gamma**2 * B / n * G, atol=1e-8)
    projected = T - 2 * T / n + (2 * T + np.trace(T) * G) / (n * (n + 2))
    np.testing.assert_allclose(m.pulled, gamma**2 * B / (variance * (n - 2)) * projected, atol=1e-7)
    np.testing.assert_allclose(m.by_shift, np.ones((B, B)), atol=1e-15)
    assert np.all(m.mean == 0)


@pytest.mark.parametrize("kind", ["full", "rank 2", "ill conditioned", "twins"])
@pytest.mark.parametrize("phi", [RELU, ABS])
def test_the_trace_of_the_second_moment(kind, phi):
    """Σ u_i² = B at ε = 0, and φ(u)² is c₁² + c₂² times u² on average."""
    K, T = batch(kind)
    m = homogeneous_moments(K, T, BatchNormalisation(1.5, eps=0.0), *phi)
    assert np.trace(m.second) == pytest.approx(1.5**2 * len(K) * (phi[0] ** 2 + phi[1] ** 2), rel=1e-8)


def test_exchangeable_data_have_half_gamma_squared_on_the_diagonal():
    m = homogeneous_moments(2.0 * np.eye(11) + 0.7, None, BatchNormalisation(3.0, eps=0.0), *RELU)
    np.testing.assert_allclose(np.diag(m.second), 4.5, rtol=1e-8)
    assert m.pulled is None


@pytest.mark.parametrize(("samples", "rate"), [(5, 2.27371), (8, 1.78819), (32, 1.52195), (128, 1.47968)])
def test_the_adjoint_gives_yangs_explosion_rates(samples, rate):
    """At the fixed point Π = G is multiplied by λ_G per layer [Yang]."""
    c = -1 / (samples - 1)
    correlation = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
    K = 0.5 * ((1 - correlation) * np.eye(samples) + correlation)
    G = np.eye(samples) - 1 / samples
    back, _ = homogeneous_pull_back(K, G, BatchNormalisation(eps=0.0), *RELU)
    np.testing.assert_allclose(back, rate * G, atol=6e-6)


@pytest.mark.parametrize("samples", [5, 40, 300])
@pytest.mark.parametrize(("eps", "phi"), [(0.0, RELU), (1e-5, LEAKY), (2.0, ABS)])
def test_the_adjoint_is_the_adjoint(samples, eps, phi):
    rng = np.random.default_rng(samples)
    K, _ = batch(samples=samples)
    T, P = rng.standard_normal((2, samples, samples))
    T, P = T + T.T, P + P.T
    norm = BatchNormalisation(0.7, eps=eps)
    pulled = homogeneous_moments(K, T, norm, *phi).pulled
    back, error = homogeneous_pull_back(K, P, norm, *phi)
    size = np.linalg.norm(P) * np.linalg.norm(pulled)
    assert abs(np.sum(P * pulled) - np.sum(back * T)) < 1e-12 * size
    assert np.array_equal(back, back.T)
    assert 0 <= error < 1e-7


@pytest.mark.parametrize("kind", ["full", "ill conditioned", "twins"])
def test_permuting_the_batch_permutes_the_moments(kind):
    K, T = batch(kind, samples=30)
    order = np.random.default_rng(1).permutation(30)
    norm = BatchNormalisation(1.2, eps=1e-3)
    m = homogeneous_moments(K, T, norm, *RELU, tolerance=1e-11)
    p = homogeneous_moments(K[order][:, order], T[order][:, order], norm, *RELU, tolerance=1e-11)
    for name in FIELDS:
        field = getattr(m, name)[order]
        field = field[:, order] if field.ndim == 2 else field
        np.testing.assert_allclose(getattr(p, name), field, atol=1e-9 * np.abs(field).max(), err_msg=name)


@pytest.mark.parametrize("scale", [1e-100, 1e-12, 1e12, 1e100])
def test_no_scale_of_the_covariance_is_special(scale):
    K, T = batch("ill conditioned")
    one = homogeneous_moments(K, T, BatchNormalisation(eps=1e-3), *RELU)
    other = homogeneous_moments(scale * K, T, BatchNormalisation(eps=scale * 1e-3), *RELU)
    np.testing.assert_allclose(other.second, one.second, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(scale * other.pulled, one.pulled, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(other.mean, one.mean, rtol=1e-9)


@pytest.mark.parametrize("kind", ["full", "rank 2", "ill conditioned", "twins"])
@pytest.mark.parametrize("phi", [RELU, ABS, LINEAR])
def test_moments_are_symmetric_and_positive_semi_definite(kind, phi):
    K, T = batch(kind, samples=150)
    m = homogeneous_moments(K, T, BatchNormalisation(eps=1e-5), *phi)
    for name in FIELDS[:-1]:
        field = getattr(m, name)
        assert np.array_equal(field, field.T), name
        values = np.linalg.eigvalsh(field)
        assert values[0] > -1e-13 * values[-1], name


def test_samples_that_coincide_have_equal_moments():
    """A correlation of one is exact, where √(1 − ρ²) would make 1e-8 of its rounding."""
    rng = np.random.default_rng(5)
    x = np.repeat(rng.standard_normal((8, 5)), 2, axis=0)
    m = homogeneous_moments(x @ x.T, x @ x.T + 1, BatchNormalisation(eps=0.0), *RELU)
    for name in FIELDS:
        field = getattr(m, name)
        assert np.abs(field[::2] - field[1::2]).max() < 1e-13 * np.abs(field).max(), name
    single = homogeneous_moments((x @ x.T)[::2, ::2], None, BatchNormalisation(eps=0.0), *RELU)
    np.testing.assert_allclose(m.second[::2, ::2], single.second, atol=1e-8)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("samples", [2, 3, 4, 200])
def test_few_directions_without_eps_diverge(dimensions, samples):
    x = np.random.default_rng(samples).standard_normal((samples, dimensions))
    K, T = x @ x.T + 0.5, x @ x.T + 1
    m = homogeneous_moments(K, T, BatchNormalisation(eps=0.0), *RELU)
    assert m.status.startswith("diverges: ")
    assert f"rank {min(dimensions, samples - 1)}" in m.status
    assert m.status.endswith("give eps > 0")
    assert np.all(np.isinf(m.pulled))
    assert np.trace(m.second) == pytest.approx(samples / 2, rel=1e-8)
    back, error = homogeneous_pull_back(K, T, BatchNormalisation(eps=0.0), *RELU)
    assert np.all(np.isinf(back))
    assert error == math.inf
    damped = homogeneous_moments(K, T, BatchNormalisation(eps=1e-5), *RELU)
    assert damped.status == ""
    assert np.all(np.isfinite(damped.pulled))


def test_three_directions_do_not_diverge():
    x = np.random.default_rng(0).standard_normal((200, 3))
    m = homogeneous_moments(x @ x.T + 0.5, x @ x.T + 1, BatchNormalisation(eps=0.0), *RELU)
    assert m.status == ""
    assert np.all(np.isfinite(m.pulled))


def test_rank_two_grows_like_the_logarithm_of_eps():
    K, T = batch("rank 2")
    traces = [
        np.trace(homogeneous_moments(K, T, BatchNormalisation(eps=eps), *RELU).pulled)
        for eps in (1e-9, 1e-8, 1e-7)
    ]
    assert traces[0] - traces[1] == pytest.approx(traces[1] - traces[2], rel=1e-4)
    assert traces[0] > traces[1]


def test_a_batch_without_variance_takes_the_slope_at_zero():
    T = batch(samples=4)[1]
    G = np.eye(4) - 0.25
    norm = BatchNormalisation(2.0, eps=1e-3)
    m = homogeneous_moments(np.full((4, 4), 0.7), T, norm, *RELU)
    np.testing.assert_allclose(m.pulled, 4 / 1e-3 * 0.25 * G @ T @ G, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(m.by_shift, 0.25)
    assert np.all(m.second == 0)
    assert np.all(m.mean == 0)
    still = homogeneous_moments(np.full((4, 4), 0.7), T, norm, *RELU, resting=0.0)
    assert np.all(still.pulled == 0)
    assert np.all(still.by_shift == 0)


def test_a_sample_at_the_mean_of_its_batch_takes_the_slope_at_zero():
    x = np.array([[-1.0], [0.0], [1.0], [2.0], [-2.0]])
    m = homogeneous_moments(x @ x.T, x @ x.T + 1, BatchNormalisation(eps=1e-2), *RELU, resting=0.2)
    np.testing.assert_allclose(m.by_shift[1], [0.1, 0.04, 0.1, 0.1, 0.1], rtol=1e-14)
    assert np.all(m.second[1] == 0)
    assert m.mean[1] == 0


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "linear"])
def test_every_way_takes_the_slope_at_zero(name):
    x = np.array([[-1.0], [0.0], [1.0], [2.0], [-2.0]])
    slope = {"relu": 0.0, "leaky_relu": 0.01, "abs": 0.0, "linear": 1.0}[name]
    for method in ("exact", "concentrated", "monte_carlo"):
        norm = BatchNormalisation(eps=0.5)
        m, _ = batch_normalised(x @ x.T, x @ x.T + 1, norm, ACTIVATIONS[name], Ways(method), "1", False)
        assert m.by_shift[1, 1] == pytest.approx(slope**2, abs=1e-12), method


def test_gamma_zero_leaves_what_gamma_would_add():
    K, T = batch()
    zero = homogeneous_moments(K, T, BatchNormalisation(0.0), *RELU)
    one = homogeneous_moments(K, T, BatchNormalisation(1.0), *RELU)
    assert np.all(zero.second == 0)
    assert np.all(zero.pulled == 0)
    np.testing.assert_array_equal(zero.by_scale, one.second)


def test_without_a_tangent_kernel_the_rest_is_the_same():
    K, T = batch("ill conditioned", samples=40)
    both = homogeneous_moments(K, T, BatchNormalisation(), *RELU)
    alone = homogeneous_moments(K, None, BatchNormalisation(), *RELU)
    np.testing.assert_allclose(alone.second, both.second, atol=1e-8)
    np.testing.assert_array_equal(alone.by_shift, both.by_shift)


def test_arrays_of_torch_stay_in_torch():
    torch = pytest.importorskip("torch")
    K, T = batch(samples=160)
    norm = BatchNormalisation(1.1)
    expected = homogeneous_moments(K, T, norm, *RELU)
    found = homogeneous_moments(torch.from_numpy(K), torch.from_numpy(T), norm, *RELU)
    for name in FIELDS:
        field = getattr(found, name)
        assert isinstance(field, torch.Tensor)
        np.testing.assert_allclose(field.numpy(), getattr(expected, name), atol=1e-9, err_msg=name)
    back, _ = homogeneous_pull_back(torch.from_numpy(K), torch.from_numpy(T), norm, *RELU)
    np.testing.assert_allclose(back.numpy(), homogeneous_pull_back(K, T, norm, *RELU)[0], atol=1e-9)


def test_arguments_are_left_as_they_were():
    K, T = batch()
    before = K.copy(), T.copy()
    homogeneous_moments(K, T, BatchNormalisation(), *RELU)
    homogeneous_pull_back(K, T, BatchNormalisation(), *RELU)
    np.testing.assert_array_equal(K, before[0])
    np.testing.assert_array_equal(T, before[1])


def test_memory_is_at_most_ten_arrays_besides_its_arguments():
    B = 400
    K, T = batch(samples=B)
    tracemalloc.start()
    try:
        homogeneous_moments(K, T, BatchNormalisation(), *RELU)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 8 * B * B


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"norm": BatchNormalisation(beta=0.5)},
            'expected beta = 0 .* got beta = 0.5; take method="concentrated"',
        ),
        (
            {"K": np.full((7, 7), 3.0)},
            "constant features with eps = 0; remove the constant features or give eps > 0",
        ),
        ({"T": np.eye(6)}, r"expected kernels of one shape \(B, B\), got \(6, 6\)"),
        ({"K": np.zeros((7, 3))}, r"expected kernels of one shape \(B, B\), got \(7, 3\)"),
        ({"T": np.full((7, 7), np.nan)}, "expected finite kernels, got NaN or infinity"),
        ({"T": np.eye(7, dtype=np.float32)}, "expected float64 kernels, got float32; convert them first"),
        ({"tolerance": 0.0}, "relative tolerance between 0 and 1, got 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    K, T = batch()
    given = {"K": K, "T": T, "norm": BatchNormalisation(eps=0.0), "tolerance": 1e-8} | change
    for call in (homogeneous_moments, homogeneous_pull_back):
        with pytest.raises(InvalidInput, match=message) as caught:
            call(given["K"], given["T"], given["norm"], *RELU, tolerance=given["tolerance"])
        assert "\n" not in str(caught.value)
