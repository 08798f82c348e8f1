"""The study of networks trained unit by unit: its data and networks, and its checks at their thresholds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from normfield.studies import kohler_networks as study
from normfield.studies.decoupled_networks.problems import (
    DIGITS,
    GAUSSIAN,
    NORMED,
    PLAIN,
    WEIGHTS,
    network,
    samples,
)


def row(method, final, rate=0.1, layers=1, **more):
    told = {"largest_factor": 0.9, "risen_visits": 0.0, "first_loss": 1.0, "evaluations": 10, "restart": 0}
    return {
        "problem": GAUSSIAN,
        "layers": layers,
        "method": method,
        "rate": rate,
        "final_loss": final,
        **told,
        **more,
    }


def test_targets_of_gaussian_inputs_are_the_stated_function():
    x, y = samples(GAUSSIAN, 4_000, 0)
    expected = [torch.sin(one[0]) + one[1] * one[2] / 2 for one in x[:5]]
    torch.testing.assert_close(y[:5, 0], torch.stack(expected))
    assert y.var().item() == pytest.approx((1 - torch.tensor(-2.0).exp()).item() / 2 + 0.25, rel=0.1)


def test_digits_are_as_many_as_asked_and_told_apart_by_signs():
    x, y = samples(DIGITS, 300, 1)
    assert x.shape == (300, 10)
    assert set(y.flatten().tolist()) == {-1.0, 1.0}


def test_networks_of_one_seed_start_alike_but_for_their_norm():
    plain, normed, weighed = (network(2, 4, norm, 3) for norm in (PLAIN, NORMED, WEIGHTS))
    assert sum(isinstance(part, nn.BatchNorm1d) for part in normed) == 2
    assert [is_parametrized(part) for part in weighed if isinstance(part, nn.Linear)] == [True, True, False]
    x = samples(GAUSSIAN, 8, 0)[0]
    torch.testing.assert_close(plain(x), weighed(x))
    assert torch.equal(plain[0].weight, normed[0].weight)


@pytest.mark.parametrize(("factor", "held"), [(0.99, True), (1.00005, True), (1.001, False)])
def test_the_check_that_no_sweep_raises_the_loss(factor, held):
    rows = [row(study.UNITS, 0.1), row(study.UNITS, 0.1, largest_factor=factor)]
    assert study._falling_check(rows).held is held


def test_the_best_rate_is_that_of_the_median_and_the_worst_depth_decides():
    rows = [
        row(study.UNITS, 0.2, 0.0),
        row(study.UNITS, 0.3, 0.0, layers=2),
        *(row(PLAIN, final, rate) for final, rate in ((0.5, 0.1), (0.1, 0.1), (0.9, 0.1), (0.4, 1.0))),
        row(PLAIN, 0.6, layers=2),
    ]
    check = study._against(rows, PLAIN)
    assert check.value == pytest.approx(0.5)
    assert check.held
    assert not study._against([*rows, row(PLAIN, 0.1, 3.0, layers=2)], PLAIN).held


@pytest.mark.parametrize(("losses", "held"), [((0.3, 0.1), True), ((0.1, 0.1), False)])
def test_the_check_of_rates_counts_those_that_end_higher(losses, held):
    rivals = [
        row(method, final, rate)
        for method in study.RIVALS
        for final, rate in zip(losses, (0.1, 1.0), strict=True)
    ]
    assert study._rates_check([row(study.UNITS, 0.2, 0.0), *rivals]).held is held
