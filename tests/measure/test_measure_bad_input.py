"""Bad input: one line that says what was expected, what came and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput, NumericalFailure
from normfield.measure import curvature, output_covariance

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 3


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


class TwoOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        return self.layer(x), x


class Pooled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).mean(0)


class Detached(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).detach()


class OwnNorm(nn.BatchNorm1d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Noisy(nn.Linear):
    """Draws from a generator of its own."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input + torch.randn(input.shape, generator=self.generator))


class Bare(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Raising(nn.Linear):
    def __init__(self, error: Exception) -> None:
        super().__init__(4, 3)
        self.error = error

    def forward(self, input: Tensor) -> Tensor:
        raise self.error


def broken(model: nn.Module) -> nn.Module:
    model[0].weight.data[0, 0] = float("nan")
    return model


def unscaled(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs**2).sum(1)


def number(outputs: Tensor, targets: Tensor) -> float:
    return 1.0


def refused(message: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        curvature(*args, **kwargs)
    line = str(caught.value)
    assert "\n" not in line
    assert message in line


BATCHES = {
    "no batches": ([], "expected at least one batch, got none; there is no batch in it, so put one in"),
    "spent generator": (iter([]), "got none; a generator can be read only once, so make a new one"),
    "empty batch": ((X[:0], Y[:0]), "expected at least one sample in every batch, got an empty batch 1"),
    "nan": ((X / 0, Y), "expected finite inputs, got 32 NaN or infinite values"),
    "nan targets": ((X, torch.full((8, 3), float("nan"))), "expected finite targets, got 24 NaN"),
    "inputs alone": (
        X,
        "expected batches: a pair (inputs, targets), a sequence of such pairs, or a DataLoader",
    ),
    "list of inputs": ([X, X, X], "got batch 1 is a Tensor"),
    "triples": ([(X, Y, Y)], "got batch 1 is a tuple of 3"),
    "strings": ((np.array(["a", "b"]), Y[:2]), "expected numeric inputs, got dtype <U1"),
    "lists": (
        [([1.0], [2.0])],
        "expected inputs[0] as a tensor or an array, or a tuple, list or dict of such, got float",
    ),
    "number": (3, "got a int"),
    "scalars": ((torch.tensor(1.0), torch.tensor(1)), "expected inputs with a first dimension of samples"),
    "lengths": ((X, Y[:5]), "expected as many targets as inputs in batch 1, got 5 for 8"),
    "labels too high": ((X, Y + 1), "expected labels from 0 to 2 (3 outputs), got labels from 1 to 3"),
    "labels negative": ((X, Y - 1), "expected labels from 0 to 2 (3 outputs), got labels from -1 to 1"),
    "wrong targets": (
        (X, X),
        "expected targets of the outputs' shape (8, 3), or integer class labels, got float32 of shape (8, 4)",
    ),
    "wrong width": (
        (X[:, :2], Y),
        "expected inputs that the model takes, got inputs of shape (8, 2), on which its forward raised "
        "RuntimeError: mat1 and mat2",
    ),
    "one sample": (
        (X[:1], Y[:1]),
        'expected batches of at least 2 samples for a model with batch norm and statistics="batch", got a batch of 1',
    ),
    "one sample among others": ([(X[:1], Y[:1]), (X, Y)], "got a batch of 1"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_batches(name: str) -> None:
    batches, message = BATCHES[name]
    refused(message, net(), batches)


MODELS = {
    "no parameters": (Bare(), "expected a module with trainable parameters, got Bare with none"),
    "none trainable": (net().requires_grad_(False), "expected a module with trainable parameters"),
    "no module": (lambda x: x, "expected a torch.nn.Module in Python, got function"),
    "lazy": (
        nn.LazyLinear(3),
        "expected initialised parameters, got a lazy module; run one forward pass first",
    ),
    "tuple": (TwoOutputs(), "expected a model that returns one tensor, got a tuple"),
    "pooled": (Pooled(4, 8 - 1), "expected outputs with one row for each of the 8 samples, got shape (7,)"),
    "no gradient": (
        Detached(4, 3),
        "expected outputs that depend on the trainable parameters, got outputs without gradient",
    ),
    "nan weights": (broken(net()), "expected finite floating-point model outputs, got NaN or infinite ones"),
    "own generator": (
        Noisy(4, 3),
        "expected a model that gives the same outputs twice, got different ones, although torch's, NumPy's and "
        "Python's generators started alike (the usual causes: a generator of its own, or something it counts)",
    ),
    "own norm": (nn.Sequential(nn.Linear(4, 3), OwnNorm(3)), "got OwnNorm at '1' with a forward of its own"),
}


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    model, message = MODELS[name]
    refused(message, model, (X, Y))


QUESTIONS = {
    "loss name": (
        {"loss": "hinge"},
        "expected a loss: 'squared', 'cross_entropy', nn.MSELoss(), nn.CrossEntropyLoss(), "
        "or a callable of (outputs, targets), got 'hinge'",
    ),
    "loss class": ({"loss": nn.MSELoss}, "expected a loss"),
    "loss none": ({"loss": None}, "got None"),
    "unreduced": ({"loss": nn.MSELoss(reduction="none")}, 'expected MSELoss with reduction="mean" or "sum"'),
    "not scalar": (
        {"loss": unscaled, "kind": "ggn"},
        "expected a scalar tensor from the loss unscaled, got shape (8,); reduce it with .mean()",
    ),
    "not a tensor": (
        {"loss": number, "kind": "ggn"},
        "expected a scalar tensor from the loss number, got float",
    ),
    "infinite": ({"loss": lambda f, y: f.sum() / 0, "kind": "ggn"}, "expected a finite loss, got"),
    "fisher of a callable": (
        {"loss": lambda f, y: f.sum()},
        'the distribution that it comes from is not known; use kind="ggn" or "hessian"',
    ),
    "fisher with weights": (
        {"loss": nn.CrossEntropyLoss(weight=torch.ones(3), label_smoothing=0.1)},
        "weight, label_smoothing makes it another model than a softmax",
    ),
    "kind": ({"kind": "empirical"}, "expected kind one of fisher, ggn, hessian, got 'empirical'"),
    "statistics": ({"statistics": "eval"}, "expected statistics one of batch, frozen, running, got 'eval'"),
    "method": ({"method": "power"}, "expected method one of auto, lanczos, dense, got 'power'"),
    "on_failure": ({"on_failure": "warn"}, "expected on_failure one of raise, return, got 'warn'"),
    "seed": ({"seed": None}, "expected seed as a whole number from 0 to 2**63 - 1, got None; use seed=0"),
    "seed below 0": ({"seed": -1}, "expected seed as a whole number from 0 to 2**63 - 1, got -1"),
    "seed too large": ({"seed": 2**70}, "expected seed as a whole number from 0 to 2**63 - 1, got 1180"),
    "top": ({"top": 0}, "expected top an integer of at least 1, got 0"),
    "top type": ({"top": 1.5}, "expected top an integer of at least 1, got 1.5"),
    "budget": ({"budget": 0}, "expected a budget above 0 seconds, got 0"),
    "max_products": ({"max_products": 0}, "expected max_products an integer of at least 1, got 0"),
    "tolerance": ({"tolerance": 0.0}, "expected a tolerance above 0, such as 1e-3, got 0.0"),
    "tolerance nan": ({"tolerance": float("nan")}, "expected a tolerance above 0"),
    "too tight": (
        {"tolerance": 1e-10},
        "expected a tolerance of at least 1e-06 for parameters in float32, got 1e-10; convert the model with .double()",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(name: str) -> None:
    options, message = QUESTIONS[name]
    refused(message, net(), (X, Y), **options)


def test_running_statistics_that_are_not_tracked() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    refused(
        "got track_running_stats=False at '1'; use statistics=\"batch\"", model, (X, Y), statistics="running"
    )


def test_cross_entropy_needs_classes_and_labels() -> None:
    refused("with two classes or more", nn.Linear(4, 1), (X, Y), loss="cross_entropy")
    refused("one integer label for each row of outputs (8, 3)", net(), (X, Y[:, None]), loss="cross_entropy")
    refused("class probabilities that are positive", net(), (X, torch.ones(8, 3)), loss="cross_entropy")
    refused("targets of the outputs' shape (8, 3)", net(), (X, torch.ones(8)), loss="cross_entropy")


def test_the_cause_is_kept() -> None:
    with pytest.raises(InvalidInput) as caught:
        curvature(net(), (X[:, :2], Y))
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("error", [AssertionError("not\nso"), AttributeError("not so"), KeyError("not so")])
def test_a_forward_that_raises_anything(error: Exception) -> None:
    refused(f"on which its forward raised {type(error).__name__}: ", Raising(error), (X, Y))


def test_too_little_memory_is_not_the_inputs_fault() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        curvature(Raising(torch.OutOfMemoryError("full")), (X, Y))


def test_a_budget_too_small_raises_with_the_result_or_returns_it() -> None:
    with pytest.raises(NumericalFailure, match=r"not converged: .* raise max_products") as caught:
        curvature(net(), (X, Y), method="lanczos", max_products=2)
    assert caught.value.result.products == 2
    result = curvature(net(), (X, Y), method="lanczos", max_products=2, on_failure="return")
    assert result.status.startswith("not converged")
    assert not result.is_converged


def root(outputs: Tensor, targets: Tensor) -> Tensor:
    """A loss whose second derivative is infinite where an output is zero."""
    return (outputs * 0).abs().sqrt().sum()


def test_products_that_are_not_finite() -> None:
    with pytest.raises(NumericalFailure, match="not finite"):
        curvature(net(), (X, Y), root, "ggn", method="lanczos")
    result = curvature(net(), (X, Y), root, "ggn", method="dense", on_failure="return")
    assert result.status.startswith("not finite")
    assert np.isnan(result.largest_eigenvalue)


def test_a_dense_matrix_too_large() -> None:
    model = nn.Linear(4, 40000)
    refused('method="dense"', model, (X, torch.zeros(8, 40000)), method="dense")


def test_output_covariance() -> None:
    with pytest.raises(InvalidInput, match="got one number for each sample"):
        output_covariance(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), (X, Y))
    with pytest.raises(InvalidInput, match="statistics one of"):
        output_covariance(net(), (X, Y), "eval")
    with pytest.raises(InvalidInput, match="got 1180591620717411303424; use seed=0"):
        output_covariance(net(), (X, Y), seed=2**70)


def test_a_spent_budget_of_seconds_is_never_silent():
    with pytest.raises(NumericalFailure, match="the budget ended"):
        curvature(net(), (X, Y), method="lanczos", tolerance=1e-5, budget=1e-9)
    result = curvature(net(), (X, Y), method="lanczos", tolerance=1e-5, budget=1e-9, on_failure="return")
    assert not result.is_converged
    assert result.products < curvature(net(), (X, Y), method="lanczos", tolerance=1e-5).products
