"""Mean and variance of what every batch norm of a module gets, batch by batch, in training mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.batch_norm.averages import Moments
from normfield.measure.subject.batches import Batches, read_batches
from normfield.measure.subject.function import ModelFunction, unwrapped
from normfield.measure.subject.modes import batch_norm_statistics, batch_normalised, batch_norms
from normfield.measure.subject.survey import run_model
from normfield.measure.subject.untouched import untouched
from normfield.seeds import whole_seed


@dataclass(frozen=True)
class LayerMoments:
    """Every call of every batch norm, in order.

    Attributes
    ----------
    by_layer : dict of str to list of Moments
        In the module's order, those that normalise by the batch; an empty list of one that was not called.
    in_eval_mode : tuple of str
        The others: in eval mode inside a module in training mode, they train with their running statistics.
    samples, batches, dropped_samples : int
    """

    by_layer: dict[str, list[Moments]]
    in_eval_mode: tuple[str, ...]
    samples: int
    batches: int
    dropped_samples: int

    @property
    def not_called(self) -> tuple[str, ...]:
        """Those that no batch reached."""
        return tuple(name for name, calls in self.by_layer.items() if not calls)


def norms_of(model: nn.Module, instead: str) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """The batch norms of a module that must have some.

    Raises
    ------
    InvalidInput
        There is none.
    """
    found = batch_norms(unwrapped(model)) if isinstance(model, nn.Module) else {}
    if not found:
        raise InvalidInput(
            expected="a module with batch norm", got=f"{type(model).__name__} without", instead=instead
        )
    return found


@contextmanager
def opened(model: Any, batches: Any, seed: int) -> Iterator[tuple[ModelFunction, Batches]]:
    """The module as a function and its batches, read once; while open the module is held as it is.

    Raises
    ------
    InvalidInput
        A module or batches that cannot be measured.
    """
    function = ModelFunction.only_run(model, whole_seed(seed))
    with untouched(function.model, function.seed, function.device):
        yield function, read_batches(batches)


def layer_moments(function: ModelFunction, read: Batches) -> LayerMoments:
    """Run every batch once in training mode, each with its own statistics and draws of its own; call it in `opened`.

    A model in eval mode is taken in training mode as a whole; of one in training mode every submodule stays as it is.

    Raises
    ------
    InvalidInput
        Batches that cannot be run, a single value per channel, values that are not finite.
    """
    model = function.model
    if not model.training:
        model.train()
    with batch_norm_statistics(model, "batch"), torch.no_grad(), _noting(model) as by_layer:
        for number, batch in enumerate(read.items):  # dropout draws anew for every batch, as in training
            seeded = replace(function, seed=(function.seed + number) % 2**63)
            run_model(seeded, batch.like(function.like))
    kept = tuple(name for name in batch_norms(model) if name not in by_layer)
    return LayerMoments(by_layer, kept, read.samples, len(read.items), read.dropped_samples)


@contextmanager
def _noting(model: nn.Module) -> Iterator[dict[str, list[Moments]]]:
    """While open, the moments of every call of a batch norm that reads the batch are noted under its name."""
    layers = batch_normalised(model)
    noted: dict[str, list[Moments]] = {name: [] for name in layers}

    def note(name: str, layer: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        noted[name].append(_moments(name, given[0] if given else named["input"]))

    handles = [
        layer.register_forward_pre_hook(partial(note, name), with_kwargs=True)
        for name, layer in layers.items()
    ]
    try:
        yield noted
    finally:
        for handle in handles:
            handle.remove()


def _moments(name: str, x: Tensor) -> Moments:
    count = x.numel() // x.shape[1]
    if count < 2:
        raise InvalidInput(
            expected="batches with at least 2 values per channel at every batch norm",
            got=f"1 at {name!r}",
            instead="give larger batches",
        )
    variance, mean = torch.var_mean(x.double(), [d for d in range(x.dim()) if d != 1], correction=0)
    if not bool(torch.isfinite(variance).all()):
        raise InvalidInput(
            expected="finite values at every batch norm",
            got=f"NaN or infinite ones at {name!r}",
            instead="check weights and the scale of the inputs",
        )
    return Moments(count, mean.cpu().numpy(), variance.cpu().numpy())
