"""Points normalised by parts, two batches or a batch and points that borrow from it: against draws, one by one."""

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.network import ACTIVATIONS
from normfield.theory.kernels.layer.concentrated import concentrated_moments
from normfield.theory.kernels.layer.homogeneous import homogeneous_moments
from normfield.theory.kernels.layer.moments import BatchNormalisation
from normfield.theory.kernels.two_batches.borrowed import borrowed_moments
from normfield.theory.kernels.two_batches.cross_batch import cross_moments
from normfield.theory.kernels.two_batches.parts import Part, apart, borrowing, centred_by
from normfield.theory.kernels.two_batches.parts_concentrated import cross_concentrated, parts_concentrated
from normfield.theory.kernels.two_batches.parts_sampled import cross_sampled, parts_sampled

NAMES = ("second", "pulled", "by_scale", "by_shift", "mean")
SLOPES = {
    "relu": (lambda x: np.maximum(x, 0), lambda x: 1.0 * (x > 0)),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "leaky": (lambda x: np.where(x > 0, x, 0.2 * x), lambda x: np.where(x > 0, 1.0, 0.2)),
}


def jacobian(z, statistics_of, norm, phi, normaliser=None):
    """h, its derivative by z, u and φ′ for each draw; ``statistics_of`` lists each point's source."""
    draws, points = z.shape
    h, u = np.zeros((draws, points)), np.zeros((draws, points))
    slope, derivative = np.zeros((draws, points)), np.zeros((draws, points, points))
    for i, source in enumerate(statistics_of):
        batch = z[:, source]
        centred = batch - batch.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1) + norm.eps if normaliser is None else normaliser[i]
        deviation = z[:, i] - batch.mean(axis=1)
        u[:, i] = deviation / np.sqrt(variance)
        slope[:, i] = SLOPES[phi][1](norm.gamma * u[:, i] + norm.beta)
        h[:, i] = SLOPES[phi][0](norm.gamma * u[:, i] + norm.beta)
        # d deviation and d variance by every z
        by_z = np.zeros((draws, points))
        by_z[:, i] += 1
        by_z[:, source] -= 1 / len(source)
        variance_by_z = np.zeros((draws, points))
        variance_by_z[:, source] = 2 * centred / len(source)
        inner = by_z / np.sqrt(variance)[:, None] if np.ndim(variance) else by_z / np.sqrt(variance)
        inner = inner - (deviation / (2 * variance**1.5))[:, None] * variance_by_z
        derivative[:, i] = norm.gamma * slope[:, i, None] * inner
    return h, derivative, u, slope


