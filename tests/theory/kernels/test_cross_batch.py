"""Kernels between two batches with their own statistics: against draws of z pushed through batch norm one by one."""

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.two_batches.cross_batch import cross_moments

FOUR = 4.0


def blocks(matrix, first):
    return matrix[:first, :first], matrix[:first, first:], matrix[first:, first:]


def normalised(z, norm, phi, slope):
    """h (n, B) and its Jacobian (n, B, B), entry by entry from u = (z − mean)/√(variance + ε)."""
    batch = z.shape[1]
    deviation = z - z.mean(axis=1, keepdims=True)
    spread = np.sqrt((deviation**2).mean(axis=1) + norm.eps)[:, None, None]
    u = deviation / spread[:, :, 0]
    own = np.eye(batch)[None] - 1 / batch - u[:, :, None] * u[:, None, :] / batch
    arguments = norm.gamma * u + norm.beta
    return phi(arguments), slope(arguments)[:, :, None] * norm.gamma * own / spread, u, slope(arguments)


def drawn(nngp, ntk, first, norm, phi, slope, draws, seed=0, chunk=5000):
    """Means and standard errors of h₁h₂ᵀ, J₁ΘJ₂ᵀ, and γ's and β's terms over draws of z ~ N(0, K)."""
    generator = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(nngp)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    sums = {name: np.zeros((2, first, len(nngp) - first)) for name in ("second", "pulled", "scale", "shift")}
    for _ in range(draws // chunk):
        z = generator.standard_normal((chunk, len(nngp))) @ root.T
        (h1, j1, u1, s1), (h2, j2, u2, s2) = (
            normalised(part, norm, phi, slope) for part in (z[:, :first], z[:, first:])
        )
        found = {
            "second": h1[:, :, None] * h2[:, None, :],
            "pulled": j1 @ ntk @ j2.transpose(0, 2, 1),
            "scale": (s1 * u1)[:, :, None] * (s2 * u2)[:, None, :],
            "shift": s1[:, :, None] * s2[:, None, :],
        }
        for name, value in found.items():
            sums[name] += [value.sum(axis=0), (value**2).sum(axis=0)]
    means = {name: total[0] / draws for name, total in sums.items()}
    errors = {name: np.sqrt((sums[name][1] / draws - means[name] ** 2) / draws) for name in sums}
    return means, errors


def check(found, expected, k=FOUR):
    means, errors = expected
    for name, value in (
        ("second", found.second),
        ("pulled", found.pulled),
        ("scale", found.by_scale),
        ("shift", found.by_shift),
    ):
        slack = k * errors[name] + 1e-9 * np.abs(means[name]).max()
        worst = np.max(np.abs(value - means[name]) / slack)
        assert worst < 1, f"{name}: {worst * k:.2f} standard errors"


def inputs_of(name):
    """Rows of both batches, and the size of the first."""
    generator = np.random.default_rng(7)
    if name == "unequal sizes":
        return generator.standard_normal((11, 14)), 4
    if name == "shared samples":
        x = generator.standard_normal((12, 9))
        x[6:9] = x[:3]
        return x, 6
    if name == "duplicates within a batch":
        x = generator.standard_normal((12, 9))
        x[1] = x[0]
        x[8] = x[7] = x[0]
        return x, 6
    if name == "rank deficient":
        return generator.standard_normal((14, 5)), 6
    if name == "ill-conditioned":
        return generator.standard_normal((13, 13)) * 10.0 ** -np.arange(0, 3.25, 0.25), 6
    raise KeyError(name)


def kernels_of(name):
    x, first = inputs_of(name)
    nngp = 1.7 * x @ x.T / x.shape[1] + 0.2
    ntk = 3 * nngp[:first, first:] ** 2 + np.random.default_rng(8).standard_normal((first, len(x) - first))
    return nngp, ntk, first


def sign_slope(c1, c2):
    return (lambda x: c1 * x + c2 * np.abs(x)), (lambda x: c1 + c2 * np.sign(x))


@pytest.mark.parametrize("eps", [0.0, 0.3])
@pytest.mark.parametrize(
    "name",
    ["unequal sizes", "shared samples", "duplicates within a batch", "rank deficient", "ill-conditioned"],
)
def test_exact_moments_equal_draws(name, eps):
    nngp, ntk, first = kernels_of(name)
    norm = BatchNormalisation(1.3, 0.0, eps)
    found = cross_moments(*blocks(nngp, first), ntk, norm, 0.5, 0.5)
    assert found.error <= 1e-6
    assert found.status == ""
    check(found, drawn(nngp, ntk, first, norm, *sign_slope(0.5, 0.5), draws=60_000))


@pytest.mark.parametrize(("c1", "c2"), [(1.0, 0.0), (0.0, 1.0), (0.6, 0.4)])
def test_every_homogeneous_activation_equals_draws(c1, c2):
    nngp, ntk, first = kernels_of("shared samples")
    norm = BatchNormalisation(-0.8, 0.0, 1e-3)
    found = cross_moments(*blocks(nngp, first), ntk, norm, c1, c2)
    check(found, drawn(nngp, ntk, first, norm, *sign_slope(c1, c2), draws=60_000, seed=1))


@pytest.mark.parametrize("features", [3, 4, 20])
@pytest.mark.parametrize("eps", [0.0, 1e-2])
def test_one_batch_against_itself_has_the_kernel_of_one_batch(features, eps):
    x = np.random.default_rng(3).standard_normal((7, features))
    nngp, norm = x @ x.T, BatchNormalisation(1.3, 0.0, eps)
    found = cross_moments(nngp, nngp, nngp, nngp**2, norm, 0.7, 0.3, tolerance=1e-8)
    own = homogeneous_moments(nngp, nngp**2, norm, 0.7, 0.3, tolerance=1e-10)
    for name in ("second", "pulled", "by_scale", "by_shift"):
        expected = getattr(own, name)
        np.testing.assert_allclose(getattr(found, name), expected, atol=3e-8 * np.abs(expected).max())


def test_two_batches_that_merely_share_all_covariances_but_their_own_differ_from_one_batch():
    x = np.random.default_rng(3).standard_normal((7, 20))
    nngp, norm = x @ x.T, BatchNormalisation()
    apart = cross_moments(nngp, 0.9 * nngp, nngp, nngp, norm, 0.5, 0.5)
    own = homogeneous_moments(nngp, nngp, norm, 0.5, 0.5)
    assert np.abs(apart.second - own.second).max() > 0.02 * own.second.max()


def test_independent_batches_have_the_product_of_their_means():
    x = np.random.default_rng(3).standard_normal((5, 20))
    nngp, norm = x @ x.T, BatchNormalisation(1.3, 0.0, 0.1)
    found = cross_moments(nngp, 0 * nngp, nngp, 0 * nngp, norm, 0.5, 0.5)
    mean = homogeneous_moments(nngp, None, norm, 0.5, 0.5).mean
    np.testing.assert_allclose(found.second, np.outer(mean, mean), rtol=1e-7)
    assert np.all(found.pulled == 0)


@pytest.mark.parametrize("name", ["shared samples", "rank deficient", "ill-conditioned"])
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
def test_the_error_estimate_holds(name, tolerance):
    nngp, ntk, first = kernels_of(name)
    norm = BatchNormalisation(1.0, 0.0, 0.0)
    found, finer = (
        cross_moments(*blocks(nngp, first), ntk, norm, 0.5, 0.5, each) for each in (tolerance, 1e-10)
    )
    true = max(
        np.abs(getattr(found, part) - getattr(finer, part)).max() / np.abs(getattr(finer, part)).max()
        for part in ("second", "pulled")
    )
    assert true <= found.error <= tolerance


def test_swapping_the_batches_transposes_and_permuting_samples_permutes():
    nngp, ntk, first = kernels_of("shared samples")
    norm = BatchNormalisation(1.3, 0.0, 1e-5)
    k11, k12, k22 = blocks(nngp, first)
    found = cross_moments(k11, k12, k22, ntk, norm, 0.5, 0.5)
    swapped = cross_moments(k22, k12.T, k11, ntk.T, norm, 0.5, 0.5)
    p, q = np.random.default_rng(0).permutation(6), np.random.default_rng(1).permutation(6)
    permuted = cross_moments(
        k11[np.ix_(p, p)], k12[np.ix_(p, q)], k22[np.ix_(q, q)], ntk[np.ix_(p, q)], norm, 0.5, 0.5
    )
    for part in ("second", "pulled", "by_scale", "by_shift"):
        value = getattr(found, part)
        atol = 1e-6 * np.abs(value).max()
        np.testing.assert_allclose(getattr(swapped, part), value.T, atol=atol)
        np.testing.assert_allclose(getattr(permuted, part), value[np.ix_(p, q)], atol=atol)


@pytest.mark.parametrize(
    ("features", "sizes", "diverges"),
    [(1, (5, 5), True), (2, (5, 5), True), (3, (5, 5), False), (8, (3, 3), False), (8, (2, 5), True)],
)
def test_infinite_gradients_are_said(features, sizes, diverges):
    x = np.random.default_rng(0).standard_normal((sum(sizes), features))
    nngp = x @ x.T
    found = cross_moments(
        *blocks(nngp, sizes[0]), nngp[: sizes[0], sizes[0] :], BatchNormalisation(eps=0.0), 0.5, 0.5
    )
    assert found.status.startswith("diverges: ") == diverges
    assert np.all(np.isfinite(found.second))
    assert np.all(np.isfinite(found.pulled)) != diverges


def test_a_batch_without_variance_answers_at_an_eps():
    x = np.random.default_rng(0).standard_normal((6, 8))
    x[:3] = x[0]
    nngp = x @ x.T
    found = cross_moments(*blocks(nngp, 3), nngp[:3, 3:], BatchNormalisation(eps=1e-3), 0.5, 0.5)
    assert np.abs(found.second).max() < 1e-12
    both = cross_moments(
        nngp[:3, :3], nngp[:3, :3], nngp[:3, :3], None, BatchNormalisation(eps=1e-3), 0.5, 0.5
    )
    assert np.abs(both.second).max() < 1e-12
    assert both.pulled is None


def test_what_cannot_be_normalised_is_refused():
    x = np.random.default_rng(0).standard_normal((6, 8))
    nngp, norm = x @ x.T, BatchNormalisation(eps=0.0)
    with pytest.raises(
        InvalidInput, match=r"expected beta = 0 for the exact kernel, got 0\.5; use concentrated"
    ):
        cross_moments(*blocks(nngp, 3), None, BatchNormalisation(beta=0.5), 0.5, 0.5)
    with pytest.raises(
        InvalidInput, match=r"expected kernels of shape \(3, 3\) and \(3, 3\) beside one of shape"
    ):
        cross_moments(nngp[:2, :2], nngp[:3, 3:], nngp[3:, 3:], None, norm, 0.5, 0.5)
    with pytest.raises(InvalidInput, match="got a batch of constant features with eps = 0"):
        cross_moments(0 * nngp[:3, :3], 0 * nngp[:3, 3:], nngp[3:, 3:], None, norm, 0.5, 0.5)
    with pytest.raises(
        InvalidInput, match="expected blocks of one joint covariance of two batches, got an eigenvalue"
    ):
        cross_moments(nngp[:3, :3], 9 * nngp[:3, 3:], nngp[3:, 3:], None, norm, 0.5, 0.5)
