"""Population statistics against torch's own averages, all values pooled, and known distributions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_measure_untouched import model_in_use, state
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

import normfield as nf

Batches = list[tuple[Tensor, Tensor]]


def batches_of(*sizes: int, shape: tuple[int, ...] = (4,), seed: int = 0) -> Batches:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, *shape, generator=generator, dtype=torch.float64) + 0.3 * k, torch.zeros(size, 3))
        for k, size in enumerate(sizes)
    ]


def dense() -> nn.Module:
    torch.manual_seed(3)
    layers = [
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.ReLU(),
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        nn.Linear(5, 3),
    ]
    return nn.Sequential(*layers).double()


def convolutional() -> nn.Module:
    torch.manual_seed(4)
    layers = [
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 2),
        nn.BatchNorm2d(4),
        nn.Flatten(),
    ]
    return nn.Sequential(*layers).double()


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (4,)),
    "convolutional": (convolutional, (2, 5, 5)),
}


def norms(model: nn.Module) -> dict[str, nn.Module]:
    return {name: layer for name, layer in model.named_modules() if "BatchNorm" in type(layer).__name__}


def assert_buffers(model: nn.Module, found: nf.PopulationStatistics) -> None:
    layers = norms(model)
    assert list(found.layers) == list(layers)
    for name, layer in layers.items():
        np.testing.assert_allclose(found[name].mean, layer.running_mean.numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(found[name].variance, layer.running_var.numpy(), rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_the_simple_average_is_torchs_update_bn(case: str) -> None:
    make, shape = CASES[case]
    batches = batches_of(8, 8, 8, 8, shape=shape)
    theirs = make()
    update_bn(batches, theirs)
    assert_buffers(theirs, nf.population_statistics(make(), batches, method="simple"))


@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_the_exponential_average_is_what_training_forwards_leave(case: str, momentum: float) -> None:
    make, shape = CASES[case]
    batches, theirs = batches_of(8, 8, 8, shape=shape), make()
    for layer in norms(theirs).values():
        layer.reset_running_stats()
        layer.momentum = momentum
    for x, _ in batches:
        theirs(x)
    found = nf.population_statistics(make(), batches, method="exponential", momentum=momentum)
    assert_buffers(theirs, found)
    assert found.layers[next(iter(found.layers))].start_weight == pytest.approx(
        (1 - momentum) ** 3, abs=1e-12
    )


@pytest.mark.parametrize("case", CASES)
def test_the_exact_statistics_are_those_of_all_values_pooled(case: str) -> None:
    """What each batch norm gets in training forwards, kept by hand and put together."""
    make, shape = CASES[case]
    batches, model = batches_of(8, 6, 9, 8, shape=shape), make()
    kept: dict[str, list[Tensor]] = {name: [] for name in norms(model)}
    twin = copy.deepcopy(model)
    for name, layer in norms(twin).items():
        layer.register_forward_hook(lambda _, given, __, name=name: kept[name].append(given[0].detach()))
    for x, _ in batches:
        twin(x)
    found = nf.population_statistics(model, batches)
    for name, parts in kept.items():
        values = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1).numpy()
        np.testing.assert_allclose(found[name].mean, values.mean(1), rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(found[name].variance, values.var(1, ddof=1), rtol=1e-10)
        assert found[name].samples == values.shape[1]


@pytest.mark.parametrize(("method", "momentum"), [("exact", 0.1), ("simple", 0.1), ("exponential", 0.3)])
def test_bias_and_coverage_on_a_known_normal(method: str, momentum: float) -> None:
    """1000 channels, each a repeat of its own: 20 batches of 16 from N(2, 3²), intervals of two standard errors.

    With 19 degrees of freedom a mean is covered with probability 0.940; a variance's interval is skew, and covers
    a little less. Four standard errors of 1000 draws are 0.03.
    """
    draws = 2 + 3 * torch.randn(
        20, 16, 1000, generator=torch.Generator().manual_seed(11), dtype=torch.float64
    )
    batches = [(x, torch.zeros(16)) for x in draws]
    norm = nn.BatchNorm1d(1000).double()
    layer = nf.population_statistics(norm, batches, method=method, momentum=momentum)[""]
    of_start = layer.start_weight * np.array([2.0, 8.0])  # what a start at 0 and 1 takes from 2 and 9
    for values, truth in ((layer.mean + of_start[0], 2.0), (layer.variance + of_start[1], 9.0)):
        assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(values.size)
    assert np.mean(abs(layer.mean - 2) < 2 * layer.mean_error) == pytest.approx(0.94, abs=0.03)
    assert np.mean(abs(layer.variance - 9) < 2 * layer.variance_error) == pytest.approx(0.93, abs=0.04)


class Twice(nn.Module):
    """One batch norm at two places, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.idle = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(3 * self.norm(input=x) + 1)


