from __future__ import annotations

import math
import random

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.report import format_number

CASES = [
    (None, "–"),
    (math.nan, "–"),
    (math.inf, "∞"),
    (-math.inf, "-∞"),
    (0, "0"),
    (0.0, "0"),
    (-0.0, "0"),
    (0.0312345, "0.0312"),
    (0.030012, "0.0300"),
    (0.03, "0.03"),
    (0.9, "0.9"),
    (1.0, "1"),
    (-2.5, "-2.5"),
    (-0.123456, "-0.123"),
    (121.66666, "122"),
    (999.9, "1000"),
    (1234.5, "1230"),
    (12345.6, "12,300"),
    (-12345.6, "-12,300"),
    (99949.0, "99,900"),
    (99951.0, "1.00e5"),
    (1e5, "1e5"),
    (1.26e17, "1.26e17"),
    (1e-3, "0.001"),
    (0.00099996, "0.00100"),
    (0.000999, "9.99e-4"),
    (3.2e-4, "3.2e-4"),
    (-1.5e-300, "-1.5e-300"),
    (784, "784"),
    (1797, "1797"),
    (671754, "671,754"),
    (-671754, "-671,754"),
    (np.float32(0.5), "0.5"),
    (np.int64(12), "12"),
]


@pytest.mark.parametrize(("x", "text"), CASES, ids=[repr(x) for x, _ in CASES])
def test_a_number_is_written_as_a_reader_would(x, text):
    assert format_number(x) == text


@pytest.mark.parametrize(("digits", "text"), [(1, "0.03"), (2, "0.031"), (4, "0.03123"), (8, "0.031234568")])
def test_digits_are_significant_digits(digits, text):
    assert format_number(0.0312345678, digits) == text


def test_what_is_written_is_within_half_a_unit_of_the_third_digit():
    draw = random.Random(3)
    for _ in range(2000):
        x = draw.choice([-1, 1]) * 10 ** draw.uniform(-12, 12)
        written = float(format_number(x).replace(",", ""))
        assert abs(written - x) <= 0.5000001 * 10.0 ** (math.floor(math.log10(abs(x))) - 2)


def test_no_exponent_between_a_thousandth_and_a_hundred_thousand():
    draw = random.Random(4)
    for _ in range(2000):
        assert "e" not in format_number(10 ** draw.uniform(-3, 4.99))


@pytest.mark.parametrize("digits", [0, -1, 2.5, True, "3"])
def test_digits_that_are_none_are_refused(digits):
    with pytest.raises(InvalidInput, match=r"expected digits as an integer of at least 1, got .*; give 3"):
        format_number(1.0, digits)
