"""The Fuss–Catalan law against quadrature, the Marchenko–Pastur law, moments in closed form and simulated products."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy import integrate

import normfield as nf


def by_angle(law: nf.FussCatalan, function) -> float:
    """∫ function(x) ρ(x) dx over the angle, by the formulas as they are printed and a numerical derivative."""
    m = law.factors

    def x(phi: float) -> float:
        return math.sin((m + 1) * phi) ** (m + 1) / (math.sin(phi) * math.sin(m * phi) ** m)

    def rho(phi: float) -> float:
        return math.sin(phi) ** 2 * math.sin(m * phi) ** (m - 1) / (math.pi * math.sin((m + 1) * phi) ** m)

    def term(phi: float) -> float:
        h = 1e-6 * min(phi, math.pi / (m + 1) - phi)
        return -function(x(phi)) * rho(phi) * (x(phi + h) - x(phi - h)) / (2 * h)

    return integrate.quad(term, 1e-9, math.pi / (m + 1) - 1e-9, limit=400)[0]


@pytest.mark.parametrize("factors", [1, 2, 3, 10, 25])
def test_the_moments_are_those_of_the_density(factors):
    law = nf.fuss_catalan(factors)
    assert by_angle(law, lambda x: 1.0) == pytest.approx(1, rel=1e-5)
    assert law.moments[0] == 1
    for order, moment in enumerate(law.moments, start=1):
        assert by_angle(law, lambda x, k=order: x**k) == pytest.approx(moment, rel=1e-5)


def test_one_factor_is_the_marchenko_pastur_law():
    law, x = nf.fuss_catalan(1), np.array([1e-12, 1e-3, 0.5, 1, 2, 3.9, 4 - 1e-3])
    assert law.density(x) == pytest.approx(np.sqrt((4 - x) / x) / (2 * np.pi), rel=1e-9)
    expected = (np.sqrt(x * (4 - x)) + 4 * np.arcsin(np.sqrt(x) / 2)) / (2 * np.pi)
    assert law.cdf(x) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("factors", [2, 5, 20])
def test_the_distribution_function_is_the_densitys_integral(factors):
    law = nf.fuss_catalan(factors)
    for low, high in ((1e-6, 1e-3), (1e-3, 0.1), (0.1, 1.0), (1.0, 0.99 * law.upper_edge)):
        by_log = integrate.quad(
            lambda t: math.exp(t) * float(law.density(math.exp(t))), math.log(low), math.log(high)
        )[0]
        assert float(law.cdf(high) - law.cdf(low)) == pytest.approx(by_log, rel=1e-6)
    assert law.cdf([0.0, -1.0, law.upper_edge, 1e9]).tolist() == [0, 0, 1, 1]
    assert law.density([-1.0, law.upper_edge, 1e9]).tolist() == [0, 0, 0]
    assert float(law.density(0.0)) == math.inf


def test_far_ends_keep_their_precision():
    """Near 0 the law is a power, P(X ≤ x) ∝ x^{1/(M+1)}; near the edge 1 − P vanishes like (edge − x)^{3/2}."""
    law = nf.fuss_catalan(4)
    assert float(law.cdf(1e-100) / law.cdf(1e-105)) == pytest.approx(10, rel=1e-9)
    edge = law.upper_edge
    near, nearer = (1 - float(law.cdf(edge * (1 - d))) for d in (1e-4, 1e-6))
    assert near / nearer == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize("factors", [1, 2, 4])
def test_simulated_products_follow_the_law(factors):
    """Twelve products of width 300: the largest distance of the distribution functions is of order 1/n (seed 0)."""
    generator, n = np.random.default_rng(0), 300
    values = []
    for _ in range(12):
        product = np.eye(n)
        for _ in range(factors):
            product = generator.normal(size=(n, n)) / math.sqrt(n) @ product
        values.append(np.linalg.svd(product, compute_uv=False) ** 2)
    found, law = np.sort(np.concatenate(values)), nf.fuss_catalan(factors)
    rank = (np.arange(len(found)) + 0.5) / len(found)
    assert np.abs(law.cdf(found) - rank).max() < 0.01
    assert np.abs(nf.fuss_catalan(factors + 1).cdf(found) - rank).max() > 0.05
    assert found[-1] == pytest.approx(law.upper_edge, rel=0.1)
    assert found.mean() == pytest.approx(law.moment(1), rel=0.02)


def test_it_prints_converts_and_plots():
    law = nf.fuss_catalan(3)
    assert law.upper_edge == pytest.approx(4**4 / 3**3)
    assert "from 0 to 9.481, mean 1, mean square 4" in str(law)
    assert json.loads(law.to_json()) == {
        "factors": 3,
        "upper_edge": law.upper_edge,
        "moments": [1, 4, 22, 140],
    }
    frame = law.to_frame()
    assert list(frame.columns) == ["x", "density", "cdf"]
    assert frame["cdf"].is_monotonic_increasing
    assert list(law.plot().data[0].y) == pytest.approx(list(frame["density"]))


@pytest.mark.parametrize("factors", [0, -1, 1.5, True, "two"])
def test_other_numbers_of_factors_are_refused(factors):
    with pytest.raises(nf.InvalidInput, match="expected factors as a whole number of at least 1, got"):
        nf.fuss_catalan(factors)


def test_bad_values_are_refused():
    law = nf.fuss_catalan(2)
    for bad in ("a", float("nan")):
        with pytest.raises(nf.InvalidInput, match="expected x "):
            law.density(bad)
    with pytest.raises(nf.InvalidInput, match="expected order as a whole number of at least 0, got -1"):
        law.moment(-1)


def test_a_moment_above_the_range_of_float64_is_infinite():
    assert nf.fuss_catalan(3).moment(400) == math.inf
