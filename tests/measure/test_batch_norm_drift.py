"""Running beside exact statistics: losses by hand, errors written out, and chance where weights stand still."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_batch_norm_population import BATCH, Twice, batches_of, dense, fine_tuned
from test_measure_untouched import model_in_use, state
from torch import Tensor, nn

import normfield as nf


def classified(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    return [(x, torch.arange(len(x)) % 3) for x, _ in batches_of(*sizes)]


def trained_a_little() -> nn.Module:
    model = dense()
    for x, _ in batches_of(8, 8, seed=5):
        model(x)
    return model


def by_hand(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Cross-entropy over all samples of a model as it stands."""
    losses = [F.cross_entropy(model(x), y, reduction="sum") for x, y in batches]
    return float(torch.stack(losses).sum().detach()) / sum(len(x) for x, _ in batches)


def test_losses_are_those_of_eval_of_a_recalibrated_copy_and_of_training() -> None:
    model, batches = trained_a_little(), classified(8, 8, 8)
    found = nf.statistics_drift(model, batches, "cross_entropy")
    recalibrated = copy.deepcopy(model)
    nf.recalibrate_(recalibrated, batches)
    assert found.losses is not None
    assert found.losses["running"] == pytest.approx(by_hand(copy.deepcopy(model).eval(), batches), rel=1e-12)
    assert found.losses["exact"] == pytest.approx(by_hand(recalibrated.eval(), batches), rel=1e-12)
    assert found.losses["batch"] == pytest.approx(by_hand(copy.deepcopy(model).train(), batches), rel=1e-12)
    assert len({round(value, 6) for value in found.losses.values()}) == 3


def test_dropout_is_off_in_all_three_losses() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)).double()
    batches = classified(8, 8)
    found = nf.statistics_drift(model.train(), batches, "cross_entropy")
    plain = nn.Sequential(model[0], model[1], model[3])
    expected = nf.statistics_drift(plain, batches, "cross_entropy")
    assert found.losses == pytest.approx(expected.losses)


def test_errors_are_those_written_out() -> None:
    model, batches = trained_a_little(), batches_of(8, 6, 8)
    found, exact = nf.statistics_drift(model, batches), nf.population_statistics(model, batches)
    for name in ("1", "4"):
        norm, layer = model.get_submodule(name), found[name]
        scale = exact[name].variance + norm.eps
        off = (norm.running_mean.numpy() - exact[name].mean) / np.sqrt(scale)
        ratio = (norm.running_var.numpy() + norm.eps) / scale
        assert layer.mean_error == pytest.approx(math.sqrt((off**2).mean()))
        assert layer.largest_mean_error == pytest.approx(abs(off).max())
        assert layer.variance_ratio == pytest.approx(np.prod(ratio) ** (1 / len(ratio)))
        assert (layer.smallest_variance_ratio, layer.largest_variance_ratio) == pytest.approx(
            (ratio.min(), ratio.max())
        )
        assert layer.updates == 2
    assert found.worst is max(found.layers.values(), key=lambda layer: layer.mean_error)


@pytest.mark.parametrize(("momentum", "updates"), [(0.1, 120), (None, 12)])
def test_chance_is_what_averaging_leaves_where_weights_stand_still(
    momentum: float | None, updates: int
) -> None:
    """2000 channels, each a repeat: mean square error over its expectation is 1 within 4 standard errors of χ²₁."""
    generator = torch.Generator().manual_seed(8)
    norm = nn.BatchNorm1d(2000, momentum=momentum).double()
    for x in torch.randn(updates, 8, 2000, generator=generator, dtype=torch.float64):
        norm(x)
    batches = [
        (x, torch.zeros(8)) for x in torch.randn(10, 8, 2000, generator=generator, dtype=torch.float64)
    ]
    layer = nf.statistics_drift(norm, batches)[""]
    assert (layer.mean_error / layer.chance_mean_error) ** 2 == pytest.approx(1, abs=4 * math.sqrt(2 / 2000))
    assert layer.variance_ratio == pytest.approx(1, abs=0.05)


