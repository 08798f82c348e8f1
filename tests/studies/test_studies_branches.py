"""The study of residual branches: moments beside a forward pass written out, verdicts on made-up tables."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.studies import de_branch_variance as study
from normfield.studies.branches.moments import block_moments
from normfield.studies.branches.table import (
    CONVOLUTIONS,
    FAMILIES,
    LINEAR,
    NORMED,
    PLAIN,
    RELU,
    spread_theory,
)
from normfield.studies.deep_networks import normal
from normfield.studies.network_kinds import BOTH, KINDS, SKIPS, deep_network, kind_named


def dense_weights(model):
    return [one.weight.detach().double() for one in model.modules() if isinstance(one, torch.nn.Linear)]


@pytest.mark.parametrize("kind", [BOTH, SKIPS])
def test_moments_are_those_of_the_forward_pass(kind):
    model = nf.build(deep_network(kind, "relu", 10, 10, 5, weight_variance=2.0), 1)
    inputs = normal((7, 10), 2)
    stem, *branches, _ = dense_weights(model)
    x, expected = inputs.double() @ stem.T, []
    for weight in branches:
        given = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt() if kind.batch_norm else x
        branch = given.clamp(min=0) @ weight.T
        expected.append(
            [
                x.square().mean(),
                branch.square().mean(),
                x.var(0, correction=0).mean(),
                branch.var(0, correction=0).mean(),
            ]
        )
        x = x + branch
    found = [
        (one.skip, one.branch, one.skip_spread, one.branch_spread) for one in block_moments(model, inputs)
    ]
    assert np.array(found) == pytest.approx(np.array(expected), rel=1e-4)
    assert not any(module._forward_hooks for module in model.modules())


def test_positions_of_images_count_like_samples():
    settings = study.STUDY.settings("smoke")
    model = nf.build(study._convolutional(settings, (1, 8, 8), True), 0)
    found = block_moments(model, normal((5, 1, 8, 8), 0))
    assert len(found) == settings.blocks
    x = model[0](normal((5, 1, 8, 8), 0)).detach().double().transpose(0, 1).flatten(1)
    assert found[0].skip == pytest.approx(float(x.square().mean()), rel=1e-5)
    assert found[0].skip_spread == pytest.approx(float(x.var(1, correction=0).mean()), rel=1e-5)


def test_four_kinds_have_their_depth_and_first_blocks_get_mean_square_one():
    assert [kind_named(kind.name) for kind in KINDS] == list(KINDS)
    for kind in KINDS:
        network = deep_network(kind, "relu", 6, 8, 9, weight_variance=2.0)
        model = nf.build(network, 0)
        assert len(dense_weights(model)) == 9
        norms = sum(isinstance(one, torch.nn.BatchNorm1d) for one in model.modules())
        assert norms == (8 if kind.batch_norm else 0)
    wide = nf.build(deep_network(BOTH, "relu", 400, 400, 3, weight_variance=2.0), 0)
    assert block_moments(wide, normal((64, 400), 1))[0].skip == pytest.approx(1, rel=0.05)


def test_spread_theory_is_the_recursion_of_variances():
    for family, branch in ((LINEAR, 1.0), (RELU, 1 - 1 / math.pi)):
        variance, expected = 1.0, []
        for _ in range(6):
            expected.append(branch / variance)
            variance += branch
        assert spread_theory(family, np.arange(1.0, 7.0)) == pytest.approx(expected)


def table(normed=None, plain=None, spread=1.0):
    """Exact tables, with functions of the block's number that bend branches with and without batch norm."""
    rows = []
    for family in FAMILIES:
        for network, bent in ((NORMED, normed), (PLAIN, plain)):
            for block in range(1, 13):
                skip = float(block) if network == NORMED else 2.0 ** (block - 1)
                branch = (1.0 if network == NORMED else skip) * (bent(family, block) if bent else 1.0)
                theory = float(spread_theory(family, np.array([float(block)]))[0])
                rows.append(
                    {
                        "family": family, "network": network, "block": block, "seed": 0, "skip": skip,
                        "branch": branch, "spread_ratio": spread * theory,
                    }
                )  # fmt: skip
    return rows


def test_it_holds_for_one_over_the_depth():
    verdict = study.STUDY.verdict(table())
    assert all(check.held for check in verdict.checks)
    assert verdict.outcome == "held"
    assert "0.083 to 0.083 times" in verdict.sentence


def only(family, bend):
    return lambda own, block: bend(block) if own == family else 1.0


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"normed": only(LINEAR, lambda block: 1.6 if block == 4 else 1.0)}, {0}),
        ({"normed": only(RELU, lambda block: 0.6 if block == 4 else 1.0)}, {1}),
        ({"normed": only(CONVOLUTIONS, lambda block: block**0.12)}, {5}),
        ({"plain": only(CONVOLUTIONS, lambda block: 0.6)}, {6}),
        ({"plain": lambda family, block: 1.0 if block % 2 else 0.7}, set()),
        ({"spread": 1.11}, {8}),
    ],
)
def test_each_part_can_fail(changed, wrong):
    held = [check.held for check in study.STUDY.verdict(table(**changed)).checks]
    assert {k for k, one in enumerate(held) if not one} == wrong


def test_growth_that_is_no_doubling_fails():
    rows = [
        {**row, "skip": 2.2 ** (row["block"] - 1), "branch": 2.2 ** (row["block"] - 1)}
        if row["network"] == PLAIN and row["family"] == RELU
        else row
        for row in table()
    ]
    held = [check.held for check in study.STUDY.verdict(rows).checks]
    assert {k for k, one in enumerate(held) if not one} == {7}


def test_figures_say_how_far_apart_the_signals_are():
    ratio, skip, spread = study.STUDY.draw(table())
    assert "block 12 adds a branch 12 times smaller" in ratio.title
    assert "comes to 12 with batch norm, to about 10³ without" in skip.title
    assert "to within 0.0 %" in spread.title
    endless = [
        {**row, "skip": math.inf} if row["network"] == PLAIN and row["block"] == 12 else row
        for row in table()
    ]
    assert study.STUDY.draw(endless)[1].title.endswith("to what no number holds without")
