"""Block Lanczos by itself against numpy's dense eigenvalues."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from torch import Tensor

from normfield.measure.eigenvalues.krylov import KrylovSpace
from normfield.measure.eigenvalues.lanczos import Eigenpairs, Goal, largest_eigenpairs

FLAT = np.linspace(0.0, 1.0, 200)


def rotation(size: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def search(
    eigenvalues: np.ndarray,
    wanted: int = 1,
    tolerance: float = 1e-3,
    start: Callable[[np.ndarray], np.ndarray] | None = None,
    max_products: int = 1000,
    dtype: torch.dtype = torch.float64,
) -> tuple[Eigenpairs, np.ndarray]:
    """The search on a matrix of given eigenvalues, and the matrix; start maps its eigenvectors (columns) to rows."""
    basis = rotation(len(eigenvalues))
    matrix = (basis * eigenvalues) @ basis.T
    held = torch.from_numpy(matrix).to(dtype)
    generator = torch.Generator().manual_seed(1)

    def draw() -> Tensor:
        return torch.randn(1, len(eigenvalues), generator=generator, dtype=torch.float64).to(dtype)

    def first() -> Tensor:
        return draw() if start is None else torch.from_numpy(start(basis)).to(dtype)

    goal = Goal(wanted, tolerance, max_products, 4 * torch.finfo(dtype).eps)
    return largest_eigenpairs(lambda q: held @ q, len(eigenvalues), first, goal, (draw,)), matrix


SPECTRA = {
    "flat": FLAT,
    "outlier": np.r_[FLAT, 5.0],
    "cluster": np.r_[FLAT, 2.0, 2.0, 2.0],
    "geometric": 10.0 ** np.linspace(-8, 1, 150),
    "low rank": np.r_[np.zeros(100), 1.0, 2.0, 3.0],
    "negative": -FLAT - 1.0,
    "indefinite": np.r_[-10.0, -FLAT, FLAT],
    "zero": np.zeros(30),
    "small": np.array([1.0, 2.0, 4.0]),
}


@pytest.mark.parametrize("wanted", [1, 3])
@pytest.mark.parametrize("name", SPECTRA)
def test_eigenvalues_to_a_tight_tolerance(name: str, wanted: int) -> None:
    spectrum = SPECTRA[name]
    result, matrix = search(spectrum, wanted, tolerance=1e-10)
    expected = np.linalg.eigh(matrix)[0][::-1][:wanted]
    assert result.status == "converged"
    np.testing.assert_allclose(result.values, expected, rtol=1e-9, atol=1e-12)
    vectors = result.vectors.numpy()
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(wanted), atol=1e-10)
    np.testing.assert_allclose(matrix @ vectors[0], result.values[0] * vectors[0], atol=1e-4)


@pytest.mark.parametrize("wanted", [1, 3])
def test_the_residual_bounds_the_error_within_a_cluster(wanted: int) -> None:
    """One vector cannot tell apart eigenvalues closer than its residual; asking for all of them can."""
    result, _ = search(np.r_[FLAT, 2.0, 2.0 - 1e-6, 2.0 - 2e-6], wanted, tolerance=1e-10)
    error = abs(result.values[0] - 2.0) / 2.0
    assert error <= (1e-10 if wanted == 3 else result.residual)
    assert result.residual < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "name", ["flat", "outlier", "cluster", "geometric", "low rank", "negative", "indefinite"]
)
def test_the_estimate_covers_the_error(name: str, dtype: torch.dtype) -> None:
    result, _ = search(SPECTRA[name], tolerance=1e-3, dtype=dtype)
    top = SPECTRA[name].max()
    assert abs(result.values[0] - top) <= max(result.error, 5e-6) * abs(top)
    assert result.error <= 1e-3


def test_a_block_of_dependent_and_zero_rows() -> None:
    def rows(basis: np.ndarray) -> np.ndarray:
        one = basis.sum(1)
        return np.stack([one, 2 * one, np.zeros_like(one), one + 1e-14 * basis[:, 0]])

    result, _ = search(SPECTRA["cluster"], 3, 1e-10, start=rows)
    np.testing.assert_allclose(result.values, 2.0, rtol=1e-9)


def test_a_start_of_nothing() -> None:
    result, _ = search(SPECTRA["outlier"], start=lambda basis: np.zeros((1, len(basis))))
    assert result.values[0] == pytest.approx(5.0, rel=1e-3)


def test_more_rows_than_dimensions() -> None:
    result, _ = search(np.array([1.0, 3.0]), 2, start=lambda basis: np.vstack([basis, basis, basis]))
    np.testing.assert_allclose(result.values, [3.0, 1.0])
    assert result.products == 2
    assert "whole space" in result.check.note


@pytest.mark.parametrize("missed", [1.3, 2.0, 100.0])
def test_the_check_finds_what_the_start_cannot_see(missed: float) -> None:
    spectrum = np.r_[FLAT, missed]
    blind = lambda basis: basis[:, :-1].sum(1)[None]  # noqa: E731 - orthogonal to the top eigenvector
    result, _ = search(spectrum, tolerance=1e-4, start=blind)
    assert result.values[0] == pytest.approx(missed, rel=1e-4)


def test_the_check_finds_a_larger_one_beside_an_invariant_start() -> None:
    """The start is an eigenvector: Lanczos alone ends after one product with the wrong eigenvalue."""
    spectrum = np.r_[0.1 * FLAT, 1.0, 1.02]
    result, _ = search(spectrum, tolerance=1e-6, start=lambda basis: basis[:, -2][None])
    assert result.values[0] == pytest.approx(1.02, rel=1e-6)
    assert result.check.restarts == 1
    assert "found something larger" in str(result.check)


def test_the_check_says_what_it_saw() -> None:
    result, _ = search(SPECTRA["outlier"], start=lambda basis: basis[:, -1][None])
    assert result.values[0] == pytest.approx(5.0)
    assert 0 < result.check.seen <= 1.0
    assert result.check.products >= 2
    assert str(result.check).endswith("beside the largest, 5: nothing larger seen")


@pytest.mark.parametrize("budget", range(1, 12))
def test_never_silent(budget: int) -> None:
    result, _ = search(np.r_[FLAT, 1.001], tolerance=1e-8, max_products=budget)
    assert result.products == budget
    assert result.status.startswith("not converged")


def test_a_budget_without_a_check_is_no_success() -> None:
    result, _ = search(SPECTRA["outlier"], start=lambda basis: basis[:, -1][None], max_products=2)
    assert result.values[0] == pytest.approx(5.0)
    assert result.status.startswith("not checked")
    assert np.isnan(result.check.seen)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_products_that_are_not_finite(bad: float) -> None:
    def ones() -> Tensor:
        return torch.ones(1, 5)

    result = largest_eigenpairs(lambda q: q * bad, 5, ones, Goal(1, 1e-3, 10, 1e-6), (ones,))
    assert result.status.startswith("not finite")
    assert np.isnan(result.error)


def test_compression_keeps_the_relation() -> None:
    matrix = np.diag(np.r_[FLAT, 2.0, 3.0])
    held = torch.from_numpy(matrix)
    space = KrylovSpace(lambda q: held @ q)
    space.expand(torch.from_numpy(np.random.default_rng(0).normal(size=(2, len(matrix)))))
    for _ in range(6):
        space.expand_outwards(most=2)
    before = space.ritz()
    space.compress(4)
    after = space.ritz()
    assert space.dimension == 4
    np.testing.assert_allclose(after.values, before.values[:4], rtol=1e-12)
    np.testing.assert_allclose(after.residuals, before.residuals[:4], rtol=1e-6, atol=1e-12)
    rows = space.vectors(after.coefficients).numpy()
    missing = np.linalg.norm(rows @ matrix - after.values[:, None] * rows, axis=1)
    np.testing.assert_allclose(missing, after.residuals, rtol=1e-6, atol=1e-12)


def test_compressed_searches_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normfield.measure.eigenvalues.lanczos.BASIS_ROWS", 1)
    result, _ = search(FLAT, 2, tolerance=1e-9)
    np.testing.assert_allclose(result.values, FLAT[-2:][::-1], rtol=1e-8)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    eigenvalues=st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=1, max_size=25),
    block=st.integers(1, 4),
    wanted=st.integers(1, 4),
)
def test_any_small_spectrum(eigenvalues: list[float], block: int, wanted: int) -> None:
    spectrum = np.array(eigenvalues)
    wanted = min(wanted, len(spectrum))
    start = np.random.default_rng(len(spectrum)).normal(size=(block, len(spectrum)))
    result, _ = search(spectrum, wanted, tolerance=1e-9, start=lambda _: start)
    assert result.status == "converged"
    np.testing.assert_allclose(result.values, np.sort(spectrum)[::-1][:wanted], rtol=1e-8, atol=1e-11)


def test_only_what_is_missing_costs_products() -> None:
    """Nine eigenvalues far from the rest are there at once; the tenth, at the edge of a bulk, is sought alone."""
    rng = np.random.default_rng(4)
    vectors = np.linalg.qr(rng.standard_normal((400, 400)))[0]
    values = np.concatenate([np.linspace(20, 10, 9), np.linspace(1, 0, 391)])
    matrix = torch.as_tensor((vectors * values) @ vectors.T)
    rows = torch.as_tensor(vectors[:, :10].T + 0.01 * rng.standard_normal((10, 400)))
    noise = torch.Generator().manual_seed(0)
    found = largest_eigenpairs(
        lambda q: matrix @ q,
        400,
        lambda: rows,
        Goal(10, 1e-3, 500, 1e-15),
        [lambda: torch.randn(1, 400, generator=noise, dtype=torch.float64)],
    )
    assert found.status == "converged"
    np.testing.assert_allclose(found.values, values[:10], rtol=1e-3)
    assert found.products - found.check.products <= 35  # 54 where every step takes all ten ways out


def test_separate_blocks_give_all_their_large_eigenvalues() -> None:
    """Every start row sees one block only, and a block may hold several wanted values or none."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        blocks = [rng.standard_normal((12, 12)) * rng.uniform(0.5, 2) for _ in range(4)]
        matrix = torch.as_tensor(block_diag(*(block @ block.T for block in blocks)))
        rows = torch.as_tensor(block_diag(*rng.standard_normal((4, 1, 12))))
        noise = torch.Generator().manual_seed(seed)
        found = largest_eigenpairs(
            lambda q, matrix=matrix: matrix @ q,
            48,
            lambda rows=rows: rows,
            Goal(4, 1e-3, 500, 1e-15),
            [lambda noise=noise: torch.randn(1, 48, generator=noise, dtype=torch.float64)],
        )
        np.testing.assert_allclose(found.values, np.linalg.eigvalsh(matrix)[::-1][:4], rtol=1e-3)
