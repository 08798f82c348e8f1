"""What has no description is refused by the path of the submodule, with the reason, and nothing is touched."""

import copy
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune
from user_modules import Perceptron, Written

import normfield as nf


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, batch_first=True), 2)


class Classifier(nn.Module):
    """An encoder inside a user's own module."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.encoder = encoder()
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x)).mean(1))


def f(forward, **parts):
    """A module with two linear layers a, b of width 6 and what else is given."""
    return Written(forward, a=nn.Linear(6, 6), b=nn.Linear(6, 6), **parts)


def reused(self, x):
    return self.a(torch.relu(self.a(x)))


def dense_net(self, x):
    one = self.a(x)
    two = self.b(one) + x
    return self.c(two) + one


def by_value(self, x):
    return self.a(x) if x else self.b(x)


def by_comparison(self, x):
    return self.a(x) if (x > 0).all() else self.b(x)


def by_chance(self, x):
    return self.a(x) if random.random() < 0.5 else self.b(torch.relu(self.a(x)))


def weight_outside(self, x):
    return F.linear(x, self.a.weight)


def overwritten_view(self, x):
    flat = torch.flatten(x, 1)
    flat.relu_()
    return self.a(torch.flatten(x, 1))


def image_of_features(self, x):
    return self.c(self.a(x).view(-1, 1, 2, 3))


def both_ways(self, x):
    return self.a(x) + self.c(x.view(-1, 1, 2, 3)).flatten(1)


def returns_two(self, x):
    return self.a(x), self.b(x)


def fails(self, x):
    raise KeyError("no such thing")


class Changed(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


REFUSED = [
    ("encoder", encoder, (5, 16), "layers.0.self_attn (MultiheadAttention) has no description: attention multiplies"),
    ("linear at positions", Classifier, (5, 8), "embed (Linear) has no description: a linear layer at each position"),
    (
        "attention inside",
        lambda: nn.Sequential(nn.Linear(16, 16), encoder()),
        (16,),
        "1.layers.0.self_attn (MultiheadAttention) has no description",
    ),
    (
        "what else is there",
        lambda: f(lambda s, x: s.a(x.squeeze(1)), encoder=encoder()),
        (1, 4, 6),
        "makes features of an image; nor has encoder.layers.0.self_attn (MultiheadAttention)",
    ),
    ("softmax", lambda: nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(1)), (6,), "1 (LogSoftmax) has no description"),
    ("embedding", lambda: nn.Sequential(nn.Embedding(9, 6)), (6,), "0 (Embedding) has no description: an embedding"),
    ("lstm", lambda: nn.Sequential(nn.LSTM(6, 3)), (6,), "0 (LSTM) has no description: a recurrent layer"),
    ("group norm", lambda: nn.Sequential(nn.GroupNorm(1, 6)), (6,), "0 (GroupNorm) has no description: it normalises"),
    ("prelu", lambda: nn.Sequential(nn.Linear(6, 6), nn.PReLU()), (6,), "its slope is trainable"),
    ("groups", lambda: nn.Conv2d(4, 4, 3, groups=2), (4, 8, 8), "the model (Conv2d) has no description: groups=2"),
    ("dilation", lambda: nn.Conv2d(4, 4, 3, dilation=2), (4, 8, 8), "dilation=(2, 2)"),
    (
        "padding mode",
        lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        (4, 8, 8),
        'padding_mode="reflect"',
    ),
    ("even same", lambda: nn.Conv2d(4, 4, 2, padding="same"), (4, 8, 8), "pads one side more"),
    ("conv1d", lambda: nn.Conv1d(4, 4, 3), (4, 8), "convolutions along one axis"),
    ("dropout", lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.2)), (6,), "dropout with p=0.2 is active: call"),
    ("functional dropout", lambda: f(lambda s, x: s.a(F.dropout(x, 0.2))), (6,), "dropout with p=0.2 is active"),
    ("elu", lambda: nn.Sequential(nn.Linear(6, 6), nn.ELU(2.0)), (6,), "alpha=2: a description has elu with alpha=1"),
    ("softplus", lambda: nn.Sequential(nn.Linear(6, 6), nn.Softplus(3)), (6,), "beta=3"),
    ("count_include_pad", lambda: nn.AvgPool2d(3, 1, 1, count_include_pad=False), (1, 8, 8), "count_include_pad"),
    ("ceil_mode", lambda: nn.MaxPool2d(2, ceil_mode=True), (1, 7, 7), "ceil_mode=True with a last window"),
    ("pool dilation", lambda: nn.MaxPool2d(2, dilation=2), (1, 8, 8), "dilation=2"),
    ("indices", lambda: nn.MaxPool2d(2, return_indices=True), (1, 8, 8), "return_indices=True"),
    ("uneven pooling", lambda: nn.AdaptiveAvgPool2d(3), (1, 8, 8), "8×8 positions do not divide evenly into 3×3"),
    ("channels last norm", lambda: nn.LayerNorm(8), (3, 4, 8), "it normalises over (8,) of shape (3, 4, 8)"),
    ("spectral norm", lambda: parametrizations.spectral_norm(nn.Linear(6, 6)), (6,), "its weight is computed"),
    ("pruning", lambda: prune.random_unstructured(nn.Linear(6, 6), "weight", 0.5), (6,), "its weight is computed"),
    ("own linear", lambda: nn.Sequential(Changed(6, 6)), (6,), "0 (Changed) has no description: it changes"),
    ("reused", lambda: f(reused), (6,), "a (Linear) has no description: it uses weights that a used before it"),
    ("dense net", lambda: f(dense_net, c=nn.Linear(6, 6)), (6,), "a (Linear) has no description: it uses weights"),
    ("by value", lambda: f(by_value), (6,), "the model (Written) has no description: its forward method decides by"),
    ("by comparison", lambda: f(by_comparison), (6,), "gt in the model (Written) has no description: what depends"),
    ("sum", lambda: f(lambda s, x: s.a(x).sum(1)), (6,), "a sum over axes is not among the layers"),
    ("by chance", lambda: f(by_chance), (6,), "takes another way by chance each time"),
    ("weight outside", lambda: f(weight_outside), (6,), "linear in the model (Written) has no description"),
    ("overwritten view", lambda: f(overwritten_view), (2, 3, 1), "overwrites a tensor that is used again"),
    ("two outputs", lambda: f(returns_two), (6,), "the model's output has no description: it is a tuple"),
    ("fails", lambda: f(fails), (6,), "its forward method fails when followed (KeyError: 'no such thing')"),
    ("product", lambda: f(lambda s, x: s.a(x) * s.b(x)), (6,), "mul in the model (Written) has no description"),
    ("scaling", lambda: f(lambda s, x: s.a(x) * 0.5), (6,), "mul in the model (Written) has no description"),
    ("doubling", lambda: f(lambda s, x: s.a(x + x)), (6,), "it adds a tensor to itself"),
    ("scaled sum", lambda: f(lambda s, x: torch.add(s.a(x), x, alpha=2)), (6,), "adds two paths, unscaled"),
    ("constant", lambda: f(lambda s, x: s.a(x) + 1), (6,), "adds two paths, unscaled"),
    ("cat", lambda: f(lambda s, x: torch.cat([s.a(x), x], 1)), (6,), "cat in the model (Written) has no description"),
    ("slice", lambda: f(lambda s, x: s.a(x)[:, :3]), (6,), "getitem in the model (Written) has no description: parts"),
    ("matmul", lambda: f(lambda s, x: s.a(x) @ s.b(x).T), (6,), "no description"),
    ("softmax function", lambda: f(lambda s, x: F.softmax(s.a(x), 1)), (6,), "softmax in the model (Written)"),
    ("mean over units", lambda: f(lambda s, x: s.a(x).mean(1)), (6,), "its mean is not over all positions"),
    ("odd view", lambda: f(lambda s, x: s.a(x.view(x.size(0) * 2, 3))), (6,), "a view as"),
    ("several inputs", lambda: nn.Bilinear(6, 6, 2), (6,), "the model (Bilinear) has no description"),
    ("complex", lambda: nn.Linear(6, 6, dtype=torch.complex64), (6,), "weight has no description: its numbers are com"),
    ("image of features", lambda: f(image_of_features, c=nn.Conv2d(1, 2, 1)), (6,), "it makes an image of features"),
    ("two inputs in one", lambda: f(both_ways, c=nn.Conv2d(1, 1, 1)), (6,), "it is taken both flat and as an image"),
    ("zero weights", lambda: nn.Sequential(zeroed(nn.Linear(6, 6))), (6,), "its weights are all zero"),
    ("nan", lambda: nn.Sequential(zeroed(nn.Linear(6, 6), torch.nan)), (6,), "are not all finite"),
]  # fmt: skip


def zeroed(module, value=0.0):
    nn.init.constant_(module.weight, value)
    return module


@pytest.mark.parametrize(
    ("make", "shape", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_place_and_reason(make, shape, words):
    with pytest.raises(nf.NormfieldError) as refused:
        nf.describe(make(), inputs=shape)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, nf.NotCovered)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 6)

    def forward(self, x, mask):
        return self.a(x) * mask


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nf.describe("net"), "expected a torch.nn.Module, got str; give the module itself"),
        (lambda: nf.examine(nf.mlp(4, 5, 2, 3)), "expected a torch.nn.Module, got Network"),
        (lambda: nf.examine(nn.Conv2d(3, 4, 3)), "convolutions do not tell the size of the image, got none"),
        (lambda: nf.examine(nn.ReLU()), "no module tells the shape"),
        (lambda: nf.examine(nn.Linear(3, 4), "x"), "inputs as one batch of examples or the shape of one, got str"),
        (lambda: nf.examine(nn.Linear(3, 4), {"x": 3}), "got dict of str"),
        (lambda: nf.examine(nn.Linear(3, 4), (torch.zeros(2, 3),) * 2), "got tuple of Tensor, Tensor"),
        (lambda: nf.examine(nn.Linear(3, 4), torch.zeros(3)), "example inputs, samples first, got shape (3,)"),
        (lambda: nf.examine(nn.Linear(3, 4), (0,)), "a shape of positive sizes, got (0,)"),
        (lambda: nf.examine(nn.Sequential(nn.ReLU()), (4,)), "at least one Dense or Conv among the layers"),
        (lambda: nf.examine(nn.Linear(5, 6), (6,)), "fit, not (6,), got the model (Linear): Linear takes 5"),
        (lambda: nf.examine(nn.Conv2d(3, 6, 3), (1, 8, 8)), "takes an image of 3 channels, and gets shape (1, 8"),
        (lambda: nf.examine(nn.Conv2d(3, 6, 3), (3, 2, 2)), "at least as large as the 3-pixel window of Conv"),
        (lambda: nf.examine(nn.Linear(4, 4, device="meta")), 'got weight on the device "meta"; make the module on'),
        (lambda: nf.examine(nn.LazyLinear(4), (4,)), "expected a module whose weights exist, got weight"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line(call, words):
    with pytest.raises(nf.InvalidInput) as refused:
        call()
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_several_inputs_are_named():
    with pytest.raises(nf.NotCovered, match=r"takes several inputs.*'mask'"):
        nf.examine(TwoInputs(), (6,))


def test_the_module_is_left_as_found():
    """Modes, parameters, buffers, gradients, hooks, attributes and the global random states, refused or not."""
    called = []

    def remembering(self, x):
        self.calls += 1
        self.steps += 1
        self.last = self.a(x)
        self.seen.append(self.last)
        torch.rand(3)
        random.random()
        np.random.rand()  # noqa: NPY002
        return self.b(self.last)

    model = f(remembering, calls=0, last=None, seen=[], bn=nn.BatchNorm1d(6))
    model.register_buffer("steps", torch.zeros(()))
    model.a.register_forward_hook(lambda *_: called.append("hook"))
    model.eval()
    model.a.train()
    model.last = model.a(torch.ones(2, 6))  # no leaf: deepcopy alone would refuse it
    called.clear()
    model.a.weight.grad = torch.ones(6, 6)
    last, before = model.last, copy.deepcopy(model.state_dict())
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    found = nf.examine(model)
    with pytest.raises(nf.NotCovered):
        nf.examine(nn.Sequential(model, nn.Softmax(1)), (6,))
    assert (model.calls, model.seen, called) == (0, [], [])
    assert model.last is last
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model.training, model.a.training, model.b.training) == (False, True, False)
    assert torch.equal(model.a.weight.grad, torch.ones(6, 6))
    assert len(model.a._forward_hooks) == 1
    assert (random.getstate(), str(np.random.get_state())) == states[:2]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert any("forward hooks were not followed" in words for words in found.departures)
    assert any("bn.weight" in words for words in found.departures)


def test_following_is_over_when_it_is_over():
    """torch's tracer patches nn.Module while it runs: it is taken off again, also after a refusal."""
    with pytest.raises(nf.NotCovered):
        nf.examine(f(fails), (6,))
    model = Perceptron(6, 5, 2)
    assert type(model(torch.zeros(3, 6))) is torch.Tensor
