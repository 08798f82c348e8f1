"""Every instrument on every module: it answers, leaves all as it was, also when stopped, and refuses in one line."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from instruments import CASES, INSTRUMENTS, Case
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import normfield as nf
from normfield.samples import apply

PAIRS = [(instrument, case) for instrument in INSTRUMENTS for case in CASES]


def in_use(case: Case) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A module that has taken a step, with gradients, hooks, momenta, and one submodule in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = case.make()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
        apply(model, case.batch[0]).square().mean().backward()
        optimizer.step()
    list(model.modules())[-1].eval()
    model.register_forward_hook(lambda *_: None)
    return model, optimizer


def plain(value: Any) -> Any:
    """Tensors as bytes and versions, mappings and sequences all the way down, anything else by identity."""
    if isinstance(value, Tensor):
        grad = None if value.grad is None else (id(value.grad), plain(value.grad))
        content = value.detach().cpu().numpy().tobytes()
        return (
            id(value),
            content,
            value._version,
            value.requires_grad,
            grad,
            list(value._backward_hooks or {}),
        )
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else id(value)


def state(model: nn.Module, optimizer: torch.optim.Optimizer, batch: Any) -> dict[str, Any]:
    """A deep record of the module, its optimizer, the batch and the global random state."""
    record = {name: plain(vars(module)) for name, module in model.named_modules()}
    record["optimizer"] = [plain(dict(optimizer.state)), plain(optimizer.param_groups)]
    record["batch"] = plain(batch)
    record["torch"] = torch.get_rng_state().numpy().tobytes()
    record["random"] = random.getstate()
    record["numpy"] = [str(part) for part in np.random.get_state()]  # noqa: NPY002
    record["modes"] = (torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads())
    return record


CHANGES = {
    "a value": lambda model, optimizer: model[0].weight.data.view(-1)[0].add_(1e-6),
    "a buffer": lambda model, optimizer: model[1].running_mean.add_(1e-6),
    "a count": lambda model, optimizer: model[1].num_batches_tracked.add_(1),
    "a gradient": lambda model, optimizer: model[0].weight.grad.mul_(2),
    "another gradient of the same values": lambda model, optimizer: setattr(
        model[0].weight, "grad", model[0].weight.grad.clone()
    ),
    "a frozen weight": lambda model, optimizer: model[0].weight.requires_grad_(False),
    "a mode": lambda model, optimizer: model[1].eval(),
    "a hook": lambda model, optimizer: model[0].register_forward_hook(lambda *_: None),
    "a hook of a weight": lambda model, optimizer: model[0].weight.register_hook(lambda g: g),
    "a forward": lambda model, optimizer: setattr(model[0], "forward", model[0].forward),
    "a momentum": lambda model, optimizer: optimizer.state[model[0].weight]["momentum_buffer"].mul_(2),
    "a learning rate": lambda model, optimizer: optimizer.param_groups[0].update(lr=1.0),
    "a draw": lambda model, optimizer: torch.rand(1),
    "a draw of NumPy": lambda model, optimizer: np.random.rand(),  # noqa: NPY002
    "a draw of Python": lambda model, optimizer: random.random(),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_record_notices(name: str) -> None:
    """What the promises below rest on."""
    case = CASES["batch-norm MLP"]
    model, optimizer = in_use(case)
    before = state(model, optimizer, case.batch)
    assert state(model, optimizer, case.batch) == before
    with torch.random.fork_rng():
        CHANGES[name](model, optimizer)
        assert state(model, optimizer, case.batch) != before


class Stopped(Exception):
    """What the test itself raises inside a model."""


def stopping_after(model: nn.Module, calls: int) -> None:
    """The last submodule raises at a call, having drawn from every random generator."""
    left = [calls]

    def stop(*_: Any) -> None:
        torch.randn(1), np.random.rand(), random.random()  # noqa: NPY002
        left[0] -= 1
        if left[0] < 0:
            raise Stopped("stopped\nhalf-way")

    hooked = [module for module in model.modules() if not list(module.children())][-1]
    hooked.register_forward_hook(stop)


@pytest.mark.parametrize(("name", "on"), PAIRS)
def test_it_answers_and_nothing_is_changed(name: str, on: str) -> None:
    case = CASES[on]
    model, optimizer = in_use(case)
    before = state(model, optimizer, case.batch)
    with torch.no_grad():  # as from an evaluation loop: instruments enable what they need themselves
        found = INSTRUMENTS[name].measure(model, case.batch, case.loss, case)
    assert state(model, optimizer, case.batch) == before
    assert str(found).strip()
    assert found.to_frame() is not None
    stored = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert stored


@pytest.mark.parametrize(("name", "on"), PAIRS)
def test_it_answers_alike_twice(name: str, on: str) -> None:
    """The same seed, whatever the global generators are at."""
    case = CASES[on]
    model, _ = in_use(case)
    answers = []
    for seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found = INSTRUMENTS[name].measure(model, case.batch, case.loss, case)
        answers.append(_numbers(found))
    assert answers[0] == answers[1]


LARGE = ("PreAct-ResNet18", "residual MLP of 100 layers")
STOPS = [
    pytest.param(name, on, calls, marks=[pytest.mark.long] if on in LARGE and calls in (2, 3) else [])
    for name, on in PAIRS
    for calls in (0, 2, 3, 5)
]


@pytest.mark.parametrize(("name", "on", "calls"), STOPS)
def test_stopped_half_way_nothing_is_changed(name: str, on: str, calls: int) -> None:
    case = CASES[on]
    model, optimizer = in_use(case)
    stopping_after(model, calls)
    before = state(model, optimizer, case.batch)
    raised: Exception | None = None
    try:
        INSTRUMENTS[name].measure(model, case.batch, case.loss, case)
    except (Stopped, nf.InvalidInput) as error:
        raised = error
    assert state(model, optimizer, case.batch) == before
    if raised is None:
        assert calls > 0  # it needed fewer passes
    elif not isinstance(raised, Stopped):
        assert "stopped half-way" in str(raised)
        assert len(str(raised).splitlines()) == 1


def _cut(inputs: Any) -> Any:
    """The last dimension one shorter."""
    return {key: x[..., :-1] for key, x in inputs.items()} if isinstance(inputs, dict) else inputs[..., :-1]


def _nan(inputs: Any) -> Any:
    return {key: x * math.nan for key, x in inputs.items()} if isinstance(inputs, dict) else inputs * math.nan


def _nan_loss(outputs: Tensor, targets: Any) -> Tensor:
    return outputs.sum() * math.nan


def _bad_batches(case: Case) -> dict[str, tuple[Any, str]]:
    """A batch each, with words of the one line that must come."""
    x, y = case.batch
    return {
        "NaN inputs": ((_nan(x), y), "finite inputs"),
        "targets of another length": ((x, y[:-1]), "as many targets as inputs"),
        "no batch": (3, "batch"),
    }


@pytest.mark.parametrize(("name", "on"), PAIRS)
def test_bad_input_is_one_line_and_nothing_is_changed(name: str, on: str) -> None:
    case, instrument = CASES[on], INSTRUMENTS[name]
    model, optimizer = in_use(case)
    mistakes: list[tuple[Any, Any, str]] = [
        (batch, case.loss, words) for batch, words in _bad_batches(case).values()
    ]
    if on not in ("PreAct-ResNet18", "batch-norm convnet"):  # which take images of other widths
        mistakes.append(((_cut(case.batch[0]), case.batch[1]), case.loss, "inputs"))
    if instrument.takes_loss:
        mistakes += [(case.batch, "hinge", "a loss"), (case.batch, _nan_loss, "finite loss")]
    before = state(model, optimizer, case.batch)
    for batch, loss, words in mistakes:
        with pytest.raises(nf.InvalidInput) as caught:
            instrument.measure(model, batch, loss, case)
        assert words in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
    assert state(model, optimizer, case.batch) == before
    with pytest.raises(nf.InvalidInput, match=r"torch\.nn\.Module"):
        instrument.measure(len, case.batch, case.loss, case)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_it_draws(name: str) -> None:
    case = CASES["batch-norm MLP"]
    found = INSTRUMENTS[name].measure(in_use(case)[0], case.batch, case.loss, case)
    assert len(found.plot().data) > 0


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_half_precision_parameters_are_measured_in_single_precision(name: str) -> None:
    """The numbers are those of the same weights in float32, and the module stays in bfloat16."""
    case = CASES["batch-norm MLP"]
    narrow = in_use(case)[0].bfloat16()
    wide = in_use(case)[0]
    wide.load_state_dict({key: value.float() for key, value in narrow.state_dict().items()})
    found, expected = (
        INSTRUMENTS[name].measure(model, case.batch, case.loss, case) for model in (narrow, wide.float())
    )
    frames = [one.to_frame().select_dtypes("number") for one in (found, expected)]
    np.testing.assert_allclose(frames[0], frames[1], rtol=1e-3, atol=1e-5)
    assert {p.dtype for p in narrow.parameters()} == {torch.bfloat16}


def _numbers(found: Any) -> dict[str, Any]:
    """A result's JSON without what a clock says."""
    return {key: value for key, value in json.loads(found.to_json()).items() if "seconds" not in key}


