"""Boundaries over an axis of every shape are found, whatever the order of telling, with few tries."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from normfield.errors import InvalidInput
from normfield.sweep.tracing import BoundaryTrace, Try

LOW, HIGH = -12.0, 6.0
RESOLUTION = 0.05


def traced(trace, is_beyond, shuffle=None):
    """Ask and tell to the end, each wave whole, or a part of it in any order; the number of tries."""
    tries = 0
    while wave := list(trace.ask()):
        if shuffle is not None:
            shuffle.shuffle(wave)
            wave = wave[: shuffle.randint(1, len(wave))]
        for each in wave:
            trace.tell(each, is_beyond(each.column, each.restart, each.x))
        tries += len(wave)
        assert tries < 10_000
    return tries


def estimates(trace):
    return {place: bracket.estimate for place, bracket in trace.brackets().items()}


def sloped(column, restart):
    return 0.3 - 0.13 * column


def stepped(column, restart):
    return -0.4 if column < 7 else -1.7


def noisy(column, restart):
    """Every restart has its own boundary, as initial weights make it: 0.03 decades around a slope."""
    return sloped(column, restart) + random.Random(100 * column + restart).gauss(0, 0.03)


@pytest.mark.parametrize("boundary", [sloped, stepped, noisy])
def test_a_line_is_found_with_a_sixth_of_the_full_grids_tries(boundary):
    columns, restarts = 20, 5
    trace = BoundaryTrace(columns, restarts=restarts, resolution=RESOLUTION)
    tries = traced(trace, lambda column, restart, x: x > boundary(column, restart))
    for (column, restart), bracket in trace.brackets().items():
        assert bracket.status == "bracketed"
        assert abs(bracket.estimate - boundary(column, restart)) <= RESOLUTION / 2
        assert bracket.high - bracket.low <= RESOLUTION
    span = max(boundary(c, 0) for c in range(columns)) - min(boundary(c, 0) for c in range(columns))
    grid = columns * restarts * (span / RESOLUTION + 1)  # no wider than the boundary itself needs
    assert tries <= grid / 6


@settings(max_examples=60, deadline=None)
@given(
    boundaries=st.lists(st.floats(LOW - 1, HIGH + 1), min_size=1, max_size=9),
    guide=st.floats(LOW, HIGH),
    resolution=st.sampled_from([0.02, 0.05, 0.3]),
)
def test_any_boundary_is_found_or_said_not_to_be_there(boundaries, guide, resolution):
    trace = BoundaryTrace(len(boundaries), restarts=2, resolution=resolution, guide=guide)
    traced(trace, lambda column, restart, x: x > boundaries[column])
    brackets = trace.brackets()
    assert list(brackets) == [(column, restart) for column in range(len(boundaries)) for restart in range(2)]
    for (column, _), bracket in brackets.items():
        if boundaries[column] < LOW:
            assert bracket.status.startswith("not bracketed: already beyond")
        elif boundaries[column] >= HIGH:
            assert bracket.status.startswith("not bracketed: still below")
        else:
            assert bracket.low <= boundaries[column] < bracket.high
            assert bracket.high - bracket.low <= resolution


@settings(max_examples=60, deadline=None)
@given(
    boundaries=st.lists(st.floats(-4, 2), min_size=1, max_size=8),
    raggedness=st.sampled_from([0.0, 0.2]),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_telling_does_not_matter(boundaries, raggedness, order):
    def is_beyond(column, restart, x):
        """Around the boundary it is a throw of dice, the same for the same place."""
        near = abs(x - boundaries[column]) < raggedness
        return random.Random(f"{column} {restart} {x}").random() < 0.5 if near else x > boundaries[column]

    whole, parts = (BoundaryTrace(len(boundaries), restarts=3, resolution=RESOLUTION) for _ in range(2))
    tries = traced(whole, is_beyond)
    assert traced(parts, is_beyond, order) == tries
    assert estimates(parts) == estimates(whole)
    assert [b.reversals for b in parts.brackets().values()] == [
        b.reversals for b in whole.brackets().values()
    ]


def test_a_ragged_boundary_is_closed_at_its_onset_and_reversals_are_counted():
    trace = BoundaryTrace(1, restarts=1, resolution=0.1, guide=0.2)
    is_beyond = lambda x: 0.0 < x <= 0.35 or x > 0.8  # noqa: E731  an island of divergence
    traced(trace, lambda column, restart, x: is_beyond(x))
    trace.tell(Try(0, 0, 0.5), False)
    (bracket,) = trace.brackets().values()
    assert bracket.low <= 0.0 < bracket.high
    assert (bracket.status, bracket.reversals) == ("bracketed", 1)


def test_the_first_wave_is_both_ends_and_later_ones_grow():
    trace = BoundaryTrace(9, restarts=2)
    assert trace.ask() == (Try(0, 0, 0.0), Try(8, 0, 0.0))
    sizes = []
    while wave := trace.ask():
        sizes.append(len(wave))
        for each in wave:
            trace.tell(each, each.x > 0.1)
    assert max(sizes) >= 6


def test_columns_begin_where_their_neighbours_expect_them_and_restarts_at_the_first():
    trace = BoundaryTrace(3, restarts=2, resolution=RESOLUTION)
    starts = {}
    while wave := trace.ask():
        for each in wave:
            starts.setdefault((each.column, each.restart), each.x)
            trace.tell(each, each.x > -each.column)
    found = estimates(trace)
    assert starts[1, 0] == pytest.approx((found[0, 0] + found[2, 0]) / 2)
    assert starts[1, 1] == pytest.approx(found[1, 0])


def test_a_guide_is_followed_at_the_distance_that_neighbours_saw():
    bent = [0.0, -1.5, -0.2, -2.0, 0.0]
    trace = BoundaryTrace(5, restarts=1, resolution=RESOLUTION, guide=bent)
    starts = {}
    while wave := trace.ask():
        for each in wave:
            starts.setdefault(each.column, each.x)
            trace.tell(each, each.x > bent[each.column] + 0.31)
    assert (starts[0], starts[4]) == (0.0, 0.0)
    for column in (1, 2, 3):
        assert starts[column] == pytest.approx(bent[column] + 0.31, abs=RESOLUTION / 2)


def test_columns_that_never_diverge_cost_one_try_each_beside_others_like_them():
    trace = BoundaryTrace(17, restarts=3)
    tries = traced(trace, lambda column, restart, x: False)
    assert all(bracket.low == HIGH and bracket.high is None for bracket in trace.brackets().values())
    assert tries == 2 * 5 + 15 + 17 * 2  # steps of 0.5, 1, 2 and 4 to the limit at both ends; then one each


def test_what_gives_no_answer_is_given_up_and_others_go_on():
    trace = BoundaryTrace(3, restarts=2)
    asked = []
    while wave := trace.ask():
        for each in wave:
            asked.append(each)
            if each.column == 0 and each.restart == 0:
                trace.give_up(each, "build raised")
            else:
                trace.tell(each, each.x > 0.77)
    assert trace.given_up == {(0, 0): "build raised"}
    assert sum(each.column == 0 and each.restart == 0 for each in asked) == 1
    closed = {place: value for place, value in estimates(trace).items() if value is not None}
    assert closed.keys() == {(0, 1), (1, 0), (1, 1), (2, 0), (2, 1)}
    assert all(math.isclose(value, 0.77, abs_tol=0.03) for value in closed.values())


@pytest.mark.parametrize(
    ("columns", "settings", "message"),
    [
        (0, {}, "expected at least one column, got 0; give columns=1 or more"),
        (2, {"restarts": 0}, "expected at least one restart, got 0; give restarts=1 or more"),
        (2, {"guide": [0.0]}, "expected a guide with one guess for each of 2 columns, got 1"),
        (2, {"guide": [0.0, 9.0]}, "expected a start between -12 and 6, got 9; widen limits"),
        (2, {"resolution": 0.0}, "expected a positive resolution, got 0; try resolution=0.1"),
    ],
)
def test_bad_settings_are_refused(columns, settings, message):
    with pytest.raises(InvalidInput) as caught:
        BoundaryTrace(columns, **settings)
    assert str(caught.value) == message


def test_what_was_never_there_cannot_be_told():
    trace = BoundaryTrace(2, restarts=1)
    before = trace.ask()
    with pytest.raises(InvalidInput, match="expected a column below 2 and a restart below 1, got column 2"):
        trace.tell(Try(2, 0, 0.0), True)
    with pytest.raises(InvalidInput, match="expected a finite x, got nan"):
        trace.tell(Try(0, 0, math.nan), True)
    assert trace.ask() == before
