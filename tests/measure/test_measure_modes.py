"""Batch-norm statistics, and models with operations that take one way of differentiating or none."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure import curvature
from normfield.measure.matrix.operators import GaussNewton
from normfield.measure.matrix.tangents import CannotDifferentiate, DoubleBackward, ForwardMode
from normfield.measure.subject.batches import Batch
from normfield.measure.subject.function import ModelFunction
from normfield.measure.subject.losses import recognise
from normfield.measure.subject.modes import batch_norm_statistics


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


LAYERS = {
    "1d": (nn.BatchNorm1d(3), (6, 3)),
    "1d with positions": (nn.BatchNorm1d(3), (6, 3, 4)),
    "2d": (nn.BatchNorm2d(3), (6, 3, 4, 5)),
    "3d": (nn.BatchNorm3d(3), (6, 3, 2, 2, 2)),
    "without parameters": (nn.BatchNorm1d(3, affine=False), (6, 3)),
    "synchronised": (nn.SyncBatchNorm(3), (6, 3)),
    "cumulative": (nn.BatchNorm1d(3, momentum=None, eps=0.1), (6, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_mode_gives_the_layers_own_numbers(name: str) -> None:
    layer, shape = LAYERS[name]
    x = 3 * randn(*shape) + 1
    layer.running_mean, layer.running_var = randn(3), randn(3).abs() + 0.1
    expected = copy.deepcopy(layer).eval()(x)
    with batch_norm_statistics(layer, "running"):
        assert torch.equal(layer(x), expected)
    others = [0, *range(2, x.dim())]
    mean, variance = x.mean(others, keepdim=True), x.var(others, correction=0, keepdim=True)
    for statistics in ("batch", "frozen"):
        with batch_norm_statistics(layer, statistics):
            torch.testing.assert_close(
                layer(x), (x - mean) / (variance + layer.eps).sqrt(), rtol=1e-4, atol=1e-5
            )
    assert "forward" not in vars(layer)


@pytest.mark.parametrize(("statistics", "flows"), [("batch", False), ("frozen", True), ("running", True)])
def test_whether_a_common_shift_reaches_the_output(statistics: str, flows: bool) -> None:
    """Only where the mean is differentiated does a shift of all inputs leave the output as it was."""
    layer, x = nn.BatchNorm1d(3), randn(6, 3).requires_grad_()
    with batch_norm_statistics(layer, statistics):
        (slope,) = torch.autograd.grad(layer(x)[0, 0], x)
    assert (abs(float(slope[:, 0].sum())) > 1e-3) == flows


def test_wrong_dimensions_are_still_noticed() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm2d(3))
    with pytest.raises(InvalidInput, match="its forward raised ValueError: expected 4D input"):
        curvature(model, (randn(6, 4), torch.zeros(6, 3)))


def test_an_instances_own_forward_comes_back() -> None:
    layer = nn.BatchNorm1d(3)
    own = layer.forward
    layer.forward = own
    with pytest.raises(KeyError), batch_norm_statistics(layer, "batch"):
        raise KeyError
    assert vars(layer)["forward"] is own


class HalfForward(torch.autograd.Function):
    """Has no forward mode."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grads[0]


class WrongForward(HalfForward):
    """Has a forward mode that loses its tangents in silence."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return 0 * tangents[0]


class OnceBackward(HalfForward):
    """Can be differentiated once, backwards."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grads[0]


