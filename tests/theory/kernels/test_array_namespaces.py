"""The kernels of a torch batch are torch tensors, the same numbers, made where the batch is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import normfield as nf
from normfield.network import Network

SAMPLES = 30
IMAGES = (6, 2, 4, 4)


def _residual() -> Network:
    branch = [nf.BatchNorm(), nf.Activation("relu"), nf.Dense(50)]
    return nf.Network(
        (12,), [nf.Dense(50), nf.Residual(branch), nf.BatchNorm(), nf.Activation("relu"), nf.Dense(3)]
    )


def _per_sample(norm: nf.LayerNorm | nf.RMSNorm) -> Network:
    return nf.Network((12,), [nf.Dense(50), norm, nf.Activation("relu"), nf.Dense(3)])


def _convolutions() -> Network:
    first = [nf.Conv(8, 3, padding=1), nf.BatchNorm(), nf.Activation("relu"), nf.AveragePool(2)]
    return nf.Network(
        (2, 4, 4), [*first, nf.Conv(8, 2), nf.BatchNorm(), nf.Activation("relu"), nf.Flatten(), nf.Dense(3)]
    )


NETWORKS = {
    "batch norm, relu": (nf.mlp(12, 50, 3, 3), {}),
    "batch norm, tanh, shift": (nf.mlp(12, 50, 3, 3, activation="tanh", beta=0.3), {}),
    "batch norm, relu, shift": (nf.mlp(12, 50, 3, 3, beta=0.3), {}),
    "concentrated": (nf.mlp(12, 50, 3, 3), {"method": "concentrated"}),
    "monte_carlo": (nf.mlp(12, 50, 3, 3), {"method": "monte_carlo", "samples": 100}),
    "plain relu": (nf.mlp(12, 50, 3, 3, batch_norm=False), {}),
    "plain erf": (nf.mlp(12, 50, 3, 3, batch_norm=False, activation="erf"), {}),
    "plain tanh": (nf.mlp(12, 50, 3, 3, batch_norm=False, activation="tanh"), {}),
    "residual": (_residual(), {}),
    "layer norm": (_per_sample(nf.LayerNorm()), {}),
    "rms norm": (_per_sample(nf.RMSNorm()), {}),
    "convolutions": (_convolutions(), {"method": "concentrated"}),
}
# Monte Carlo draws on the host, and the orthants of a shifted ReLU are SciPy's.
ON_THE_DEVICE = [name for name in NETWORKS if name not in ("monte_carlo", "batch norm, relu, shift")]


def _batch(net: Network) -> np.ndarray:
    shape = IMAGES if len(net.input_shape) == 3 else (SAMPLES, *net.input_shape)
    return np.random.default_rng(3).standard_normal(shape)


def _same(found: nf.BatchKernel, expected: nf.BatchKernel) -> None:
    for ours, theirs in ((found.nngp, expected.nngp), (found.ntk, expected.ntk)):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours.cpu().numpy(), theirs, rtol=0, atol=1e-10 * scale)
    assert found.largest_eigenvalue == pytest.approx(expected.largest_eigenvalue, rel=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_gives_the_same_numbers_in_torch(name: str) -> None:
    net, given = NETWORKS[name]
    x = _batch(net)
    found = nf.batch_kernel(net, torch.from_numpy(x), **given)
    assert isinstance(found.nngp, torch.Tensor)
    assert isinstance(found.ntk, torch.Tensor)
    assert found.ntk.dtype == torch.float64
    _same(found, nf.batch_kernel(net, x, **given))


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_is_made_on_the_batchs_device(name: str) -> None:
    """Whatever is made on the default device, here one without numbers, cannot meet the batch."""
    net, given = NETWORKS[name]
    x = torch.from_numpy(_batch(net))
    expected = nf.batch_kernel(net, x, **given)
    with torch.device("meta"):
        found = nf.batch_kernel(net, x, **given)
    assert found.ntk.device == x.device
    assert torch.equal(found.ntk, expected.ntk)


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many numbers each tensor has that is handed to NumPy or Python."""
    seen: list[int] = []
    for name in ("__array__", "numpy", "tolist"):
        original = getattr(torch.Tensor, name)

        def counted(tensor: torch.Tensor, *given: object, original=original, **named: object) -> object:
            seen.append(tensor.numel())
            return original(tensor, *given, **named)

        monkeypatch.setattr(torch.Tensor, name, counted)
    return seen


@pytest.mark.parametrize("name", ON_THE_DEVICE)
def test_no_matrix_leaves_the_device(name: str, crossings: list[int]) -> None:
    net, given = NETWORKS[name]
    x = torch.from_numpy(_batch(net))
    rows = len(x) * int(np.prod(net.input_shape[1:]))
    nf.batch_kernel(net, x, **given)
    assert max(crossings, default=0) < rows**2 / 2


def test_a_matrix_that_leaves_would_be_seen(crossings: list[int]) -> None:
    np.asarray(torch.ones(5, 5))
    torch.ones(3, 3).tolist()
    assert {25, 9} <= set(crossings)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_gives_the_same_numbers_on_the_gpu(name: str) -> None:
    net, given = NETWORKS[name]
    x = _batch(net)
    found = nf.batch_kernel(net, torch.from_numpy(x).cuda(), **given)
    assert found.ntk.is_cuda
    assert found.nngp.is_cuda
    _same(found, nf.batch_kernel(net, x, **given))
