"""Where λ_max sits: what each layer's parameters add, by theory and in the measured top eigenvectors."""

from __future__ import annotations

import torch
from torch import nn

from normfield.measure import Curvature
from normfield.theory import MeanField
from normfield.theory.shown import shares


def theory_shares(field: MeanField, scale: float = 1.0) -> dict[str, dict[int, float]]:
    """kind → layer → term of λ_max, times a scale that takes it to another loss."""
    return shares(field.terms, scale)


def measured_shares(found: Curvature, module: nn.Module) -> dict[str, dict[int, float]]:
    """kind → affine layer → what it adds to the mean of the found eigenvalues: λ‖v restricted to it‖², averaged.

    A parameter belongs to the last affine layer in front of it in the module's order; a one-dimensional parameter that
    is not that layer's bias is a norm's γ or β.
    """
    eigenvalues = torch.as_tensor(found.eigenvalues).to(found.vectors)
    weight = found.vectors.square() @ eigenvalues / len(eigenvalues)
    found_shares: dict[str, dict[int, float]] = {}
    layer, start = 0, 0
    for owner, name, parameter in _trainable(module):
        layer += parameter.ndim > 1 and name == "weight"
        kind = _kind(owner, name, parameter)
        by_layer = found_shares.setdefault(kind, {})
        end = start + parameter.numel()
        by_layer[max(layer, 1)] = by_layer.get(max(layer, 1), 0.0) + float(weight[start:end].sum())
        start = end
    return found_shares


def _trainable(module: nn.Module) -> list[tuple[nn.Module, str, nn.Parameter]]:
    """Trainable parameters in the order of ``module.parameters()``, each with its owner and its own name."""
    owners = dict(module.named_modules())
    found = []
    for path, parameter in module.named_parameters():
        if parameter.requires_grad:
            place, _, name = path.rpartition(".")
            found.append((owners[place], name, parameter))
    return found


def _kind(owner: nn.Module, name: str, parameter: nn.Parameter) -> str:
    if parameter.ndim > 1 and "Norm" not in type(owner).__name__:
        return "weight"
    if "Norm" in type(owner).__name__:
        return "gamma" if name == "weight" else "beta"
    return "bias" if name == "bias" else name
