"""The bracket finds any boundary, whatever the order of telling, and says when there is none."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normfield.errors import InvalidInput
from normfield.sweep import Bracket

LOW, HIGH = -12.0, 6.0


def closed(bracket: Bracket, is_beyond, most: int = 100) -> int:
    """Ask and tell until nothing is left; the number of asks."""
    for asks in range(most):
        x = bracket.ask()
        if x is None:
            return asks
        bracket.tell(x, is_beyond(x))
    raise AssertionError("never done")


@given(
    boundary=st.floats(LOW + 1e-3, HIGH - 1e-3),
    start=st.floats(LOW, HIGH),
    resolution=st.sampled_from([0.01, 0.05, 0.3]),
)
def test_any_boundary_within_the_limits_is_found_within_the_resolution(boundary, start, resolution):
    bracket = Bracket(start, resolution=resolution)
    asks = closed(bracket, lambda x: x > boundary)
    assert bracket.status == "bracketed"
    assert bracket.low <= boundary < bracket.high
    assert bracket.high - bracket.low <= resolution
    assert abs(bracket.estimate - boundary) <= resolution / 2 + 1e-12
    assert bracket.half_width == pytest.approx((bracket.high - bracket.low) / 2)
    doublings = math.ceil(math.log2((HIGH - LOW) / 0.5)) + 2
    assert asks <= doublings + math.ceil(math.log2((HIGH - LOW) / resolution)) + 1


def test_steps_away_from_the_start_double():
    bracket = Bracket(0.0, step=0.5)
    seen = []
    for _ in range(5):
        seen.append(bracket.ask())
        bracket.tell(seen[-1], beyond=True)
    assert seen == [0.0, -0.5, -1.5, -3.5, -7.5]


def test_asking_twice_gives_the_same():
    bracket = Bracket(0.25)
    assert bracket.ask() == bracket.ask() == 0.25


def test_without_a_boundary_the_status_says_which_side_was_never_seen():
    always, never = Bracket(0.0), Bracket(0.0)
    closed(always, lambda x: True)
    closed(never, lambda x: False)
    assert always.status == "not bracketed: already beyond at x = -12, with a lower limit of -12"
    assert never.status == "not bracketed: still below at x = 6, with an upper limit of 6"
    assert (always.low, always.estimate, always.half_width) == (None, None, None)
    assert (never.high, never.estimate, never.half_width) == (None, None, None)


def test_open_until_the_resolution_is_reached():
    bracket = Bracket(0.0, resolution=0.6)
    assert bracket.status == "open"
    bracket.tell(0.0, beyond=False)
    bracket.tell(0.7, beyond=True)
    assert (bracket.status, bracket.ask()) == ("open", 0.35)
    bracket.tell(0.35, beyond=True)
    assert (bracket.status, bracket.ask()) == ("bracketed", None)


def test_what_was_not_asked_counts():
    bracket = Bracket(0.0, resolution=0.1)
    bracket.tell(-3.02, beyond=False)
    bracket.tell(-2.95, beyond=True)
    assert (bracket.status, bracket.low, bracket.high) == ("bracketed", -3.02, -2.95)


def test_a_good_start_is_worth_more_than_what_was_seen_far_away():
    bracket = Bracket(-3.0, resolution=0.1, step=0.09)
    bracket.tell(5.0, beyond=True)
    bracket.tell(-9.0, beyond=False)
    asked = []
    while (x := bracket.ask()) is not None:
        asked.append(x)
        bracket.tell(x, beyond=x > -2.95)
    assert asked == pytest.approx([-3.0, -2.91])


@given(
    boundary=st.floats(LOW + 1e-3, HIGH - 1e-3),
    start=st.floats(LOW, HIGH),
    told=st.lists(st.floats(LOW, HIGH), max_size=6),
)
def test_whatever_was_told_before_the_boundary_is_found(boundary, start, told):
    bracket = Bracket(start)
    for x in told:
        bracket.tell(x, x > boundary)
    asks = closed(bracket, lambda x: x > boundary)
    assert bracket.status == "bracketed"
    assert bracket.low <= boundary < bracket.high
    assert bracket.high - bracket.low <= 0.05
    assert asks <= 20


def test_the_bracket_is_the_lowest_beyond_and_reversals_above_it_are_counted():
    told = [(-2.0, False), (-1.0, True), (0.0, False), (0.5, False), (1.0, True)]
    for order in itertools.permutations(told):
        bracket = Bracket(0.0)
        for x, beyond in order:
            bracket.tell(x, beyond)
        assert (bracket.low, bracket.high, bracket.reversals) == (-2.0, -1.0, 2)


def test_a_low_beyond_reopens_a_closed_bracket_beneath_it():
    bracket = Bracket(0.0, resolution=0.5)
    bracket.tell(0.0, beyond=False)
    bracket.tell(0.4, beyond=True)
    assert bracket.ask() is None
    bracket.tell(-1.0, beyond=True)
    assert bracket.low is None
    assert bracket.ask() < -1.0
    closed(bracket, lambda x: x > -4.2)
    assert bracket.low <= -4.2 < bracket.high
    assert bracket.reversals == 1


def test_an_x_told_both_ways_counts_as_beyond_in_either_order():
    for order in ((True, False), (False, True)):
        bracket = Bracket(0.0)
        for beyond in order:
            bracket.tell(1.0, beyond)
        assert (bracket.low, bracket.high) == (None, 1.0)


def test_a_resolution_below_rounding_still_ends():
    bracket = Bracket(1.0, resolution=1e-300)
    closed(bracket, lambda x: x > 0.7, most=200)
    assert bracket.low <= 0.7 < bracket.high
    assert math.nextafter(bracket.low, math.inf) == bracket.high


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start": 7.0}, "expected a start between -12 and 6, got 7; widen limits"),
        ({"start": math.nan}, "expected a start between -12 and 6, got nan; widen limits"),
        ({"start": 0.0, "resolution": 0.0}, "expected a positive resolution, got 0; try resolution=0.1"),
        ({"start": 0.0, "step": -1.0}, "expected a positive step, got -1; try step=0.1"),
        (
            {"start": 0.0, "limits": (1.0, -1.0)},
            "expected finite limits (low, high), low < high, got (1.0, -1.0); order them",
        ),
    ],
)
def test_bad_settings_are_refused(given, message):
    with pytest.raises(InvalidInput) as caught:
        Bracket(**given)
    assert str(caught.value) == message


def test_an_x_that_is_not_finite_is_refused_and_changes_nothing():
    bracket = Bracket(0.0)
    with pytest.raises(InvalidInput, match="expected a finite x, got inf"):
        bracket.tell(math.inf, beyond=True)
    assert bracket.high is None
