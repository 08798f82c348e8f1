"""Users' forward methods as descriptions: the rebuilt network with the same weights computes the same function."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from user_modules import VGG, Perceptron, Written

import normfield as nf
from normfield.data import load_target

EXAMPLES = Path(__file__).parents[2] / "examples"
PreActResNet = load_target(f"{EXAMPLES / 'preact_resnet18.py'}:PreActResNet")


def rebuilt(model, shape):
    """The description, built, with the parameters of the user's module put into it by their order."""
    found = nf.examine(model, shape)
    copied = nf.build(found.network, seed=1, dtype=torch.float64)
    owners = [part for part in copied.modules() if part._parameters.get("weight") is not None]
    assert len(owners) == len(found.layers)
    for part, layer in zip(owners, found.layers, strict=True):
        part.load_state_dict(model.get_submodule(layer.path).state_dict())
    return found.network, copied


def same_function(model, shape):
    model = model.double()
    net, copied = rebuilt(model, shape)
    x = torch.randn(6, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    with torch.no_grad():
        expected = copy.deepcopy(model)(x.clone())
        torch.testing.assert_close(copied(x.clone()), expected, rtol=1e-12, atol=1e-12)
    return net


def with_random_norms(model, seed=0):
    """γ and β away from 1 and 0, so that no norm can be mistaken for another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                part.weight.normal_(1, 0.3, generator=generator)
                part.bias.normal_(0, 0.3, generator=generator)
    return model


def test_preact_resnet18_is_described_with_its_two_kinds_of_skip():
    model = PreActResNet()
    net = nf.describe(model, inputs=(3, 32, 32))
    assert net.depth == 21  # 17 convolutions of 3×3, 3 of 1×1, the head
    assert net.parameter_count == sum(p.numel() for p in model.parameters()) == 11_171_146
    identity, projected = net.layers[1], net.layers[5]
    assert identity.shortcut == ()
    assert [type(layer) for layer in identity.branch[:3]] == [nf.BatchNorm, nf.Activation, nf.Conv]
    assert net.layers[3:5] == (nf.BatchNorm(), nf.Activation("relu"))  # in front of the fork
    assert projected.shortcut == (nf.Conv(128, kernel=1, stride=2, bias=False),)
    assert type(projected.branch[0]) is nf.Conv
    assert net.weight_variance == pytest.approx(1 / 3)


def test_a_narrow_preact_resnet_computes_what_the_users_does():
    same_function(with_random_norms(PreActResNet((1, 1, 2, 1), width=4)), (3, 32, 32))


def test_vgg_with_batch_norm_and_max_pooling():
    model = with_random_norms(VGG((4, "M", 6, "M", 8, "M")))
    net = same_function(model, (3, 16, 16))
    assert [type(layer) for layer in net.layers].count(nf.MaxPool) == 3
    assert net.layers[-2:] == (nf.GlobalAveragePool(), net.layers[-1])
    with pytest.raises(nf.NotCovered, match="does not cover MaxPool"):
        nf.mean_field(net)


def test_functional_activations_views_and_skips():
    net = same_function(with_random_norms(Perceptron(24, 10, 3, phi=F.silu)), (24,))
    assert isinstance(net.layers[0], nf.Flatten)
    assert isinstance(net.layers[4], nf.Residual)
    assert net.layers[4].shortcut == ()


def linear(a, b):
    return nn.Linear(a, b)


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def residual_iadd(self, x):
    x = self.a(x)
    y = self.b(torch.tanh(x))
    y += x
    x += y  # x is overwritten: what follows takes the new value
    return self.c(x + torch.relu(x))


def two_ways(self, x):
    x = self.a(x)
    return self.c(self.b(x).add(F.gelu(x, approximate="tanh")))


def overwritten_by_relu(self, x):
    x = self.a(x)
    y = F.relu(x, inplace=True)
    return self.c(self.b(y) + x)  # x is the rectified value by now


def three_summands(self, x):
    x = self.a(x)
    return self.c(x + torch.sigmoid(x) + self.b(x))


def nested(self, x):
    x = self.a(x)
    inner = x + self.b(F.elu(x))
    return self.c(F.leaky_relu(inner, 0.2) + x)


def defaults(self, x, mask=None, *, scale=None):
    x = F.dropout(self.a(x), 0.5, training=False)
    if mask is not None:
        x = x * mask
    if x.shape[1] != 5 or x.dim() != 2 or x.ndim != 2 or x.size(-1) != 5:
        raise ValueError("shape")
    return self.c(F.softplus(x.contiguous()).to(x.dtype).double())


@pytest.mark.parametrize(
    "forward", [residual_iadd, two_ways, overwritten_by_relu, three_summands, nested, defaults]
)
def test_ordinary_forward_methods(forward):
    parts = {"a": linear(7, 5), "c": linear(5, 3)}
    if forward is not defaults:
        parts["b"] = linear(5, 5)
    same_function(Written(forward, **parts), (7,))


def image(self, x):
    x = F.max_pool2d(self.a(x), 3, 2, 1)
    x = F.avg_pool2d(x.abs(), (2, 1), ceil_mode=True)
    return self.c(F.adaptive_avg_pool2d(x, 1).flatten(1))


def mean_of_positions(self, x):
    return self.c(torch.erf(self.a(x)).mean((2, 3)))


def mean_kept(self, x):
    return self.c(self.a(x).mean([-1, -2], keepdim=True).squeeze())


def one_position_then_conv(self, x):
    return self.c(self.b(F.adaptive_avg_pool2d(self.a(x), (1, 1))).reshape(x.size(0), -1))


@pytest.mark.parametrize("forward", [image, mean_of_positions, mean_kept, one_position_then_conv])
def test_images(forward):
    parts = {"a": nn.Conv2d(2, 4, 3, padding="same"), "c": linear(4, 3)}
    if forward is one_position_then_conv:
        parts["b"] = nn.Conv2d(4, 4, 1)
    same_function(Written(forward, **parts), (2, 8, 8))


def test_adaptive_pooling_that_divides_evenly_or_does_nothing():
    even = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten(), nn.Linear(16, 2))
    assert same_function(even, (1, 8, 8)).layers[1] == nf.AveragePool((2, 4))
    idle = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(128, 2))
    assert same_function(idle, (1, 8, 8)).layers[1] == nf.Flatten()


ACTIVATION_MODULES = [
    (nn.ReLU(), nf.Activation("relu")),
    (nn.LeakyReLU(), nf.Activation("leaky_relu")),
    (nn.LeakyReLU(0.3), nf.Activation("leaky_relu", slope=0.3)),
    (nn.Tanh(), nf.Activation("tanh")),
    (nn.GELU(), nf.Activation("gelu")),
    (nn.GELU(approximate="tanh"), nf.Activation("gelu_tanh")),
    (nn.SiLU(), nf.Activation("silu")),
    (nn.Mish(), nf.Activation("mish")),
    (nn.SELU(), nf.Activation("selu")),
    (nn.Sigmoid(), nf.Activation("sigmoid")),
    (nn.ELU(), nf.Activation("elu")),
    (nn.Softplus(), nf.Activation("softplus")),
]


@pytest.mark.parametrize(("module", "layer"), ACTIVATION_MODULES, ids=lambda value: str(value))
def test_activation_modules_with_their_parameters(module, layer):
    net = same_function(nn.Sequential(linear(6, 5), module, linear(5, 2)), (6,))
    assert net.layers[1] == layer


def test_norms_and_their_eps():
    norms = nn.Sequential(
        linear(6, 5), nn.LayerNorm(5, eps=1e-3), nn.RMSNorm(5), nn.BatchNorm1d(5, eps=0.1), linear(5, 2)
    )
    net = same_function(norms, (6,))
    assert net.layers[1] == nf.LayerNorm(eps=1e-3)
    assert net.layers[2] == nf.RMSNorm(eps=torch.finfo(torch.float64).eps)
    assert net.layers[3] == nf.BatchNorm(eps=0.1)


@pytest.mark.parametrize("inputs", [None, (6,), 6, torch.zeros(3, 6), torch.Size([6])])
def test_the_input_shape_is_told_or_given(inputs):
    model = nn.Sequential(nn.Identity(), linear(6, 5), nn.ReLU(), linear(5, 2))
    assert nf.describe(model, inputs).input_shape == (6,)


def as_image(self, x):
    return self.c(torch.relu(self.a(x.view(-1, 1, 4, 4))).flatten(1))


def test_flat_inputs_seen_as_an_image_are_an_image():
    """A description takes the image itself; its outputs for it are the module's for the flat inputs."""
    model = Written(as_image, a=nn.Conv2d(1, 2, 3), c=linear(8, 3)).double()
    net, copied = rebuilt(model, (16,))
    assert net.input_shape == (1, 4, 4)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(copied(x.reshape(5, 1, 4, 4)), model(x), rtol=1e-12, atol=1e-12)
    by_module = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.Flatten(), linear(8, 3))
    assert nf.describe(by_module, (16,)).input_shape == (1, 4, 4)


class LecunLinear(nn.Linear):
    """A user's layer that only initialises its weights otherwise."""

    def reset_parameters(self):
        nn.init.normal_(self.weight, std=self.in_features**-0.5)
        nn.init.zeros_(self.bias)


def test_a_subclass_with_the_same_forward_is_its_parent():
    net = same_function(nn.Sequential(LecunLinear(100, 300), nn.ReLU(), LecunLinear(300, 2)), (100,))
    assert net == nf.Network((100,), [nf.Dense(300), nf.Activation("relu"), nf.Dense(2)], 1.0, 0.0)


def test_wrappers_are_taken_off():
    model = nn.Sequential(linear(6, 5), nn.ReLU(), linear(5, 2))
    net = nf.describe(model)
    assert nf.describe(nn.DataParallel(model)) == net
    assert nf.describe(torch.compile(model, backend="eager")) == net
    assert nf.describe(linear(6, 5)).depth == 1
