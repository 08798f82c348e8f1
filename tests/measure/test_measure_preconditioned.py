"""The preconditioned eigenvalue against dense float64 matrices, and its limit against torch's optimizers at work."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from held_optimizer import growth, warm_up
from test_measure_untouched import BATCH, model_in_use, state
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, NAdam, Optimizer, RMSprop
from written_out import Case, convolutional_case, cross_entropy, dense_case, quartic

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure.optimizers.preconditioned import preconditioned_curvature

Make = Callable[[list[nn.Parameter]], Optimizer]
OPTIMIZERS: dict[str, tuple[Make, Callable[[dict[str, Any], dict[str, Any]], Any]]] = {
    "SGD": (lambda p: SGD(p, lr=0.1, momentum=0.9), lambda group, kept: 1.0),
    "Adam": (
        lambda p: Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
        lambda group, kept: (
            (1 - 0.8 ** float(kept["step"]))
            * ((kept["exp_avg_sq"] / (1 - 0.95 ** float(kept["step"]))) ** 0.5 + 1e-3)
        ),
    ),
    "NAdam": (
        lambda p: NAdam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-3),
        lambda group, kept: (kept["exp_avg_sq"] / (1 - 0.95 ** float(kept["step"]))) ** 0.5 + 1e-3,
    ),
    "RMSprop": (
        lambda p: RMSprop(p, lr=0.01, alpha=0.9, centered=True, eps=1e-3),
        lambda group, kept: (kept["square_avg"] - kept["grad_avg"] ** 2) ** 0.5 + 1e-3,
    ),
    "Adagrad": (lambda p: Adagrad(p, lr=0.01, eps=1e-3), lambda group, kept: kept["sum"] ** 0.5 + 1e-3),
}


def dense_root(optimizer: Optimizer, scale: Callable[[dict[str, Any], dict[str, Any]], Any]) -> np.ndarray:
    """P^-½ as a vector, from the optimizer's own state."""
    pieces = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            kept = {name: value.numpy() for name, value in optimizer.state[p].items() if value is not None}
            pieces.append(np.broadcast_to(scale(group, kept), tuple(p.shape)).ravel() ** -0.5)
    return np.concatenate(pieces)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("make_case", [dense_case, convolutional_case], ids=["dense", "convolutional"])
@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_dense_oracle(name: str, make_case: Callable[[], Case], kind: str) -> None:
    torch.manual_seed(3)
    case, (make, scale) = make_case(), OPTIMIZERS[name]
    matrix = case.matrix("batch", kind, cross_entropy, *case.batch(slice(None)))
    parameters = list(case.model.parameters())
    optimizer = make(parameters)
    kept = [p.detach().clone() for p in parameters]
    warm_up(optimizer, parameters, 3)
    with torch.no_grad():
        for p, at in zip(parameters, kept, strict=True):
            p.copy_(at)
    root = dense_root(optimizer, scale)
    exact = np.linalg.eigvalsh(root[:, None] * matrix * root)[-1]
    found = preconditioned_curvature(
        case.model, case.batch(slice(None)), "cross_entropy", optimizer, kind, tolerance=1e-10
    )
    assert found.largest_eigenvalue == pytest.approx(exact, rel=1e-8)
    assert found.preconditioner == ("none: P = 1" if name == "SGD" else "the optimizer's state after 3 steps")


