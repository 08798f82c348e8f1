"""What watching may cost: shares, and a clock that the test sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import normfield as nf
from normfield.train.monitoring.shares import fair_shares
from normfield.train.monitoring.worded import percent, seconds

BATCH = (torch.ones(4, 2), torch.ones(4, 1))


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def watched(costs, every, steps, overhead: float | None = 0.05):
    """A run of steps of one second each, with instruments that take the given seconds."""
    clock = Clock()

    def taking(seconds):
        def instrument(moment):
            clock.now += seconds
            return moment.step

        return instrument

    monitor = nf.Monitor(
        nn.Linear(2, 1),
        every=every,
        instruments={name: taking(seconds) for name, seconds in costs.items()},
        overhead=overhead,
        clock=clock,
    )
    with monitor:
        for _ in range(steps):
            clock.now += 1.0
            monitor.step(BATCH)
    return monitor.record


def runs(record):
    return {each.name: each.runs for each in record.instruments}


def test_a_slow_instrument_is_postponed_so_that_the_bound_holds():
    record = watched({"slow": 2.0}, {"slow": 10}, 1000)
    assert record.training_seconds == pytest.approx(1000)
    assert record.monitor_seconds == pytest.approx(2.0 * runs(record)["slow"])
    assert record.overhead <= 0.05
    assert runs(record)["slow"] == 25  # all that five per cent of 1,000 s has room for
    assert "of 25 measurements came late, by up to" in record.notes[0]


@pytest.mark.parametrize("length", range(1, 400, 23))
def test_at_any_time_only_first_measurements_may_exceed_the_bound(length):
    costs = {"dear": 30.0, "middle": 3.0, "cheap": 0.2}
    record = watched(costs, dict.fromkeys(costs, 5), length)
    spent = {each.name: each.seconds for each in record.instruments}
    late = {name: seconds for name, seconds in spent.items() if seconds > 1.5 * costs[name]}
    assert sum(late.values()) <= 0.05 * record.training_seconds + 1e-9
    assert all(spent[name] > 0.99 * costs[name] for name in costs)  # each ran at step 0, whatever it cost


def test_within_the_bound_everything_runs_on_schedule():
    record = watched({"cheap": 0.1}, {"cheap": 10}, 1000)
    assert runs(record)["cheap"] == 100
    late = [each.longest_wait for each in record.instruments]
    assert late == [0]
    assert record.notes == ()


def test_a_dear_instrument_does_not_crowd_out_a_cheap_one():
    record = watched({"dear": 10.0, "cheap": 0.1}, {"dear": 1, "cheap": 10}, 2000)
    assert runs(record)["cheap"] >= 198  # of 200 turns
    assert runs(record)["dear"] >= 7
    assert record.overhead <= 0.05


def test_without_a_bound_nothing_waits():
    record = watched({"slow": 5.0}, {"slow": 2}, 20, overhead=None)
    assert runs(record)["slow"] == 10
    assert record.overhead == pytest.approx(2.5)
    assert "no bound" in str(record)


def test_a_postponed_measurement_says_its_own_step():
    record = watched({"slow": 1.0}, {"slow": 10}, 59, overhead=0.05)
    steps, found = record.curve("slow", "slow")
    assert steps.tolist() == found.tolist() == [0, 39]
    assert record.instruments[0].longest_wait == 29


def test_one_that_never_gets_a_second_turn_is_named():
    record = watched({"slow": 50.0}, {"slow": 10}, 100)
    assert record.notes == (
        "slow: measured once only, since it took 50 s and the overhead left no room for a second time: train for "
        "longer, or raise overhead (None for no bound)",
    )


def test_it_prints_as_one_would_say_it():
    text = str(watched({"dear": 9.75, "cheap": 0.25}, {"dear": 50, "cheap": 1}, 2, overhead=None))
    assert text.splitlines()[1:4] == [
        "overhead 510 % (10.2 s beside 2 s of training; no bound)",
        "dear: 1 measurement, every 50 steps, 9.75 s",
        "cheap: 2 measurements, every step, 0.5 s",
    ]
    assert text.startswith("2 steps of Linear")
    one = str(watched({"dear": 9.0}, {"dear": 50}, 1, overhead=0.125))
    assert one.startswith("1 step of Linear")
    assert "overhead 900 % (9 s beside 1 s of training; bound 12.5 % after each instrument's first" in one


def test_notes_count_in_words():
    late = watched({"slow": 0.1}, {"slow": 2}, 6).notes
    assert late == ("slow: 2 of 3 measurements came late, by up to 1 step, to keep within the overhead",)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (8.763, "880 %"),
        (0.08763, "8.8 %"),
        (0.996, "100 %"),
        (876.3, "88,000 %"),
        (0.05, "5 %"),
        (0.005, "0.5 %"),
    ],
)
def test_parts_are_written_without_exponents(part, words):
    assert percent(part) == words


def test_times_are_written_without_exponents():
    assert [seconds(time) for time in (0.0, 0.01234, 4.5, 123.4, 7214.0)] == [
        "0 s",
        "0.0123 s",
        "4.5 s",
        "123 s",
        "7,210 s",
    ]


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 10), min_size=1), st.floats(1e-3, 1.0))
def test_shares_add_up_and_leave_the_modest_what_they_ask(demands, overhead):
    shares = fair_shares(demands, overhead)
    assert shares.keys() == demands.keys()
    assert sum(shares.values()) == pytest.approx(overhead)
    fair = overhead / len(demands)
    for name, demand in demands.items():
        assert shares[name] >= min(demand, fair) * (1 - 1e-9)
    order = sorted(demands, key=demands.__getitem__)
    assert all(shares[a] <= shares[b] * (1 + 1e-9) for a, b in pairwise(order))