@pytest.fixture
def process_group() -> Iterator[None]:
    """Of this one process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


WRAPPERS = {
    "compiled": partial(torch.compile, backend="eager"),
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": nn.parallel.DistributedDataParallel,
}


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("wrap", WRAPPERS)
@pytest.mark.parametrize("name", INSTRUMENTS)
def test_wrappers_are_taken_off(name: str, wrap: str) -> None:
    """The answer is the module's own, with names of its own."""
    case = CASES["batch-norm MLP"]
    model, optimizer = in_use(case)
    alone = INSTRUMENTS[name].measure(model, case.batch, case.loss, case)
    wrapped = WRAPPERS[wrap](model)
    before = state(model, optimizer, case.batch)
    found = INSTRUMENTS[name].measure(wrapped, case.batch, case.loss, case)
    assert state(model, optimizer, case.batch) == before
    assert _numbers(found) == _numbers(alone)


@pytest.mark.parametrize("on", CASES)
def test_what_runs_nothing_changes_nothing(on: str) -> None:
    case = CASES[on]
    model, optimizer = in_use(case)
    before = state(model, optimizer, case.batch)
    split = nf.length_direction(model)
    assert len(split.weights) == len([p for p in model.parameters() if p.requires_grad and p.dim() > 1])
    assert [
        row["mean_angle"] for row in json.loads(split.change_from(split).to_json())["weights"]
    ] == pytest.approx([0.0] * len(split.weights))
    assert state(model, optimizer, case.batch) == before


