"""Gradients by the outputs in closed form, pairs of rows one by one, and the coverage of the jackknife's errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf
from normfield.measure.signals.output_rows import mean_cosine_of_rows


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.Linear(8, 4)).double()


def test_cross_entropys_gradient_is_the_softmax_less_the_label():
    model, x, labels = net(), normal(12, 5).double(), torch.arange(12) % 4
    found = nf.output_gradients(model, (x, labels), "cross_entropy")
    out = model.train()(x)
    expected = (out.softmax(1) - torch.eye(4)[labels]) / 12
    assert found.matrix == pytest.approx(expected.detach().numpy(), rel=1e-10)
    g = found.matrix
    pairs = [g[i] @ g[j] / np.linalg.norm(g[i]) / np.linalg.norm(g[j]) for i in range(12) for j in range(i)]
    assert found.agreement == pytest.approx(np.mean(pairs), rel=1e-10)
    assert found.coherence == pytest.approx(np.abs(g.sum(0)).sum() / np.abs(g).sum(), rel=1e-12)
    assert found.coherence_by_output == pytest.approx(np.abs(g.sum(0)) / np.abs(g).sum(0), rel=1e-12)


def test_outputs_of_several_dimensions_or_tensors_stand_side_by_side():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x):
            return {"a": self.layer(x), "b": self.layer(2 * x)[:, :1]}

    model, x, y = Two().double(), normal(6, 5).double(), normal(6, 3).double()

    def loss(out, targets):
        return (out["a"] * targets).sum() + 3 * out["b"].sum()

    found = nf.output_gradients(model, (x, y), loss)
    assert found.matrix == pytest.approx(np.hstack([y.numpy(), np.full((6, 1), 3.0)]))
    convolution = nn.Conv1d(1, 2, 2)
    image = nf.output_gradients(convolution, (normal(4, 1, 5), normal(4, 2, 4)))
    assert image.matrix.shape == (4, 8)


def test_without_batch_norm_rows_of_a_deep_network_agree_and_with_it_not():
    """ReLU networks of 30 layers and one squared target of mean 0 per class, as at a random start [Bjorck] (seed 0)."""
    x = normal(64, 20)
    y = normal(64, 5, seed=1)
    plain, normed = (
        nf.output_gradients(nf.build(nf.mlp(20, 60, 30, 5, norm, weight_variance=2.2), seed=0), (x, y))
        for norm in (False, True)
    )
    assert plain.agreement > normed.agreement + 5 * (plain.agreement_error + normed.agreement_error)
    assert plain.coherence > 1.4 * normed.coherence


def test_the_error_bars_cover_over_200_repeats():
    """Rows with a mean direction, whose mean cosine is found from 200,000 rows; seeds 0 to 199."""
    shift = np.array([0.5, 0.2, 0.0, 0.0])

    def rows(count: int, seed: int) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(count, 4)) + shift

    many = rows(200_000, 10_000)
    units = many / np.linalg.norm(many, axis=1, keepdims=True)
    exact = float(np.square(units.mean(0)).sum() - 1 / len(many)) * len(many) / (len(many) - 1)
    found = np.array([mean_cosine_of_rows(rows(40, seed)) for seed in range(200)], dtype=float)
    misses = (found[:, 0] - exact) / found[:, 1]
    standard_error = found[:, 0].std(ddof=1) / np.sqrt(200)
    assert abs(found[:, 0].mean() - exact) < 3 * standard_error
    assert 0.88 < (np.abs(misses) < 2).mean() < 0.99


def test_too_few_rows_have_no_agreement():
    assert mean_cosine_of_rows(np.array([[1.0, 2.0], [0.0, 0.0]])) == (None, None)
    assert mean_cosine_of_rows(np.array([[1.0, 0.0], [0.0, 2.0]])) == (0.0, None)
    x = torch.ones(3, 1)
    layer = nn.Linear(1, 1, bias=False)
    solved = nf.output_gradients(layer, (x, layer(x).detach()))
    assert (solved.agreement, solved.coherence) == (None, None)
    assert "fewer than two samples have a gradient" in str(solved)
    kept = json.loads(solved.to_json())
    assert kept["agreement"] is None
    assert kept["coherence_by_output"] == [None]
    assert kept["reason"]


def test_it_prints_converts_and_plots():
    found = nf.output_gradients(net(), (normal(300, 5), normal(300, 4)))
    assert found.to_frame().to_numpy() == pytest.approx(found.matrix)
    assert json.loads(found.to_json())["matrix"][7] == pytest.approx(found.matrix[7])
    figure = found.plot()
    assert figure.data[0].type == "heatmap"
    assert np.asarray(figure.data[0].z, dtype=float).shape == (256, 4)
    assert "The first 256 samples" in found.figure().caption
    assert 'gradient of squared by 4 outputs of 300 samples, statistics="batch"' in str(found)


def test_bad_input_is_one_line_and_changes_nothing():
    model = net().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(normal(8, 5), normal(8, 4)))
    for batch, words in [
        (loader, r"expected one batch \(inputs, targets\), got a DataLoader; give one of its batches"),
        ((normal(8, 5), normal(8, 3)), "expected targets of the outputs' shape"),
        ((normal(1, 5), normal(1, 4)), "expected batches of at least 2 samples"),
    ]:
        with pytest.raises(nf.InvalidInput, match=words):
            nf.output_gradients(model, batch)
    with pytest.raises(nf.InvalidInput, match="expected a finite loss, got nan"):
        nf.output_gradients(model, (normal(8, 5), normal(8, 4)), lambda out, y: out.sum() * float("nan"))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
