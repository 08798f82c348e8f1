"""σ_w² and σ_b² of a Dense or Conv from its module: as built, as a known initialisation draws, or as measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from normfield.nets.independence import Doubt, doubts, mean_doubt
from normfield.nets.initialisations import fills, may_be_normal, recognised
from normfield.nets.moments import Moments, moments_of
from normfield.nets.notes import Drawn, note_on
from normfield.nets.refusals import named, refuse
from normfield.nets.steps import Step
from normfield.network import Conv, Dense

MEASURED = "measured"
_CHANCE = 1e-6  # of independent weights, below which they are no draw of an initialisation


@dataclass(frozen=True)
class AffineReading:
    """One affine layer's weights as a description has them.

    ``drawn`` is the note of the module where its weights still agree with it; ``doubts`` are what the tests
    for independence say, however probable.
    """

    layer: Dense | Conv
    fan_in: int
    weight_variance: float
    weight_variance_error: float
    measured_weight_variance: float
    bias_variance: float | None
    source: str
    drawn: Drawn | None
    doubts: tuple[Doubt, ...]


def read_affine(step: Step) -> AffineReading:
    """The layer of a step with its variances; raises NotCovered where all its weights are 0 or some not finite."""
    layer, module = step.layer, step.module
    assert isinstance(layer, Dense | Conv)
    assert module is not None
    weight = module.get_parameter("weight")
    bias = module.get_parameter("bias") if layer.bias else None
    seen = moments_of(weight)
    offsets = None if bias is None else bias.detach().to("cpu", torch.float64).numpy()
    _refuse_unusable(named(step.path, module), seen, offsets)
    against = (doubts(weight, seen), [] if offsets is None else mean_doubt(offsets))
    note = _fitting(note_on(module), layer)
    of_weight = note if _looks_drawn(note, seen, against[0]) else None
    of_bias = note if _offsets_look_drawn(note, offsets) else None
    variance, source = _weight_variance(module if _independent(against[0]) else None, seen, of_weight)
    drawn = note if of_weight is not None and of_bias is not None else None
    return AffineReading(
        layer=layer if drawn is None else drawn.layer,  # type: ignore[arg-type]
        fan_in=seen.fan_in,
        weight_variance=variance,
        weight_variance_error=seen.error,
        measured_weight_variance=seen.variance,
        bias_variance=_bias_variance(offsets, seen.fan_in, of_bias),
        source=source,
        drawn=drawn,
        doubts=(*against[0], *against[1]),
    )


def variances(note: Drawn) -> tuple[float, float]:
    """(σ_w², σ_b²) that a noted layer was drawn with."""
    layer = note.layer
    assert isinstance(layer, Dense | Conv)
    return (
        note.weight_variance if layer.weight_variance is None else layer.weight_variance,
        note.bias_variance if layer.bias_variance is None else layer.bias_variance,
    )


def _refuse_unusable(where: str, seen: Moments, bias: np.ndarray | None) -> None:
    if not math.isfinite(seen.largest) or not (bias is None or np.all(np.isfinite(bias))):
        refuse(where, "its weights or biases are not all finite")
    if seen.largest == 0:
        refuse(where, "its weights are all zero, and σ_w² is positive")


def _fitting(note: Drawn | None, layer: Dense | Conv) -> Drawn | None:
    """The note, where the module still has the structure that it was built with."""
    if note is None or not isinstance(note.layer, Dense | Conv):
        return None
    plain = replace(note.layer, weight_variance=None, bias_variance=None)
    return note if plain == layer else None


def _independent(against: Sequence[Doubt]) -> bool:
    return all(doubt.probability > _CHANCE for doubt in against)


def _looks_drawn(note: Drawn | None, seen: Moments, against: Sequence[Doubt]) -> bool:
    """Whether the weights may be the draw that was noted."""
    if note is None or not _independent(against):
        return False
    return may_be_normal(seen.mean, seen.power[0], seen.count, variances(note)[0] / seen.fan_in)


def _offsets_look_drawn(note: Drawn | None, bias: np.ndarray | None) -> bool:
    if note is None or bias is None:
        return note is not None
    return may_be_normal(float(bias.mean()), float(np.mean(bias**2)), len(bias), variances(note)[1])


def _weight_variance(module: nn.Module | None, seen: Moments, note: Drawn | None) -> tuple[float, str]:
    """σ_w² and its source; no module where its weights are none that an initialisation draws."""
    if note is not None:
        return variances(note)[0], "as built"
    initialisation = None if module is None else recognised(module, seen)
    if initialisation is not None:
        return initialisation.variance, initialisation.name
    return float(f"{seen.variance:.6g}"), MEASURED


def _bias_variance(bias: np.ndarray | None, fan_in: int, note: Drawn | None) -> float | None:
    """As noted, 0, torch's default 1/(3 fan_in), or as measured; None without biases."""
    if bias is None:
        return None
    if note is not None:
        return variances(note)[1]
    default = 1 / (3 * fan_in)
    if np.any(bias) and fills(float(np.abs(bias).max()), len(bias), fan_in**-0.5):
        return default
    return float(f"{np.mean(bias**2):.6g}")
