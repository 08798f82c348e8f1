"""What a run was worth at the end of each pass over the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from normfield.data.foreign_errors import described
from normfield.data.random_state import seeded_random_state
from normfield.errors import InvalidInput, NormfieldError
from normfield.train.evaluation import measured, training_mode
from normfield.train.prepared import Prepared
from normfield.train.user_functions import source_file

Probe = Callable[[nn.Module], float]
Probes = Mapping[str, Probe]

_COLUMNS = ("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
_SEED = 0


@dataclass(frozen=True)
class Epoch:
    """A run at the end of one pass over the data, or of what its steps left of the last one.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    train_loss, train_accuracy : float
        Over the batches of training data of the run's first and final loss, each with its own statistics; the
        accuracy is None without class labels.
    test_loss, test_accuracy : float or None
        The same over all test batches; None without test data.
    probes : mapping of name to float
        What the caller's probes returned.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    probes: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """All numbers by name, the probes' beside the others."""
        return {**{name: getattr(self, name) for name in _COLUMNS}, **self.probes}


@dataclass(frozen=True, eq=False)
class Recording:
    """Whether runs are evaluated at the end of every epoch, and which probes see them then."""

    every_epoch: bool
    probes: Probes

    def of_module(self, model: nn.Module, prepared: Prepared, epoch: int) -> Epoch:
        """A module at the end of an epoch, left as it is."""
        function, labelled = prepared.loss.function, prepared.labelled
        train = measured(model, function, prepared.evaluation, labelled)
        test = measured(model, function, prepared.test, labelled) if prepared.test else None
        shown = (None, None) if test is None else (test.loss, test.accuracy)
        return Epoch(epoch, train.loss, train.accuracy, *shown, self.probed(model))

    def probed(self, model: nn.Module) -> dict[str, float]:
        """What each probe says of a module, which is left as it was."""
        return {name: _answer(name, probe, model) for name, probe in self.probes.items()}


def as_recording(every_epoch: object, probes: object) -> Recording:
    """What to record, from the caller's keywords.

    Raises
    ------
    InvalidInput
        `every_epoch` that is no truth value, probes that are no functions by name, that bear a column's name, or that
        nobody would call.
    """
    if not isinstance(every_epoch, bool):
        raise InvalidInput(expected="every_epoch True or False", got=repr(every_epoch))
    named = {} if probes is None else probes
    if not isinstance(named, Mapping) or not all(map(callable, named.values())):
        raise InvalidInput(
            expected="probes as a dict of names and functions of a module",
            got=repr(probes)
            if not isinstance(named, Mapping)
            else f"{_first_uncallable(named)!r} among them",
            instead='give e.g. {"norm": lambda model: model[0].weight.norm().item()}',
        )
    for name in named:
        if not isinstance(name, str) or name in _COLUMNS:
            raise InvalidInput(
                expected=f"probes with names of their own, other than {', '.join(_COLUMNS)}",
                got=repr(name),
                instead="rename it",
            )
    if named and not every_epoch:
        raise InvalidInput(
            expected="every_epoch=True with probes, which are called at the end of each",
            got="every_epoch=False",
            instead="give every_epoch=True",
        )
    return Recording(every_epoch, dict(named))


def _first_uncallable(named: Mapping[Any, Any]) -> Any:
    return next(value for value in named.values() if not callable(value))


def _answer(name: str, probe: Probe, model: nn.Module) -> float:
    """A probe's number, with its own complaint in ours where it raises."""
    try:
        with _left_as_it_was(model), training_mode(model), torch.enable_grad(), seeded_random_state(_SEED):
            return float(probe(model))
    except (NormfieldError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            expected=f"probe {name!r} to return a number",
            got=described(error, source_file(probe)),
            instead="correct the function",
        ) from error


@contextmanager
def _left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Values, gradients, requests for gradients and modes of a module are put back on leaving."""
    tensors = [*model.parameters(), *model.buffers()]
    kept = [(tensor.detach().clone(), tensor.grad, tensor.requires_grad) for tensor in tensors]
    modes = [(module, module.training) for module in model.modules()]
    for tensor in tensors:
        tensor.grad = None
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for tensor, (value, gradient, required) in zip(tensors, kept, strict=True):
                tensor.requires_grad_(required).copy_(value)
                tensor.grad = gradient


def curve_rows(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """A row for each epoch."""
    return [epoch.row() for epoch in epochs]
