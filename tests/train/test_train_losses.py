"""Losses agree with their definitions, and what does not fit is refused in one line that says what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normfield.data import DataSet
from normfield.errors import InvalidInput
from normfield.train import critical_learning_rate, train_once

INPUTS = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(12) % 3
ROWS = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))


def linear() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(4, 3)


class Raising(nn.Linear):
    def __init__(self, error: BaseException) -> None:
        super().__init__(4, 3)
        self.error = error

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        raise self.error


def first_loss(loss, targets) -> float:
    return train_once(linear(), (INPUTS, targets), learning_rate=1e-3, batch_size=None, loss=loss).first_loss


def test_losses_are_what_their_names_say():
    outputs = linear()(INPUTS).detach()
    one_hot = torch.eye(3)[LABELS]
    logs = outputs - outputs.logsumexp(1, keepdim=True)
    assert first_loss("squared", LABELS) == pytest.approx(
        float(((outputs - one_hot) ** 2).sum() / 24), rel=1e-6
    )
    assert first_loss("squared", ROWS) == pytest.approx(float(((outputs - ROWS) ** 2).sum() / 24), rel=1e-6)
    assert first_loss(nn.MSELoss(), LABELS) == pytest.approx(
        float(((outputs - one_hot) ** 2).mean()), rel=1e-6
    )
    cross_entropy = -float(logs[range(12), LABELS].mean())
    assert first_loss("cross_entropy", LABELS) == pytest.approx(cross_entropy, rel=1e-6)
    assert first_loss(nn.CrossEntropyLoss(), LABELS) == pytest.approx(cross_entropy, rel=1e-6)
    shares = torch.softmax(ROWS, 1)
    assert first_loss(nn.CrossEntropyLoss(), shares) == pytest.approx(
        -float((shares * logs).sum(1).mean()), rel=1e-6
    )


def test_any_callable_is_minimised_with_targets_as_given():
    def huber(outputs, targets):
        assert targets.dtype == outputs.dtype
        return nn.functional.smooth_l1_loss(outputs, targets)

    run = train_once(linear(), (INPUTS, ROWS), learning_rate=0.1, batch_size=None, epochs=20, loss=huber)
    assert run.final_loss < run.first_loss


def given(**changes):
    settings = {"model": linear(), "data": (INPUTS, LABELS), "learning_rate": 0.1, "batch_size": 4}
    settings.update(changes)
    return settings


WIDE = "give the model as many outputs as there are targets"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.0}, "expected learning_rate finite and above 0, got 0.0"),
        ({"learning_rate": float("inf")}, "expected learning_rate finite and above 0, got inf"),
        ({"learning_rate": "fast"}, "expected learning_rate finite and above 0, got 'fast'"),
        ({"momentum": 1.0}, "expected momentum at least 0 and below 1, got 1.0"),
        ({"momentum": -0.1}, "expected momentum at least 0 and below 1, got -0.1"),
        ({"epochs": 0}, "expected epochs as a whole number of at least 1, got 0; try epochs=3"),
        ({"steps": 0}, "expected steps as a whole number of at least 1, got 0"),
        ({"batch_size": 1}, "expected batch_size as a whole number of at least 2, got 1"),
        (
            {"batch_size": 13},
            "expected batch_size of at most 12, the number of samples, got 13; give a smaller",
        ),
        ({"seed": -1}, "expected seed as a whole number from 0 to 2**63 - 1, got -1"),
        ({"seed": 2**70}, "expected seed as a whole number from 0 to 2**63 - 1, got 1180"),
        (
            {"model": Raising(AssertionError("no\nsuch"))},
            "of shape (samples, 4), got AssertionError: no such",
        ),
        ({"divergence_factor": 1.0}, "expected divergence_factor finite and above 1, got 1.0"),
        ({"deadline": float("nan")}, "expected deadline in seconds, got nan"),
        ({"loss": "hinge"}, 'expected loss as "squared", "cross_entropy" or a callable'),
        ({"loss": 3}, 'expected loss as "squared", "cross_entropy" or a callable'),
        (
            {"loss": nn.MSELoss(reduction="none")},
            "from the loss MSELoss, got a tensor of shape (4, 3); average",
        ),
        ({"loss": lambda f, y: 0.5}, "expected one number with a gradient from the loss <lambda>, got float"),
        ({"loss": lambda f, y: f.sum().detach()}, "got a number without a gradient; average"),
        ({"loss": lambda f, y: f.sum() / 0}, "expected a finite loss before the first step, got"),
        ({"model": "mlp"}, "expected model as a torch.nn.Module, got str; build it first"),
        ({"model": nn.Flatten()}, "expected a module with trainable parameters, got Flatten without any"),
        ({"model": nn.Linear(5, 3)}, "takes inputs of shape (samples, 4), got RuntimeError: mat1 and mat2"),
        (
            {"model": nn.Linear(4, 2)},
            "at least 3 outputs per sample, one per class, got outputs of shape (samples, 2)",
        ),
        (
            {"model": nn.Linear(4, 2), "data": (INPUTS, ROWS)},
            f"targets of the outputs' shape (samples, 2), got (samples, 3); {WIDE}",
        ),
        (
            {"model": nn.LSTM(4, 3)},
            "expected a model that returns one tensor of outputs, for the loss squared, got tuple",
        ),
        (
            {"data": (INPUTS, ROWS), "loss": "cross_entropy"},
            "or class probabilities that are positive and sum to 1, got other torch.float32 targets",
        ),
        (
            {"data": (INPUTS[:1], LABELS[:1]), "batch_size": None},
            "expected at least 2 training samples, got 1",
        ),
        (
            {"data": DataSet("one", INPUTS, LABELS, 3, INPUTS[:1], LABELS[:1])},
            "expected at least 2 test samples, got 1",
        ),
    ],
)
def test_bad_input_to_a_run_is_refused_in_one_line_and_trains_nothing(changes, message):
    settings = given(**changes)
    model = settings.pop("model")
    kept = (
        {name: value.clone() for name, value in model.state_dict().items()}
        if isinstance(model, nn.Module)
        else {}
    )
    with pytest.raises(InvalidInput) as caught:
        train_once(model, settings.pop("data"), **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, kept[name]) for name, value in getattr(model, "state_dict", dict)().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"build": 3},
            "expected build as a callable seed -> torch.nn.Module, a Network or a module, got int",
        ),
        ({"build": lambda seed: None}, "expected build(seed) to return a torch.nn.Module, got NoneType"),
        (
            {"build": lambda seed: [][seed]},
            "return a torch.nn.Module, got IndexError: list index out of range",
        ),
        ({"restarts": 0}, "expected restarts as a whole number of at least 1, got 0"),
        ({"epochs": 0}, "expected epochs as a whole number of at least 1, got 0"),
        ({"momentum": 1.5}, "expected momentum at least 0 and below 1, got 1.5"),
        ({"resolution": 0.0}, "expected resolution finite and above 0, got 0.0"),
        ({"start": -1.0}, "expected start finite and above 0, got -1.0"),
        ({"budget": 0}, "expected budget finite and above 0, got 0"),
        ({"seed": 0.5}, "expected seed as a whole number from 0 to 2**63 - 1, got 0.5"),
        ({"batch_size": 64}, "expected batch_size of at most 12, the number of samples, got 64"),
        ({"loss": "hinge"}, 'expected loss as "squared", "cross_entropy" or a callable'),
    ],
)
def test_bad_input_to_a_search_is_refused_in_one_line(changes, message):
    settings = {"build": linear(), "data": (INPUTS, LABELS), "batch_size": 4, **changes}
    with pytest.raises(InvalidInput) as caught:
        critical_learning_rate(settings.pop("build"), settings.pop("data"), **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_functions_of_torch_are_taken_like_their_modules():
    shares = torch.softmax(ROWS, 1)
    assert first_loss(F.mse_loss, LABELS) == first_loss(nn.MSELoss(), LABELS)
    assert first_loss(F.cross_entropy, LABELS) == first_loss(nn.CrossEntropyLoss(), LABELS)
    logs = linear()(INPUTS).detach().log_softmax(1)
    for loss in ("cross_entropy", F.cross_entropy, nn.CrossEntropyLoss()):
        assert first_loss(loss, shares) == pytest.approx(-float((shares * logs).sum() / 12), rel=1e-6)


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), torch.OutOfMemoryError("full"), InvalidInput(expected="a", got="b")]
)
def test_what_is_not_the_function_s_fault_passes_through(error):
    def build(seed: int) -> nn.Module:
        raise error

    with pytest.raises(type(error)) as caught:
        critical_learning_rate(build, (INPUTS, LABELS), batch_size=4)
    assert caught.value is error


def test_the_cause_of_a_build_that_raises_is_kept():
    with pytest.raises(InvalidInput) as caught:
        critical_learning_rate(lambda seed: [][seed], (INPUTS, LABELS), batch_size=4)
    assert isinstance(caught.value.__cause__, IndexError)


def test_too_little_memory_in_a_forward_is_not_the_data_s_fault():
    with pytest.raises(torch.OutOfMemoryError):
        train_once(
            Raising(torch.OutOfMemoryError("full")), (INPUTS, LABELS), learning_rate=1e-3, batch_size=4
        )
