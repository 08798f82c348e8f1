"""What an instrument of the caller's own does to the model is undone, whatever it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import normfield as nf

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(24) % 3
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


def net(with_gradients=True):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    if with_gradients:
        nn.functional.cross_entropy(model(X), Y).backward()
    return model


def watch(model, function):
    """One measurement by an own instrument; the monitor."""
    watching = nf.Monitor(
        model, "cross_entropy", every={"own": 1}, instruments={"own": function}, overhead=None
    )
    watching.step((X, Y), loss_value=1.0)
    return watching


def tensors(model):
    """Every parameter and buffer: what it is and where it lies, its values and its gradient."""
    return [
        (t, t.dtype, t.shape, t.stride(), t.data_ptr(), t.requires_grad, t.detach().clone(), t.grad)
        for t in [*model.parameters(), *model.buffers()]
    ]


def check_same(before, after):
    for (one, *what, values, gradient), (other, *now, its_values, its_gradient) in zip(
        before, after, strict=True
    ):
        assert one is other
        assert what == now
        assert torch.equal(values, its_values)
        assert gradient is its_gradient


def reshaped(moment):
    moment.model[0].weight.data = torch.zeros(2, 2)


def doubled_memory(moment):
    for tensor in [*moment.model.parameters(), *moment.model.buffers()]:
        tensor.data = tensor.data * 2


def halved_in_part_and_broken(moment):
    moment.model[0].half()
    moment.model[3].weight.grad = None
    raise ValueError("stop")


MEDDLING = {
    "double": lambda moment: moment.model.double(),
    "half": lambda moment: moment.model.half(),
    "double and back": lambda moment: moment.model.double().float(),
    "double, one frozen": lambda moment: moment.model.double()[0].weight.requires_grad_(False),
    "another shape": reshaped,
    "other memory": doubled_memory,
    "half of a part, and an exception": halved_in_part_and_broken,
    "buffers of another dtype": lambda moment: setattr(
        moment.model[1].running_mean, "data", moment.model[1].running_mean.double()
    ),
    "a parameter of its own": lambda moment: setattr(moment.model[0], "weight", nn.Parameter(X)),
    "no gradients": lambda moment: moment.model.zero_grad(),
    "gradients written into": lambda moment: [
        p.grad.mul_(2) for p in moment.model.parameters() if p.grad is not None
    ],
}


@pytest.mark.parametrize("with_gradients", [True, False])
@pytest.mark.parametrize("name", MEDDLING)
def test_tensors_are_where_and_what_they_were(name, with_gradients):
    model = net(with_gradients)
    before, gradients = tensors(model), [copy.deepcopy(p.grad) for p in model.parameters()]

    def own(moment):
        MEDDLING[name](moment)
        return 1.0

    if "exception" in name:
        with pytest.raises(nf.InvalidInput, match="got ValueError: stop"):
            watch(model, own)
    else:
        watch(model, own)
    check_same(before, tensors(model))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (gradient is None) == (parameter.grad is None)
        if parameter.grad is not None and gradient is not None:
            assert torch.equal(parameter.grad, gradient)


def loud(*_):
    raise AssertionError("a hook of the instrument's ran in training")


def registering(moment):
    modules: Any = moment.model.modules()
    for module in modules:
        module.register_forward_hook(loud, with_kwargs=True, always_call=True)
        module.register_forward_pre_hook(loud, with_kwargs=True)
        module.register_full_backward_hook(loud)
        module.register_full_backward_pre_hook(loud)
        module.register_state_dict_post_hook(loud)
        module.register_state_dict_pre_hook(loud)
        module.register_load_state_dict_pre_hook(loud)
        module.register_load_state_dict_post_hook(loud)
    for parameter in moment.model.parameters():
        parameter.register_hook(loud)
        parameter.register_post_accumulate_grad_hook(loud)
    return 1.0


def train_once(model):
    model.zero_grad()
    nn.functional.cross_entropy(model(X), Y).backward()
    return [p.grad.clone() for p in model.parameters()]


def test_hooks_that_an_instrument_registers_are_gone():
    model = net()
    expected = train_once(copy.deepcopy(model))
    watch(model, registering)
    for module in model.modules():
        assert {name: len(getattr(module, name)) for name in HOOKS} == dict.fromkeys(HOOKS, 0)
    assert all(torch.equal(a, b) for a, b in zip(train_once(model), expected, strict=True))
    model.load_state_dict(model.state_dict())


def test_hooks_that_were_there_stay_in_their_order_though_an_instrument_removes_them():
    model: Any = net()
    ran: list[str] = []
    first, last = model[0], model[3].weight
    handles = [
        first.register_forward_hook(lambda *_: ran.append("forward 1")),
        first.register_forward_hook(lambda *_: ran.append("forward 2")),
        last.register_hook(lambda gradient: ran.append("tensor 1")),
        last.register_hook(lambda gradient: ran.append("tensor 2")),
        last.register_post_accumulate_grad_hook(lambda parameter: ran.append("accumulated")),
    ]

    def removing(moment):
        for handle in handles[::2]:
            handle.remove()
        return registering(moment)

    watch(model, removing)
    ran.clear()
    train_once(model)
    assert ran == ["forward 1", "forward 2", "tensor 1", "tensor 2", "accumulated"]
    for handle in handles:
        handle.remove()
    ran.clear()
    train_once(model)
    assert ran == []


def test_what_cannot_be_put_back_keeps_nothing_else_from_being_put_back():
    model = net()
    before = tensors(model)

    def stuck(moment):
        moment.model.double()
        moment.model[1].weight._post_accumulate_grad_hooks = Unclearable()
        return 1.0

    with pytest.raises(nf.InvalidInput, match="cannot be cleared"):
        watch(model, stuck)
    kept = [entry for entry in zip(before, tensors(model), strict=True) if entry[0][0] is not model[1].weight]
    check_same(*zip(*kept, strict=True))


class Unclearable(dict):
    """Hooks that do not let go."""

    def clear(self):
        raise RuntimeError("cannot be cleared")


def test_an_instrument_sees_the_gradients_of_training():
    model = net()
    expected = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.grad is not None}
    assert len(expected) == 6
    watching = watch(
        model, lambda moment: {"norm": {n: p.grad.norm() for n, p in moment.model.named_parameters()}}
    )
    found = {name: watching.record.curve("own", "norm", name)[1][0] for name in expected}
    assert found == pytest.approx(expected)