def test_a_recalibrated_model_has_no_drift() -> None:
    model, batches = dense(), batches_of(8, 8, 8)
    nf.recalibrate_(model, batches)
    found = nf.statistics_drift(model, batches)
    assert all(layer.mean_error < 1e-12 for layer in found.layers.values())
    assert found["4"].variance_ratio == pytest.approx(1, abs=1e-12)
    with pytest.raises(nf.InvalidInput, match="at least one running mean that is off"):
        nf.statistics_drift(nn.Linear(4, 3), [BATCH]).plot()


def test_a_constant_channel_is_compared_as_the_layer_sees_it() -> None:
    """Its variance is 0: ε keeps the comparison finite."""
    x = torch.tensor([[1.0, 2.0], [1.0, 5.0]])
    found = nf.statistics_drift(nn.BatchNorm1d(2), [(x, torch.zeros(2)), (x, torch.zeros(2))])[""]
    assert math.isfinite(found.largest_mean_error)
    assert found.largest_variance_ratio == pytest.approx(1e5, rel=1e-3)


def test_the_module_is_left_as_it_was() -> None:
    model = model_in_use()
    before = state(model)
    nf.statistics_drift(model, [BATCH, BATCH], "cross_entropy")
    assert state(model) == before
    with pytest.raises(nf.InvalidInput, match="labels from 0 to 2"):
        nf.statistics_drift(model, (BATCH[0], BATCH[1] + 1), "cross_entropy")
    assert state(model) == before


def test_structured_outputs_with_a_loss_of_ones_own() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = trained_a_little()

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.inner(x)}

    batches = classified(8, 8)
    found = nf.statistics_drift(Named(), batches, lambda out, y: F.cross_entropy(out["logits"], y))
    expected = nf.statistics_drift(trained_a_little(), batches, "cross_entropy")
    assert found.losses == pytest.approx(expected.losses)


def test_results_are_shown() -> None:
    found = nf.statistics_drift(trained_a_little(), classified(8, 8, 5), nn.CrossEntropyLoss())
    assert list(found.to_frame()["layer"]) == ["1", "4"]
    plain = json.loads(found.to_json())
    assert plain["layers"][1]["mean_error"] == pytest.approx(found["4"].mean_error)
    assert plain["losses"] == pytest.approx(found.losses)
    assert plain["dropped_samples"] == 5
    assert "with exact statistics" in str(found)
    assert [trace["name"] for trace in found.plot().to_plotly_json()["data"]][:2] == [
        "running means",
        "by chance alone",
    ]
    single = json.loads(nf.statistics_drift(dense(), batches_of(8)).to_json())
    assert single["layers"][0]["chance_mean_error"] is None
    assert "a single batch" in single["reason"]
    assert single["losses"] is None


def test_without_batch_norm_there_are_no_layers() -> None:
    found = nf.statistics_drift(nn.Linear(4, 3), [BATCH], "cross_entropy")
    assert found.layers == {}
    assert found.worst is None
    assert "no batch norm here" in str(found)
    assert len(found.to_frame()) == 0
    assert found.losses is not None
    assert len(set(found.losses.values())) == 1


def test_batch_norms_without_running_statistics_are_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(nf.InvalidInput, match="track_running_stats=False at '1'"):
        nf.statistics_drift(model, [BATCH])


