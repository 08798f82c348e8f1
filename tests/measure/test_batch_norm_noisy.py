"""Noise after batch norms: its distribution, its repetition, and that nothing else moves."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from test_batch_norm_population import BATCH, Twice, dense
from test_measure_untouched import state
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normfield as nf


def noise_of(layer: nf.NoisyBatchNorm, x: Tensor) -> tuple[Tensor, Tensor]:
    """m and s of the next step, read off batch-norm outputs of 0 and of 1."""
    outputs = []
    for value in (0.0, 1.0):
        twin = copy.deepcopy(layer)
        nn.init.zeros_(twin.batch_norm.weight)
        nn.init.constant_(twin.batch_norm.bias, value)
        outputs.append(twin(x).detach())
    return outputs[0], outputs[1] - outputs[0]


def test_the_noise_has_the_published_distribution() -> None:
    """3000 channels as repeats of one step, 400 samples: centre ~ U(−.5, .5), middle ~ U(1, 1.25), spreads .1."""
    layer = nf.NoisyBatchNorm(nn.BatchNorm1d(3000).double(), seed=4)
    shift, scale = noise_of(layer, torch.randn(400, 3000, dtype=torch.float64))
    centre, middle = shift.mean(0), scale.mean(0)
    assert float(centre.mean()) == pytest.approx(0, abs=4 * 0.289 / 3000**0.5)
    assert float(centre.std()) == pytest.approx(1 / 12**0.5, abs=0.01)
    assert float(centre.abs().max()) == pytest.approx(0.5, abs=0.02)
    assert float(middle.mean()) == pytest.approx(1.125, abs=4 * 0.0722 / 3000**0.5)
    assert float(middle.std()) == pytest.approx(0.25 / 12**0.5, abs=0.003)
    assert float((shift - centre).std(0).mean()) == pytest.approx(0.2 / 12**0.5, rel=0.01)
    assert float((shift - centre).abs().max()) < 0.115
    assert float((scale - middle).std(0).mean()) == pytest.approx(0.1, rel=0.01)
    kurtosis = ((scale - middle) / 0.1).pow(4).mean()
    assert float(kurtosis) == pytest.approx(3, abs=0.1)  # a normal's, not a uniform's 1.8


def test_positions_of_a_sample_share_their_noise() -> None:
    layer = nf.NoisyBatchNorm(nn.BatchNorm2d(3))
    shift, scale = noise_of(layer, torch.randn(5, 3, 4, 2))
    for noise in (shift, scale):
        assert torch.allclose(noise, noise[:, :, :1, :1].expand_as(noise), atol=1e-6)
        assert len(noise[:, :, 0, 0].unique()) == 15


def test_every_step_layer_and_seed_draws_its_own() -> None:
    x = torch.randn(8, 6)

    def first_shift(seed: int, stream: int, steps: int = 0) -> Tensor:
        layer = nf.NoisyBatchNorm(nn.BatchNorm1d(6), seed=seed, stream=stream)
        layer.steps.fill_(steps)
        return noise_of(layer, x)[0]

    same = first_shift(0, 0)
    assert torch.equal(same, first_shift(0, 0))
    for other in (first_shift(1, 0), first_shift(0, 1), first_shift(0, 0, steps=1)):
        assert not (other == same).any()


def test_a_run_goes_on_from_its_state_dict() -> None:
    batches = torch.randn(6, 8, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = nf.with_noisy_batch_norm(dense(), seed=7)
    outputs = [whole(x) for x in batches]
    first = nf.with_noisy_batch_norm(dense(), seed=7)
    for x in batches[:3]:
        first(x)
    stored = io.BytesIO()
    torch.save(first.state_dict(), stored)
    stored.seek(0)
    second = nf.with_noisy_batch_norm(dense(), seed=7)
    second.load_state_dict(torch.load(stored, weights_only=True))
    for x, expected in zip(batches[3:], outputs[3:], strict=True):
        assert torch.equal(second(x), expected)


def test_there_is_no_noise_in_eval_mode() -> None:
    model = dense().eval()
    noisy = nf.with_noisy_batch_norm(model)
    x = BATCH[0].double()
    assert not any(layer.training for layer in noisy.modules())
    assert torch.equal(noisy(x), model(x))
    assert int(noisy[1].steps) == 0
    assert not torch.equal(noisy.train()(x), model.train()(x))
    assert int(noisy[1].steps) == 1


def test_the_copy_leaves_model_and_random_state_alone() -> None:
    model = dense()
    before = state(model)
    noisy = nf.with_noisy_batch_norm(model)
    generators = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    noisy(BATCH[0].double()).sum().backward()
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert str(np.random.get_state()) == generators[1]  # noqa: NPY002
    assert state(model) == before
    assert noisy[0].weight.grad is not None


def test_a_shared_batch_norm_becomes_one_and_a_bare_one_too() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.BatchNorm1d(4)
            self.other = self.one
            self.inner = nn.ModuleList([self.one])

    noisy = nf.with_noisy_batch_norm(Tied())
    assert isinstance(noisy.one, nf.NoisyBatchNorm)
    assert noisy.one is noisy.other is noisy.inner[0]
    assert isinstance(nf.with_noisy_batch_norm(nn.BatchNorm1d(4)), nf.NoisyBatchNorm)
    streams = [layer.stream for layer in nf.with_noisy_batch_norm(dense()) if hasattr(layer, "stream")]
    assert streams == [0, 1]


def test_checkpointing_counts_two_steps_as_the_docstring_says() -> None:
    layer = nf.NoisyBatchNorm(nn.BatchNorm1d(4))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    checkpoint(layer, x, use_reentrant=False).sum().backward()
    assert int(layer.steps) == 2


def test_it_can_be_measured_and_wrapped() -> None:
    """Every forward of a measurement draws the noise of the next step, and the count stays where it was."""
    noisy = nf.with_noisy_batch_norm(nn.DataParallel(dense()), seed=2)
    noisy(BATCH[0].double())
    before = state(noisy)
    curvatures = [nf.curvature(noisy, BATCH).largest_eigenvalue for _ in range(2)]
    assert curvatures[0] == curvatures[1]
    assert state(noisy) == before
    assert list(nf.population_statistics(noisy, [BATCH]).layers) == ["1.batch_norm", "4.batch_norm"]


REFUSED = {
    "no batch norm": (lambda: nf.with_noisy_batch_norm(nn.Linear(2, 2)), "a module with batch norm"),
    "no module": (lambda: nf.with_noisy_batch_norm(len), "a module with batch norm"),
    "noise already": (
        lambda: nf.with_noisy_batch_norm(nf.with_noisy_batch_norm(dense(), seed=1), seed=2),
        "NoisyBatchNorm at '1'; give the model that it was made from",
    ),
    "noise itself": (
        lambda: nf.with_noisy_batch_norm(nf.NoisyBatchNorm(nn.BatchNorm1d(2))),
        "NoisyBatchNorm at 'the module'",
    ),
    "half a seed": (lambda: nf.with_noisy_batch_norm(Twice(), seed=0.5), "seed as a whole number"),
    "noise of another layer": (lambda: nf.NoisyBatchNorm(nn.Linear(2, 2)), "a batch norm, got Linear"),
    "negative spread": (
        lambda: nf.NoisyBatchNorm(nn.BatchNorm1d(2), mean_spread=-0.1),
        "mean_spread as a finite number of at least 0",
    ),
    "a scale below one": (lambda: nf.NoisyBatchNorm(nn.BatchNorm1d(2), scale=0.5), "at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_line(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(nf.InvalidInput) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
