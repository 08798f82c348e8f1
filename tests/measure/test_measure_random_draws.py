"""Dropout and other randomness: one draw for all products, against the same masks written out."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from dense_oracle import Named, eigenvalues, half_squared
from torch import Tensor, nn

from normfield.measure import curvature, output_covariance


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


X, Y = randn(8, 3), randn(8, 2, seed=2)


def model_with_dropout() -> nn.Module:
    torch.manual_seed(0)
    layers = (
        nn.Linear(3, 6),
        nn.BatchNorm1d(6),
        nn.Dropout(0.3),
        nn.Tanh(),
        nn.Linear(6, 6),
        nn.Dropout(0.5),
        nn.Linear(6, 2),
    )
    return nn.Sequential(*layers).double()


def masks(seed: int, samples: int) -> list[Tensor]:
    """What the two dropout layers multiply by, drawn in their order."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return [torch.empty(samples, 6, dtype=torch.float64).bernoulli_(1 - p) / (1 - p) for p in (0.3, 0.5)]


def masked(p: Named, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    z = x @ p["0.weight"].T + p["0.bias"]
    z = (z - z.mean(0)) / (((z - z.mean(0)) ** 2).mean(0) + 1e-5).sqrt()
    h = ((p["1.weight"] * z + p["1.bias"]) * first).tanh()
    return ((h @ p["4.weight"].T + p["4.bias"]) * second) @ p["6.weight"].T + p["6.bias"]


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_every_product_has_the_masks_of_the_seed(kind: str, seed: int, method: str) -> None:
    model, drawn = model_with_dropout(), masks(seed, 8)
    expected = eigenvalues(model, lambda p: masked(p, X, *drawn), lambda f: half_squared(f, Y), kind)
    result = curvature(model, (X, Y), kind=kind, seed=seed, method=method, tolerance=1e-10)
    np.testing.assert_allclose(result.eigenvalues, expected[:2], rtol=1e-8)
    note = f"random draws in the model are fixed by seed {seed}, alike for every batch"
    assert result.assumes == (note,)
    assert note in str(result)


def test_every_batch_has_the_same_masks() -> None:
    model = model_with_dropout()
    batches = [(X, Y), (2 * X[:4] + 1, Y[:4]), (X, -Y)]

    drawn = [masks(3, len(x)) for x, _ in batches]

    def both(p: Named) -> Tensor:
        return torch.cat([masked(p, x, *of) for (x, _), of in zip(batches, drawn, strict=True)])

    targets = torch.cat([y for _, y in batches])
    expected = eigenvalues(model, both, lambda f: half_squared(f, targets), "hessian")
    for method in ("dense", "lanczos"):
        result = curvature(model, batches, kind="hessian", seed=3, method=method, tolerance=1e-10)
        np.testing.assert_allclose(result.eigenvalues, expected[:2], rtol=1e-8)


def test_seeds_give_different_masks_and_eval_mode_none() -> None:
    model = model_with_dropout()
    values = {curvature(model, (X, Y), seed=seed).largest_eigenvalue for seed in range(4)}
    assert len(values) == 4
    model.eval()
    still = [curvature(model, (X, Y), seed=seed) for seed in range(2)]
    assert still[0].largest_eigenvalue == pytest.approx(still[1].largest_eigenvalue, rel=1e-9)
    assert still[0].assumes == ()


class Drawing(nn.Module):
    """Adds noise from a global generator, and skips its second layer by the toss of a coin."""

    def __init__(self, noise: Callable[[tuple[int, ...]], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.noise = nn.Linear(3, 2), nn.Linear(2, 2), noise

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x + self.noise(tuple(x.shape)))
        return self.two(h) if random.random() < 0.5 else h


def numpy_noise(shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(np.random.standard_normal(shape))  # noqa: NPY002


def shuffling(shape: tuple[int, ...]) -> Tensor:
    return torch.randperm(shape[0])[:, None].double().expand(shape)


@pytest.mark.parametrize("noise", [numpy_noise, shuffling])
@pytest.mark.parametrize("seed", [1, 2])
def test_noise_shuffling_and_stochastic_depth_from_global_generators(
    noise: Callable[[tuple[int, ...]], Tensor], seed: int
) -> None:
    model = Drawing(noise).double()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        numpys = np.random.RandomState(seed).standard_normal((8, 3))
        added = torch.from_numpy(numpys) if noise is numpy_noise else shuffling((8, 3))
    takes_second = random.Random(seed).random() < 0.5

    def formula(p: Named) -> Tensor:
        h = (X + added) @ p["one.weight"].T + p["one.bias"]
        return h @ p["two.weight"].T + p["two.bias"] if takes_second else h

    expected = eigenvalues(model, formula, lambda f: half_squared(f, Y), "hessian")
    global_state = (torch.get_rng_state(), random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    for method in ("dense", "lanczos"):
        result = curvature(model, (X, Y), kind="hessian", seed=seed, method=method, tolerance=1e-9)
        assert result.largest_eigenvalue == pytest.approx(expected[0], rel=1e-8)
        assert len(result.assumes) == 1
    assert torch.equal(torch.get_rng_state(), global_state[0])
    assert random.getstate() == global_state[1]
    assert str(np.random.get_state()) == global_state[2]  # noqa: NPY002


def test_a_loss_that_draws_is_fixed_too() -> None:
    """Targets with noise from the global generator: quadratic in the outputs with random weights."""

    def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
        return (torch.rand(outputs.shape, dtype=outputs.dtype) * (outputs - targets) ** 2).mean()

    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    with torch.random.fork_rng():
        torch.manual_seed(4)
        weights = torch.rand(8, 2, dtype=torch.float64)
    expected = eigenvalues(
        model,
        lambda p: X @ p["weight"].T + p["bias"],
        lambda f: (weights * (f - Y) ** 2).mean(),
        "hessian",
    )
    for batches in ((X, Y), [(X, Y), (X, Y)]):
        result = curvature(model, batches, noisy, "ggn", seed=4, tolerance=1e-9, method="lanczos")
        assert result.largest_eigenvalue == pytest.approx(expected[0], rel=1e-8)


def test_an_output_covariance_has_the_masks_of_the_seed() -> None:
    model = model_with_dropout()
    p = dict(model.named_parameters())
    with torch.no_grad():
        q = masked(p, X, *masks(6, 8)).softmax(1)
    expected = torch.diag(q.mean(0)) - q.T @ q / 8
    np.testing.assert_allclose(output_covariance(model, (X, Y), seed=6).matrix, expected, rtol=1e-9)
