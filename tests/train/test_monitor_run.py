"""A monitored run: what is measured when, and that the run is the same to the bit as without a monitor."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import normfield as nf

X = torch.randn(256, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(256) % 5

MODELS = {
    "plain": lambda: nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)),
    "dropout": lambda: nn.Sequential(nn.Linear(12, 16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 5)),
    "running statistics": lambda: nn.Sequential(
        nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)
    ),
}
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3),
    "Adam": lambda p: torch.optim.Adam(p, lr=1e-2),
}


def meddling(moment: nf.Moment) -> dict[str, object]:
    """An instrument that changes all that it can reach, and draws from every global generator."""
    loss = nn.functional.cross_entropy(moment.model(moment.batch[0]), moment.batch[1])
    loss.backward()
    norms = {name: p.grad.norm() for name, p in moment.model.named_parameters()}
    with torch.no_grad():
        for parameter in moment.model.parameters():
            parameter.add_(1.0)
    moment.model.eval()
    moment.model.requires_grad_(False)
    return {"draws": torch.rand(1) + random.random() + np.random.rand(), "gradient": norms}  # noqa: NPY002


def trained(make, make_optimizer, monitored, steps=30, wrap=lambda model: model, **asked):
    """Model, optimizer, what is left of the random state, and the monitor."""
    torch.manual_seed(1)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    model = make()
    called = wrap(model)
    optimizer = make_optimizer(model.parameters())
    monitor = nf.Monitor(called, "cross_entropy", optimizer=optimizer, **asked) if monitored else None
    for _ in range(steps):
        rows = torch.randint(256, (32,))
        loss = nn.functional.cross_entropy(called(X[rows]), Y[rows])
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        if monitor is not None:
            monitor.step((X[rows], Y[rows]), loss_value=loss)
        optimizer.step()
    draws = [torch.rand(1).item(), random.random(), np.random.rand()]  # noqa: NPY002
    return model, optimizer, draws, monitor


def values(thing):
    """Every tensor and number in a state dict, in order."""
    if isinstance(thing, dict):
        return [value for key in thing for value in values(thing[key])]
    if isinstance(thing, list | tuple):
        return [value for part in thing for value in values(part)]
    return [thing]


def identical(one, other):
    return all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(values(one), values(other), strict=True)
    )


ASKED = {
    "every": {"edge": 7, "signals": 5, "landscape": 9, "own": 3},
    "instruments": {"own": meddling},
    "overhead": None,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_training_is_bit_identical_with_the_monitor_on_and_off(model, optimizer):
    on, its_optimizer, its_draws, monitor = trained(MODELS[model], OPTIMIZERS[optimizer], True, **ASKED)
    off, other_optimizer, draws, _ = trained(MODELS[model], OPTIMIZERS[optimizer], False)
    assert identical(on.state_dict(), off.state_dict())
    assert identical(its_optimizer.state_dict(), other_optimizer.state_dict())
    assert identical([p.grad for p in on.parameters()], [p.grad for p in off.parameters()])
    assert its_draws == draws
    assert all(each.runs > 1 and not each.failures for each in monitor.record.instruments)


def test_training_is_bit_identical_where_an_instrument_raises():
    def raising(moment):
        meddling(moment)
        if moment.step:
            raise RuntimeError("no more")
        return 1.0

    asked = {"every": {"own": 4}, "instruments": {"own": raising}, "overhead": None}
    on, _, its_draws, monitor = trained(MODELS["running statistics"], OPTIMIZERS["Adam"], True, **asked)
    off, _, draws, _ = trained(MODELS["running statistics"], OPTIMIZERS["Adam"], False)
    assert identical(on.state_dict(), off.state_dict())
    assert its_draws == draws
    assert monitor.record.instruments[0].failures == 3


def test_a_compiled_module_is_measured_and_trains_on_alike():
    asked = {"every": {"edge": 7, "own": 5}, "instruments": {"own": meddling}, "overhead": None, "steps": 15}

    def wrap(model):
        return torch.compile(model, backend="eager")

    make, make_optimizer = MODELS["running statistics"], OPTIMIZERS["SGD"]
    on, _, _, monitor = trained(make, make_optimizer, True, wrap=wrap, **asked)
    off, _, _, _ = trained(make, make_optimizer, False, wrap=wrap, steps=15)
    _, _, _, beside = trained(make, make_optimizer, True, **asked)
    assert identical(on.state_dict(), off.state_dict())
    np.testing.assert_allclose(
        monitor.record.curve("edge", "largest_eigenvalue")[1],
        beside.record.curve("edge", "largest_eigenvalue")[1],
        rtol=1e-2,
    )


def test_instruments_take_their_turns_at_multiples_of_their_intervals():
    asked = {
        "every": {"three": 3, "seven": 7},
        "instruments": {"three": lambda moment: moment.step, "seven": lambda moment: {"a": None, "b": 2}},
        "overhead": None,
    }
    _, _, _, monitor = trained(MODELS["plain"], OPTIMIZERS["SGD"], True, steps=22, **asked)
    record = monitor.record
    steps, found = record.curve("three", "three")
    assert steps.tolist() == found.tolist() == [0, 3, 6, 9, 12, 15, 18, 21]
    assert record.curve("seven", "b")[0].tolist() == [0, 7, 14, 21]
    assert record.quantities("seven") == ("b",)
    assert record.notes == ()


def test_the_record_holds_losses_rates_and_layers_in_one_table():
    _, _, _, monitor = trained(MODELS["plain"], OPTIMIZERS["SGD"], True, steps=9, **ASKED)
    record = monitor.record
    frame = record.to_frame()
    assert list(frame.columns) == ["step", "instrument", "quantity", "layer", "value"]
    training = frame[frame.instrument == "training"]
    assert training[training.quantity == "loss"].step.tolist() == list(range(9))
    assert set(training[training.quantity == "learning_rate"].value) == {0.05}
    gradients = frame[(frame.instrument == "own") & (frame.quantity == "gradient")]
    assert set(gradients.layer) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert record.layers("own", "gradient") == ("0.weight", "0.bias", "2.weight", "2.bias")
    assert record.curve("own", "gradient", "0.bias")[0].tolist() == [0, 3, 6]
    kept = json.loads(record.to_json())
    assert kept["losses"] == list(record.losses)
    assert len(kept["readings"]) == len(record.readings)
    assert "9 steps of Sequential" in str(record)
    assert record.plot().data[0].y == record.losses
    assert "Instruments and what they cost" in record._repr_html_()


def test_what_was_not_told_is_missing_and_null_with_a_reason():
    monitor = nf.Monitor(MODELS["plain"](), "cross_entropy", every={"signals": 2})
    monitor.step((X, Y))
    monitor.step((X, Y), loss_value=2.0, learning_rate=0.5)
    record = monitor.record
    assert record.losses == (None, 2.0)
    assert record.curve("training", "learning_rate")[1].tolist() == [0.5]
    kept = json.loads(record.to_json())
    assert kept["losses"] == [None, 2.0]
    assert "not told" in kept["reason"]
    with pytest.raises(nf.InvalidInput, match=r"something that was measured: .*, got signals, colour"):
        record.curve("signals", "colour")


def test_held_batches_are_measured_on_instead_of_the_steps_own():
    seen = []
    held = (X[:32], Y[:32])
    monitor = nf.Monitor(
        MODELS["plain"](),
        "cross_entropy",
        batch=held,
        every={"own": 1},
        instruments={"own": lambda moment: seen.append(moment.batch[0]) or 0},
        overhead=None,
    )
    monitor.step()
    monitor.step((X[32:], Y[32:]))
    assert all(torch.equal(inputs, X[:32]) for inputs in seen)
    assert len(seen) == 2


def test_a_held_batch_is_a_copy():
    inputs, targets = {"a": X[:8].clone(), "b": (X[:8].clone(),)}, Y[:8].clone()
    read = {
        "a": lambda moment: moment.batch[0]["a"].sum(),
        "b": lambda moment: moment.batch[0]["b"][0].sum(),
        "targets": lambda moment: moment.batch[1].sum(),
    }
    watching = nf.Monitor(
        MODELS["plain"](),
        batch=(inputs, targets),
        every=dict.fromkeys(read, 1),
        instruments=read,
        overhead=None,
    )
    for tensor in (inputs["a"], inputs["b"][0], targets):
        tensor.zero_()  # as a loop does that fills one tensor again and again
    watching.step(loss_value=1.0)
    found = [reading.value for reading in watching.record.readings]
    assert found == [X[:8].sum().item(), X[:8].sum().item(), Y[:8].sum().item()]


def test_the_edge_is_the_curvatures_and_the_optimizers_own():
    torch.manual_seed(3)
    model = MODELS["running statistics"]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    monitor = nf.Monitor(
        model, "cross_entropy", optimizer=optimizer, batch=(X, Y), every={"edge": 1}, overhead=None
    )
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
        monitor.step()
    plain = nf.curvature(model, (X, Y), "cross_entropy", kind="hessian", tolerance=1e-4).largest_eigenvalue
    own = nf.preconditioned_curvature(model, (X, Y), "cross_entropy", optimizer, tolerance=1e-4)
    record = monitor.record
    assert record.curve("edge", "largest_eigenvalue")[1][-1] == pytest.approx(plain, rel=6e-2)
    assert record.curve("edge", "sharpness_times_rate")[1][-1] == pytest.approx(1e-2 * plain / 2, rel=6e-2)
    found = record.curve("edge", "preconditioned_sharpness_times_rate")[1][-1]
    assert found == pytest.approx(own.sharpness_times_rate, rel=6e-2)


def test_full_batch_descent_meets_the_edge_of_stability():
    """Least squares of one weight: λ is the mean of x², so η·λ/2 is known in closed form."""
    x = torch.linspace(-1, 1, 11)[:, None]
    model = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
    monitor = nf.Monitor(model, "squared", optimizer=optimizer, batch=(x, 0 * x), every={"edge": 1})
    monitor.step()
    expected = float(x.square().mean())
    assert monitor.record.curve("edge", "sharpness_times_rate")[1][0] == pytest.approx(expected, rel=1e-3)


def test_losses_on_a_device_are_read_in_order():
    monitor = nf.Monitor(MODELS["plain"](), "cross_entropy", every={"signals": 10_000})
    told = torch.linspace(1, 2, 600)
    for loss in told:
        monitor.step((X, Y), loss_value=loss)
        loss.mul_(0)  # what is kept must not follow the caller's tensor
    losses = monitor.record.losses
    assert len(losses) == 600
    assert all(a < b for a, b in pairwise(losses))


def test_every_instrument_with_a_name_agrees_with_its_own_function():
    torch.manual_seed(5)
    model = MODELS["running statistics"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    held = list(zip(X.split(64), Y.split(64), strict=True))
    names = ("signals", "landscape", "shift", "scale_invariance", "statistics_drift", "gradient_noise")
    every = dict.fromkeys(names, 1)
    monitor = nf.Monitor(model, "cross_entropy", optimizer=optimizer, batch=held, every=every, overhead=None)
    snapshots = []
    for _ in range(2):
        snapshots.append(nf.layer_inputs(model, held[0]))
        monitor.step()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    snapshots.append(nf.layer_inputs(model, held[0]))
    monitor.step()
    record = monitor.record

    def last(instrument, quantity, layer=None):
        steps, found = record.curve(instrument, quantity, layer)
        assert steps[-1] == 2
        return found[-1]

    signals = nf.signals(model, held[0], "cross_entropy")
    assert record.layers("signals", "gradient") == tuple(layer.name for layer in signals.layers)
    assert last("signals", "gradient", "0") == signals["0"].gradient
    assert last("signals", "root_mean_square", "3") == signals["3"].root_mean_square
    walk = nf.landscape(model, held[0], "cross_entropy", learning_rate=0.3)
    assert (last("landscape", "smallest_loss"), last("landscape", "largest_loss")) == walk.loss_range
    assert last("landscape", "effective_smoothness") == walk.effective_smoothness
    shift = nf.distribution_shift(snapshots[1], snapshots[2])
    assert last("shift", "mean_drift", "1") == {layer.name: layer for layer in shift.layers}["1"].mean_drift
    assert record.curve("shift", "mean_drift", "1")[0].tolist() == [1, 2]  # nothing to compare at step 0
    weights = nf.scale_invariance(model, held[0], "cross_entropy")
    assert last("scale_invariance", "invariant", "0.weight") == weights["0.weight"].is_invariant == 1
    assert last("scale_invariance", "invariant", "3.weight") == weights["3.weight"].is_invariant == 0
    rate = last("scale_invariance", "effective_learning_rate", "0.weight")
    assert rate == pytest.approx(0.3 / float(model[0].weight.detach().square().sum()), rel=1e-6)
    drift = nf.statistics_drift(model, held, "cross_entropy")
    assert last("statistics_drift", "mean_error", "1") == drift.layers["1"].mean_error
    assert last("statistics_drift", "loss_running") == drift.losses["running"]
    noise = nf.gradient_noise(model, held, "cross_entropy")
    assert last("gradient_noise", "covariance_trace") == noise.covariance_trace


def test_without_batch_norm_there_is_no_drift_and_no_failure():
    monitor = nf.Monitor(
        MODELS["plain"](), "cross_entropy", every={"statistics_drift": 1}, batch=[(X[:64], Y[:64])] * 2
    )
    monitor.step()
    assert monitor.record.layers("statistics_drift", "mean_error") == ()
    assert monitor.record.instruments[0].runs == 1


def test_the_edge_of_all_weights_is_not_that_of_those_that_the_optimizer_holds():
    torch.manual_seed(6)
    batch = (X, Y)
    model = MODELS["plain"]()
    optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)
    monitor = nf.Monitor(model, "cross_entropy", optimizer=optimizer, batch=batch, every={"edge": 1})
    monitor.step()
    whole = nf.curvature(model, batch, "cross_entropy", kind="hessian").largest_eigenvalue
    held = nf.preconditioned_curvature(model, batch, "cross_entropy", optimizer).largest_eigenvalue
    assert whole > 1.2 * held
    assert monitor.record.curve("edge", "largest_eigenvalue")[1][0] == pytest.approx(whole, rel=6e-2)
    found = monitor.record.curve("edge", "preconditioned_largest_eigenvalue")[1][0]
    assert found == pytest.approx(held, rel=6e-2)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_edge_of_sgd_is_the_hessians_without_the_weight_decay(decay):
    torch.manual_seed(7)
    model = MODELS["plain"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=decay)
    monitor = nf.Monitor(model, "cross_entropy", optimizer=optimizer, batch=(X, Y), every={"edge": 1})
    monitor.step()
    exact = nf.curvature(model, (X, Y), "cross_entropy", kind="hessian").largest_eigenvalue
    found = monitor.record.curve("edge", "largest_eigenvalue")[1][0]
    assert found == pytest.approx(exact, rel=6e-2)
    seen = monitor.record.curve("edge", "preconditioned_largest_eigenvalue")[1][0]
    assert seen - found == pytest.approx(decay, abs=1e-6)
