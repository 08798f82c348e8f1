"""The empirical NTK against Jacobians in float64, by formula, by torch.func and by finite differences."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from test_measure_untouched import BATCH, model_in_use, state
from torch import Tensor, nn
from written_out import Case, convolutional_case, dense_case, squared

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.eigenvalues.spectrum import curvature
from normfield.measure.tangent_kernel import ntk
from normfield.measure.tangent_kernel.ntk import empirical_ntk


@pytest.fixture(params=[dense_case, convolutional_case], ids=["dense", "convolutional"])
def case(request: pytest.FixtureRequest) -> Case:
    torch.manual_seed(3)
    return request.param()


def jacobian(case: Case, statistics: str, x: Tensor) -> np.ndarray:
    """(n·C, P) by formula."""
    f, theta = case.outputs(statistics, x), case.theta()
    return torch.func.jacrev(f)(theta).reshape(-1, len(theta)).numpy()


@pytest.mark.parametrize("statistics", ["batch", "frozen", "running"])
def test_jacobian_oracle(case: Case, statistics: str) -> None:
    rows = jacobian(case, statistics, case.x)
    found = empirical_ntk(case.model, case.x, statistics=statistics)
    np.testing.assert_allclose(found.matrix, rows @ rows.T, rtol=1e-9, atol=1e-10)
    assert found.way == ("sample by sample" if statistics == "running" else "whole batch")
    values = np.linalg.eigvalsh(rows @ rows.T)[::-1]
    np.testing.assert_allclose(found.eigenvalues, values, atol=1e-9 * values[0])
    assert found.largest_eigenvalue == pytest.approx(values[0], rel=1e-10)


@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_two_sets_are_two_batches(case: Case, statistics: str) -> None:
    one, two = case.x[:5], case.x[5:]
    written = jacobian(case, statistics, one) @ jacobian(case, statistics, two).T
    found = empirical_ntk(case.model, one, two, statistics=statistics)
    np.testing.assert_allclose(found.matrix, written, rtol=1e-9, atol=1e-10)
    assert (found.samples, found.other_samples, found.is_square) == (5, len(two), False)
    assert found.blocks.shape == (5, len(two), 3, 3)
    np.testing.assert_allclose(found.blocks[2, 1], written[6:9, 3:6], rtol=1e-9, atol=1e-10)
    averaged = empirical_ntk(case.model, one, two, statistics=statistics, trace_outputs=True)
    mean = np.trace(found.blocks, axis1=2, axis2=3) / 3
    np.testing.assert_allclose(averaged.matrix, mean, rtol=1e-9, atol=1e-10)


def test_finite_differences_of_the_module_itself(case: Case) -> None:
    """Along random directions v: ‖v-derivative of f‖ against vᵀJᵀJv; the batch norms run in training mode."""
    model, x, step = case.model.train(), case.x, 1e-6
    theta = [p.detach().clone() for p in model.parameters()]
    generator = torch.Generator().manual_seed(4)
    count = sum(p.numel() for p in theta)
    basis = torch.linalg.qr(torch.randn(count, count, generator=generator, dtype=torch.float64)).Q

    def outputs(offset: Tensor) -> Tensor:
        with torch.no_grad():
            for p, at, piece in zip(
                model.parameters(), theta, offset.split([p.numel() for p in theta]), strict=True
            ):
                p.copy_(at + piece.view_as(at))
            return model(x).reshape(-1)

    columns = torch.stack([(outputs(step * v) - outputs(-step * v)) / (2 * step) for v in basis])
    outputs(torch.zeros(count, dtype=torch.float64))
    found = empirical_ntk(model, x)
    np.testing.assert_allclose(found.matrix, (columns.T @ columns).numpy(), rtol=1e-5, atol=1e-6)


def test_eigenvalues_over_samples_are_those_of_the_squared_losss_gauss_newton_matrix(case: Case) -> None:
    found = empirical_ntk(case.model, case.x)
    ggn = case.matrix("batch", "ggn", squared, case.x, case.labels)
    largest = np.linalg.eigvalsh(ggn)[-1]
    assert found.largest_eigenvalue / found.samples == pytest.approx(largest, rel=1e-9)
    measured = curvature(case.model, (case.x, case.labels), tolerance=1e-10)
    assert found.max_learning_rate(0.9) == pytest.approx(measured.max_learning_rate(0.9), rel=1e-8)


def test_some_parameters(case: Case) -> None:
    names = [name for name, p in case.model.named_parameters() for _ in range(p.numel())]
    rows = jacobian(case, "batch", case.x)
    chosen = [name.startswith(("head.", "one.weight")) for name in names]
    found = empirical_ntk(case.model, case.x, parameters=["head", "one.weight"])
    np.testing.assert_allclose(found.matrix, rows[:, chosen] @ rows[:, chosen].T, rtol=1e-9, atol=1e-10)
    assert found.parameters == sum(chosen)


def test_parameters_are_taken_in_groups_that_fit(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = empirical_ntk(case.model, case.x).matrix
    largest = max(p.numel() for p in case.model.parameters())
    monkeypatch.setattr(ntk, "ROWS_BYTES", 8 * largest * expected.shape[0])
    monkeypatch.setattr(ntk, "_BLOCK", 4)
    groups: list[Any] = []
    plain = ntk.grouped
    monkeypatch.setattr(ntk, "grouped", lambda *given: groups.append(plain(*given)) or groups[-1])
    np.testing.assert_allclose(empirical_ntk(case.model, case.x).matrix, expected, rtol=1e-12)
    assert len(groups[0]) > 1
    assert sorted(index for group in groups[0] for index in group) == list(
        range(len(list(case.model.parameters())))
    )


class Mixing(nn.Module):
    """No batch norm, yet the samples meet: at these weights only in the derivative of `gate`."""

    def __init__(self, gate: float) -> None:
        super().__init__()
        self.layer, self.gate = nn.Linear(4, 3), nn.Parameter(torch.tensor(gate))

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        return z + self.gate * z.mean(0)


class Stubborn(nn.Module):
    """Cannot be vectorised: looks at its values."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        return z * 2 if float(z.detach()[0, 0]) > -1e9 else z