def drawn(nngp, ntk, statistics_of, norm, phi, draws, normaliser=None, chunk=5000, seed=0):
    generator = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(nngp)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    sums = {}
    for _ in range(draws // chunk):
        z = generator.standard_normal((chunk, len(nngp))) @ root.T
        h, j, u, slope = jacobian(z, statistics_of, norm, phi, normaliser)
        found = {
            "second": h[:, :, None] * h[:, None, :],
            "pulled": j @ ntk @ j.transpose(0, 2, 1),
            "by_scale": (slope * u)[:, :, None] * (slope * u)[:, None, :],
            "by_shift": slope[:, :, None] * slope[:, None, :],
            "mean": h,
        }
        for name, value in found.items():
            total = sums.setdefault(name, [0.0, 0.0])
            total[0] = total[0] + value.sum(axis=0)
            total[1] = total[1] + (value**2).sum(axis=0)
    means = {name: total[0] / draws for name, total in sums.items()}
    errors = {name: np.sqrt(np.abs(sums[name][1] / draws - means[name] ** 2) / draws) for name in sums}
    return means, errors


def check(found, expected, k=4.0):
    means, errors = expected
    for name in NAMES:
        slack = k * errors[name] + 1e-7 * np.abs(means[name]).max()
        worst = np.max(np.abs(getattr(found, name) - means[name]) / slack)
        assert worst < 1, f"{name}: {worst * k:.2f} standard errors"


def sources(parts, points):
    """For each point the indices of the samples whose statistics it takes."""
    found = {}
    for part in parts:
        for i in range(points)[part.points]:
            found[i] = np.arange(points)[part.source]
    return [found[i] for i in range(points)]


BATCH, POINTS = 6, 9


def kernels(name="well"):
    generator = np.random.default_rng(5)
    x = generator.standard_normal((POINTS, {"few": 4}.get(name, 20)))
    if name == "shared":
        x[BATCH] = x[0]
        x[2] = x[1]
    if name == "ill":
        x = x * 10.0 ** -np.linspace(0, 3, 20)
    mixed = generator.standard_normal((POINTS, POINTS))
    nngp = x @ x.T / x.shape[1] + 0.3
    return nngp, mixed @ mixed.T / POINTS + 2 * nngp


def test_the_borrowed_source_is_taken_off_every_row_and_column():
    nngp, _ = kernels()
    taken = np.eye(POINTS)
    taken[:, :BATCH] -= 1 / BATCH
    np.testing.assert_allclose(centred_by(nngp, borrowing(BATCH, POINTS)), taken @ nngp @ taken.T, atol=1e-14)
    split = np.eye(POINTS)
    split[:BATCH, :BATCH] -= 1 / BATCH
    split[BATCH:, BATCH:] -= 1 / (POINTS - BATCH)
    np.testing.assert_allclose(centred_by(nngp, apart(BATCH, POINTS)), split @ nngp @ split.T, atol=1e-14)


@pytest.mark.parametrize(("name", "eps"), [("well", 0.2), ("shared", 0.05), ("few", 0.3), ("ill", 0.05)])
def test_borrowed_moments_equal_draws(name, eps):
    nngp, ntk = kernels(name)
    norm = BatchNormalisation(1.3, 0.0, eps)
    found = borrowed_moments(nngp, ntk, BATCH, norm, 0.6, 0.4)
    assert found.error <= 1e-6
    statistics = sources(borrowing(BATCH, POINTS), POINTS)
    check(found, drawn(nngp, ntk, statistics, norm, "leaky", 40_000))


def test_borrowed_moments_without_eps_equal_draws():
    x = np.random.default_rng(5).standard_normal(
        (15, 40)
    )  # 11 directions: draws of the gradient have a variance
    nngp = x @ x.T / 40
    norm = BatchNormalisation(0.7, 0.0, 0.0)
    found = borrowed_moments(nngp, nngp + 1, 12, norm, 0.5, 0.5)
    check(found, drawn(nngp, nngp + 1, sources(borrowing(12, 15), 15), norm, "relu", 20_000, chunk=2000))


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_the_batch_itself_has_the_kernel_of_one_batch(eps):
    nngp, ntk = kernels("shared") if eps else kernels()
    norm = BatchNormalisation(1.3, 0.0, eps)
    found = borrowed_moments(nngp, ntk, BATCH, norm, 0.6, 0.4, tolerance=1e-9)
    own = homogeneous_moments(nngp[:BATCH, :BATCH], ntk[:BATCH, :BATCH], norm, 0.6, 0.4, tolerance=1e-10)
    alone = borrowed_moments(nngp[:BATCH, :BATCH], ntk[:BATCH, :BATCH], BATCH, norm, 0.6, 0.4, tolerance=1e-9)
    for part in NAMES:
        inside = np.s_[:BATCH] if part == "mean" else np.s_[:BATCH, :BATCH]
        atol = 2e-8 * np.abs(getattr(own, part)).max()
        np.testing.assert_allclose(getattr(found, part)[inside], getattr(own, part), atol=atol)
        np.testing.assert_allclose(getattr(alone, part), getattr(own, part), atol=atol)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-7])
@pytest.mark.parametrize("name", ["well", "ill"])
def test_the_error_of_borrowed_moments_holds(name, tolerance):
    nngp, ntk = kernels(name)
    norm = BatchNormalisation(1.0, 0.0, 1e-5)
    found, finer = (borrowed_moments(nngp, ntk, BATCH, norm, 0.5, 0.5, each) for each in (tolerance, 1e-12))
    true = max(
        np.abs(getattr(found, part) - getattr(finer, part)).max() / np.abs(getattr(finer, part)).max()
        for part in ("second", "pulled")
    )
    assert true <= found.error <= 2 * tolerance


@pytest.mark.parametrize("phi", ["relu", "tanh"])
@pytest.mark.parametrize("layout", [apart, borrowing])
def test_sampled_parts_equal_draws_made_otherwise(phi, layout):
    nngp, ntk = kernels("shared")
    norm, parts = BatchNormalisation(1.3, 0.4, 0.1), layout(BATCH, POINTS)
    found = parts_sampled(nngp, ntk, parts, norm, ACTIVATIONS[phi], samples=40_000, seed=3)
    means, errors = drawn(nngp, ntk, sources(parts, POINTS), norm, phi, 20_000)
    for part in ("second", "pulled"):
        own = getattr(found, f"{part}_error")
        slack = 4 * np.hypot(own, errors[part]) + 1e-9
        assert np.all(np.abs(getattr(found, part) - means[part]) < slack)
        assert np.all(
            own < 2 * errors[part] + 1e-12
        )  # twice the draws: 0.7 of the error, itself known to 13 %
    assert np.linalg.eigvalsh(found.second)[0] > -1e-12
    assert np.linalg.eigvalsh(found.pulled)[0] > -1e-12 * np.trace(found.pulled)


