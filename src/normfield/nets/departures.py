"""How a module's weights depart from what theory takes them for, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from normfield.nets.affine_reading import AffineReading
from normfield.nets.norm_reading import NormReading
from normfield.nets.steps import Step
from normfield.network import Activation, BatchNorm, Layer, RMSNorm

#: Chance that some test calls the weights of a fresh network dependent, all its tests together.
FALSE_ALARM_RATE = 0.001

Reading = AffineReading | NormReading


def departures(
    model: nn.Module, readings: Mapping[Step, Reading], following: Mapping[Step, Layer | None]
) -> tuple[str, ...]:
    """Sentences, in the order of the layers; empty where theory may take the network as it stands."""
    tests = sum(len(r.doubts) for r in readings.values() if isinstance(r, AffineReading))
    found: list[str] = []
    for step, reading in readings.items():
        if isinstance(reading, AffineReading):
            found += _of_weights(step.path, reading, FALSE_ALARM_RATE / max(tests, 1))
        else:
            found += _of_norm(step.path, reading, following.get(step))
    return (*found, *_off_the_path(model, list(readings)), *_not_looked_at(model))


def _of_weights(path: str, reading: AffineReading, level: float) -> list[str]:
    sure = [doubt.words for doubt in reading.doubts if doubt.probability < level]
    orthogonal = [words for words in sure if "orthogonal" in words]
    if orthogonal:  # equal norms follow from it
        sure = orthogonal + [words for words in sure if "norms" not in words and words not in orthogonal]
    return [f"{path or 'the model'}: {words}" for words in sure]


def _of_norm(path: str, reading: NormReading, following: Layer | None) -> list[str]:
    found = []
    if reading.gamma_spread > 0:
        found.append(
            f"{path}: γ differs between units (mean {reading.gamma_mean:.3g}, spread {reading.gamma_spread:.2g}); "
            f"its root mean square {reading.layer.gamma:.3g} stands for it, {_how_good(reading, following)}"
        )
    if reading.beta_spread:
        found.append(
            f"{path}: β differs between units (spread {reading.beta_spread:.2g}); its mean "
            f"{reading.beta_mean:.3g} stands for it, an approximation"
        )
    if not reading.trainable:
        found.append(f"{path}: it lacks a trainable γ or β, which theory counts among the parameters")
    if reading.has_moved:
        found.append(
            f"{path}: its running statistics have moved, so the module has seen data; theory takes statistics "
            "of the batch"
        )
    return found


def _how_good(reading: NormReading, following: Layer | None) -> str:
    """Whether one γ gives what many do: φ(γu) = γφ(u) makes every average over units one of γ²."""
    no_shift = not reading.beta_mean and not reading.beta_spread
    scales = not isinstance(following, Activation) or following.row.homogeneous is not None
    if isinstance(reading.layer, BatchNorm | RMSNorm) and no_shift and scales:
        return "exact for this activation at infinite width"
    return "an approximation for this activation or with β"


def _off_the_path(model: nn.Module, steps: Sequence[Step]) -> list[str]:
    """Parameters that the output does not depend on."""
    used = {id(p) for step in steps if step.module is not None for p in step.module.parameters()}
    idle = [name for name, p in model.named_parameters() if id(p) not in used]
    if not idle:
        return []
    return [f"{len(idle)} parameters are not on the way from input to output, the first {idle[0]}"]


def _not_looked_at(model: nn.Module) -> list[str]:
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    hooked = [
        name or "the model" for name, m in model.named_modules() if m._forward_hooks or m._forward_pre_hooks
    ]
    found = []
    if frozen:
        found.append(
            f"{len(frozen)} parameters are frozen, the first {frozen[0]}; theory counts all as trainable"
        )
    if hooked:
        found.append(f"{hooked[0]}: its forward hooks were not followed")
    return found
