"""Batch norms in eval mode inside a model in training mode, as in fine-tuning, are measured as the model trains."""

from __future__ import annotations

import copy

import pytest
import torch
from test_measure_untouched import state
from torch import nn

import normfield as nf
from normfield.measure.subject.modes import batch_norm_statistics

X = torch.randn(16, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.randn(16, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def fine_tuned(*frozen: int) -> nn.Sequential:
    """Two batch norms, some of which keep running statistics that are far from the batch's."""
    torch.manual_seed(2)
    layers = [nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)]
    model = nn.Sequential(*layers).double()
    for place in frozen:
        model[place].eval()
        nn.init.constant_(model[place].running_mean, 3.0)
    return model


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
@pytest.mark.parametrize("frozen", [(1,), (3,), (1, 3)])
def test_the_forward_is_the_one_that_trains(frozen: tuple[int, ...], statistics: str) -> None:
    model = fine_tuned(*frozen)
    expected = copy.deepcopy(model)(X)
    with batch_norm_statistics(model, statistics):
        torch.testing.assert_close(model(X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("statistics", ["batch", "frozen"])
def test_a_model_in_eval_mode_as_a_whole_normalises_by_the_batch(statistics: str) -> None:
    model = fine_tuned(1)
    expected = copy.deepcopy(model).train()(X)
    with batch_norm_statistics(model.eval(), statistics):
        torch.testing.assert_close(model(X), expected, rtol=1e-12, atol=1e-12)


def test_signals_are_those_of_the_training_forward() -> None:
    model, kept = fine_tuned(1), {}
    twin = copy.deepcopy(model)
    for name in ("0", "2", "4"):
        twin.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: kept.update({name: float(out.square().mean().detach())})
        )
    twin(X)
    before = state(model)
    found = nf.signals(model, (X, Y))
    assert {layer.name: layer.mean_square for layer in found.layers} == pytest.approx(kept, rel=1e-12)
    assert state(model) == before


def test_curvature_is_that_of_the_training_forward() -> None:
    model = fine_tuned(1)
    twin = copy.deepcopy(model)
    twin[3] = nn.BatchNorm1d(8, track_running_stats=False).double()  # writes nothing, as torch.func wants it
    parameters = {name: p.detach() for name, p in twin.named_parameters()}
    rows = torch.func.jacrev(lambda p: torch.func.functional_call(twin, p, (X,)))(parameters)
    matrix = torch.cat([piece.reshape(16, -1) for piece in rows.values()], 1)
    largest = float(torch.linalg.eigvalsh(matrix @ matrix.T / 16)[-1])
    for method in ("dense", "lanczos"):
        found = nf.curvature(model, (X, Y), method=method, tolerance=1e-10)
        assert found.largest_eigenvalue == pytest.approx(largest, rel=1e-8)


def test_with_all_of_them_frozen_samples_do_not_meet() -> None:
    """One sample is enough, gradients and the kernel's rows come sample by sample, and ghosts have nothing to do."""
    model = fine_tuned(1, 3)
    assert nf.curvature(model, (X[:1], Y[:1])).largest_eigenvalue > 0
    noise = nf.gradient_noise(model, (X, Y))
    assert noise.unit == "samples"
    torch.testing.assert_close(
        nf.empirical_ntk(model, X).matrix,
        nf.empirical_ntk(model, X, statistics="running").matrix,
        rtol=1e-12,
        atol=1e-12,
    )
    with pytest.raises(nf.InvalidInput, match="got one whose batch norms are all in eval mode; leave it out"):
        nf.curvature(model, (X, Y), ghost_batch_size=4)
    with pytest.raises(nf.InvalidInput, match="at least 2 samples for a model with batch norm"):
        nf.curvature(fine_tuned(1), (X[:1], Y[:1]))


def test_the_theorems_are_not_checked_where_they_say_nothing() -> None:
    model = fine_tuned(1)
    found = nf.gradient_inequality(model, (X, Y))
    assert [layer.name for layer in found.layers] == ["3"]
    assert found.holds
    with pytest.raises(nf.InvalidInput, match="got '1', which is in eval mode and does not read the batch"):
        nf.gradient_inequality(model, (X, Y), layers="1")


def test_an_operator_follows_the_running_statistics_that_it_reads() -> None:
    model = fine_tuned(1)
    operator = nf.curvature_operator(model, (X, Y))
    v = torch.ones(operator.shape[0], dtype=torch.float64)
    expected = operator @ v
    nn.init.constant_(model[3].running_mean, 7.0)  # not read
    assert torch.equal(operator @ v, expected)
    model.eval()  # the modes of the beginning count
    assert torch.equal(operator @ v, expected)
    nn.init.constant_(model[1].running_mean, 7.0)
    with pytest.raises(nf.InvalidInput, match=r"other values of '1\.running_mean'"):
        operator @ v