@pytest.mark.parametrize(("phi", "beta"), [("tanh", 0.0), ("tanh", 0.5), ("relu", 0.0), ("relu", 0.5)])
@pytest.mark.parametrize("layout", [apart, borrowing])
def test_concentrated_parts_equal_draws_with_constant_normalisers(phi, beta, layout):
    nngp, ntk = kernels("shared")
    norm, parts = BatchNormalisation(1.3, beta, 0.1), layout(BATCH, POINTS)
    found = parts_concentrated(nngp, ntk, parts, norm, ACTIVATIONS[phi])
    statistics = sources(parts, POINTS)
    normaliser = []
    for source in statistics:
        own = nngp[np.ix_(source, source)]
        normaliser.append(np.trace(own) / len(source) - own.mean() + norm.eps)
    check(found, drawn(nngp, ntk, statistics, norm, phi, 40_000, normaliser=normaliser))


def test_one_part_is_the_concentrated_kernel_of_one_batch():
    nngp, ntk = kernels()
    norm, whole = BatchNormalisation(1.3, 0.3, 0.01), slice(0, POINTS)
    found = parts_concentrated(nngp, ntk, (Part(whole, whole),), norm, ACTIVATIONS["gelu"])
    own = concentrated_moments(nngp, ntk, norm, ACTIVATIONS["gelu"])
    for part in NAMES:
        np.testing.assert_allclose(getattr(found, part), getattr(own, part), rtol=1e-12, atol=1e-13)


def test_three_ways_between_two_batches_agree_where_the_normaliser_hardly_moves():
    x = np.random.default_rng(1).standard_normal((120, 2000))
    nngp = x @ x.T / 2000
    nngp[:60, 60:] += 0.4 * np.eye(60)
    nngp[60:, :60] += 0.4 * np.eye(60)
    norm, relu = BatchNormalisation(1.0, 0.0, 1e-5), ACTIVATIONS["relu"]
    blocks = (nngp[:60, :60], nngp[:60, 60:], nngp[60:, 60:], nngp[:60, 60:] + 1)
    exact = cross_moments(*blocks, norm, 0.5, 0.5)
    constant = cross_concentrated(*blocks, norm, relu)
    sampled = cross_sampled(*blocks, norm, relu, samples=4000, seed=0)
    for part in ("second", "pulled"):
        size = np.abs(getattr(exact, part)).max()
        assert np.abs(getattr(constant, part) - getattr(exact, part)).max() < 3 / 58 * size
        assert (
            np.abs(getattr(sampled, part) - getattr(exact, part)).max()
            < 6 * sampled.error * size + 0.05 * size
        )
    assert constant.pulled.shape == sampled.pulled.shape == (60, 60)
    assert cross_concentrated(*blocks[:3], None, norm, relu).pulled is None
    assert cross_sampled(*blocks[:3], None, norm, relu, samples=64).pulled is None


def test_bad_input_is_refused_in_one_line():
    x = np.random.default_rng(0).standard_normal((8, 3))
    nngp, relu, still = x @ x.T, ACTIVATIONS["relu"], BatchNormalisation(eps=0.0)
    with pytest.raises(
        InvalidInput, match=r"expected beta = 0 for the exact kernel, got 1\.0; use concentrated"
    ):
        borrowed_moments(nngp, nngp, 5, BatchNormalisation(beta=1.0), 0.5, 0.5)
    with pytest.raises(
        InvalidInput, match=r"more than 4 directions.*got eps = 0 and 3 directions; give eps > 0"
    ):
        borrowed_moments(nngp, nngp, 5, still, 0.5, 0.5)
    assert np.all(np.isfinite(borrowed_moments(nngp, None, 5, still, 0.5, 0.5).second))
    with pytest.raises(InvalidInput, match="expected at least 32 draws, got 10; the error falls as"):
        parts_sampled(nngp, nngp, apart(4, 8), still, relu, samples=10)
    for refuse in (parts_sampled, parts_concentrated):
        with pytest.raises(InvalidInput, match="got a batch of constant features with eps = 0"):
            refuse(np.ones((8, 8)), None, apart(4, 8), still, relu)
