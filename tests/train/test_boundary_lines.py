"""The boundary along an axis: the same as a full grid's, with a sixth of its trainings, kept and gone on from."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.errors import InvalidInput

NET = nf.mlp(inputs=64, width=32, depth=3, outputs=10)
GAMMAS = [0.4, 0.8, 1.6, 3.2]
SETTINGS = {"steps": 30}
# One linear layer on orthonormal inputs: λ_max = 1, so that runs of many steps diverge above 2(1+μ).
LINEAR, EYE = nn.Linear(2, 2), (torch.eye(2) * 2**0.5, torch.eye(2))
QUICK = {"batch_size": None, "epochs": 200, "restarts": 2}


def on_a_grid(gamma: float, rates: list[float], seeds: int) -> list[float]:
    """For each seed the boundary as a full grid shows it: midway from the lowest diverging rate to the one below."""
    layers = [replace(each, gamma=gamma) if isinstance(each, nf.BatchNorm) else each for each in NET.layers]
    members = [nf.Member(10**rate, seed=seed) for seed in range(seeds) for rate in rates]
    runs = nf.train_ensemble(replace(NET, layers=tuple(layers)), "digits", members, **SETTINGS).runs
    first = [[r.status for r in runs if r.seed == seed].index("diverged") for seed in range(seeds)]
    return [(rates[place] + rates[place - 1]) / 2 for place in first]


def test_the_boundary_is_that_of_a_full_grid_with_at_most_a_sixth_of_its_trainings():
    resolution = 0.05
    rates = [round(-1.5 + resolution * i, 2) for i in range(43)]  # 2.1 decades
    found = nf.trace_boundary(NET, "digits", {"gamma": GAMMAS}, restarts=3, resolution=resolution, **SETTINGS)
    assert found.status == "bracketed"
    assert [column.at for column in found.columns] == GAMMAS
    for column in found.columns:
        onsets = on_a_grid(column.at, rates, 3)
        assert column.log10 == pytest.approx(statistics.fmean(onsets), abs=resolution)
        for boundary, onset in zip(column.boundaries, onsets, strict=True):
            # Mini-batch runs are ragged by about a step of the grid: some train just above others that diverge.
            assert boundary.log10 == pytest.approx(onset, abs=2 * resolution)
    assert len(found.runs) <= len(GAMMAS) * 3 * len(rates) / 6
    assert (
        found.share_of_full_grid <= 1 / 6
    )  # of the smaller grid over the span that the search itself went over


def test_runs_are_those_of_training_once():
    found = nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0, 0.5]}, **QUICK)
    assert {run.seed for run in found.runs} == {0, 1}
    for run in found.runs[::3]:
        alone = nf.train.train_once(
            nn.Linear(2, 2).requires_grad_(), EYE, learning_rate=10**run.log10, momentum=run.at, batch_size=None,
            epochs=200,
        )  # fmt: skip
        near = abs(run.log10 - math.log10(1 + run.at)) < 0.02
        assert near or alone.status == run.status


def test_a_linear_layer_diverges_above_its_limit():
    found = nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0, 0.25, 0.5]}, **QUICK)
    for column in found.columns:
        assert column.log10 == pytest.approx(math.log10(1 + column.at), abs=0.04)
        assert column.spread <= 0.05
        assert column.reversals == 0
    assert found.offsets == {}
    assert all("given as a module" in line.reason for line in found.theory)


def test_a_function_of_the_axis_is_called_with_it():
    def build(seed: int, scale: float = 1.0) -> nn.Module:
        layer = nn.Linear(2, 2)
        nn.init.zeros_(layer.weight)
        return nn.Sequential(Scaled(scale), layer)

    found = nf.trace_boundary(build, EYE, {"scale": [1.0, 2.0]}, momentum=0.0, **QUICK)
    small, large = (column.log10 for column in found.columns)
    assert small - large == pytest.approx(math.log10(5 / 2), abs=0.06)  # (scale² + 1)/2, the 1 of the bias


class Scaled(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x


def test_an_axis_that_changes_the_shape():
    found = nf.trace_boundary(
        NET, "digits", {"depth": [2, 3]}, restarts=1, resolution=0.2, samples=256, **SETTINGS
    )
    assert found.status == "bracketed"
    assert len(found.theory) == 2


def test_theory_is_beside_it_and_its_distance_in_decades():
    found = nf.trace_boundary(NET, "digits", {"gamma": [0.4, 1.6]}, restarts=1, resolution=0.1, **SETTINGS)
    for line in found.theory:
        for gamma, log10 in zip((0.4, 1.6), line.log10, strict=True):
            field = nf.mean_field(NET, line.name, gamma=gamma)
            assert log10 == pytest.approx(math.log10(field.max_learning_rate(momentum=0.9)))
    apart = [column.log10 - log10 for column, log10 in zip(found.columns, found.theory[0].log10, strict=True)]
    assert found.offsets["batch"].median == pytest.approx(sum(apart) / 2)
    assert found.offsets["batch"].scatter == pytest.approx(abs(apart[0] - apart[1]) / 2)
    assert abs(found.offsets["batch"].median) < 0.5
    assert "theory, batch: runs diverge" in str(found)


def test_cross_entropy_has_no_line_and_says_so():
    found = nf.trace_boundary(
        NET, "digits", {"gamma": [1.0]}, loss="cross_entropy", restarts=1, limits=(0.05, 0.1), **SETTINGS
    )
    assert [line.log10 for line in found.theory] == [(None,), (None,)]
    assert "squared loss" in found.theory[0].reason
    assert found.columns[0].status == ("not bracketed: still below at log₁₀η = -1, with an upper limit of -1")
    assert found.columns[0].learning_rate is None


def test_shown_as_table_json_figure_and_words():
    found = nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0, 0.5]}, **QUICK)
    frame = found.to_frame()
    assert list(frame["momentum"]) == [0.0, 0.5]
    assert list(frame["status"]) == ["bracketed"] * 2
    read = json.loads(found.to_json())
    assert read["columns"][0]["log10"] == pytest.approx(found.columns[0].log10)
    assert len(read["runs"]) == len(found.runs)
    assert read["full_grid_runs"] == found.full_grid_runs
    names = {trace.name for trace in found.plot().data}
    assert {"boundary", "trained", "diverged"} <= names
    assert "momentum = 0.5: η = " in str(found)
    assert f"{len(found.runs)} runs" in str(found)


def test_a_store_keeps_every_run_and_an_interrupted_trace_goes_on_to_the_same_line(tmp_path):
    axis, kept = {"momentum": [0.0, 0.3, 0.6]}, tmp_path / "line.db"
    whole = nf.trace_boundary(LINEAR, EYE, axis, **QUICK)
    waves = []

    def stop(line: str) -> None:
        waves.append(line)
        if len(waves) == 3:
            raise KeyboardInterrupt

    cut = nf.trace_boundary(LINEAR, EYE, axis, store=kept, progress=stop, **QUICK)
    assert cut.status.startswith("interrupted: ")
    assert 0 < len(cut.runs) < len(whole.runs)
    rest = nf.trace_boundary(LINEAR, EYE, axis, store=kept, **QUICK)
    assert rest.columns == whole.columns
    assert rest.runs == whole.runs
    assert rest.reused == len(cut.runs)
    again = nf.trace_boundary(LINEAR, EYE, axis, store=kept, **QUICK)
    assert (again.columns, again.reused) == (whole.columns, len(whole.runs))


def test_a_budget_ends_it_with_what_there_is():
    found = nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0, 0.5]}, budget=1e-9, **QUICK)
    assert found.status == "budget of 1e-09 s spent: 0 of 2 columns bracketed"
    assert (found.runs, found.share_of_full_grid) == ((), None)
    with pytest.raises(InvalidInput, match="at least one run to draw"):
        found.plot()


def test_a_build_that_raises_at_one_value_leaves_the_others():
    def build(seed: int, scale: float = 1.0) -> nn.Module:
        if scale == 2.0:
            raise ValueError("no such scale")
        return nn.Linear(2, 2)

    found = nf.trace_boundary(build, EYE, {"scale": [1.0, 2.0, 3.0]}, momentum=0.0, **QUICK)
    ended = [column.status for column in found.columns]
    assert (ended[0], ended[2]) == ("bracketed", "bracketed")
    assert "no such scale" in ended[1]
    assert found.status.startswith("2 of 3 columns bracketed; otherwise ")


@pytest.mark.parametrize(
    ("axis", "settings", "message"),
    [
        ({"gamma": [1.0], "beta": [0.0]}, {}, "expected one axis beside learning_rate and seed"),
        ({"seed": [0, 1]}, {}, "expected one axis beside learning_rate and seed, which are traced, got seed"),
        ({"gamma": []}, {}, "expected at least one value on the axis gamma"),
        ({"gama": [1.0]}, {}, "gama"),
        ({"gamma": [1.0]}, {"restarts": 0}, "restarts"),
        ({"gamma": [1.0]}, {"resolution": 0.0}, "resolution"),
        ({"gamma": [1.0]}, {"start": -1.0}, "start"),
        ({"gamma": [1.0]}, {"start": [0.1, 0.1]}, "one guess for each of 1 columns"),
        ({"gamma": [1.0]}, {"limits": (1.0, 0.1)}, "low < high"),
        ({"gamma": [1.0]}, {"limits": 3}, "limits as (lowest, highest) learning rate"),
        ({"gamma": [1.0]}, {"budget": 0.0}, "budget"),
    ],
)
def test_bad_input_is_one_line(axis, settings, message):
    with pytest.raises(InvalidInput) as caught:
        nf.trace_boundary(NET, "digits", axis, **settings)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_store_of_another_trace_is_refused_and_left_alone(tmp_path):
    kept = tmp_path / "line.db"
    nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0]}, store=kept, **QUICK)
    before = kept.read_bytes()
    with pytest.raises(InvalidInput, match=r"expected a store of this trace, or a new file, for line\.db"):
        nf.trace_boundary(LINEAR, EYE, {"momentum": [0.0]}, store=kept, **{**QUICK, "epochs": 199})
    assert kept.read_bytes() == before