def test_a_shared_layer_counts_every_call_and_an_idle_one_is_named() -> None:
    batches, model = batches_of(8, 8), Twice().double()
    found = nf.population_statistics(model, batches, method="exponential")
    model(batches[0][0])
    model(batches[1][0])
    np.testing.assert_allclose(found["norm"].mean, model.norm.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found["norm"].variance, model.norm.running_var.numpy(), rtol=1e-12)
    assert (found["norm"].calls, found["norm"].samples, found.not_called) == (4, 32, ("idle",))
    assert "idle: not called" in str(found)


class ByName(nn.Module):
    """Takes a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = dense()

    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        return {"out": self.inner(a + b)}


def test_dict_inputs_wrappers_and_frozen_models() -> None:
    batches = batches_of(8, 8)
    expected = nf.population_statistics(dense(), batches)["1"].mean
    found = nf.population_statistics(ByName(), [{"a": x, "b": 0 * x, "y": y} for x, y in batches])
    np.testing.assert_array_equal(found["inner.1"].mean, expected)
    frozen = dense().requires_grad_(False)
    for model in (frozen, nn.DataParallel(dense()), torch.compile(dense(), backend="eager")):
        np.testing.assert_array_equal(nf.population_statistics(model, batches)["1"].mean, expected)
    assert not any(p.requires_grad for p in frozen.parameters())


def test_a_model_in_eval_mode_is_taken_in_training_mode() -> None:
    batches = batches_of(8, 8)
    by_training, by_eval = (nf.population_statistics(dense().train(mode), batches) for mode in (True, False))
    np.testing.assert_array_equal(by_training["4"].variance, by_eval["4"].variance)


def test_dropout_draws_anew_for_every_batch() -> None:
    """Equal batches then differ behind the dropout, and the error bar sees it; the seed repeats it."""
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3), nn.BatchNorm1d(3)).double()
    same = batches_of(8) * 4
    found = nf.population_statistics(model, same, seed=1)
    assert (found["2"].mean_error > 0).all()
    np.testing.assert_array_equal(found["2"].mean, nf.population_statistics(model, same, seed=1)["2"].mean)
    assert (found["2"].mean != nf.population_statistics(model, same, seed=2)["2"].mean).all()


@pytest.mark.parametrize("method", ["exact", "simple", "exponential"])
def test_recalibration_writes_what_it_returns_and_nothing_else(method: str) -> None:
    batches, model = batches_of(8, 8, 8), dense().eval()
    others = {name: values.clone() for name, values in model.state_dict().items() if "running" not in name}
    found = nf.recalibrate_(model, batches, method=method)
    for name, layer in norms(model).items():
        np.testing.assert_allclose(layer.running_mean.numpy(), found[name].mean, rtol=1e-15)
        np.testing.assert_allclose(layer.running_var.numpy(), found[name].variance, rtol=1e-15)
        assert int(layer.num_batches_tracked) == 3
    for name, values in others.items():
        assert name.endswith("num_batches_tracked") or torch.equal(model.state_dict()[name], values)
    assert not model.training


def test_statistics_can_be_applied_to_a_copy() -> None:
    batches, model = batches_of(8, 8), dense()
    twin = copy.deepcopy(model)
    found = nf.population_statistics(model, batches)
    found.apply_(nn.DataParallel(twin))
    assert torch.equal(model[1].running_mean, torch.zeros(6, dtype=torch.float64))
    np.testing.assert_allclose(twin[1].running_mean.numpy(), found["1"].mean, rtol=1e-15)


BATCH = (torch.randn(9, 4, generator=torch.Generator().manual_seed(2)), torch.arange(9) % 3)


def test_the_module_is_left_as_it_was() -> None:
    model = model_in_use()
    before = state(model)
    nf.population_statistics(model, [BATCH, BATCH])
    assert state(model) == before


@pytest.mark.parametrize("verb", [nf.population_statistics, nf.recalibrate_, nf.statistics_drift])
def test_also_when_a_later_batch_does_not_fit(verb: Any) -> None:
    model = model_in_use()
    before = state(model)
    with pytest.raises(nf.InvalidInput, match="inputs that the model takes"):
        verb(model, [BATCH, (BATCH[0][:, :2], BATCH[1])])
    assert state(model) == before


def test_without_batch_norm_there_are_no_layers() -> None:
    found = nf.population_statistics(nn.Linear(4, 3), [BATCH])
    assert found.layers == {}
    assert "no batch norm here" in str(found)
    assert len(found.to_frame()) == 0
    assert json.loads(found.to_json())["layers"] == []
    with pytest.raises(nf.InvalidInput, match="at least one batch norm to draw, got none"):
        found.plot()


def test_results_are_shown() -> None:
    found = nf.population_statistics(dense(), batches_of(8, 8, 5))
    frame = found.to_frame()
    assert len(frame) == 11
    assert list(frame[frame["layer"] == "4"]["mean"]) == pytest.approx(list(found["4"].mean))
    plain = json.loads(found.to_json())
    assert plain["layers"][0]["variance"] == pytest.approx(list(found["1"].variance))
    assert (plain["samples"], plain["batches"], plain["dropped_samples"]) == (16, 2, 5)
    (points,) = found.plot().to_plotly_json()["data"]
    assert points["y"][1] == pytest.approx(np.sqrt(np.median(found["4"].variance)))
    single = nf.population_statistics(dense(), batches_of(8))
    assert json.loads(single.to_json())["layers"][0]["mean_error"] == [None] * 6
    assert "a single batch has none" in json.loads(single.to_json())["reason"]


def test_bad_input_is_one_line_and_writes_nothing() -> None:
    untracked = nn.Sequential(
        nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)
    )
    model, x = dense().float(), BATCH[0]
    broken = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    nn.init.constant_(broken[0].bias, float("nan"))
    before, first = copy.deepcopy(model.state_dict()), untracked[0].running_mean.clone()
    statistics = nf.population_statistics(model, [BATCH])
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: nf.population_statistics(model, [BATCH], method="mean"), "exact, simple, exponential"),
        (lambda: nf.population_statistics(model, [BATCH], momentum=0.0), "momentum above 0"),
        (lambda: nf.population_statistics(model, [BATCH], seed=-1), "seed as a whole number"),
        (lambda: nf.population_statistics(model, [(x[:1], BATCH[1][:1])]), "at least 2 values per channel"),
        (lambda: nf.population_statistics(broken, [BATCH]), "NaN or infinite ones at '1'"),
        (lambda: nf.recalibrate_(nn.Linear(4, 3), [BATCH]), "a module with batch norm, got Linear without"),
        (lambda: nf.recalibrate_(untracked, [BATCH]), "track_running_stats=False at '2'"),
        (lambda: statistics.apply_(nn.Linear(4, 3)), "none at '1'"),
        (lambda: statistics.apply_(nn.Sequential(nn.Identity(), nn.BatchNorm1d(3))), "6 channels at '1'"),
    ]
    for call, words in refused:
        with pytest.raises(nf.InvalidInput) as caught:
            call()
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert torch.equal(untracked[0].running_mean, first)


def fine_tuned() -> nn.Module:
    """The first batch norm in eval mode, with running statistics far from the batches'."""
    model = dense()
    model[1].eval()
    nn.init.constant_(model[1].running_mean, 3.0)
    return model


