"""Modules of every kind against the same function written out by formula, dense and in float64."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from dense_oracle import Named, eigenvalues, half_squared
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from normfield.measure import curvature

torch.manual_seed(0)  # of the modules below, which are made when this file is read


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Called(nn.Module):
    """A body, called in some way."""

    def __init__(self, body: Any, call: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.body, self.call = body, call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.body, x)


def affine(p: Named, name: str, x: Tensor) -> Tensor:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def normalised(z: Tensor, positions: tuple[int, ...], eps: float = 1e-5) -> Tensor:
    mean = z.mean(positions, keepdim=True)
    return (z - mean) / (((z - mean) ** 2).mean(positions, keepdim=True) + eps).sqrt()


def scaled(p: Named, name: str, z: Tensor, shape: tuple[int, ...]) -> Tensor:
    return p[f"{name}.weight"].reshape(shape) * z + p[f"{name}.bias"].reshape(shape)


def convolved(p: Named, name: str, x: Tensor) -> Tensor:
    """A convolution in one dimension of width 3."""
    return torch.einsum("ncik,ock->noi", x.unfold(2, 3, 1), p[f"{name}.weight"]) + p[f"{name}.bias"][:, None]


def attended(p: Named, prefix: str, x: Tensor, heads: int = 2) -> Tensor:
    """Self-attention over (m, t, d)."""
    m, t, d = x.shape
    qkv = x @ p[prefix + "in_proj_weight"].T + p[prefix + "in_proj_bias"]
    q, k, v = (part.reshape(m, t, heads, -1).transpose(1, 2) for part in qkv.split(d, -1))
    scores = (q @ k.transpose(-1, -2) / math.sqrt(d // heads)).exp()
    mixed = (scores / scores.sum(-1, keepdim=True)) @ v
    return affine(p, prefix + "out_proj", mixed.transpose(1, 2).reshape(m, t, d))


def encoded(p: Named, x: Tensor, prefix: str = "layers.0.") -> Tensor:
    x = x + attended(p, prefix + "self_attn.", x)
    x = scaled(p, prefix + "norm1", normalised(x, (-1,)), (-1,))
    x = x + affine(p, prefix + "linear2", affine(p, prefix + "linear1", x).relu())
    return scaled(p, prefix + "norm2", normalised(x, (-1,)), (-1,))


def recurrent(kind: str) -> Callable[[Named, Tensor], Tensor]:
    """The outputs of one layer of RNN, LSTM or GRU over (m, t, d), by its equations."""

    def run(p: Named, x: Tensor) -> Tensor:
        w, u = p["body.weight_ih_l0"], p["body.weight_hh_l0"]
        b, c = p["body.bias_ih_l0"], p["body.bias_hh_l0"]
        h = cell = torch.zeros(len(x), u.shape[1], dtype=x.dtype)
        found = []
        for step in range(x.shape[1]):
            a, r = x[:, step] @ w.T + b, h @ u.T + c
            if kind == "RNN":
                h = (a + r).tanh()
            elif kind == "LSTM":
                i, f, g, o = (a + r).chunk(4, -1)
                cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
                h = o.sigmoid() * cell.tanh()
            else:
                (ar, az, an), (rr, rz, rn) = a.chunk(3, -1), r.chunk(3, -1)
                z = (az + rz).sigmoid()
                h = (1 - z) * (an + (ar + rr).sigmoid() * rn).tanh() + z * h
            found.append(h)
        return torch.stack(found, 1)

    return run


def first(body: Any, x: Tensor) -> Tensor:
    return body(x)[0]


def norms() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
        nn.LayerNorm(5),
    )


def norms_formula(p: Named, x: Tensor) -> Tensor:
    z = convolved(p, "0", x)
    z = scaled(p, "1", normalised(z.reshape(len(z), 2, 2, -1), (2, 3)).reshape(z.shape), (1, -1, 1)).tanh()
    return scaled(p, "4", normalised(scaled(p, "3", normalised(z, (2,)), (1, -1, 1)), (2,)), (-1,))


def batch_norms() -> nn.Module:
    return nn.Sequential(
        nn.Linear(3, 4),
        nn.BatchNorm1d(4, momentum=None),
        nn.Tanh(),
        nn.BatchNorm1d(4, track_running_stats=False, affine=False),
        nn.SyncBatchNorm(4),
        nn.Tanh(),
    )


def batch_norms_formula(p: Named, x: Tensor) -> Tensor:
    z = scaled(p, "1", normalised(affine(p, "0", x), (0,)), (-1,)).tanh()
    return scaled(p, "4", normalised(normalised(z, (0,)), (0,)), (-1,)).tanh()


class Tied(nn.Module):
    """Embedding and output weights are one parameter."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3, sparse=sparse)
        self.head = nn.Linear(3, 5)
        if not sparse:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.embedding(tokens).tanh())


def tied_formula(p: Named, tokens: Tensor) -> Tensor:
    e = p["embedding.weight"]
    return torch.eye(5, dtype=e.dtype)[tokens].matmul(e).tanh() @ p.get("head.weight", e).T + p["head.bias"]


