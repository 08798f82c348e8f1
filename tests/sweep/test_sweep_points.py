"""Points of a sweep: all combinations, once each, and names that no process or day changes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from normfield.errors import InvalidInput
from normfield.sweep import Grid
from normfield.sweep.points import listed, point_key

cells = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.booleans(),
)


def test_a_grid_counts_like_nested_loops_with_the_last_axis_fastest():
    grid = Grid({"a": [1, 2], "b": ["x", "y", "z"], "c": [True, False]})
    expected = [
        {"a": a, "b": b, "c": c} for a, b, c in itertools.product([1, 2], ["x", "y", "z"], [True, False])
    ]
    assert list(grid) == expected
    assert len(grid) == 12


def test_a_grid_of_ten_million_points_is_not_held():
    grid = Grid({"a": range(1000), "b": range(1000), "c": range(10)})
    assert len(grid) == 10**7
    assert list(itertools.islice(grid, 2)) == [{"a": 0, "b": 0, "c": 0}, {"a": 0, "b": 0, "c": 1}]


def test_numpy_values_become_plain_ones():
    grid = Grid({"gamma": np.geomspace(0.1, 1.0, 3), "seed": np.arange(2)})
    assert {type(value) for point in grid for value in point.values()} == {float, int}


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({}, "expected axes by name"),
        ({"gamma": []}, "at least one value on the axis gamma, got none"),
        ({"gamma": [1, 2, 1.0]}, "every value once on the axis gamma, got 1.0 twice"),
        ({"gamma": [float("nan")]}, "finite numbers or truth values on the axis gamma, got nan"),
        ({"gamma": [object]}, "on the axis gamma"),
        ({"gamma": "0.1"}, "a list of values on the axis gamma, got '0.1'"),
        ({3: [1]}, "a name for every axis, got 3"),
    ],
)
def test_axes_that_make_no_grid(axes, words):
    with pytest.raises(InvalidInput) as refused:
        Grid(axes)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([], "at least one point, got none"),
        ([{"a": 1}, {"b": 1}], "every point with the axes a, got point 1 with b"),
        ([{"a": 1}, {"a": 2}, {"a": 1.0}], "every point once, got {'a': 1.0} at places 0 and 2"),
    ],
)
def test_points_that_make_no_list(points, words):
    with pytest.raises(InvalidInput) as refused:
        listed(points)
    assert words in str(refused.value)


@given(st.dictionaries(st.text(min_size=1, max_size=4), cells, min_size=1, max_size=4))
def test_the_order_of_axes_does_not_change_a_key(point):
    assert point_key(point) == point_key(dict(reversed(point.items())))


@given(cells, cells)
@example(0.0, -0.0)
@example(1, True)
def test_keys_part_what_differs(one, other):
    same = one == other and isinstance(one, bool) == isinstance(other, bool)
    assert (point_key({"a": one}) == point_key({"a": other})) is same


def test_a_key_depends_on_what_is_run_there():
    assert point_key({"a": 1}, {"loss": "squared"}) != point_key({"a": 1}, {"loss": "cross_entropy"})


def test_another_process_gives_the_same_key():
    code = "from normfield.sweep.points import point_key; print(point_key({'gamma': 0.1, 'seed': 3}))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == point_key({"gamma": 0.1, "seed": 3})
