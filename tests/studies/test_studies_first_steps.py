"""The study of first steps: norms beside a training written out, verdicts on made-up tables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.studies import yang_fig_3 as study
from normfield.studies.deep_networks import seeds
from normfield.studies.first_ten_steps import table as t
from normfield.studies.network_kinds import NORMED, deep_network

TINY = study.Settings("digits", (5,), (0.5,), width=12, batch_size=16, networks=1)
GROWTH, LAYERS = 1.5, 40


def test_rows_are_norms_of_a_training_written_out():
    points = study.STUDY.points(TINY, 3)
    rows = [{**point, **row} for point, row in zip(points, study.STUDY.measure(TINY, points), strict=True)]
    (seed,) = seeds(3, "5 layers", 1)
    data = nf.load("digits", 16 * 10, quiet=True).flattened()
    model = nf.build(deep_network(NORMED, "relu", 64, 12, 5, weight_variance=2.0), seed)
    dense = [one for one in model if isinstance(one, torch.nn.Linear)][1:-1]
    batches = list(data.batches(16, seed))
    sgd = torch.optim.SGD(model.parameters(), 0.5)
    for step in range(3):
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(batches[0][0]), batches[0][1]).backward()
        own = t.at(rows, 5, 0.5, step)
        assert [row["layer"] for row in own] == [2, 3, 4]
        for row, layer in zip(own, dense, strict=True):
            assert layer.weight.grad is not None
            assert row[t.WEIGHT] == pytest.approx(float(layer.weight.detach().norm()), rel=1e-3)
            assert row[t.WEIGHT_GRADIENT] == pytest.approx(float(layer.weight.grad.norm()), rel=1e-2)
        sgd.zero_grad()
        torch.nn.functional.cross_entropy(model(batches[step][0]), batches[step][1]).backward()
        sgd.step()


def table(weight=1.0, later=0.1, signal=0.1, growth=GROWTH, theory=GROWTH, small=0.9, stretch=1.0):
    """Two depths and learning rates: the gradients' decades after one step and later in parts of those at the start."""
    rows = []
    for depth in (20, LAYERS):
        for rate, first in ((0.1, small), (1.0, 0.2)):
            for step, part in ((0, 1.0), (1, first), (2, later)):
                for layer in range(2, depth):
                    up = np.log(growth) / 2 * (depth - layer)
                    start = np.exp(up)
                    grown = stretch * np.hypot(1.0, rate * start) ** weight
                    rows.append(
                        {
                            "depth": depth, "learning_rate": rate, "step": step, "layer": layer, "seed": 0,
                            t.WEIGHT: grown if step else 1.0, t.WEIGHT_GRADIENT: float(np.exp(part * up)),
                            t.GRADIENT: float(np.exp((signal if step else 1.0) * up)), "theory_rate": theory,
                        }
                    )  # fmt: skip
    return rows


def test_it_holds_where_weights_take_over_the_growth():
    verdict = study.STUDY.verdict(table())
    assert all(check.held for check in verdict.checks)
    assert verdict.outcome == "held"
    decades = np.log10(GROWTH) / 2 * (LAYERS - 3)
    assert (
        f"span {decades:.1f} decades over the layers at the start, {0.2 * decades:.1f} after one"
        in verdict.sentence
    )
    assert "in 2: it takes a step" in verdict.of("normfield")[-1].sentence


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"growth": 1.19, "theory": 1.19}, {0}),
        ({"later": 0.51}, {3}),
        ({"signal": 0.6}, {4}),
        ({"weight": 0.3}, {5, 7}),
        ({"theory": GROWTH * 1.2}, {6}),
        ({"stretch": 1.03}, {7}),
        ({"small": 0.15}, {8}),
    ],
)
def test_each_part_can_fail(changed, wrong):
    held = [check.held for check in study.STUDY.verdict(table(**changed)).checks]
    assert {k for k, one in enumerate(held) if not one} == wrong


def test_a_depth_at_which_gradients_stay_apart_fails_for_itself():
    rows = [
        {**row, t.WEIGHT_GRADIENT: GROWTH ** (0.3 * (20 - row["layer"]))}
        if row["depth"] == 20 and row["step"] == 1 and row["learning_rate"] == 1.0
        else row
        for row in table()
    ]
    verdict = study.STUDY.verdict(rows)
    assert [check.held for check in verdict.checks[1:3]] == [False, True]
    assert verdict.outcome == "held in part"
    assert verdict.checks[1].value == pytest.approx(60)


def test_figures_show_what_the_table_holds():
    by_layer, _, _, by_step, by_size = study.STUDY.draw(table())
    assert by_layer.data[0]["y"] == pytest.approx([GROWTH ** ((LAYERS - k) / 2) for k in range(2, LAYERS)])
    assert by_step.data[1]["y"][1] == pytest.approx(0.2 * by_step.data[1]["y"][0])
    assert by_size.data[1]["x"][1] == pytest.approx(GROWTH ** ((LAYERS - 2) / 2))
    assert f"steps of {GROWTH**9:.2g} times the weights or more" in by_size.title
    lasting = [
        {**row, t.WEIGHT_GRADIENT: GROWTH ** (0.4 * (row["depth"] - row["layer"]))} if row["step"] else row
        for row in table()
    ]
    assert "at once: none of these steps" in study.STUDY.draw(lasting)[-1].title
