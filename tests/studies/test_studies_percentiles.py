"""Percentiles of sigmoids' inputs: what a row holds against the network written out, tables made by hand, verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from normfield.data import load
from normfield.studies import ioffe_percentiles as i
from normfield.studies.percentiles import table as t

TINY = i.Settings("digits", 5, 4, 3, 1)


def row_of(network, step, settings=TINY):
    points = [point for point in i.STUDY.points(settings, 0) if point["network"] == network]
    rows = i.STUDY.measure(settings, points)
    return next(row for point, row in zip(points, rows, strict=True) if point["step"] == step)


@pytest.mark.parametrize("network", [t.NORMED, t.PLAIN])
def test_a_row_is_what_the_network_written_out_gives_the_last_sigmoids(network):
    row = row_of(network, 0)
    model = i.sigmoid_network(64, 5, 10, 0, batch_norm=network == t.NORMED)
    data = load("digits", quiet=True)
    x = data.test_inputs.flatten(1)[:1000].double()
    for layer in list(model)[:-2]:
        if isinstance(layer, nn.BatchNorm1d):
            x = (x - x.mean(0)) / torch.sqrt(x.var(0, correction=0) + layer.eps)
        else:
            x = layer.double()(x)
    assert [row[name] for name in t.UNIT] == pytest.approx(
        np.percentile(x[:, 0].detach(), (15, 50, 85)), rel=1e-4
    )
    low, high = np.percentile(x.detach(), (15, 85), axis=0)
    assert row[t.SPREAD] == pytest.approx((high - low).mean(), rel=1e-4)
    assert row[t.MOVED] == 0
    assert 0 <= row[t.ACCURACY] < 0.5


def test_later_rows_are_of_the_trained_network():
    first, last = row_of(t.NORMED, 0), row_of(t.NORMED, 4)
    assert last[t.MOVED] > 0
    assert last[t.SPREAD] != first[t.SPREAD]
    before = torch.random.get_rng_state()
    assert row_of(t.NORMED, 4) == last
    assert torch.equal(torch.random.get_rng_state(), before)


def test_accuracy_is_in_inference_mode_and_the_model_trains_on():
    model = i.sigmoid_network(4, 3, 2, 0, batch_norm=True).train()
    images = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0).long()
    found = i._accuracy(model, images, labels)
    assert all(module.training for module in model.modules())
    with torch.no_grad():
        wanted = (model.eval()(images).argmax(1) == labels).float().mean().item()
    assert found == wanted


def test_pairs_have_the_same_weights_and_normalise_in_front_of_each_sigmoid():
    plain, normed = (i.sigmoid_network(6, 100, 10, 3, batch_norm=batch_norm) for batch_norm in (False, True))
    weights = [[layer.weight for layer in model if isinstance(layer, nn.Linear)] for model in (plain, normed)]
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))
    assert [type(layer).__name__ for layer in normed] == ["Linear", "BatchNorm1d", "Sigmoid"] * 3 + ["Linear"]
    assert weights[0][1].std().item() == pytest.approx(i.WEIGHTS, rel=0.03)


def table(spread=((2.0, 2.4), (0.2, 2.0)), moved=(0.1, 0.5), accuracy=((0.8, 0.9), (0.5, 0.8)), seeds=(0, 1)):
    """(with, without) batch norm: spreads and accuracies at the first and the other looks, largest movement."""
    rows = []
    for k, network in enumerate((t.NORMED, t.PLAIN)):
        for seed in seeds:
            for step in (0, 50, 100):
                later = int(step > 0)
                values = {
                    t.SPREAD: spread[k][later],
                    t.MOVED: later * moved[k],
                    t.ACCURACY: accuracy[k][later],
                }
                unit = dict(zip(t.UNIT, (-1.0, 0.0, 1.0), strict=True))
                rows.append({"network": network, "seed": seed, "step": step, **unit, **values})
    return rows


def test_it_holds_where_spreads_and_medians_stay_put_and_accuracy_leads():
    verdict = i.STUDY.verdict(table())
    assert verdict.outcome == "held"
    assert verdict.checks[0].value == pytest.approx(np.log(1.2) / np.log(10))
    assert "by a factor of 1.2 with batch norm and 10 without" in verdict.sentence
    assert "90.0 and 80.0 %" in verdict.sentence


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({"spread": ((2.0, 8.0), (0.2, 2.0))}, [False, True, True, True]),
        ({"spread": ((2.0, 6.0), (0.2, 2.0))}, [True, True, True, True]),
        ({"moved": (0.26, 0.5)}, [True, False, True, True]),
        ({"accuracy": ((0.5, 0.81), (0.9, 0.8))}, [True, True, False, True]),
        ({"accuracy": ((0.95, 0.79), (0.5, 0.8))}, [True, True, True, False]),
    ],
)
def test_each_part_can_fail_alone(changed, held):
    verdict = i.STUDY.verdict(table(**changed))
    assert [check.held for check in verdict.of("paper")] == held
    assert verdict.outcome == ("held" if all(held) else "held in part")


def test_it_did_not_hold_where_batch_norm_is_the_one_that_moves():
    changed = {"spread": ((0.2, 2.0), (2.0, 2.4)), "moved": (0.5, 0.1), "accuracy": ((0.1, 0.1), (0.5, 0.8))}
    assert i.STUDY.verdict(table(**changed)).outcome == "did not hold"


def test_the_check_beside_it_leaves_the_beginning_out():
    rows = table()
    (check,) = i.STUDY.verdict(rows).of("normfield")
    assert not check.held, "from step 50 on nothing changes in either network"
    rows = [
        {**row, t.SPREAD: 4.0} if row["step"] == 100 and row["network"] == t.PLAIN else row for row in rows
    ]
    (check,) = i.STUDY.verdict(rows).of("normfield")
    assert check.held
    assert check.value == 0
    assert "From step 50 on" in check.sentence


def test_the_unit_s_bands_are_between_its_outer_percentiles():
    rows = [
        {**row, t.UNIT[0]: -3.0 if row["step"] else -1.0, t.UNIT[2]: 2.0 if row["step"] else 1.0}
        if row["network"] == t.NORMED
        else row
        for row in table()
    ]
    figure = i.STUDY.draw(rows)[0]
    normed, plain = (trace for trace in figure.data if trace.get("fill") == "toself")
    assert set(normed["y"]) == {-1.0, -3.0, 1.0, 2.0}
    assert set(plain["y"]) == {-1.0, 1.0}
    assert "2.5 times as wide with batch norm, 1 times without" in figure.title


def test_errors_are_what_is_not_right():
    rows = [
        {**row, t.ACCURACY: 0.7 + 0.1 * row["seed"]} if row["network"] == t.NORMED else row for row in table()
    ]
    figure = i.STUDY.draw(rows)[2]
    band, line = (trace for trace in figure.data if trace["legendgroup"] == t.NORMED)
    assert line["y"] == pytest.approx([25.0] * 3)
    assert band["y"] == pytest.approx([30.0] * 3 + [20.0] * 3)
    assert figure.title.startswith(
        "25.0 % of the test images are wrong at the end with batch norm, 20.0 % without"
    )
