"""Maps over the learning rate: cells beside single runs, boundaries and verdicts of tables made by hand, figures."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from statistics import mean

import numpy as np
import pytest

import normfield as nf
from normfield.errors import DataUnavailable
from normfield.studies import wei_fig_2, wei_fig_3
from normfield.studies.groups import sharing
from normfield.studies.phase_diagrams.boundaries import first_rate, maps
from normfield.studies.phase_diagrams.checks import rank_correlation
from normfield.studies.phase_diagrams.panels import Images, Panel, steps
from normfield.studies.phase_diagrams.training import Settings
from normfield.train.run import train_once

PAIR = pytest.mark.parametrize("study", [wei_fig_2, wei_fig_3], ids=["wei-fig-2", "wei-fig-3"])


def tiny(**architecture):
    panel = Panel(
        images=Images("digits", 256, 128),
        across=(0.8, 2.0),
        rates=(-2.0, -0.5, 1.5),
        restarts=2,
        epochs=2,
        **architecture,
    )
    return Settings((panel,), batch_size=32)


def one_by_one(network, rate, seeds, tiny_images):
    """The runs of a cell, each trained by itself."""
    runs = []
    for seed in seeds:
        model = nf.build(network, seed)
        data = tiny_images.shaped(network.input_shape)
        runs.append(
            train_once(model, data, learning_rate=10**rate, batch_size=32, epochs=2, seed=seed, momentum=0.9)
        )
    return runs


@pytest.mark.parametrize("architecture", [{"width": 16}, {"channels": (4, 6)}], ids=["dense", "conv"])
@PAIR
def test_a_cell_is_what_its_runs_are_one_by_one(study, architecture):
    settings = tiny(**architecture)
    column = study.STUDY.groups(study.STUDY.points(settings, 7))[1]
    rows = study.STUDY.measure(settings, column)
    network = study.AXIS.network(settings.panels[0], 2.0)
    images = nf.load("digits", samples=256).with_less_test(128)
    outcomes = set()
    for point, row in zip(column, rows, strict=True):
        runs = one_by_one(network, point["log10_eta"], (7, 8), images)
        lost = sum(run.status == "diverged" for run in runs)
        outcomes.add(lost)
        assert (row["runs"], row["diverged"]) == (2, lost)
        assert row["ended_worse"] == sum(bool(run.ended_worse) for run in runs)
        if lost:
            assert row["test_loss"] is row["test_accuracy"] is row["train_loss"] is None
        else:
            assert row["test_loss"] == pytest.approx(mean(run.test_loss for run in runs), rel=1e-3)
            assert row["train_loss"] == pytest.approx(mean(run.final_loss for run in runs), rel=1e-3)
            assert row["test_accuracy"] == pytest.approx(mean(run.test_accuracy for run in runs), abs=0.02)
    assert {0, 2} <= outcomes, "some cells train and some explode"


def test_the_theories_in_a_row_are_the_closed_form_and_the_published_one():
    settings = tiny(width=16)
    row = wei_fig_2.STUDY.measure(settings, wei_fig_2.STUDY.points(settings, 0)[3:6])[0]
    limit = 16 * 2.0**2 / (2 * math.pi) + 1 + 2 * (1 / (2 * math.pi) + 1 / 4)
    assert row["training_mode_eta"] == pytest.approx(3.8 / limit, rel=1e-4)
    published = nf.mean_field(nf.mlp(64, 16, 4, 10, gamma=2.0), "published").max_learning_rate(0.9)
    assert row["published_eta"] == pytest.approx(published, rel=1e-12)


def test_the_plain_theory_counts_weights_as_the_paper_does():
    settings = tiny(width=16)
    row = wei_fig_3.STUDY.measure(settings, wei_fig_3.STUDY.points(settings, 0)[:3])[0]
    plain = nf.mlp(64, 16, 4, 10, batch_norm=False, weight_variance=0.8**2)
    field = nf.mean_field(plain, "published", parameters="weights")
    assert row["theory_eta"] == pytest.approx(field.max_learning_rate(0.9), rel=1e-12)


@PAIR
def test_columns_are_trained_together_and_restarts_share_their_seeds(study):
    points = study.STUDY.points(tiny(width=16), 3)
    assert [len(group) for group in study.STUDY.groups(points)] == [3, 3]
    assert {point["seed"] for point in points} == {3}
    assert study.STUDY.groups(points) == sharing("panel", study.AXIS.column)(points)


def test_a_column_measured_again_is_the_same_to_the_last_digit():
    settings = tiny(width=16)
    group = wei_fig_2.STUDY.groups(wei_fig_2.STUDY.points(settings, 0))[0]
    assert wei_fig_2.STUDY.measure(settings, group) == wei_fig_2.STUDY.measure(settings, group)


def test_images_that_are_not_here_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NORMFIELD_DATA", str(tmp_path))
    monkeypatch.setenv("NORMFIELD_OFFLINE", "1")
    settings = wei_fig_3.STUDY.settings("small")
    with pytest.raises(DataUnavailable, match="mnist"):
        wei_fig_3.STUDY.measure(settings, wei_fig_3.STUDY.points(settings, 0)[:1])


@pytest.mark.skipif(
    "NORMFIELD_DATA" not in os.environ, reason="NORMFIELD_DATA is not set: no MNIST, no CIFAR-10"
)
def test_panels_of_size_small_take_their_images():
    for panel in wei_fig_2.STUDY.settings("small").panels[1:3]:
        images = panel.images.load()
        assert images.input_shape == panel.images.shape
        assert images.samples_used == panel.images.trained
        assert wei_fig_2.AXIS.network(panel, 0.5).output_shape == (10,)


def test_the_paper_size_is_the_papers_networks():
    dense, conv = wei_fig_2.STUDY.settings("paper").panels[0], wei_fig_2.STUDY.settings("paper").panels[3]
    assert wei_fig_2.AXIS.network(dense, 0.5) == nf.mlp(784, 1000, 4, 10, gamma=0.5)
    assert wei_fig_2.AXIS.network(conv, 0.5) == nf.convnet((3, 32, 32), (30, 60, 90), 10, gamma=0.5)
    assert {panel.name for panel in wei_fig_2.STUDY.settings("paper").panels} == {
        "fully connected, MNIST", "convolutional, MNIST", "fully connected, CIFAR-10", "convolutional, CIFAR-10",
    }  # fmt: skip


# Tables made by hand -------------------------------------------------------------------------------------------------

RATES = steps(-3.0, 1.2, 0.2)
#: γ and where runs explode, half-way between two cells.
LIMITS = {0.1: 0.3, 0.5: -0.5, 1.0: -0.9, 2.0: -1.5, 4.0: -1.9}


def made(
    *, offset=0.0, wobble=0.0, best=-0.4, slope=0.1, quiet=0, late=0.0, panels=("fully connected, MNIST",)
):
    """A map whose runs explode at `LIMITS`, with theory `offset` below it, give or take `wobble`."""
    rows = []
    for panel in panels:
        for k, (gamma, limit) in enumerate(LIMITS.items()):
            theory = limit - offset - (wobble if k % 2 else -wobble)
            exploding = [rate > limit for rate in RATES]
            silenced = [i for i, explodes in enumerate(exploding) if explodes][1 : 1 + quiet]
            for i, rate in enumerate(RATES):
                lost = (5 if rate > limit + late else 2) if exploding[i] and i not in silenced else 0
                loss = None if lost else 0.2 + slope * gamma + (rate - (theory + best)) ** 2
                rows.append(
                    {
                        "panel": panel, "gamma": gamma, "log10_eta": rate, "seed": 0, "runs": 5, "diverged": lost,
                        "ended_worse": lost + (lost == 0 and rate > limit - 0.2), "test_loss": loss,
                        "test_accuracy": None if lost else 0.9, "train_loss": loss,
                        "published_eta": 10**theory, "training_mode_eta": 10 ** (theory + 0.3),
                    }
                )  # fmt: skip
    return rows


def check(words, rows):
    return next(check for check in wei_fig_2.STUDY.verdict(rows).checks if words in check.sentence)


def test_what_a_column_says():
    (found,) = maps(made(late=0.4, best=-0.3), wei_fig_2.AXIS)
    assert [line.value for line in found.lines] == list(LIMITS)
    for line, limit in zip(found.lines, LIMITS.values(), strict=True):
        assert line.boundary == pytest.approx(limit)
        assert line.every == pytest.approx(limit + 0.4)
        assert line.worse == pytest.approx(limit - 0.2)
        assert line.best == pytest.approx(limit - 0.3)
        assert line.best_loss == pytest.approx(0.2 + 0.1 * line.value)
        assert line.above("training_mode_eta") == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("happens", "place"),
    [("0011", 1.5), ("0101", 0.5), ("0001", 2.5), ("0000", math.nan), ("1000", math.nan), ("1111", math.nan)],
)
def test_where_something_begins(happens, place):
    found = first_rate(np.arange(4.0), np.array([letter == "1" for letter in happens]))
    assert found == pytest.approx(place, nan_ok=True)


@pytest.mark.parametrize(
    ("offset", "wobble", "distance", "held"),
    [
        (0.0, 0.0, 0.0, True),
        (0.19, 0.0, 0.19, True),
        (-0.19, 0.0, 0.19, True),
        (0.21, 0.0, 0.21, False),
        (0.0, 0.21, 0.21, False),
        (0.13, 0.13, None, True),
        (0.18, 0.18, None, False),
    ],
)
def test_offset_and_scatter_count_together(offset, wobble, distance, held):
    found = check("MNIST: runs explode", made(offset=offset, wobble=wobble))
    differences = [offset + (wobble if k % 2 else -wobble) for k in range(len(LIMITS))]
    wanted = math.sqrt(mean(value**2 for value in differences)) if distance is None else distance
    assert found.value == pytest.approx(wanted, abs=1e-9)
    assert found.held is held


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"offset": 0.5}, "runs explode 0.50 ± 0.00 decades above η* as published"),
        ({"offset": 0.5}, "runs explode 0.20 ± 0.00 decades above η* of training mode"),
        ({"offset": -0.5, "wobble": 0.1}, "runs explode 0.52 ± 0.10 decades below η* as published"),
    ],
)
def test_the_words_say_on_which_side_theory_is(table, words):
    assert check(words, made(**table)).sentence.startswith("Fully connected, MNIST: ")


def test_columns_beyond_the_grid_are_left_out_and_counted():
    rows = made()
    beyond = [{**row, "diverged": 0} if row["gamma"] == 0.1 else row for row in rows]
    found = check("as published", beyond)
    assert "1 of 5 columns reach it outside the grid" in found.sentence
    assert found.held
    most = [{**row, "diverged": 0} if row["gamma"] <= 1.0 else row for row in rows]
    assert math.isnan(check("as published", most).value)
    assert not check("as published", most).held


@pytest.mark.parametrize(("quiet", "held"), [(0, True), (1, False)])
def test_a_boundary_that_does_not_part_the_cells_is_none(quiet, held):
    found = check("first explosion", made(quiet=quiet))
    above = sum(rate > limit + 0.15 for limit in LIMITS.values() for rate in RATES)
    assert found.value == pytest.approx(quiet * len(LIMITS) / above)
    assert found.held is held


@pytest.mark.parametrize(
    ("offset", "best", "held"), [(0.0, -0.1, True), (0.0, -0.5, True), (0.0, -0.7, False), (0.5, 0.2, False)]
)
def test_the_best_rate_is_around_half_of_theirs(offset, best, held):
    found = check("over η* as published", made(offset=offset, best=best))
    assert found.value == pytest.approx(10**best)
    assert found.held is held


@pytest.mark.parametrize(("slope", "rank", "held"), [(0.1, 1.0, True), (-0.02, -1.0, False)])
def test_smaller_values_give_lower_losses_or_not(slope, rank, held):
    found = check("test loss", made(slope=slope, best=-0.3))
    assert found.value == pytest.approx(rank)
    assert found.held is held


def test_the_worst_map_decides():
    panels = ("fully connected, MNIST", "convolutional, MNIST")
    good, bad = made(panels=panels[:1]), made(offset=0.5, best=-1.0, quiet=1, panels=panels[1:])
    for words in ("first explosion", "over η* as published"):
        assert check(words, [*good, *bad]).value == pytest.approx(check(words, bad).value)
        assert not check(words, [*good, *bad]).held


def test_ranks_without_order_or_with_gaps_are_no_number():
    assert rank_correlation(np.array([1.0, 2, 3]), np.array([5.0, 7, 6])) == pytest.approx(0.5)
    assert math.isnan(rank_correlation(np.array([1.0, 2, 3]), np.array([5.0, 5, 5])))
    assert math.isnan(rank_correlation(np.array([1.0, 2, 3]), np.array([5.0, math.nan, 6])))


def test_outcomes():
    rows = made()
    assert wei_fig_2.STUDY.verdict(rows).outcome == "held"
    assert (
        wei_fig_2.STUDY.verdict(made(offset=0.5, best=-0.8, slope=-0.02, quiet=1)).outcome == "did not hold"
    )
    assert "0.00 ± 0.00 decades above the published η*" in wei_fig_2.STUDY.verdict(rows).sentence


def test_a_map_is_drawn_with_its_hatching_lines_and_points():
    rows = made(late=0.5)
    figures = wei_fig_2.STUDY.draw(rows)
    assert len(figures) == 3
    cells = next(trace for trace in figures[0].data if trace["type"] == "heatmap")
    drawn = sum(value is not None for row in cells["z"] for value in row)
    assert drawn == sum(row["test_loss"] is not None for row in rows)
    names = [entry.name for entry in figures[0].legend]
    assert names == [
        "a run exploded", "η* as published", "η* of training mode", "where runs explode", "best learning rate",
    ]  # fmt: skip
    boundary = next(trace for trace in figures[0].data if trace.get("name") == "where runs explode")
    assert np.log10(boundary["y"]) == pytest.approx(list(LIMITS.values()))
    assert "0.00 ± 0.00 decades above η* as published" in figures[0].title


def test_the_distance_from_a_theory_is_drawn_as_a_multiple_of_it():
    figure = wei_fig_2.STUDY.draw(made(offset=0.3))[1]
    points = next(trace for trace in figure.data if trace["name"] == "fully connected, MNIST")
    assert points["y"] == pytest.approx([10**0.3] * len(LIMITS))
    assert "0.30 decades apart" in figure.title


def test_a_map_in_which_everything_exploded_is_drawn_all_the_same():
    rows = [{**row, "diverged": 5, "ended_worse": 5, "test_loss": None} for row in made()]
    figure = wei_fig_2.STUDY.draw(rows)[0]
    assert figure.title.endswith("η* of training mode")
    assert not any(check.held for check in wei_fig_2.STUDY.verdict(rows).checks)


def test_the_table_for_reading_has_a_row_for_each_column_of_each_map():
    table = wei_fig_2.STUDY.tabulate(made())
    assert [row[1] for row in table.rows] == list(LIMITS)
    assert [row[2] for row in table.rows] == pytest.approx(list(LIMITS.values()))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_killed_and_run_again_the_table_is_the_uninterrupted_one(tmp_path):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    command = [sys.executable, "-m", "normfield", "study", "run", "wei-fig-3", "--out"]
    subprocess.run([*command, "whole"], check=True, **quiet)
    table, kills = tmp_path / "killed" / "table.csv", 0
    while True:
        process = subprocess.Popen([*command, "killed"], **quiet)
        before = table.stat().st_size if table.exists() else 0
        while process.poll() is None and (not table.exists() or table.stat().st_size <= before):
            time.sleep(0.005)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 2, "columns are kept one after another"
    assert table.read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()


@pytest.mark.longest
@pytest.mark.timeout(3600)
def test_plain_networks_at_size_small(tmp_path):
    """Minutes on 2 cores: MNIST."""
    found = nf.run_study("wei-fig-3", "small", folder=tmp_path)
    assert len(found.rows) == 14 * 20
    assert found.verdict.checks[1].held, "what lies above the boundary explodes"
