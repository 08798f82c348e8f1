"""A line through logarithms, against NumPy's own fit."""

import math

import numpy as np
import pytest

from normfield.growth import growth_through


def test_the_factor_and_its_error_are_those_of_a_least_squares_line():
    values = [1.0, 1.6, 1.9, 3.3, 4.1]
    (slope, _), covariance = np.polyfit(range(5), np.log(values), 1, cov=True)
    found = growth_through(values)
    assert found.factor == pytest.approx(math.exp(slope))
    assert found.error == pytest.approx(math.sqrt(covariance[0, 0]))
    assert found.layers == 5
    assert str(found) == "1.43 ± 0.04 per layer, over 5 layers"


def test_two_values_have_a_factor_without_an_error():
    found = growth_through([2.0, 3.0])
    assert found.factor == pytest.approx(1.5)
    assert found.error is None


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0, 1.0], [1.0, math.inf], [1.0, math.nan]])
def test_too_few_or_impossible_values_have_none(values):
    assert growth_through(values) is None