def weight_normed(p: Named, g: str, v: str, x: Tensor) -> Tensor:
    w = p[g] * p[v] / (p[v] ** 2).sum(1, keepdim=True).sqrt()
    return (x @ w.T + p["0.bias"]).tanh()


def old_weight_norm() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 4)), nn.Tanh())


def spectral() -> tuple[nn.Module, Callable[[Named, Tensor], Tensor]]:
    """One step of the power method from the stored u and v, which are then constants."""
    model = nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Tanh()).double()
    kept = model[0].parametrizations.weight[0]
    w = model[0].parametrizations.weight.original.detach()
    u = w @ kept._v
    u = u / u.norm()
    v = w.T @ u
    v = v / v.norm()

    def formula(p: Named, x: Tensor) -> Tensor:
        weight = p["0.parametrizations.weight.original"]
        return (x @ (weight / (u @ weight @ v)).T + p["0.bias"]).tanh()

    return model, formula


def hooked() -> nn.Module:
    """Forward hooks are part of the function, backward hooks of none."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda module, given, out: 2 * out)
    model[2].register_full_backward_hook(lambda module, given, out: tuple(3 * g for g in given))
    model[0].register_full_backward_pre_hook(lambda module, out: tuple(5 * g for g in out))
    model[0].weight.register_hook(lambda grad: 7 * grad)
    return model


def two_layers(p: Named, x: Tensor, scale: float = 1.0) -> Tensor:
    return affine(p, "2", scale * affine(p, "0", x).tanh())


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def rechecked(body: Any, x: Tensor) -> Tensor:
    return checkpoint(body, x, use_reentrant=False)


SEQUENCE, FLAT, SIGNAL = randn(3, 4, 4), randn(6, 3), randn(3, 2, 7)
TOKENS = torch.tensor([[0, 1], [1, 4], [3, 3], [2, 0]])
SPECTRAL, SPECTRAL_FORMULA = spectral()
ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 5, dropout=0.0, batch_first=True), 1)

# name: (module, the same by formula, inputs)
CASES: dict[str, tuple[nn.Module, Callable[[Named, Any], Tensor], Tensor]] = {
    "max pooling": (
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.MaxPool1d(2)),
        lambda p, x: convolved(p, "0", x)[:, :, :4].reshape(3, 3, 2, 2).amax(-1),
        SIGNAL,
    ),
    "in-place relu": (
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)),
        lambda p, x: affine(p, "2", affine(p, "0", x).clamp(min=0)),
        FLAT,
    ),
    "attention": (
        Called(nn.MultiheadAttention(4, 2, batch_first=True), lambda body, x: body(x, x, x)[0]),
        lambda p, x: attended(p, "body.", x),
        SEQUENCE,
    ),
    "transformer encoder": (ENCODER, encoded, SEQUENCE),
    "rnn": (Called(nn.RNN(4, 3, batch_first=True), first), recurrent("RNN"), SEQUENCE),
    "lstm": (Called(nn.LSTM(4, 3, batch_first=True), first), recurrent("LSTM"), SEQUENCE),
    "gru": (Called(nn.GRU(4, 3, batch_first=True), first), recurrent("GRU"), SEQUENCE),
    "group, instance and layer norm": (norms(), norms_formula, SIGNAL),
    "batch norms of every option": (batch_norms(), batch_norms_formula, FLAT),
    "tied embedding": (Tied(sparse=False), tied_formula, TOKENS),
    "sparse gradients": (Tied(sparse=True), tied_formula, TOKENS),
    "weight norm": (
        nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh()),
        lambda p, x: weight_normed(
            p, "0.parametrizations.weight.original0", "0.parametrizations.weight.original1", x
        ),
        FLAT,
    ),
    "weight norm, older form": (
        old_weight_norm(),
        lambda p, x: weight_normed(p, "0.weight_g", "0.weight_v", x),
        FLAT,
    ),
    "spectral norm": (SPECTRAL, SPECTRAL_FORMULA, FLAT),
    "hooks": (hooked(), lambda p, x: two_layers(p, x, 2.0), FLAT),
    "checkpoint": (
        Called(mlp(), rechecked),
        lambda p, x: two_layers({name.removeprefix("body."): v for name, v in p.items()}, x),
        FLAT,
    ),
}


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("name", CASES)
def test_right(name: str, kind: str) -> None:
    model, formula, x = CASES[name]
    model = model.double().train()
    generator = torch.Generator().manual_seed(7)
    if name != "spectral norm":  # whose formula knows the weights
        for p in model.parameters():
            p.data += 0.3 * torch.randn(p.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        y = randn(*formula(dict(model.named_parameters()), x).shape, seed=3)
    expected = eigenvalues(model, lambda p: formula(p, x), lambda f: half_squared(f, y), kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for method in ("dense", "lanczos"):
        result = curvature(model, (x, y), kind=kind, method=method, tolerance=1e-9)
        above = (
            expected[: len(result.eigenvalues)] > 1e-9 * expected[0]
        )  # below lie directions without effect
        np.testing.assert_allclose(
            result.eigenvalues[above], expected[: len(above)][above], rtol=1e-7, atol=1e-9 * expected[0]
        )
        assert result.assumes == ()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_encoders_fused_path_in_eval_mode_is_not_taken() -> None:
    y = randn(3, 4, 4, seed=3)
    model = ENCODER.double()
    values = [
        curvature(m, (SEQUENCE, y), tolerance=1e-9, method="lanczos") for m in (model.train(), model.eval())
    ]
    np.testing.assert_allclose(values[1].eigenvalues, values[0].eigenvalues, rtol=1e-8)
    assert torch.backends.mha.get_fastpath_enabled()


def test_compiled_parts_run_uncompiled() -> None:
    model = mlp().double()
    expected = curvature(model, (FLAT, randn(6, 2)), kind="hessian", tolerance=1e-9).eigenvalues
    model[1] = torch.compile(model[1], backend="eager")
    for method in ("dense", "lanczos"):
        result = curvature(model, (FLAT, randn(6, 2)), kind="hessian", tolerance=1e-9, method=method)
        np.testing.assert_allclose(result.eigenvalues, expected, rtol=1e-7)


def test_an_embedding_that_renormalises_itself_is_left_alone() -> None:
    """It writes into its weights on every forward; what is measured is the function after that."""
    model = nn.Embedding(5, 3, max_norm=0.5).double()
    weight = model.weight.detach().clone()
    tokens, y = torch.arange(5), randn(5, 3)
    result = curvature(model, (tokens, y), kind="hessian", tolerance=1e-9)
    assert torch.equal(model.weight, weight)
    assert result.largest_eigenvalue == pytest.approx(1 / 5, rel=1e-8)


def test_attributes_set_in_the_forward_are_put_back() -> None:
    class Remembering(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            self.seen = input
            self.calls = getattr(self, "calls", 0) + 1
            return super().forward(input)

    model = Remembering(3, 2)
    before = dict(vars(model))
    curvature(model, (FLAT, torch.zeros(6, 2)))
    assert vars(model) == before


def test_data_parallel_wrappers_are_taken_off() -> None:
    model, batch = mlp(), (FLAT, torch.zeros(6, 2))
    alone = curvature(model, batch).largest_eigenvalue
    assert curvature(nn.DataParallel(model), batch).largest_eigenvalue == alone
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert curvature(wrapped, batch).largest_eigenvalue == alone
        assert all(p.grad is None for p in model.parameters())
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_single_and_double_precision_in_one_model(method: str) -> None:
    model = nn.Sequential(
        nn.Linear(3, 4), nn.Tanh(), Called(nn.Linear(4, 2).double(), lambda body, z: body(z.double()))
    )
    x, y = FLAT.float(), randn(6, 2)

    def formula(p: Named) -> Tensor:
        hidden = (x.double() @ p["0.weight"].double().T + p["0.bias"].double()).tanh()
        return affine(p, "2.body", hidden)

    expected = eigenvalues(model, formula, lambda f: half_squared(f, y), "hessian")
    result = curvature(model, (x, y), kind="hessian", method=method, tolerance=1e-4)
    assert result.largest_eigenvalue == pytest.approx(expected[0], rel=1e-4)
    assert result.vectors.dtype == torch.float64


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_half_precision_buffers_too(statistics: str) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()).bfloat16()
    model[1].running_mean += 0.3
    wide = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh()).double()
    wide.load_state_dict(model.state_dict())
    values = [
        curvature(m, (FLAT.float(), randn(6, 4)), statistics=statistics, tolerance=1e-5).largest_eigenvalue
        for m in (model, wide)
    ]
    assert values[0] == pytest.approx(values[1], rel=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_half_precision_parameters_are_computed_in_single_precision(dtype: torch.dtype, kind: str) -> None:
    torch.manual_seed(0)
    model = mlp().to(dtype)
    model[0].bias.requires_grad_(False)  # a frozen one in half precision too
    x, y = FLAT.to(dtype), randn(6, 2).to(dtype)
    expected = eigenvalues(
        model,
        lambda p: two_layers({name: v.double() for name, v in p.items()}, x.double()),
        lambda f: half_squared(f, y.double()),
        kind,
    )
    result = curvature(model, (x, y), kind=kind, tolerance=1e-5, method="lanczos")
    assert result.largest_eigenvalue == pytest.approx(expected[0], rel=2e-5)
    assert result.vectors.dtype == torch.float32
    assert result.assumes == (f"{str(dtype).removeprefix('torch.')} parameters computed in float32",)
    assert result.assumes[0] in str(result)
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_autocast_around_the_measurement_changes_nothing() -> None:
    model, batch = mlp(), (FLAT.float(), torch.zeros(6, 2))
    alone = curvature(model, batch).largest_eigenvalue
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert curvature(model, batch).largest_eigenvalue == alone
        assert torch.is_autocast_enabled("cpu")
