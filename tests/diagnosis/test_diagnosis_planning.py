"""Plans made from costs that are given: no clock, no module."""

import itertools

import pytest
import torch

from normfield.diagnosis.asked import Asked
from normfield.diagnosis.costs import Costs
from normfield.diagnosis.memory import in_words, usable_bytes
from normfield.diagnosis.planning import fitting_batch, measuring, measuring_share, training

PLENTY = 2**40
SQUARED = Asked("squared", 128, 0.9, 300.0, 0)
CROSS_ENTROPY = Asked("cross_entropy", 128, 0.9, 300.0, 0)


def costing(seconds_per_sample, bytes_per_sample=0.0, parameter_bytes=0):
    return Costs(0.0, seconds_per_sample, 8 * seconds_per_sample, bytes_per_sample, parameter_bytes)


def test_a_cheap_model_keeps_batches_of_128():
    assert fitting_batch(SQUARED, costing(1e-6), 10, 60, PLENTY) is SQUARED


def test_a_dear_model_gets_the_largest_batch_that_fits_and_the_reason():
    sizes = [
        fitting_batch(SQUARED, costing(s), 10, 300, PLENTY).batch_size for s in (0.002, 0.008, 0.016, 1.0)
    ]
    assert sizes == [128, 64, 32, 32]
    asked = fitting_batch(SQUARED, costing(0.016), 10, 300, PLENTY)
    assert asked.batch_note == "batches of 32 instead of 128 (a gradient there takes about 2 s)"


def test_memory_makes_batches_smaller_too_and_is_named():
    asked = fitting_batch(SQUARED, costing(1e-6, bytes_per_sample=10 * 2**20), 10, 60, 2**30)
    assert asked.batch_size == 32
    assert "would take about 2.5 GiB, and 1.0 GiB may be used" in asked.batch_note


def test_a_small_set_is_never_given_larger_batches():
    small = Asked("squared", 20, 0.9, 300.0, 0)
    assert fitting_batch(small, costing(10.0), 10, 60, PLENTY) is small


@pytest.mark.parametrize(
    ("seconds", "only_largest", "begins"), [(500, False, True), (60, True, True), (0.5, True, False)]
)
def test_measurement_becomes_leaner_before_it_is_left_out(seconds, only_largest, begins):
    plan = measuring(SQUARED, costing(0.02), 10, seconds, PLENTY)
    assert (plan.only_largest, plan.products > 0) == (only_largest, begins)


def test_one_eigenvalue_is_all_there_is_to_cross_entropy():
    assert not measuring(CROSS_ENTROPY, costing(0.02), 10, 30, PLENTY).only_largest


def test_memory_bounds_the_products():
    costs = costing(1e-6, parameter_bytes=2**20)
    assert measuring(SQUARED, costs, 10, 100, 20 * 2**20).products == 10
    assert measuring(SQUARED, costs, 10, 100, 2**20).products == 0


def test_measurement_takes_what_training_cannot_use():
    assert measuring_share(SQUARED, costing(1e-4), 100) == 0.5
    assert measuring_share(SQUARED, costing(0.1), 100) > 0.9


def test_a_search_shrinks_step_by_step_and_says_how():
    plans = [training(SQUARED, costing(1e-4), 20_000, 2048, s) for s in (1000, 8, 6, 2, 0.5)]
    assert [p.restarts for p in plans] == [2, 1, 1, 1, 1]
    assert plans[0].cut == ""
    assert plans[0].steps == 240
    assert plans[1].cut == f"runs of {plans[1].steps} steps instead of 240, 1 restart instead of 2"
    assert plans[2].samples == plans[2].steps * 128
    assert "training samples and no test data" in plans[2].cut
    assert not plans[3].looks_for_best
    assert "no runs for the best learning rate" in plans[3].cut
    assert plans[4].steps == 0
    for more, less in itertools.pairwise(plans):
        assert more.restarts * more.steps > less.restarts * less.steps


def test_a_search_costs_no_more_than_it_may():
    """Steps and evaluations of as many runs as a bracket takes, added up by hand."""
    costs, seconds = costing(1e-3), 60
    plan = training(SQUARED, costs, 20_000, 0, seconds)
    assert plan.samples is not None
    forward = plan.samples * 1e-3 / 3
    assert 0.9 * seconds < 12 * (plan.steps * 0.128 + 2 * forward) <= seconds


def test_memory_is_told_in_words_and_is_half_of_what_is_free():
    assert in_words(3.5 * 2**30) == "3.5 GiB"
    assert in_words(3 * 2**20) == "3 MiB"
    assert 2**20 < usable_bytes(torch.device("cpu")) < 2**45