def test_groups_of_their_own_against_the_written_out_matrix() -> None:
    """A = D^½(G + a)D^½ + rω with D = rc/P, written out for AdamW and SGD with groups."""
    torch.manual_seed(3)
    case = dense_case()
    head, body = (
        list(case.model.head.parameters()),
        [p for n, p in case.model.named_parameters() if "head" not in n],
    )
    sizes = [sum(p.numel() for p in part) for part in (body, head)]
    matrix = case.matrix("batch", "ggn", cross_entropy, *case.batch(slice(None)))

    def of_each(first: float, second: float) -> np.ndarray:
        return np.repeat([first, second], sizes)

    optimizer = SGD(
        [
            {"params": head, "lr": 0.2, "momentum": 0.5, "nesterov": True},
            {"params": body, "lr": 0.4, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.2},
        ],
        lr=1.0,
    )
    speeds = of_each(0.7 / 1.9, 0.5 * (1 + 0.5 / 1.5))
    written = speeds[:, None] ** 0.5 * (matrix + np.diag(of_each(0.2, 0.0))) * speeds**0.5
    found = preconditioned_curvature(
        case.model, case.batch(slice(None)), "cross_entropy", optimizer, "ggn", tolerance=1e-10
    )
    largest = np.linalg.eigvalsh(written)[-1]
    assert found.stability_eigenvalue == pytest.approx(largest, rel=1e-8)
    assert found.max_learning_rate == pytest.approx(2 / largest, rel=1e-8)
    assert found.sharpness_times_rate == pytest.approx(0.4 * largest / 2, rel=1e-8)
    penalised = np.linalg.eigvalsh(matrix + np.diag(of_each(0.2, 0.0)))[-1]
    assert found.largest_eigenvalue == pytest.approx(penalised, rel=1e-8)


def test_decoupled_decay_and_parameters_at_rest() -> None:
    torch.manual_seed(3)
    case = dense_case()
    matrix = case.matrix("batch", "ggn", cross_entropy, *case.batch(slice(None)))
    batch, head = case.batch(slice(None)), list(case.model.head.parameters())
    count = sum(p.numel() for p in head)
    root = np.zeros(len(matrix))
    gradient = torch.autograd.grad(cross_entropy(case.model(batch[0]), batch[1]), head)
    root[-count:] = [(0.1 * (abs(float(g)) + 1e-2)) ** -0.5 for piece in gradient for g in piece.reshape(-1)]
    exact = np.linalg.eigvalsh(root[:, None] * matrix * root)[-1]
    optimizer = AdamW(head, lr=0.3, eps=1e-2, weight_decay=0.5)
    found = preconditioned_curvature(case.model, batch, "cross_entropy", optimizer, "ggn", tolerance=1e-10)
    assert found.largest_eigenvalue == pytest.approx(exact, rel=1e-8)
    assert found.max_learning_rate == pytest.approx(2 / (exact * 0.1 / 1.9 + 0.5), rel=1e-8)
    assert found.preconditioner == "the first step's, from the gradient of these batches"


def regression() -> tuple[nn.Module, tuple[Tensor, Tensor], list[Tensor]]:
    """A linear model with more samples than parameters, and its minimum: an exact quadratic."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    x = torch.linalg.qr(x).Q * torch.tensor([7.0, 6.0, 5.0, 4.0])
    y = torch.zeros(40, 2, dtype=torch.float64)
    model = nn.Linear(4, 2, bias=False).double()
    return model, (x, y), [torch.zeros(2, 4, dtype=torch.float64)]


def small_network() -> tuple[nn.Module, tuple[Tensor, Tensor], list[Tensor]]:
    """Batch norm and tanh at a minimum: the targets are the network's own outputs."""
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.randn(30, 3, dtype=torch.float64)
    return model, (x, model(x).detach()), [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("problem", [regression, small_network])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: Adam(p, lr=0.1),
        lambda p: AdamW(p, lr=0.1, weight_decay=0.0),
        lambda p: NAdam(p, lr=0.1),
        lambda p: RMSprop(p, lr=0.1, momentum=0.5),
        lambda p: Adagrad(p, lr=0.1),
    ],
)
def test_real_training_leaves_a_minimum_just_above_the_limit(problem: Callable[[], Any], make: Make) -> None:
    """Held preconditioner, gradients by autograd, 250 steps from 1e-12 off the minimum."""
    outcomes = []
    for share in (0.98, 1.02):
        model, (x, y), minimum = problem()
        parameters = list(model.parameters())
        optimizer = make(parameters)
        warm_up(optimizer, parameters, 20)
        with torch.no_grad():
            for p, at in zip(parameters, minimum, strict=True):
                p.copy_(at)
        found = preconditioned_curvature(model, (x, y), "squared", optimizer, tolerance=1e-8)

        def gradients(model: nn.Module = model, x: Tensor = x, y: Tensor = y) -> list[Tensor]:
            value = (model(x) - y).square().sum() / (2 * len(x))
            return list(torch.autograd.grad(value, list(model.parameters())))

        factor = share / found.sharpness_times_rate
        outcomes.append(growth(optimizer, parameters, gradients, minimum, factor, 250))
    assert outcomes[0] < 2  # flat directions stay where they are
    assert outcomes[1] > 20


