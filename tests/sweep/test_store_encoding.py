"""Cells and curves through their stored form, to the last bit."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normfield.sweep.store.encoding import cells_of, kind, packed, text_of, unpacked

floats = st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)
cells = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | floats | st.text()


def _exact(value):
    """Type and bits; any NaN is the same one."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    return type(value), value


@given(st.lists(cells))
def test_cells_come_back_exactly(given_cells):
    text = text_of(given_cells)
    text.encode("ascii")  # whatever strings hold, lone surrogates too
    assert [_exact(value) for value in cells_of(text)] == [_exact(value) for value in given_cells]


@given(st.lists(st.none() | floats))
def test_curves_come_back_exactly_and_missing_is_not_nan(curve):
    blob, missing = packed("train", curve)
    assert len(blob) == 8 * len(curve)
    assert [_exact(value) for value in unpacked(blob, missing)] == [_exact(value) for value in curve]


def test_a_curve_is_little_endian_float64_for_other_readers():
    assert packed("train", [1.0, None]) == (struct.pack("<dd", 1.0, math.nan), "[1]")


@pytest.mark.parametrize(
    ("value", "letter"),
    [
        (True, "b"),
        (1, "i"),
        (2**53, "i"),
        (2**53 + 1, "l"),
        (-(2**63), "l"),
        (2**63, "h"),
        (1.0, "f"),
        ("1", "s"),
        (None, "n"),
    ],
)
def test_kinds_part_what_a_typed_column_must_part(value, letter):
    assert kind(value) == letter
