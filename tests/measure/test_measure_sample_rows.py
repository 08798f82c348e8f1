"""Models that turn their values round before a layer, against the same model that does not."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normfield as nf
from normfield.measure.subject.sample_rows import samples_first

N, T, E = 6, 5, 4


class Turned(nn.Module):
    """Two linear layers on (N, T, E), on (T, N, E) or on rows of either."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form, self.inner, self.head = form, nn.Linear(E, 7), nn.Linear(7, 3)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "positions first":
            return self.head(self.inner(x.transpose(0, 1)).tanh()).transpose(0, 1).mean(1)
        if self.form == "folded":
            return self.head(self.inner(x.reshape(-1, E)).tanh()).reshape(len(x), -1, 3).mean(1)
        return self.head(self.inner(x).tanh()).mean(1)


def batch(positions: int = T, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, positions, E, generator=generator, dtype=torch.float64)
    return x + x[:, :1] * 2, torch.randn(N, 3, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("positions", [T, 2 * N])
def test_signals_do_not_depend_on_which_dimension_counts_the_samples(positions: int) -> None:
    plain, turned = (nf.signals(Turned(f), batch(positions)).layers for f in ("plain", "positions first"))
    for one, other in zip(plain, turned, strict=True):
        for name in ("correlation", "effective_rank", "orthogonality_gap", "gradient", "mean_square"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
        assert (other.positions, other.units) == (one.positions, one.units)
        assert one.positions == positions


def test_folded_samples_have_no_correlation_and_the_result_says_why() -> None:
    found, plain = (nf.signals(Turned(form), batch()) for form in ("folded", "plain"))
    for layer, wanted in zip(found.layers, plain.layers, strict=True):
        assert (layer.correlation, layer.effective_rank, layer.orthogonality_gap) == (None, None, None)
        for name in ("mean_square", "standard_deviation", "mean", "gradient", "weight_gradient"):
            assert getattr(layer, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-15)
        assert layer.positions == T
    assert str(found).count("no rank: samples cannot be told apart") == 2
    assert "no rank" not in str(plain)
    said = json.loads(found.to_json())
    assert said["layers"][0]["correlation"] is None
    assert "no dimension counts the batch's samples" in said["reason"]


def test_coherence_across_samples_does_not_depend_on_their_dimension() -> None:
    plain, turned, folded = (
        nf.gradient_coherence(Turned(form), batch()) for form in ("plain", "positions first", "folded")
    )
    for one, other, rows in zip(plain.layers, turned.layers, folded.layers, strict=True):
        assert one.across_samples != pytest.approx(one.coherence, rel=1e-3)  # else the test could not fail
        assert other.across_samples == pytest.approx(one.across_samples, rel=1e-9)
        assert (rows.across_samples, rows.across_positions) == (None, None)
        for name in ("coherence", "random_signs", "terms"):
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
            assert getattr(rows, name) == pytest.approx(getattr(one, name), rel=1e-9)
    assert str(folded).count("samples cannot be told apart") == 2
    assert "over samples and positions" in json.dumps(
        folded.figure().to_plotly().to_plotly_json(), default=str
    )
    assert "none across samples" in json.loads(folded.to_json())["reason"]


@pytest.mark.parametrize("positions", [T, 2 * N])
def test_snapshots_and_shift_do_not_depend_on_the_dimension_of_the_samples(positions: int) -> None:
    plain, turned = (
        [nf.layer_inputs(Turned(form), batch(positions, seed), positions=3) for seed in (1, 2)]
        for form in ("plain", "positions first")
    )
    for one, other in zip(plain[0].layers[1:], turned[0].layers[1:], strict=True):
        np.testing.assert_allclose(other.values, one.values, rtol=1e-6)
        assert other.samples_apart
    for one, other in zip(
        nf.distribution_shift(*plain).layers[1:], nf.distribution_shift(*turned).layers[1:], strict=True
    ):
        numbers = [{**vars(layer), "name": 0.0} for layer in (one, other)]
        assert numbers[1] == pytest.approx(numbers[0], rel=1e-6)


def test_the_shift_of_folded_samples_has_no_error_bars() -> None:
    plain, folded = (
        nf.distribution_shift(*(nf.layer_inputs(Turned(form), batch(T, seed)) for seed in (1, 2)))
        for form in ("plain", "folded")
    )
    one, other = plain["head"], folded["head"]
    assert other.wasserstein == pytest.approx(one.wasserstein, rel=1e-6)
    assert other.kl == pytest.approx(one.kl + one.kl_bias, rel=1e-6)
    errors = [value for name, value in vars(other).items() if name.endswith(("_error", "_bias"))]
    assert len(errors) == 6
    assert all(map(math.isnan, errors))
    assert "without error bar" in str(folded)
    assert "samples that cannot be told apart" in json.loads(folded.to_json())["reason"]
    assert folded.figure() is not None


def test_of_many_folded_rows_a_part_is_kept_the_same_every_time() -> None:
    kept, again = (nf.layer_inputs(Turned("folded"), batch(9), positions=2)["head"] for _ in range(2))
    assert kept.values.shape == (2 * N, 1, 7)
    np.testing.assert_array_equal(kept.values, again.values)
    assert not kept.samples_apart
    plain = nf.layer_inputs(Turned("plain"), batch(9), positions=2)["head"]
    np.testing.assert_allclose(kept.mean, plain.mean, rtol=1e-9)


def test_a_convolutions_positions_and_the_units_are_no_samples() -> None:
    assert samples_first(torch.zeros(12, 3, 6, 5), 6, channels_first=True) is None
    assert samples_first(torch.zeros(12, 6), 6, channels_first=False) is None
    assert samples_first(torch.zeros(2, 6, 6, 3), 6, channels_first=False) is None
    found = samples_first(torch.zeros(5, 6, 6), 6, channels_first=False)
    assert found is not None
    assert found.shape == (6, 5, 6)
