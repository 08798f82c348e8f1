"""The rate that runs of a search for the edge suggest."""

from __future__ import annotations

import math

import pytest

from normfield.train.run import Run
from normfield.train.suggestion.from_search import suggested_by


def run(x, loss=None, seed=0):
    status = "diverged" if loss is None else "finished"
    return Run(10.0**x, 0.9, seed, status, None, (1.0,) * 20, 1.0, loss, None, None, 0, 0.0)


def bowl(*xs, lowest, seed=0):
    return [run(x, math.exp((x - lowest) ** 2) - 0.5, seed) for x in xs]


def test_the_vertex_of_the_best_runs_restart():
    runs = [*bowl(-3.0, -2.0, -1.0, lowest=-2.1), run(-2.9, 0.7, seed=1)]
    found = suggested_by(runs, runs[1], "squared")
    assert math.log10(found.learning_rate) == pytest.approx(-2.1, abs=0.06)
    assert (found.steps, found.exponent) == (20, 0.0)
    assert suggested_by(runs, runs[1], "cross_entropy").exponent == 0.4


def test_half_of_the_lowest_rate_that_diverged_in_any_restart():
    runs = [*bowl(-3.0, -2.0, -1.0, lowest=-2.0), run(-1.9, seed=1)]
    assert suggested_by(runs, runs[1], "squared").learning_rate == pytest.approx(10**-1.9 * 10**-0.3)


def test_no_rate_where_the_slowest_was_best_or_none_finished():
    runs = bowl(-3.0, -2.0, -1.0, lowest=-3.5)
    assert suggested_by(runs, runs[0], "squared") is None
    assert suggested_by([run(-1.0)], None, "squared") is None
