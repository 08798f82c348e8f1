"""Learning rates with and without batch norm, and γ at the start: runs, tables made by hand, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from normfield.studies import bjorck_learning_rates as b
from normfield.studies import wei_fig_4 as w
from normfield.studies.image_training.images import Images
from normfield.studies.image_training.loop import Recipe
from normfield.studies.survival.table import GUESSING, LOSS, NORMED, PLAIN, TEST

TINY = b.Settings(
    Images("digits", 128, 64, side=16), 2, 1, (0.001, 0.01, 0.1), epochs=2, runs=1, batch_size=32
)


def row_of(network, rate, settings=TINY):
    (row,) = b.STUDY.measure(settings, [{"network": network, "learning_rate": rate, "seed": 0}])
    return row


def test_a_run_is_kept_epoch_by_epoch():
    row = row_of(NORMED, 0.1)
    assert set(row) == {
        "diverged", "trained_peak", f"{LOSS}_0", f"{LOSS}_1", f"{LOSS}_2", f"{TEST}_1", f"{TEST}_2"
    }  # fmt: skip
    assert row["diverged"] == 0
    assert row[f"{LOSS}_2"] < row[f"{LOSS}_0"]
    assert row["trained_peak"] >= 1, "the first step's loss is among them"
    assert row_of(PLAIN, 0.001)[f"{LOSS}_0"] != row[f"{LOSS}_0"]


def test_from_where_it_diverges_a_run_counts_as_guessing_and_its_peak_as_the_limit():
    row = row_of(PLAIN, 1e6)
    assert row["diverged"] == 1
    assert row["trained_peak"] == 1e3
    assert [row[f"{LOSS}_{k}"] for k in (1, 2)] == pytest.approx([math.log(10)] * 2)
    assert [row[f"{TEST}_{k}"] for k in (1, 2)] == pytest.approx([0.1] * 2)
    assert row[f"{LOSS}_0"] == pytest.approx(row_of(PLAIN, 0.001)[f"{LOSS}_0"])


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    row_of(NORMED, 0.01)
    (point, *_) = w.STUDY.points(w.STUDY.settings("smoke"), 0)
    w.STUDY.measure(w.Settings(Images("digits", 32, 16), 1, Recipe(1, batch_size=16), runs=1), [point])
    assert torch.equal(torch.random.get_rng_state(), before)


def table(small=(0.3, 0.3), large=(0.5, 0.1), middle=0.4, losses=(1.0, GUESSING), peaks=(1.2, 50.0)):
    """(with, without) batch norm: accuracies at the small and large rate, the large one's losses, peaks above 1e-3."""
    rows = []
    for k, network in enumerate((NORMED, PLAIN)):
        for rate, end in ((0.001, small[k]), (0.01, middle), (0.1, large[k])):
            for seed in (0, 1):
                loss = losses[k] if rate == 0.1 else 1.5
                rows.append(
                    {
                        "network": network, "learning_rate": rate, "seed": seed, "diverged": 0,
                        "trained_peak": peaks[k] if rate > 0.001 else 1.1,
                        f"{LOSS}_0": 2.5, f"{LOSS}_1": 2.0, f"{LOSS}_2": loss, f"{TEST}_1": 0.15, f"{TEST}_2": end,
                    }
                )  # fmt: skip
    return rows


def test_it_holds_where_only_batch_norm_survives_and_that_pays():
    verdict = b.STUDY.verdict(table())
    assert verdict.outcome == "held"
    assert all(check.held for check in verdict.checks)
    assert "30 % of the test images right with batch norm and 30 % without" in verdict.sentence
    assert "with 50 % and 10 %" in verdict.sentence


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"small": (0.3, 0.24)}, 0), ({"small": (0.24, 0.3)}, 0),
        ({"losses": (GUESSING - 0.09, GUESSING)}, 1), ({"losses": (1.0, GUESSING - 0.11)}, 2),
        ({"large": (0.34, 0.1)}, 3), ({"peaks": (1.2, 1.9)}, 4), ({"peaks": (2.1, 50.0)}, 5),
    ],
)  # fmt: skip
def test_each_part_can_fail_alone(changed, part):
    verdict = b.STUDY.verdict(table(**changed))
    assert [check.held for check in verdict.of("paper")] == [k != part for k in range(6)]
    assert verdict.outcome == "held in part"