def _running(model: nn.Module) -> set[str]:
    """Names of what batch norms keep of the batches they saw."""
    norms = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
    return {
        f"{name}.{key}" for name in norms for key in ("running_mean", "running_var", "num_batches_tracked")
    }


@pytest.mark.parametrize("on", [on for on in CASES if on != "transformer encoder"])
def test_recalibration_changes_running_statistics_and_nothing_else(on: str) -> None:
    case = CASES[on]
    model, _ = in_use(case)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    drawn = torch.get_rng_state()
    nf.recalibrate_(model, [case.batch])
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed <= _running(model)
    assert changed
    assert modes == [module.training for module in model.modules()]
    assert torch.equal(drawn, torch.get_rng_state())


def test_recalibration_needs_a_batch_norm() -> None:
    case = CASES["transformer encoder"]
    with pytest.raises(nf.InvalidInput, match="a module with batch norm"):
        nf.recalibrate_(in_use(case)[0], [case.batch])


@pytest.mark.parametrize("name", ["population_statistics", "statistics_drift", "gradient_inequality"])
def test_without_batch_norm_there_is_none_and_that_is_said(name: str) -> None:
    case = CASES["transformer encoder"]
    model, _ = in_use(case)
    found = INSTRUMENTS[name].measure(model, case.batch, case.loss, case)
    assert len(found.layers) == 0
    assert "no" in str(found).lower()
    assert len(found.to_frame()) == 0