def test_a_general_loss_and_an_unused_rate() -> None:
    """A learning rate of 0, as before a warm-up, still has a limit."""
    torch.manual_seed(3)
    case = dense_case()
    optimizer = SGD(case.model.parameters(), lr=0.0)
    batch = case.batch(slice(None))
    exact = np.linalg.eigvalsh(case.matrix("batch", "hessian", quartic, *batch))[-1]
    found = preconditioned_curvature(case.model, batch, quartic, optimizer, tolerance=1e-10)
    assert found.max_learning_rate == pytest.approx(2 / exact, rel=1e-8)
    assert found.sharpness_times_rate == 0


def test_model_and_optimizer_are_left_as_they_were() -> None:
    model = model_in_use()
    optimizer = Adam(model.parameters(), lr=0.1)
    before, kept, groups = state(model), dict(optimizer.state), repr(optimizer.param_groups)
    preconditioned_curvature(model, BATCH, "cross_entropy", optimizer)
    assert (state(model), dict(optimizer.state), repr(optimizer.param_groups)) == (before, kept, groups)


def test_what_it_says() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    optimizer = Adam(model.parameters(), lr=0.01)
    found = preconditioned_curvature(model, BATCH, "cross_entropy", optimizer)
    content = json.loads(found.to_json())
    assert content["max_learning_rate"] == found.max_learning_rate
    assert content["largest_eigenvalue"] * 0.01 / 38 == pytest.approx(content["sharpness_times_rate"])
    assert found.to_frame()["optimizer"].tolist() == ["Adam"]
    assert "largest stable learning rate" in str(found)
    assert any("held" in line for line in found.assumes)


def test_without_curvature_there_is_no_limit() -> None:
    model = nn.Linear(4, 3)
    optimizer = SGD(model.parameters(), lr=0.1)
    found = preconditioned_curvature(
        model, (BATCH[0], torch.zeros(9, 3)), lambda f, y: f.sum(), optimizer, kind="ggn"
    )
    assert found.max_learning_rate == math.inf
    assert found.sharpness_times_rate == 0
    assert "sets no limit" in json.loads(found.to_json())["reason"]


class OwnAdam(Adam):
    """Might step otherwise."""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda m: None,
            "expected one of torch.optim's SGD, Adam, AdamW, NAdam, RMSprop, Adagrad, got NoneType",
        ),
        (lambda m: OwnAdam(m.parameters()), "got OwnAdam; build one of them over the same parameters"),
        (lambda m: torch.optim.LBFGS(m.parameters()), "got LBFGS"),
        (
            lambda m: Adam(net().parameters()),
            "expected an optimizer over this model's trainable parameters, got one that holds none of them",
        ),
        (
            lambda m: SGD(m.parameters(), lr=0.1, maximize=True),
            "expected an optimizer that minimises, got maximize",
        ),
        (lambda m: SGD(m.parameters(), lr=0.1, momentum=1.0), "expected a momentum below 1, got 1.0"),
        (lambda m: zeroed(m), "expected a positive, finite preconditioner, got one that is zero"),
    ],
)
def test_refusals(make: Callable[[nn.Module], Any], message: str) -> None:
    model = net()
    with pytest.raises(InvalidInput) as caught:
        preconditioned_curvature(model, BATCH, "cross_entropy", make(model))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def zeroed(model: nn.Module) -> Optimizer:
    """A second moment of 0 and no eps."""
    optimizer = Adam(model.parameters(), eps=0.0)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    with torch.no_grad():
        for p in model.parameters():
            p.nan_to_num_(0.1)
    return optimizer


def test_a_budget_too_small() -> None:
    model = net()
    optimizer = Adam(model.parameters())
    with pytest.raises(NumericalFailure, match="raise max_products"):
        preconditioned_curvature(model, BATCH, "cross_entropy", optimizer, max_products=1)
    found = preconditioned_curvature(
        model, BATCH, "cross_entropy", optimizer, max_products=1, on_failure="return"
    )
    assert not found.is_converged
