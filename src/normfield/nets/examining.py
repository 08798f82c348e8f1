"""The way back: from a PyTorch module to the description that theory reads."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from normfield.errors import InvalidInput, NotCovered
from normfield.nets.affine_reading import AffineReading, read_affine
from normfield.nets.departures import FALSE_ALARM_RATE, Reading, departures
from normfield.nets.description import DescribedLayer, Description
from normfield.nets.input_shapes import ASK, input_shape
from normfield.nets.norm_reading import read_norm
from normfield.nets.refusals import Misfit
from normfield.nets.steps import Step, Value
from normfield.nets.structure import Fork, Path, path_to, steps_of
from normfield.nets.tracing import follow
from normfield.network import BatchNorm, Conv, Dense, Layer, LayerNorm, Network, Residual, RMSNorm, Shape

_SEEDS = (0, 1)


def describe(model: nn.Module, inputs: Any = None) -> Network:
    """The description of a module: ``examine(model, inputs).network``.

    Warns once where theory for it is an extrapolation: trained, orthogonal or otherwise dependent weights.

    Parameters
    ----------
    model, inputs
        As in `examine`.

    Raises
    ------
    NotCovered, InvalidInput
        As in `examine`.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(64, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10, bias=False))
    >>> describe(model).path
    'Dense(width=100) → BatchNorm() → relu → Dense(width=10, bias=False)'
    """
    found = examine(model, inputs)
    if found.is_extrapolation:
        more = len(found.departures) - 1
        warnings.warn(
            f"theory is an extrapolation: {found.departures[0]}"
            + (f" (and {more} more: see nf.examine)" if more else ""),
            UserWarning,
            stacklevel=2,
        )
    return found.network


def examine(model: nn.Module, inputs: Any = None) -> Description:
    """Read a module as a description, and say how far its weights are what theory takes them for.

    The forward method is followed by torch.fx on a copy without weights; the module is left as found. σ_w² is
    fan_in · (mean square of the weights), σ_b² the mean square of the biases, unless the weights agree with a known
    initialisation (torch's default, Kaiming, Xavier, LeCun) or with what `build` drew them from: then its value.
    Units with different γ are described by their root mean square.

    Parameters
    ----------
    model
        Any module made of dense and convolutional layers, norms, pointwise activations, pooling, flattening and
        residual sums.
    inputs
        A batch of example inputs, or the shape of one sample; needed where the modules do not tell it
        (convolutions do not know their image).

    Raises
    ------
    NotCovered
        Some part has no description: the message names the submodule and says why.
    InvalidInput
        ``model`` is no module, ``inputs`` is needed and missing, or it does not fit the module.

    Examples
    --------
    >>> found = examine(build(mlp(inputs=64, width=100, depth=3, outputs=10, gamma=0.5), seed=0))
    >>> found.network == mlp(inputs=64, width=100, depth=3, outputs=10, gamma=0.5), found.departures
    (True, ())
    """
    model = _plain(model)
    shape = input_shape(model, inputs)
    try:
        start, path = _followed(model, shape)
    except Misfit as misfit:
        raise InvalidInput(expected=f"inputs that fit, not {shape}", got=str(misfit), instead=ASK) from None
    readings = {step: _read(step) for step in steps_of(path) if _has_numbers(step.layer)}
    network = _network(start.shape, path, readings)
    return Description(
        network,
        tuple(_described(step, reading) for step, reading in readings.items()),
        departures(model, readings, _following(path)),
        FALSE_ALARM_RATE,
    )


def _plain(model: object) -> nn.Module:
    """The module itself, out of what torch.compile or DataParallel wrapped around it."""
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            expected="a torch.nn.Module", got=type(model).__name__, instead="give the module itself"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise NotCovered(
            "a TorchScript module has no forward method to follow: give the module it was made from"
        )
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _plain(model.module)
    if isinstance(inner := vars(model).get("_modules", {}).get("_orig_mod"), nn.Module):
        return _plain(inner)
    _refuse_unusual_weights(model)
    return model


def _refuse_unusual_weights(model: nn.Module) -> None:
    """Weights that hold no numbers yet, or complex ones."""
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise InvalidInput(
                expected="a module whose weights exist", got=f"{name} without a shape", instead="run it once"
            )
        if parameter.is_meta:
            raise InvalidInput(
                expected="a module whose weights exist",
                got=f'{name} on the device "meta"',
                instead="make the module on a real device",
            )
        if parameter.is_complex():
            raise NotCovered(f"{name} has no description: its numbers are complex")


def _followed(model: nn.Module, shape: Shape) -> tuple[Value, Path]:
    """The input and the path; twice where random numbers were drawn, which may have chosen the path."""
    output, drew = follow(model, shape, _SEEDS[0])
    start, path = path_to(output)
    if drew and _layers(path_to(follow(model, shape, _SEEDS[1])[0])[1], {}) != _layers(path, {}):
        raise NotCovered(
            "the model has no description: its forward method takes another way by chance each time"
        )
    return start, path


def _has_numbers(layer: Layer) -> bool:
    return isinstance(layer, Dense | Conv | BatchNorm | LayerNorm | RMSNorm)


def _read(step: Step) -> Reading:
    return read_affine(step) if isinstance(step.layer, Dense | Conv) else read_norm(step)


def _network(shape: Shape, path: Path, readings: Mapping[Step, Reading]) -> Network:
    affine = [reading for reading in readings.values() if isinstance(reading, AffineReading)]
    common = _common(affine)
    resolved = {
        step: _own(reading, common) if isinstance(reading, AffineReading) else reading.layer
        for step, reading in readings.items()
    }
    return Network(shape, _layers(path, resolved), *common)


def _common(affine: Sequence[AffineReading]) -> tuple[float, float]:
    """The network's σ_w² and σ_b²: those it was built with, else those that most layers have."""
    built = [(r.drawn.weight_variance, r.drawn.bias_variance) for r in affine if r.drawn is not None]
    if built:
        return _commonest(built)
    weights = [reading.weight_variance for reading in affine]
    biases = [reading.bias_variance for reading in affine if reading.bias_variance is not None]
    return _commonest(weights or [1.0]), _commonest(biases or [0.0])


def _commonest(values: Sequence[Any]) -> Any:
    return Counter(values).most_common(1)[0][0]


def _own(reading: AffineReading, common: tuple[float, float]) -> Layer:
    """The layer with variances of its own where they are not the network's."""
    note = reading.drawn
    if note is not None and (note.weight_variance, note.bias_variance) == common:
        return reading.layer
    own = (reading.weight_variance, reading.bias_variance)
    weight, bias = (None if value == of_all else value for value, of_all in zip(own, common, strict=True))
    return replace(reading.layer, weight_variance=weight, bias_variance=bias)


def _layers(path: Path, resolved: Mapping[Step, Layer]) -> tuple[Layer, ...]:
    return tuple(
        Residual(_layers(part.branch, resolved), _layers(part.shortcut, resolved))
        if isinstance(part, Fork)
        else resolved.get(part, part.layer)
        for part in path
    )


def _following(path: Path) -> dict[Step, Layer | None]:
    """The layer right behind each step; None where a sum or the end follows."""
    found: dict[Step, Layer | None] = {}
    for part, behind in zip(path, (*path[1:], None), strict=False):
        if isinstance(part, Fork):
            found |= _following(part.branch) | _following(part.shortcut)
        else:
            found[part] = behind.layer if isinstance(behind, Step) else None
    return found


def _described(step: Step, reading: Reading) -> DescribedLayer:
    kind = type(step.layer).__name__
    if isinstance(reading, AffineReading):
        return DescribedLayer(
            step.path,
            kind,
            reading.source,
            fan_in=reading.fan_in,
            weight_variance=reading.weight_variance,
            measured_weight_variance=reading.measured_weight_variance,
            weight_variance_error=reading.weight_variance_error,
            bias_variance=reading.bias_variance,
        )
    return DescribedLayer(
        step.path,
        kind,
        reading.source,
        gamma=reading.layer.gamma,
        gamma_mean=reading.gamma_mean,
        gamma_spread=reading.gamma_spread,
        beta_mean=reading.beta_mean,
        beta_spread=reading.beta_spread,
    )
