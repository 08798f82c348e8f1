"""Two hundred random descriptions, there and back: through a module, through TOML and through JSON."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from random_networks import networks

import normfield as nf

two_hundred = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def without_notes(model):
    """The module as if a user had written it."""
    bare = copy.deepcopy(model)
    for part in bare.modules():
        vars(part).pop("drawn_from", None)
    return bare


def outputs(model, shape):
    """The module's outputs in training mode, buffers included, for one batch."""
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        return copy.deepcopy(model).double()(x)


@two_hundred
@given(net=networks())
def test_describe_goes_back_to_what_was_built(net):
    model = nf.build(net, seed=3)
    found = nf.examine(model)
    assert found.network == net
    assert nf.examine(copy.deepcopy(model)).network == net


@two_hundred
@given(net=networks())
def test_a_module_without_notes_is_described_with_the_same_structure(net):
    model = without_notes(nf.build(net, seed=5))
    found = nf.examine(model, inputs=net.input_shape)
    rebuilt = nf.build(found.network, seed=9)
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(outputs(rebuilt, net.input_shape), outputs(model, net.input_shape))
    assert [type(layer) for layer in found.network.layers] == [type(layer) for layer in net.layers]
    assert found.network.parameter_count == net.parameter_count


@two_hundred
@given(net=networks())
def test_toml_and_json_hold_a_description_exactly(net):
    assert nf.Network.from_toml(net.to_toml()) == net
    assert nf.Network.from_json(net.to_json()) == net
    assert nf.Network.from_dict(net.to_dict()) == net


def test_the_strategy_reaches_every_layer():
    """The three tests above are worth what their networks hold."""
    seen = set()

    def look(layers):
        for layer in layers:
            seen.add(type(layer))
            if isinstance(layer, nf.Residual):
                look(layer.branch + layer.shortcut)
                if any(isinstance(inner, nf.Residual) for inner in layer.branch):
                    seen.add("nested")

    # What hypothesis draws depends on the modules that are loaded, so the rarest layer needs room.
    @settings(two_hundred, max_examples=600)
    @given(net=networks())
    def collect(net):
        look(net.layers)

    collect()
    every = {
        nf.Dense,
        nf.Conv,
        nf.BatchNorm,
        nf.LayerNorm,
        nf.RMSNorm,
        nf.Activation,
        nf.Flatten,
        nf.Residual,
    }
    assert seen == every | {nf.AveragePool, nf.MaxPool, nf.GlobalAveragePool, "nested"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_way_back_holds_in_other_types(dtype):
    net = nf.mlp(30, 20, 3, 5, gamma=0.3, beta=0.1)
    assert nf.examine(nf.build(net, seed=0, dtype=dtype)).network == net


def test_notes_stay_out_of_state_dict_and_survive_copies():
    net = nf.mlp(30, 20, 3, 5)
    model = nf.build(net)
    assert not any("drawn" in name for name in model.state_dict())
    fresh = nf.build(net, seed=1)
    fresh.load_state_dict(model.state_dict())
    assert nf.describe(fresh) == net
    assert nf.describe(torch.nn.Sequential(*model, torch.nn.Identity())) == net
    tail = nf.Network((20,), net.layers[3:], net.weight_variance, net.bias_variance)
    assert nf.describe(model[3:]) == tail


def test_a_note_is_not_believed_against_the_weights():
    model = nf.build(nf.mlp(200, 300, 3, 10, weight_variance=2.0), seed=0)
    with torch.no_grad():
        model[0].weight.mul_(1.5)
        model[1].weight.fill_(0.25)
        model[6].bias.add_(3)
    with pytest.warns(UserWarning, match=r"theory is an extrapolation: 6: biases have mean"):
        net = nf.describe(model)
    assert net.layers[0].weight_variance == pytest.approx(4.5, rel=0.03)
    assert net.layers[0].bias_variance is None
    assert net.layers[1].gamma == 0.25
    assert net.layers[3] == nf.Dense(300)
    assert net.layers[6].bias_variance == pytest.approx(9.5, rel=0.3)
