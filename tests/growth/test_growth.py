"""A line through logarithms, against NumPy's own fit and walks with a known slope."""

import math

import numpy as np
import pytest

from normfield.growth import growth_through


def test_the_factor_is_that_of_a_least_squares_line():
    values = [1.0, 1.6, 1.9, 3.3, 4.1]
    slope, _ = np.polyfit(range(5), np.log(values), 1)
    found = growth_through(values)
    assert found.factor == pytest.approx(math.exp(slope))
    assert found.layers == 5
    assert str(found).startswith("1.43 ± ")
    assert growth_through([2.0**k for k in range(9)]).error == pytest.approx(0, abs=1e-12)


def drawn(seed: int, layers: int, walk: float, noise: float) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wandering = np.cumsum(walk * generator.normal(size=layers)) + noise * generator.normal(size=layers)
    return np.exp(0.1 * np.arange(layers) + wandering)


@pytest.mark.parametrize(("walk", "noise"), [(0.0, 0.1), (0.1, 0.0), (0.1, 0.1), (0.05, 0.1)])
@pytest.mark.parametrize("layers", [8, 12, 25])
def test_the_error_covers_walks_and_scatter_alike_over_200_repeats(layers, walk, noise):
    found = [growth_through(drawn(seed, layers, walk, noise)) for seed in range(200)]
    misses = np.array([(math.log(growth.factor) - 0.1) / growth.error for growth in found])
    slopes = np.array([math.log(growth.factor) for growth in found])
    assert abs(slopes.mean() - 0.1) < 3 * slopes.std(ddof=1) / math.sqrt(200)
    assert (np.abs(misses) < 2).mean() > 0.8


def test_a_long_walk_has_the_error_of_a_walk():
    """6/5 of its drift's variance over the layers, for a least-squares line; within 5 % over 200 repeats."""
    found = [growth_through(drawn(seed, 400, 0.1, 0.0)).error ** 2 for seed in range(200)]
    assert np.mean(found) == pytest.approx(1.2 * 0.1**2 / 400, rel=0.05)


def test_two_values_have_a_factor_without_an_error():
    found = growth_through([2.0, 3.0])
    assert found.factor == pytest.approx(1.5)
    assert found.error is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0, 1.0], [1.0, math.inf], [1.0, math.nan]])
def test_too_few_or_impossible_values_have_none(values):
    assert growth_through(values) is None
