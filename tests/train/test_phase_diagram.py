"""Phase diagrams: what runs say of a map, in one call, stopped and gone on with, beside theory."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf
from normfield.errors import InvalidInput
from normfield.train.sweeps import Ended, boundary_columns, offset_from

NET = nf.mlp(64, 12, 3, 10)
RATES = (0.01, 0.1, 1.0, 10.0, 100.0)
AXES = {"gamma": [0.3, 2.0], "learning_rate": [0.03, 0.3, 3.0, 30.0]}


def ended(at, rates, diverged, values=None, seed=0):
    values = values or [None] * len(rates)
    return [
        Ended(at, rate, seed, gone, value) for rate, gone, value in zip(rates, diverged, values, strict=True)
    ]


def diagram(axes=AXES, build=NET, **settings):
    return nf.phase_diagram(
        build, "digits", axes, **{"restarts": 2, "samples": 256, "epochs": 1, "compiled": False, **settings}
    )


@pytest.fixture(scope="module")
def found():
    return diagram()


def test_a_boundary_lies_half_way_between_the_last_that_ended_and_the_first_that_diverged():
    (column,) = boundary_columns(ended("a", RATES, [False, False, True, True, True]), ["a"], RATES, 1)
    assert column.log10 == pytest.approx(-0.5)
    assert column.learning_rate == pytest.approx(10**-0.5)
    assert column.error == pytest.approx(0.5)
    assert column.onset == pytest.approx(-0.5)
    assert column.status == "bracketed"


def test_restarts_give_the_error_bar_and_the_onset_is_the_first_of_them():
    runs = ended("a", RATES, [False, False, True, True, True], seed=0)
    runs += ended("a", RATES, [False, False, False, True, True], seed=1)
    (column,) = boundary_columns(runs, ["a"], RATES, 2)
    assert column.log10 == pytest.approx(0.0)
    assert column.error == pytest.approx(math.hypot(math.sqrt(0.5), 0.5))
    assert column.onset == pytest.approx(-0.5)


def test_a_rate_that_trains_above_the_onset_does_not_move_it():
    (column,) = boundary_columns(ended("a", RATES, [False, True, False, True, True]), ["a"], RATES, 1)
    assert column.log10 == pytest.approx(-1.5)
    assert column.boundaries[0].reversals == 1


def test_a_boundary_outside_the_grid_is_none_and_says_on_which_side():
    runs = ended("low", RATES, [True] * 5) + ended("high", RATES, [False] * 5)
    low, high, empty = boundary_columns(runs, ["low", "high", "empty"], RATES, 1)
    assert (low.log10, high.log10, empty.log10) == (None, None, None)
    assert low.status.startswith("not bracketed: already beyond at log₁₀η = -2")
    assert high.status.startswith("not bracketed: still below at log₁₀η = 2")
    assert empty.best_learning_rate is None


def test_a_boundary_that_most_restarts_do_not_reach_is_none():
    runs = ended("a", RATES, [False] * 4 + [True], seed=0)
    runs += ended("a", RATES, [False] * 5, seed=1) + ended("a", RATES, [False] * 5, seed=2)
    (column,) = boundary_columns(runs, ["a"], RATES, 3)
    assert column.log10 is None
    assert column.status.startswith("bracketed in 1 of 3 restarts")


def test_the_best_rate_has_the_best_mean_and_no_divergence():
    runs = ended("a", RATES[:3], [False, False, False], [3.0, 2.0, 0.1], seed=0)
    runs += ended("a", RATES[:3], [False, False, True], [2.0, 1.0, None], seed=1)
    (loss,) = boundary_columns(runs, ["a"], RATES, 2)
    (accuracy,) = boundary_columns(runs, ["a"], RATES, 2, largest_is_best=True)
    assert (loss.best_learning_rate, loss.best_value) == (0.1, 1.5)
    assert (accuracy.best_learning_rate, accuracy.best_value) == (0.01, 2.5)


def test_the_offset_is_a_median_with_a_root_mean_square_around_it():
    offset = offset_from([0.1, 0.5, None, 0.3], [0.0, 0.0, 0.0, None])
    assert (offset.median, offset.columns) == (pytest.approx(0.3), 2)
    assert offset.scatter == pytest.approx(0.2)
    assert str(offset) == "+0.30 decades, scatter 0.20"
    assert offset_from([0.1], [0.0]).scatter is None
    assert offset_from([None], [0.0]) is None


def test_pixels_are_the_means_of_the_frame(found):
    """The oracle is pandas on the table of trials."""
    frame = found.to_frame()
    assert len(frame) == 2 * 4 * 2
    grouped = frame.groupby(["learning_rate", "gamma"])
    for row, rate in enumerate(found.learning_rates):
        for i, gamma in enumerate(AXES["gamma"]):
            own = grouped.get_group((rate, gamma))
            assert found.exploded[row][i] == bool((own.status == "diverged").any())
            ended_ones = own[own.status == "finished"]
            if len(ended_ones):
                assert found.values[row][i] == pytest.approx(ended_ones.test_loss.mean())
            else:
                assert found.values[row][i] is None


def test_small_rates_train_and_large_ones_explode_nearer_for_larger_gamma(found):
    assert found.exploded[0] == [False, False]
    assert found.exploded[-1] == [True, True]
    small, large = found.columns
    assert large.log10 < small.log10


def test_theory_is_the_field_of_each_columns_network(found):
    for line in found.theory:
        expected = [
            nf.mean_field(nf.mlp(64, 12, 3, 10, gamma=gamma), line.name).max_learning_rate(0.9)
            for gamma in AXES["gamma"]
        ]
        assert line.learning_rates == pytest.approx(expected)
    boundary = np.array([column.log10 for column in found.columns])
    apart = boundary - np.log10(found.theory[0].learning_rates)
    assert found.offset().median == pytest.approx(np.median(apart))
    best = [column.best_learning_rate for column in found.columns]
    assert found.best_over("published") == pytest.approx(np.array(best) / found.theory[1].learning_rates)


def test_it_is_shown(found, tmp_path):
    assert "Phase diagram, test_loss over gamma (2) × learning_rate (4), 2 restarts" in str(found)
    assert "Training diverges" in str(found)
    told = json.loads(found.to_json())
    assert told["exploded"] == found.exploded
    assert told["columns"][0]["gamma"] == 0.3
    figure = found.plot()
    assert figure.data[0].type == "heatmap"
    names = [entry.name for entry in found.figure.legend]
    assert names == [
        "a restart diverged",
        "η*, training mode",
        "η*, published",
        "measured boundary",
        "best test loss",
    ]
    page = found.to_html(tmp_path / "map.html").read_text(encoding="utf-8")
    assert "Phase diagram over batch-norm scale γ and learning rate" in page
    assert "<table" in found._repr_html_()


def test_a_diagram_that_was_stopped_goes_on_and_equals_one_that_was_not(tmp_path):
    """Several groups, so that Ctrl-C after the first leaves some; the bits are those of the whole."""
    axes = {"width": [8, 9], "learning_rate": [0.03, 30.0]}
    calls = []

    def stop(progress):
        calls.append(progress.finished)
        if progress.finished:
            raise KeyboardInterrupt

    store = tmp_path / "map.db"
    part = diagram(axes, store=store, progress=stop)
    assert part.interrupted
    assert calls == [0, 4]
    assert part.plot() is not None
    assert "interrupted" in str(part)
    whole = diagram(axes, store=store)
    assert not whole.interrupted
    again = diagram(axes, store=store)
    straight = diagram(axes)
    assert whole.values == again.values == straight.values
    assert whole.columns == straight.columns


def test_a_store_of_another_diagram_is_refused(tmp_path):
    axes = {"gamma": [1.0], "learning_rate": [0.03, 30.0]}
    diagram(axes, store=tmp_path / "map.db", restarts=1)
    with pytest.raises(
        InvalidInput, match=r"expected a store of this grid, or a new file, at map\.db, got one of 2"
    ):
        diagram(axes, store=tmp_path / "map.db", restarts=2)
    with pytest.raises(InvalidInput, match=r"made with, epochs=1, got epochs=2"):
        diagram(axes, store=tmp_path / "map.db", restarts=1, epochs=2)


def test_where_there_is_no_theory_the_reason_stands():
    axes = {"batch_size": [32, 64], "learning_rate": [0.03, 30.0]}
    soft = diagram(axes, loss="cross_entropy", restarts=1)
    assert {line.reason for line in soft.theory} == {
        "η* is the limit of the squared loss under plain or heavy-ball steps"
    }
    assert soft.offset() is None
    assert "Where no η* is drawn: η* is the limit of the squared loss" in soft.figure.caption
    module = diagram(axes, build=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), restarts=1)
    assert module.theory[0].reason.startswith("theory reads a Network")
    squared = diagram(axes, restarts=1)
    assert squared.theory[0].learning_rates[0] == squared.theory[0].learning_rates[1] > 0


def test_the_momentum_of_an_axis_is_in_theorys_line():
    moving = diagram({"momentum": [0.0, 0.9], "learning_rate": [0.01, 30.0]}, restarts=1)
    still, heavy = moving.theory[0].learning_rates
    assert heavy == pytest.approx(1.9 * still)


def test_words_can_be_an_axis_and_accuracies_the_value():
    words = diagram(
        {"activation": ["relu", "tanh"], "learning_rate": [0.03, 0.1]}, value="test_accuracy", restarts=1
    )
    assert words.figure.layout["xaxis"]["ticktext"] == ["relu", "tanh"]
    best = max(row[0] for row in words.values)
    assert words.columns[0].best_value == best


def test_without_test_data_the_training_loss_is_shown():
    generator = torch.Generator().manual_seed(0)
    data = (torch.randn(64, 4, generator=generator), torch.randn(64, 2, generator=generator))
    axes = {"gamma": [1.0], "learning_rate": [0.01, 1e3]}
    shown = nf.phase_diagram(
        nf.mlp(4, 8, 2, 2), data, axes, restarts=1, batch_size=16, epochs=1, compiled=False
    )
    assert shown.value == "final_loss"
    assert shown.values[0][0] > 0
    with pytest.raises(InvalidInput, match="expected test data for value='test_loss', got none"):
        nf.phase_diagram(nf.mlp(4, 8, 2, 2), data, axes, value="test_loss")


def fragile(seed, width):
    if width == 9:
        raise ValueError("not nine")
    return nf.mlp(64, width, 3, 10)


def test_failed_trials_are_counted_and_leave_gaps():
    gaps = diagram({"width": [8, 9], "learning_rate": [0.03, 0.1]}, build=fragile, restarts=1)
    assert gaps.failed == 2
    assert [row[1] for row in gaps.values] == [None, None]
    assert all(value is not None for value in (gaps.values[0][0], gaps.values[1][0]))
    assert gaps.to_frame().error.dropna().str.startswith("ValueError: not nine").sum() == 2
    assert gaps.theory[0].learning_rates[1] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": {"gamma": [1.0]}}, "expected two axes, learning_rate and one other than seed, got gamma"),
        (
            {"axes": {"seed": [1], "learning_rate": [1.0, 2.0]}},
            "one other than seed, got seed, learning_rate",
        ),
        ({"axes": {"gama": [1.0], "learning_rate": [0.1, 1.0]}}, "got 'gama'; did you mean 'gamma'?"),
        ({"axes": {"gamma": [1.0, 1.0], "learning_rate": [0.1, 1.0]}}, "got 1.0 twice"),
        ({"axes": {"gamma": [1.0], "learning_rate": [0.1]}}, "expected at least two learning rates, got 1"),
        (
            {"axes": {"gamma": [1.0], "learning_rate": [0.0, 1.0]}},
            "expected learning_rate finite and above 0, got 0.0",
        ),
        ({"restarts": 0}, "expected restarts as a whole number of at least 1, got 0"),
        ({"seed": -1}, "expected seed as a whole number from 0"),
        ({"value": "loss"}, "expected value one of test_loss, test_accuracy, final_loss, got 'loss'"),
        ({"engine": "cloud"}, "expected engine as one of inline, processes, ray, got 'cloud'"),
    ],
)
def test_bad_input_is_refused_in_one_line(changes, message):
    with pytest.raises(InvalidInput) as refused:
        diagram(**changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_line_of_theory_is_refused(found):
    with pytest.raises(InvalidInput, match="expected a line among batch, published, got 'kernel'"):
        found.offset("kernel")
