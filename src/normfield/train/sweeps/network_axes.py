"""Numbers and words of a description as axes: a Network with one of them changed in every layer that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from normfield.errors import InvalidInput
from normfield.network import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Layer,
    LayerNorm,
    Network,
    Residual,
    RMSNorm,
)
from normfield.sweep import Cell
from normfield.theory.depths import with_depth

Change = Callable[[Network, Any], Network]

_NORMS = (BatchNorm, LayerNorm, RMSNorm)
# What only changes initial values: networks that differ in these train together.
VALUES_ONLY = frozenset({"gamma", "beta", "weight_variance", "bias_variance"})


def axes_of(network: Network) -> tuple[str, ...]:
    """What can be changed in this network: of its norms, its activations, its hidden layers."""
    layers = _flat(network.layers)
    found = [name for name in ("gamma", "beta", "eps") if any(_has(layer, name) for layer in layers)]
    found += ["weight_variance", "bias_variance"]
    found += ["activation"] if any(isinstance(layer, Activation) for layer in layers) else []
    found += ["batch_norm"] if any(isinstance(layer, BatchNorm) for layer in layers) else []
    found += ["width"] if _hidden(network) else []
    return (*found, "depth") if _is_repeated(network) else tuple(found)


def changed(network: Network, values: Mapping[str, Cell]) -> Network:
    """The network with its axes at these values.

    Raises
    ------
    InvalidInput
        A value is out of range, or no layer takes it.
    """
    for name, change in _CHANGES.items():
        if name in values:
            network = change(network, values[name])
    return network


def skeleton(network: Network) -> Network:
    """The network with initial values of no account: what two have in common that train together."""
    plain = {name: float(name == "gamma") for name in ("gamma", "beta")}
    bare = _mapped(network, lambda layer: _without_variances(_with_fields(layer, plain)))
    return replace(bare, weight_variance=1.0, bias_variance=0.0)


def _with_norm_field(name: str) -> Change:
    return lambda network, value: _mapped(network, lambda layer: _with_fields(layer, {name: value}))


def _with_variance(name: str) -> Change:
    """The network's own, which then holds in every layer."""

    def change(network: Network, value: Any) -> Network:
        everywhere = _mapped(
            network,
            lambda layer: replace(layer, **{name: None}) if isinstance(layer, Dense | Conv) else layer,
        )
        return replace(everywhere, **{name: value})

    return change


def _with_activation(network: Network, value: Any) -> Network:
    return _mapped(network, lambda layer: Activation(value) if isinstance(layer, Activation) else layer)


def _with_batch_norm(network: Network, value: Any) -> Network:
    if not isinstance(value, bool):
        raise InvalidInput(expected="batch_norm True or False", got=repr(value))
    return (
        network if value else _mapped(network, lambda layer: None if isinstance(layer, BatchNorm) else layer)
    )


def _with_width(network: Network, value: Any) -> Network:
    """Units of every dense layer and channels of every convolution but the last affine layer's."""
    *body, head = network.layers
    return replace(network, layers=(*_mapped_layers(tuple(body), lambda layer: _wide(layer, value)), head))


def _with_depth(network: Network, value: Any) -> Network:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(expected="depth as a whole number of at least 1", got=repr(value))
    return with_depth(network, value)


_CHANGES: dict[str, Change] = {
    "batch_norm": _with_batch_norm,
    "depth": _with_depth,
    "width": _with_width,
    "activation": _with_activation,
    **{name: _with_norm_field(name) for name in ("gamma", "beta", "eps")},
    **{name: _with_variance(name) for name in ("weight_variance", "bias_variance")},
}


def _wide(layer: Layer, value: Any) -> Layer:
    if isinstance(layer, Dense):
        return replace(layer, width=value)
    return replace(layer, channels=value) if isinstance(layer, Conv) else layer


def _with_fields(layer: Layer, values: Mapping[str, Any]) -> Layer:
    own = {name: value for name, value in values.items() if _has(layer, name)}
    return replace(layer, **own) if own else layer


def _without_variances(layer: Layer) -> Layer:
    is_affine = isinstance(layer, Dense | Conv)
    return replace(layer, weight_variance=None, bias_variance=None) if is_affine else layer


def _has(layer: Layer, name: str) -> bool:
    """Whether it is a norm with this field."""
    return isinstance(layer, _NORMS) and any(item.name == name for item in fields(layer))


def _hidden(network: Network) -> list[Layer]:
    return [layer for layer in _flat(network.layers[:-1]) if isinstance(layer, Dense | Conv)]


def _is_repeated(network: Network) -> bool:
    """Whether its hidden layers are one block over and over."""
    if any(isinstance(layer, Residual) for layer in network.layers):
        return False
    try:
        with_depth(network, 2)
    except InvalidInput:
        return False
    return True


def _mapped(network: Network, change: Callable[[Layer], Layer | None]) -> Network:
    return replace(network, layers=_mapped_layers(network.layers, change))


def _mapped_layers(layers: tuple[Layer, ...], change: Callable[[Layer], Layer | None]) -> tuple[Layer, ...]:
    """Each layer changed, within residual blocks too; those that become None are left out."""
    found = []
    for layer in layers:
        if isinstance(layer, Residual):
            branch, shortcut = (_mapped_layers(path, change) for path in (layer.branch, layer.shortcut))
            found.append(replace(layer, branch=branch, shortcut=shortcut))
        else:
            found.append(change(layer))
    return tuple(layer for layer in found if layer is not None)


def _flat(layers: tuple[Layer, ...]) -> list[Layer]:
    found: list[Layer] = []
    for layer in layers:
        found += _flat(layer.branch + layer.shortcut) if isinstance(layer, Residual) else [layer]
    return found
