"""The study of residual depth: runs, tables made by hand, verdicts at their thresholds."""

from __future__ import annotations

import math

import pytest

from normfield.studies import article_residual_depth as study
from normfield.studies.network_kinds import BOTH, KINDS, NORMED, PLAIN, SKIPS
from normfield.studies.residual_depth import table as t

TINY = study.Settings("digits", 128, 64, (4, 8), (0.01, 0.1), 12, epochs=1, runs=1, batch_size=32)
#: Between 38 and 41 layers lies theory's limit.
RATE = math.exp(16 / 40)


def test_a_run_gives_accuracy_and_theory_its_rate():
    (point, *_) = [one for one in study.STUDY.points(TINY, 0) if one["kind"] == BOTH.name]
    (row,) = study.STUDY.measure(TINY, [point])
    assert set(row) == {"theory_rate", "diverged", "trained_accuracy"}
    assert row["theory_rate"] == pytest.approx(1.52195, rel=1e-3)
    assert 0 <= row["trained_accuracy"] <= 1
    assert row["diverged"] == 0


def test_a_run_that_diverges_gets_right_what_guessing_does():
    point = {"kind": PLAIN.name, "depth": 4, "learning_rate": 1e6, "seed": 0}
    (row,) = study.STUDY.measure(TINY, [point])
    assert row["diverged"] == 1
    assert row["trained_accuracy"] == pytest.approx(0.1)


def table(both=(0.9, 0.88), normed=(0.9, 0.3, 0.12), skips=0.2, worse=0.5):
    """Accuracies at 10, 60 and 120 layers; the smaller learning rate gets a part of them."""
    ends = {
        BOTH.name: (both[0], 0.9, both[1]), NORMED.name: normed, SKIPS.name: (0.9, 0.5, skips),
        PLAIN.name: (0.8, 0.1, 0.1),
    }  # fmt: skip
    return [
        {
            "kind": kind.name, "depth": depth, "learning_rate": rate, "seed": seed, "theory_rate": RATE,
            "diverged": 0, "trained_accuracy": end * (worse if rate == 0.01 else 1.0) + (0.01 if seed else -0.01),
        }
        for kind in KINDS
        for depth, end in zip((10, 60, 120), ends[kind.name], strict=True)
        for rate in (0.01, 0.1)
        for seed in (0, 1)
    ]  # fmt: skip


def test_it_holds_where_only_both_together_train():
    verdict = study.STUDY.verdict(table())
    assert all(check.held for check in verdict.checks)
    assert verdict.outcome == "held"
    assert "With 120 layers the network gets 88 % of the test images right" in verdict.sentence
    assert (
        "12 % with batch norm alone, 20 % with skip connections alone and 10 % with neither"
        in verdict.sentence
    )


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"both": (0.83, 0.79)}, {0}),
        ({"both": (0.9, 0.84)}, {1}),
        ({"normed": (0.9, 0.3, 0.69)}, {2, 4}),
        ({"normed": (0.9, 0.51, 0.12)}, {4}),
        ({"normed": (0.49, 0.3, 0.12)}, {4}),
        ({"skips": 0.69}, {3}),
    ],
)
def test_each_part_can_fail(changed, wrong):
    held = [check.held for check in study.STUDY.verdict(table(**changed)).checks]
    assert {k for k, one in enumerate(held) if not one} == wrong


def test_of_each_network_the_best_learning_rate_counts():
    rows = table(worse=1.02)
    assert t.best(rows, BOTH.name, 120) == pytest.approx(102 * 0.88)
    assert t.best_rate(rows, BOTH.name, 120) == 0.01
    assert t.deep(rows) == [120]


def test_where_theory_leaves_no_depth_on_one_side_its_check_does_not_hold():
    verdict = study.STUDY.verdict([{**row, "theory_rate": 1.01} for row in table()])
    (ours,) = verdict.of("normfield")
    assert not ours.held
    assert "networks of no layers" in ours.sentence


def test_figures_show_the_best_of_each_depth():
    depth, rate = study.STUDY.draw(table())
    drawn = {trace["name"]: trace for trace in depth.data}
    assert drawn[BOTH.name]["y"] == pytest.approx([90, 90, 88])
    assert "gets 88 % right, anything less 20 % at most" in depth.title
    assert rate.data[0]["x"] == [0.01, 0.1]
    assert rate.data[0]["y"] == pytest.approx([44, 88])
