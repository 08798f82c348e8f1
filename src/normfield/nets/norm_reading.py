"""γ and β of a norm from its module: one number each, and how far the units differ."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from normfield.nets.notes import note_on
from normfield.nets.refusals import named, refuse
from normfield.nets.steps import Step
from normfield.network import BatchNorm, LayerNorm, RMSNorm

Norm = BatchNorm | LayerNorm | RMSNorm


@dataclass(frozen=True)
class NormReading:
    """A norm with the γ and β that stand for all its units, and what they stand for.

    ``gamma_mean``, ``gamma_spread``, ``beta_mean``, ``beta_spread`` are over units; β is None for RMSNorm.
    """

    layer: Norm
    source: str
    gamma_mean: float
    gamma_spread: float
    beta_mean: float | None
    beta_spread: float | None
    trainable: bool
    has_moved: bool


def read_norm(step: Step) -> NormReading:
    """The norm of a step: γ and β as they are where all units have the same, else root mean square and mean."""
    assert isinstance(step.layer, Norm)
    assert step.module is not None
    module = step.module
    gamma, beta = _values(module, "weight"), _values(module, "bias")
    if not all(np.all(np.isfinite(v)) for v in (gamma, beta) if v is not None):
        refuse(named(step.path, module), "its γ or β are not all finite")
    has_beta = not isinstance(step.layer, RMSNorm)
    scale = np.ones(1) if gamma is None else gamma
    shift = np.zeros(1) if beta is None else beta
    read: dict[str, float] = {"gamma": _one_number(scale, module, "weight")}
    if has_beta:
        read["beta"] = _mean(shift, module)
    layer = replace(step.layer, **read)
    note = note_on(module)
    return NormReading(
        layer=_as_noted(layer, None if note is None else note.layer, module),
        source="as built"
        if note is not None and _as_noted(layer, note.layer, module) == note.layer
        else "measured",
        gamma_mean=float(scale.mean()),
        gamma_spread=float(scale.std()),
        beta_mean=float(shift.mean()) if has_beta else None,
        beta_spread=float(shift.std()) if has_beta else None,
        trainable=gamma is not None and (beta is not None or not has_beta),
        has_moved=_has_moved(module),
    )


def _values(module: nn.Module, name: str) -> np.ndarray | None:
    parameter = getattr(module, name, None)
    return None if parameter is None else parameter.detach().to("cpu", torch.float64).numpy().reshape(-1)


def _one_number(gamma: np.ndarray, module: nn.Module, name: str) -> float:
    """The γ of all units, or their root mean square, which is exact where φ(γu) = γφ(u)."""
    if np.all(gamma == gamma[0]):
        return _shortest(float(gamma[0]), getattr(module, name, None))
    return float(f"{np.sqrt(np.mean(gamma**2)):.6g}")


def _mean(beta: np.ndarray, module: nn.Module) -> float:
    if np.all(beta == beta[0]):
        return _shortest(float(beta[0]), getattr(module, "bias", None))
    return float(f"{beta.mean():.6g}")


def _shortest(value: float, parameter: torch.Tensor | None) -> float:
    """The shortest decimal that the parameter's type rounds to this value: 0.1, and not 0.10000000149."""
    if parameter is None or parameter.dtype == torch.float64:
        return value
    digits = (f"{value:.{count}g}" for count in range(1, 18))
    return next(float(text) for text in digits if _rounded(float(text), parameter.dtype) == value)


def _rounded(value: float, dtype: torch.dtype) -> float:
    return float(torch.tensor(value, dtype=torch.float64).to(dtype))


def _as_noted(layer: Norm, noted: Any, module: nn.Module) -> Norm:
    """The noted layer where it is this one up to the rounding of the parameters' type."""
    if type(noted) is not type(layer) or noted.eps != layer.eps:
        return layer
    dtype = next((p.dtype for p in module.parameters()), torch.float64)
    numbers = ("gamma", "beta") if not isinstance(layer, RMSNorm) else ("gamma",)
    same = all(_rounded(getattr(noted, n), dtype) == _rounded(getattr(layer, n), dtype) for n in numbers)
    return noted if same else layer


def _has_moved(module: nn.Module) -> bool:
    """Whether batch norm's running statistics are no longer those of a new module."""
    mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    if mean is None or variance is None:
        return False
    return bool(mean.any()) or bool((variance != 1).any())