class Cube(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layer, self.function = nn.Linear(4, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


@pytest.mark.parametrize("operation", [HalfForward, WrongForward])
def test_operations_without_forward_mode_fall_back(operation: Any) -> None:
    torch.manual_seed(0)
    plain = Cube(lambda z: z**3)
    odd = Cube(operation.apply)
    odd.load_state_dict(plain.state_dict())
    x, y = randn(300, 4), torch.zeros(300, 3)
    for model, way, usable in [
        (odd, ForwardMode, False),
        (odd, DoubleBackward, True),
        (plain, ForwardMode, True),
    ]:
        part = GaussNewton(ModelFunction.of(model), Batch(x, y), recognise("squared"), way)
        row = part.pull_back(torch.ones(300, 3))
        if usable:
            assert torch.isfinite(part.product(row)).all()
        else:
            with pytest.raises(CannotDifferentiate):
                part.product(row)
    expected = curvature(plain, (x, y), method="lanczos").largest_eigenvalue
    assert curvature(odd, (x, y), method="lanczos").largest_eigenvalue == pytest.approx(expected, rel=1e-5)


def test_tangents_lost_on_one_path_of_two_are_noticed() -> None:
    torch.manual_seed(0)
    x, y = randn(300, 4), torch.zeros(300, 3)
    plain, half = Cube(lambda z: z**3 + z), Cube(lambda z: WrongForward.apply(z) + z)
    half.load_state_dict(plain.state_dict())
    expected = curvature(plain, (x, y), method="lanczos").largest_eigenvalue
    assert curvature(half, (x, y), method="lanczos").largest_eigenvalue == pytest.approx(expected, rel=1e-5)


def test_operations_that_can_be_differentiated_only_once_are_refused_where_that_is_too_few() -> None:
    batch = (randn(9, 4), torch.zeros(9, 3))
    for kind, expected in [("ggn", "forwards or twice"), ("hessian", "can be differentiated twice")]:
        with pytest.raises(InvalidInput, match=expected):
            curvature(Cube(OnceBackward.apply), batch, kind=kind, method="lanczos")
    once, batch = Cube(OnceBackward.apply), (randn(4, 4), torch.zeros(4, 3))
    plain = Cube(lambda z: z**3)
    plain.load_state_dict(once.state_dict())
    dual = [curvature(model, batch, method="dense").largest_eigenvalue for model in (once, plain)]
    assert dual[0] == pytest.approx(dual[1], rel=1e-6)  # built from rows of Jᵀ alone


class StraightThrough(torch.autograd.Function):
    """Rounds forwards, and passes gradients on as if it did not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_a_backward_pass_that_is_not_the_derivative_counts_as_one(method: str) -> None:
    batch = (randn(9, 4), torch.zeros(9, 3))
    rounded, plain = Cube(StraightThrough.apply), Cube(lambda z: z)
    values = [curvature(model, batch, method=method).largest_eigenvalue for model in (rounded, plain)]
    assert values[0] == pytest.approx(values[1], rel=1e-3)


@pytest.mark.parametrize("tangents", [ForwardMode, DoubleBackward])
def test_both_ways_give_the_transposed_jacobian(tangents: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()
    function = ModelFunction.of(model)
    batch = Batch(randn(7, 4).double(), torch.arange(7) % 3)
    with batch_norm_statistics(model, "batch"):
        part = GaussNewton(function, batch, recognise("squared"), tangents)
        v, u = randn(function.size).double(), randn(7, 3).double()
        slope = torch.autograd.grad(half_squared(function(batch.inputs), batch.targets), function.parameters)
        torch.testing.assert_close(part.gradient(), torch.cat([piece.reshape(-1) for piece in slope]))
        assert float((u * part._tangent(v)).sum()) == pytest.approx(float(part.pull_back(u) @ v), rel=1e-12)


def half_squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs - nn.functional.one_hot(labels, 3)).square().sum() / (2 * len(outputs))


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean(1)


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_attention_in_either_mode(kind: str) -> None:
    """In eval mode and without gradients torch would take a fused kernel."""
    torch.manual_seed(0)
    model, batch = Attentive(), (randn(5, 6, 8), torch.zeros(5, 8))
    values = [
        curvature(m, batch, kind=kind, method="lanczos").largest_eigenvalue
        for m in (model.train(), model.eval())
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-4)
    assert values[0] > 0


def test_compiled_modules_are_measured_uncompiled() -> None:
    model, batch = nn.Linear(4, 3), (randn(9, 4), torch.zeros(9, 3))
    compiled = torch.compile(model, backend="eager")
    assert curvature(compiled, batch).largest_eigenvalue == curvature(model, batch).largest_eigenvalue


def test_shared_and_unused_parameters() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.two = nn.Linear(3, 3, bias=False)
            self.two.weight = self.one.weight
            self.unused = nn.Parameter(torch.zeros(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x))

    torch.manual_seed(0)
    model, x = Tied().double(), randn(8, 3).double()
    weight = model.one.weight.detach()
    jacobian = torch.func.jacrev(lambda w: x @ w.T @ w.T)(weight).reshape(24, 9)
    exact = float(torch.linalg.eigvalsh(jacobian.T @ jacobian / 8)[-1])
    for method in ("dense", "lanczos"):
        for kind in ("fisher", "hessian"):
            result = curvature(model, (x, x @ weight.T @ weight.T), kind=kind, method=method, tolerance=1e-10)
            assert result.largest_eigenvalue == pytest.approx(exact, rel=1e-8)
            assert tuple(result.vectors.shape) == (11, 3)


def test_wide_outputs_of_a_linear_loss_have_no_curvature() -> None:
    model = nn.Linear(4, 3)
    for kind in ("ggn", "hessian"):
        result = curvature(
            model, (randn(9, 4), torch.zeros(9, 3)), lambda f, y: f.sum(), kind, method="lanczos"
        )
        assert result.largest_eigenvalue == 0


def test_mixed_precision_parameters() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 3), nn.Linear(3, 2).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.one(x).double())

    result = curvature(Mixed(), (randn(9, 4), torch.zeros(9, 2)), method="lanczos")
    assert result.vectors.dtype == torch.float64
    assert result.status == "converged"