def test_a_batch_norm_in_eval_mode_keeps_its_running_statistics_and_is_named() -> None:
    """What the second gets is what it gets in training forwards; the first is neither measured nor written."""
    model, batches, kept = fine_tuned(), batches_of(8, 8), []
    twin = copy.deepcopy(model)
    twin[4].register_forward_hook(lambda _, given, __: kept.append(given[0].detach()))
    for x, _ in batches:
        twin(x)
    found = nf.population_statistics(model, batches)
    assert (list(found.layers), found.not_called, found.in_eval_mode) == (["4"], (), ("1",))
    np.testing.assert_allclose(found["4"].mean, torch.cat(kept).mean(0).numpy(), rtol=1e-10, atol=1e-13)
    assert "1: in eval mode, keeps its running statistics" in str(found)
    assert json.loads(found.to_json())["in_eval_mode"] == ["1"]
    written = nf.recalibrate_(model, batches)
    assert list(written.layers) == ["4"]
    assert torch.equal(model[1].running_mean, torch.full((6,), 3.0, dtype=torch.float64))
    assert int(model[1].num_batches_tracked) == 0
    np.testing.assert_allclose(model[4].running_mean.numpy(), found["4"].mean, rtol=1e-15)
    assert not model[1].training


def test_with_all_of_them_in_eval_mode_there_is_nothing_to_recalibrate() -> None:
    model = fine_tuned()
    model[4].eval()
    found = nf.population_statistics(model, batches_of(8, 8))
    assert (found.layers, found.in_eval_mode) == ({}, ("1", "4"))
    assert "no batch norm here" not in str(found)
    before = state(model)
    with pytest.raises(
        nf.InvalidInput, match=r"all its batch norms in eval mode.*call model\.eval\(\) first"
    ):
        nf.recalibrate_(model, batches_of(8, 8))
    assert state(model) == before
    assert list(nf.recalibrate_(model.eval(), batches_of(8, 8)).layers) == ["1", "4"]


def test_a_module_without_parameters_can_be_run() -> None:
    """A batch norm without γ and β, on its own and in double precision as its buffers are."""
    x = batches_of(8, shape=(3,))[0][0]
    for norm in (nn.BatchNorm1d(3, affine=False), nn.BatchNorm1d(3, affine=False).double()):
        found = nf.population_statistics(norm, [(x, torch.zeros(8))])[""]
        np.testing.assert_allclose(found.mean, x.mean(0).numpy(), rtol=1e-5)
        np.testing.assert_allclose(found.variance, x.var(0).numpy(), rtol=1e-5)
    assert nf.recalibrate_(norm, [(x, x)]).layers
    np.testing.assert_allclose(norm.running_mean.numpy(), x.mean(0).numpy(), rtol=1e-15)
    losses = nf.statistics_drift(norm, [(x, x), (x, x)], "squared").losses
    assert losses is not None
    assert losses["running"] == pytest.approx(float((norm.eval()(x) - x).square().sum(1).mean() / 2))
    assert nf.population_statistics(nn.ReLU(), [(x, x)]).layers == {}
