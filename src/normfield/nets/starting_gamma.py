"""A small γ to begin with, in batch norms as they stand in a model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normfield.errors import InvalidInput

_Named = dict[str, nn.Parameter]


def init_gamma_(
    model: nn.Module, gamma: float = 0.1, *, kinds: tuple[type[nn.Module], ...] = (_BatchNorm,)
) -> nn.Module:
    """Set γ, the weight of every batch norm, to one number in place, and return the model.

    A batch norm computes γ(h − mean)/√(variance + ε) + β. Torch begins with γ = 1; a smaller γ makes the largest
    eigenvalue of the Fisher matrix smaller and the largest stable learning rate higher, and VGG16 and PreAct-ResNet18
    that begin at γ = 0.1 train faster on CIFAR-10 [Wei, Fig. 4]. Nothing but γ is touched: no β, no buffer, no
    gradient, and γ stays trainable or frozen as it is.

    Parameters
    ----------
    model
        Any module that holds batch norms (``BatchNorm1d``, ``2d``, ``3d``, ``SyncBatchNorm``) somewhere.
    gamma
        γ, a finite number.
    kinds
        Classes of layers whose weight is γ, in place of batch norms: ``(nn.LayerNorm, nn.GroupNorm)`` for these.

    Returns
    -------
    torch.nn.Module
        The model that was given. Layers without γ (``affine=False``) are passed over; a γ that several norms share is
        set for all of them.

    Raises
    ------
    InvalidInput
        γ is not finite in the type of the weights, no layer of these kinds has γ, a γ is shared with a layer of
        another kind, or is not a plain parameter (parametrised, or not yet made by a lazy layer). The model is
        unchanged.

    Examples
    --------
    >>> model = init_gamma_(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU()), 0.1)
    >>> model[1].weight.tolist() == [torch.tensor(0.1).item()] * 3
    True
    """
    _check_arguments(model, gamma, kinds)
    found = dict(_gammas(model, kinds))
    if not found:
        raise InvalidInput(expected=f"a model with γ in a {_words(kinds)}", got=_without(model, kinds))
    _refuse_shared(model, found)
    for name, weight in found.items():
        if not torch.isfinite(torch.tensor(gamma, dtype=torch.float64).to(weight.dtype)):
            raise InvalidInput(expected=f"a γ that {name} of {weight.dtype} can hold", got=f"{gamma:g}")
    with torch.no_grad():
        for weight in found.values():
            weight.fill_(gamma)
    return model


def _check_arguments(model: object, gamma: object, kinds: object) -> None:
    if not isinstance(model, nn.Module):
        raise InvalidInput(expected="a torch.nn.Module", got=type(model).__name__, instead="build it first")
    if isinstance(gamma, bool) or not isinstance(gamma, int | float) or not math.isfinite(gamma):
        raise InvalidInput(expected="gamma as a finite number", got=repr(gamma), instead="try gamma=0.1")
    if (
        not isinstance(kinds, tuple)
        or not kinds
        or not all(isinstance(kind, type) and issubclass(kind, nn.Module) for kind in kinds)
    ):
        raise InvalidInput(
            expected="kinds as a tuple of module classes",
            got=repr(kinds),
            instead="try (torch.nn.LayerNorm,)",
        )


def _gammas(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, γ) of every layer of these kinds that has one."""
    for path, layer in model.named_modules():
        weight = getattr(layer, "weight", None) if isinstance(layer, kinds) else None
        if weight is None:
            continue
        name = f"{path}.weight" if path else "weight"
        if not isinstance(weight, nn.Parameter) or nn.parameter.is_lazy(weight):
            raise InvalidInput(
                expected=f"γ of {path or 'the model'} as a plain parameter",
                got=type(weight).__name__,
                instead="run one forward pass through a lazy layer, or take a parametrisation off, first",
            )
        yield name, weight


def _refuse_shared(model: nn.Module, found: _Named) -> None:
    """Refuse a γ that a layer of another kind holds too: it would be changed there."""
    ours = {id(weight): name for name, weight in found.items()}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in ours and name not in found and not _same_layer(model, name, found):
            raise InvalidInput(
                expected="a γ that norms alone hold",
                got=f"{ours[id(parameter)]}, which is also {name}",
                instead="untie them first",
            )


def _same_layer(model: nn.Module, name: str, found: _Named) -> bool:
    """Whether a parameter's name is another path to a layer that has been found."""
    path, _, last = name.rpartition(".")
    layers = {id(model.get_submodule(known.rpartition(".")[0])) for known in found}
    return last == "weight" and id(model.get_submodule(path)) in layers


def _without(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> str:
    """What the model has instead."""
    bare = sum(isinstance(layer, kinds) for layer in model.modules())
    return (
        f"{type(model).__name__} with {bare} without γ (affine=False)"
        if bare
        else f"{type(model).__name__} without any"
    )


def _words(kinds: tuple[type[nn.Module], ...]) -> str:
    return " or ".join("batch norm" if kind is _BatchNorm else kind.__name__ for kind in kinds)
