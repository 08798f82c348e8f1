"""Whether a model is still the one that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normfield.errors import InvalidInput
from normfield.measure.subject.modes import batch_normalised


def _values(model: nn.Module, unread: frozenset[str]) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, but for the buffers of batch norms that do not read them."""
    yield from model.named_parameters()
    for name, module in model.named_modules():
        if name in unread:
            continue
        for key, buffer in module.named_buffers(recurse=False):
            yield (f"{name}.{key}" if name else key), buffer


def _same(now: Tensor, before: Tensor) -> bool:
    return now.dtype == before.dtype and now.device == before.device and torch.equal(now, before)


@dataclass(frozen=True, eq=False)
class AsFound:
    """A model's values and modes at one time.

    Attributes
    ----------
    model : nn.Module
    unread : frozenset of str
        Batch norms that normalise by the batch: their running statistics do not count.
    values : dict
        Copies of parameters and buffers.
    trainable : tuple of str
    modes : dict
        Train or eval of every submodule.
    """

    model: nn.Module
    unread: frozenset[str]
    values: dict[str, Tensor]
    trainable: tuple[str, ...]
    modes: dict[nn.Module, bool]

    @classmethod
    def of(cls, model: nn.Module, statistics: str) -> AsFound:
        """Copy what the measured function depends on."""
        unread = frozenset(batch_normalised(model, statistics))
        values = {name: tensor.detach().clone() for name, tensor in _values(model, unread)}
        modes = {module: module.training for module in model.modules()}
        return cls(model, unread, values, _trainable(model), modes)

    def require_same(self) -> None:
        """Refuse a model whose values, or whose choice of trainable parameters, have changed since."""
        now = dict(_values(self.model, self.unread))
        changed = [name for name in now.keys() | self.values.keys() if not self._holds(name, now)]
        if changed:
            words = f"other values of {min(changed)!r}"
            raise self._refusal(f"{words} and {len(changed) - 1} more" if len(changed) > 1 else words)
        if _trainable(self.model) != self.trainable:
            raise self._refusal("another choice of trainable parameters")

    def _holds(self, name: str, now: dict[str, Tensor]) -> bool:
        return name in now and name in self.values and _same(now[name].detach(), self.values[name])

    @staticmethod
    def _refusal(got: str) -> InvalidInput:
        return InvalidInput(
            expected="the model as it was when the operator was made",
            got=got,
            instead="make a new one with curvature_operator",
        )

    @contextmanager
    def modes_again(self) -> Iterator[None]:
        """Every submodule in the mode, train or eval, in which it was."""
        before = {module: module.training for module in self.modes}
        try:
            for module, training in self.modes.items():
                module.training = training
            yield
        finally:
            for module, training in before.items():
                module.training = training


def _trainable(model: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, p in model.named_parameters() if p.requires_grad)