class CubeAlone(torch.autograd.Function):
    """Has no vectorising rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * float(grads[0].abs().max() > -1) * x**2 * grads[0]


class Cubed(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return CubeAlone.apply(super().forward(input))


def looped(model: nn.Module, x: Tensor) -> np.ndarray:
    """Θ by one backward pass for each output of each sample."""
    outputs = model(x)
    parameters = list(model.parameters())
    rows = [
        torch.cat([piece.reshape(-1) for piece in torch.autograd.grad(value, parameters, retain_graph=True)])
        for value in outputs.reshape(-1)
    ]
    matrix = torch.stack(rows)
    return (matrix @ matrix.T).detach().numpy()


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (
            lambda: nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.Tanh(), nn.Linear(6, 3)),
            "sample by sample",
        ),
        (lambda: Mixing(0.0), "whole batch"),
        (lambda: Mixing(0.7), "whole batch"),
        (Stubborn, "whole batch"),
        (lambda: Cubed(4, 3), "whole batch"),
    ],
)
def test_the_quicker_way_only_where_it_is_right(make: Callable[[], nn.Module], way: str) -> None:
    torch.manual_seed(0)
    model, x = make().double(), BATCH[0].double()
    found = empirical_ntk(model, x)
    np.testing.assert_allclose(found.matrix, looped(model, x), rtol=1e-9, atol=1e-11)
    assert found.way == way


def test_nested_inputs_and_shared_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(4, 4, bias=False)
            self.two = nn.Linear(4, 4, bias=False)
            self.two.weight = self.one.weight

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.two(torch.tanh(self.one(left))) * right

    torch.manual_seed(0)
    model, x = Tied().double(), BATCH[0].double()
    found = empirical_ntk(model, {"left": x, "right": 2 * x})
    whole = nn.Module()
    whole.inner, whole.forward = model, lambda x: model(x, 2 * x)
    np.testing.assert_allclose(found.matrix, looped(whole, x), rtol=1e-9, atol=1e-11)


def test_dropout_masks_are_the_same_for_every_row() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 20), nn.Dropout(0.5), nn.Linear(20, 2)).double()
    x = BATCH[0].double()
    found = empirical_ntk(model, x, seed=3)
    torch.manual_seed(3)
    np.testing.assert_allclose(found.matrix, looped(model, x), rtol=1e-9)


def test_single_precision_is_summed_in_double(case: Case) -> None:
    exact = empirical_ntk(case.model, case.x)
    found = empirical_ntk(case.model.float(), case.x.numpy())
    assert found.matrix.dtype == np.float64
    np.testing.assert_allclose(found.matrix, exact.matrix, atol=1e-5 * np.abs(exact.matrix).max())


def test_alignment() -> None:
    """A linear model y = wx with one weight: Θ = xxᵀ lies wholly along y = x and not at all across it."""
    model = nn.Linear(1, 1, bias=False).double()
    x = torch.tensor([[1.0], [2.0], [-2.0]], dtype=torch.float64)
    found = empirical_ntk(model, x)
    assert found.alignment(5 * x) == pytest.approx(1)
    assert found.alignment(torch.tensor([[0.0], [1.0], [1.0]])) == pytest.approx(0)
    y = np.array([[1.0], [1.0], [0.0]])
    assert found.alignment(y) == pytest.approx(9 / (9 * 2))
    averaged = empirical_ntk(nn.Linear(1, 2, bias=False).double(), x, trace_outputs=True)
    labels = torch.tensor([0, 0, 1])
    centred = np.array([[1 / 3, -1 / 3], [1 / 3, -1 / 3], [-2 / 3, 2 / 3]])
    gram = centred @ centred.T
    kernel = (x @ x.T).numpy()
    expected = (kernel * gram).sum() / (np.linalg.norm(kernel) * np.linalg.norm(gram))
    assert averaged.alignment(labels) == pytest.approx(expected)


def test_what_it_says() -> None:
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    found = empirical_ntk(model, x)
    assert found.matrix.tolist() == [[1.0, 3.0], [3.0, 25.0]]
    assert found.condition == pytest.approx((26 + math.sqrt(612)) / (26 - math.sqrt(612)))
    assert json.loads(found.to_json())["eigenvalues"] == pytest.approx(found.eigenvalues.tolist())
    assert found.to_frame().loc[(1, 0), (0, 0)] == 3
    assert "condition" in str(found)
    doubled = empirical_ntk(model, x[[0, 0]])
    assert doubled.condition == math.inf
    assert json.loads(doubled.to_json())["reason"].startswith("condition")
    between = json.loads(empirical_ntk(model, x, x).to_json())
    assert between["eigenvalues"] is None
    assert between["reason"] == "a kernel between two sets has no eigenvalues"


def test_rows_that_are_not_finite() -> None:
    class Root(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return (super().forward(input) * 0).abs().sqrt()

    with pytest.raises(NumericalFailure, match="not finite: a derivative"):
        empirical_ntk(Root(4, 2), BATCH[0])


def test_left_as_it_was() -> None:
    model = model_in_use()
    before = state(model)
    empirical_ntk(model, BATCH[0], BATCH[0][:4])
    with pytest.raises(InvalidInput):
        empirical_ntk(model, BATCH[0][:, :2])
    assert state(model) == before


X = BATCH[0]


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    square, between = empirical_ntk(model, X), empirical_ntk(model, X, X)
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: empirical_ntk(model, X / 0), "expected finite inputs"),
        (lambda: empirical_ntk(model, X[:0]), "expected at least one sample in inputs, got none"),
        (lambda: empirical_ntk(model, X, X[:, :2]), "expected inputs that the model takes"),
        (lambda: empirical_ntk(model, 3), "expected inputs as a tensor or an array"),
        (lambda: empirical_ntk(model, X[:1]), "expected batches of at least 2 samples"),
        (
            lambda: empirical_ntk(model, X, parameters="tail"),
            "got 'tail'; name a trainable parameter or a submodule",
        ),
        (lambda: empirical_ntk(model, X, parameters=[]), 'expected parameters "all" or names'),
        (lambda: empirical_ntk(model, X, statistics="eval"), "expected statistics one of"),
        (lambda: empirical_ntk(model, X, seed=-1), "expected seed as a whole number"),
        (lambda: between.eigenvalues, "expected the kernel of one set with itself for eigenvalues"),
        (lambda: between.alignment(BATCH[1]), "expected the kernel of one set with itself"),
        (
            lambda: square.alignment(BATCH[1] + 1),
            "labels from 0 to 2, or 3 values each, got labels from 1 to 3",
        ),
        (lambda: square.alignment(X), "got shape (9, 4)"),
        (lambda: square.alignment(BATCH[1] * 0), "expected targets that are not all alike"),
        (lambda: square.max_learning_rate(1.0), "expected a momentum from 0 to below 1, got 1.0"),
        (
            lambda: empirical_ntk(model, X, trace_outputs=True).max_learning_rate(),
            "expected the kernel of all outputs for a learning rate, got their mean",
        ),
    ]
    for call, message in calls:
        with pytest.raises(InvalidInput) as caught:
            call()
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(ntk, "MATRIX_BYTES", 8 * 27**2 - 1)
    with pytest.raises(
        InvalidInput, match="expected the kernel within 5831 bytes, got 5832 bytes for 27 by 27 rows"
    ):
        empirical_ntk(model, X)
    assert empirical_ntk(model, X, trace_outputs=True).matrix.shape == (9, 9)
    monkeypatch.setattr(ntk, "ROWS_BYTES", 1000)
    with pytest.raises(InvalidInput, match="one parameter's rows within 1000 bytes"):
        empirical_ntk(model, X[:8])