def test_one_run_that_survives_without_batch_norm_is_enough():
    rows = table()
    rows[-1] = {**rows[-1], f"{LOSS}_2": 1.0}
    assert [check.held for check in b.STUDY.verdict(rows).of("paper")] == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_the_order_of_the_curves_is_ours():
    (order,) = b.STUDY.verdict(table(middle=0.55)).of("normfield")
    assert not order.held
    assert order.value == pytest.approx(-5)
    assert "at 30, 55, 50 %" in order.sentence


def test_curves_are_the_means_over_runs():
    accuracy, loss = b.STUDY.draw(table())
    drawn = {trace["customdata"][0][0]: trace for trace in accuracy.data}
    assert drawn[f"{NORMED}, η = 0.1"]["y"] == pytest.approx([15, 50])
    assert drawn[f"{NORMED}, η = 0.1"]["x"] == [1, 2]
    assert drawn[f"{PLAIN}, η = 0.1"]["line"]["dash"] == "dash"
    assert loss.data[0]["x"] == [0, 1, 2]
    assert "50 % right with batch norm, 10 % without" in accuracy.title


def gamma_table(small=(0.3, 0.5, 0.6), usual=(0.2, 0.4, 0.5), test=0.0, second=0.0):
    """Two pairs of runs of each network; γ = 0.1 has ``test`` more in testing and ``second`` more in the second run."""
    return [
        {
            "gamma": gamma, "architecture": name, "seed": seed,
            **{
                f"{kind}_{epoch}": value + (extra + second * seed if gamma == w.SMALL else 0)
                for kind, extra in ((w.TRAIN, 0.0), (w.TEST, test))
                for epoch, value in enumerate(curve, start=1)
            },
        }
        for gamma, curve in ((w.SMALL, small), (w.USUAL, usual))
        for name in w.ARCHITECTURES
        for seed in (0, 1)
    ]  # fmt: skip


def test_figure_4_holds_where_the_small_gamma_leads_in_every_pair():
    verdict = w.STUDY.verdict(gamma_table())
    assert verdict.outcome == "held"
    assert [check.value for check in verdict.of("paper")] == pytest.approx([10.0] * 4)
    assert [check.value for check in verdict.of("normfield")] == pytest.approx([2 / 3] * 2), (
        "after 2 epochs of 3"
    )


@pytest.mark.parametrize(
    ("changed", "held"),
    [
        ({"test": -0.11}, [True, False, True, False]),
        ({"second": -0.11}, [False] * 4),
        ({"second": -0.09}, [True] * 4),
        ({"small": (0.1, 0.3, 0.6)}, [False] * 4),
        ({"small": (0.1, 0.5, 0.6)}, [True] * 4),  # ahead in the mean over the epochs
    ],
)
def test_the_thresholds_of_figure_4(changed, held):
    assert [check.held for check in w.STUDY.verdict(gamma_table(**changed)).of("paper")] == held


@pytest.mark.parametrize(
    ("small", "value", "held"),
    [((0.2, 0.3, 0.5), 1.0, False), ((0.1, 0.2, 0.3), 4 / 3, False), ((0.6, 0.6, 0.6), 1 / 3, True)],
)
def test_the_epochs_until_the_usual_gammas_end(small, value, held):
    (check, _) = w.STUDY.verdict(gamma_table(small=small)).of("normfield")
    assert check.value == pytest.approx(value)
    assert check.held is held


def test_pairs_of_runs_differ_in_gamma_alone(monkeypatch):
    """The trained modules begin at the same weights but for γ, and see the same images."""
    seen = []

    def spy(model, data, recipe, seed):
        seen.append(({name: value.clone() for name, value in model.state_dict().items()}, data.inputs, seed))
        return iter(())

    monkeypatch.setattr(w, "accuracies_by_epoch", spy)
    settings = w.Settings(Images("digits", 16, 16), 1, Recipe(1), runs=1)
    w.STUDY.measure(settings, w.STUDY.points(settings, 3))
    for small, usual in zip(seen[:2], seen[2:], strict=True):
        assert torch.equal(small[1], usual[1])
        assert small[2] == usual[2] == 3
        changed = {name for name, value in small[0].items() if not torch.equal(value, usual[0][name])}
        assert changed
        for name in changed:
            assert np.allclose(small[0][name], 0.1)
            assert np.allclose(usual[0][name], 1.0)


def test_at_the_papers_size_networks_are_the_papers():
    settings = w.STUDY.settings("paper")
    assert (settings.channels, settings.runs) == (64, 5)
    assert settings.recipe == Recipe(
        epochs=100, learning_rate=0.1, momentum=0.9, weight_decay=5e-4, batch_size=128
    )
    assert settings.images.samples == 50_000