def test_a_batch_norm_in_eval_mode_keeps_its_statistics_in_all_three_losses() -> None:
    model, batches = fine_tuned(), classified(8, 8)
    for x, _ in batches_of(8, 8, seed=5):
        model(x)
    before = state(model)
    found = nf.statistics_drift(model, batches, "cross_entropy")
    assert state(model) == before
    assert (list(found.layers), found.in_eval_mode) == (["4"], ("1",))
    assert "1: in eval mode, keeps its running statistics" in str(found)
    recalibrated = copy.deepcopy(model)
    nf.recalibrate_(recalibrated, batches)
    assert found.losses is not None
    assert found.losses["running"] == pytest.approx(by_hand(copy.deepcopy(model).eval(), batches), rel=1e-12)
    assert found.losses["exact"] == pytest.approx(by_hand(recalibrated.eval(), batches), rel=1e-12)
    assert found.losses["batch"] == pytest.approx(by_hand(copy.deepcopy(model), batches), rel=1e-12)
    model[4].eval()
    alone = nf.statistics_drift(model, (batches[0][0][:1], batches[0][1][:1]), "cross_entropy")
    assert (alone.layers, alone.in_eval_mode) == ({}, ("1", "4"))
    assert alone.losses is not None
    assert len(set(alone.losses.values())) == 1


def test_a_batch_norm_that_is_not_called_is_named() -> None:
    found = nf.statistics_drift(Twice().double(), batches_of(8, 8))
    assert (list(found.layers), found.not_called) == (["norm"], ("idle",))
    assert "idle: not called" in str(found)
    assert json.loads(found.to_json())["not_called"] == ["idle"]


def after_updates(updates: int, momentum: float | None = 0.1, mean: float = 0.3) -> nf.StatisticsDrift:
    """2000 channels N(mean, 1), each a repeat, after few updates beside 100 batches."""
    generator = torch.Generator().manual_seed(9)
    norm = nn.BatchNorm1d(2000, momentum=momentum).double()
    draws = mean + torch.randn(updates + 100, 8, 2000, generator=generator, dtype=torch.float64)
    for x in draws[:updates]:
        norm(x)
    return nf.statistics_drift(norm, [(x, torch.zeros(8)) for x in draws[updates:]])


@pytest.mark.parametrize("updates", [1, 3, 10])
def test_few_updates_leave_some_of_the_start(updates: int) -> None:
    """Chance and start together are the mean square error, within 4 standard errors of 2000 channels."""
    layer = after_updates(updates)[""]
    assert layer.start_mean_error == pytest.approx(
        0.9**updates * 0.3, rel=0.02
    )  # |μ| itself from 100 batches
    square = layer.chance_mean_error**2 + layer.start_mean_error**2
    assert layer.mean_error**2 == pytest.approx(square, rel=0.08)
    assert layer.start_mean_error > 2 * layer.chance_mean_error or updates == 10
    assert f"left of the start at 0 after {updates} update" in str(layer)


@pytest.mark.parametrize(("momentum", "updates"), [(0.1, 0), (None, 0), (0.0, 5)])
def test_without_an_average_there_is_no_chance(momentum: float | None, updates: int) -> None:
    """The running mean is the start, and its error wholly what is left of that."""
    found = after_updates(updates, momentum)
    assert math.isnan(found[""].chance_mean_error)
    assert found[""].start_mean_error == pytest.approx(found[""].mean_error, rel=1e-12)
    assert "chance" not in str(found)
    plain = json.loads(found.to_json())
    assert plain["layers"][0]["chance_mean_error"] is None
    assert "without updates nothing averages" in plain["reason"]
    assert [trace["name"] for trace in found.plot().to_plotly_json()["data"]] == ["running means"]


def test_a_cumulative_average_forgets_its_start_at_once() -> None:
    layer = after_updates(1, None)[""]
    assert layer.start_mean_error == 0
    assert (layer.mean_error / layer.chance_mean_error) ** 2 == pytest.approx(1, abs=4 * math.sqrt(2 / 2000))


def test_a_layer_that_does_not_count_its_updates_says_nothing_of_the_start() -> None:
    norm = nn.BatchNorm1d(4).double()
    norm.num_batches_tracked = None
    found = nf.statistics_drift(norm, batches_of(8, 8))
    assert math.isnan(found[""].start_mean_error)
    assert found[""].chance_mean_error > 0
    assert "the start" not in str(found)
    assert "does not count its updates" in json.loads(found.to_json())["reason"]
