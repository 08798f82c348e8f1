"""Noisy batch norm: what a row holds, that looking changes nothing, tables made by hand, verdicts."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from normfield.studies import santurkar_noisy_batch_norm as n
from normfield.studies.image_training.images import Images
from normfield.studies.noise_and_shift import table as t

TINY = n.Settings(Images("digits", 64, 16), 1, steps=2, looks=2, runs=1, batch_size=16, looked_at=32)


def rows_of(network, settings=TINY):
    points = [point for point in n.STUDY.points(settings, 0) if point["network"] == network]
    return n.STUDY.measure(settings, points)


def test_shifts_count_from_the_look_before(monkeypatch):
    taken = []
    real = n.layer_inputs

    def spy(*given, **also):
        taken.append(real(*given, **also))
        return taken[-1]

    monkeypatch.setattr(n, "layer_inputs", spy)
    rows = rows_of(t.NORMED)
    assert len(taken) == 3
    for before, now, row in zip(taken, taken[1:], rows, strict=False):
        drifts = [
            np.mean(np.abs(new.values.mean((0, 1)) - old.values.mean((0, 1))) / old.values.std((0, 1)))
            for old, new in zip(before.layers, now.layers, strict=True)
        ]
        assert len(drifts) == 8
        assert row[t.MEAN_DRIFT] == pytest.approx(np.mean(drifts), rel=1e-3)
        assert row[t.SHIFT] >= 0.99 * row[t.MEAN_DRIFT], "no transport is shorter than the way of the mean"


def test_networks_differ_in_norm_and_noise_alone():
    data = TINY.images.read()
    plain, normed, noisy = (n._network(kind, 2, data, 1) for kind in (t.PLAIN, t.NORMED, t.NOISY))
    own = {name.replace(".batch_norm", ""): value for name, value in noisy.state_dict().items()}
    for name, value in normed.state_dict().items():
        assert torch.equal(own[name], value), name
    convolutions = [
        [layer.weight for layer in model if isinstance(layer, torch.nn.Conv2d)] for model in (plain, normed)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*convolutions, strict=True))
    images = data.inputs[:8]
    first, second = noisy(images), noisy(images)
    assert not torch.equal(first, second), "noise is drawn anew in each step"
    assert torch.equal(normed(images), normed(images))


def test_accuracy_is_in_training_mode_and_counts_no_step():
    data = TINY.images.read()
    model = n._network(t.NOISY, 2, data, 0)
    batch = data.inputs[:32], data.targets[:32]
    before = copy.deepcopy(model.state_dict())
    found = n._accuracy(model, batch, 16)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with torch.no_grad():
        right = [(model(batch[0][k : k + 16]).argmax(1) == batch[1][k : k + 16]) for k in (0, 16)]
    assert found == torch.cat(right).float().mean().item()


def test_a_run_repeats_and_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    assert rows_of(t.NOISY) == rows_of(t.NOISY)
    assert torch.equal(torch.random.get_rng_state(), before)


def table(shift=(0.1, 0.6, 0.3), accuracy=(0.5, 0.48, 0.3)):
    """With batch norm, with noise, without."""
    return [
        {
            "network": network, "seed": seed, "step": step,
            t.ACCURACY: accuracy[k] if step == 20 else 0.1, t.SHIFT: shift[k],
            t.MEAN_DRIFT: 0.1, t.DEVIATION_DRIFT: 0.1,
        }
        for k, network in enumerate(t.NETWORKS)
        for seed in (0, 1)
        for step in (10, 20)
    ]  # fmt: skip


def test_it_holds_where_noise_shifts_most_and_trains_as_well():
    verdict = n.STUDY.verdict(table())
    assert verdict.outcome == "held"
    assert [check.value for check in verdict.checks] == pytest.approx([6, 2, -2, 18, 20, 1 / 3])
    assert (
        "0.6 standard deviations with noisy batch norm, 0.1 with batch norm and 0.3 without"
        in verdict.sentence
    )
    assert "48, 50 and 30 %" in verdict.sentence


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({"shift": (0.7, 0.6, 0.3)}, [False, True, True, True]),
        ({"shift": (0.1, 0.2, 0.3)}, [True, False, True, True]),
        ({"accuracy": (0.54, 0.48, 0.3)}, [True, True, False, True]),
        ({"accuracy": (0.4, 0.48, 0.49)}, [True, True, True, False]),
        ({"shift": (0.7, 0.1, 0.3), "accuracy": (0.9, 0.2, 0.3)}, [False] * 4),
    ],
)
def test_each_part_can_fail_alone_and_all_together(changed, held):
    verdict = n.STUDY.verdict(table(**changed))
    assert [check.held for check in verdict.of("paper")] == held
    outcome = "held" if all(held) else "held in part" if any(held) else "did not hold"
    assert verdict.outcome == outcome


def test_that_batch_norm_reduces_shift_is_beside_the_claim():
    *_, check = n.STUDY.verdict(table(shift=(0.4, 0.6, 0.3))).of("normfield")
    assert not check.held
    assert check.value == pytest.approx(4 / 3)


def test_one_pair_of_runs_is_enough_to_fail():
    rows = table()
    rows[6:8] = [{**row, t.SHIFT: 0.05} for row in rows[6:8]]
    assert [check.held for check in n.STUDY.verdict(rows).of("paper")] == [False, False, True, True]


def test_titles_say_what_was_found():
    accuracy, shift = n.STUDY.draw(table())
    assert "48 % right, against 50 % without noise and 30 % without batch norm" in accuracy.title
    assert "0.6 standard deviations with the noise, 0.1 with batch norm, 0.3 without" in shift.title
