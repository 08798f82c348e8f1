"""The shape of one input: given, taken from examples, or told by the modules themselves."""

from __future__ import annotations

import operator
from typing import Any

from torch import nn

from normfield.errors import InvalidInput
from normfield.nets.notes import note_on
from normfield.network import Shape

ASK = "give example inputs or their shape, e.g. inputs=(3, 32, 32)"


def input_shape(model: nn.Module, inputs: Any) -> Shape:
    """The shape of one sample.

    Raises
    ------
    InvalidInput
        ``inputs`` is neither a shape nor a batch, or nothing tells the shape.
    """
    if inputs is None:
        return _told_by(model)
    if hasattr(inputs, "shape") and hasattr(inputs, "dtype"):
        return _of_batch(tuple(inputs.shape))
    try:
        sizes = tuple(operator.index(size) for size in (inputs if hasattr(inputs, "__iter__") else (inputs,)))
    except TypeError:
        raise InvalidInput(
            expected="inputs as one batch of examples or the shape of one", got=_words(inputs), instead=ASK
        ) from None
    if not sizes or min(sizes) < 1:
        raise InvalidInput(expected="a shape of positive sizes", got=str(sizes), instead=ASK)
    return sizes


def _of_batch(shape: Shape) -> Shape:
    if len(shape) < 2 or min(shape[1:]) < 1:
        raise InvalidInput(
            expected="a batch of example inputs, samples first", got=f"shape {shape}", instead=ASK
        )
    return shape[1:]


def _words(inputs: Any) -> str:
    kinds = [type(item).__name__ for item in inputs] if isinstance(inputs, tuple | list | dict) else []
    return type(inputs).__name__ + (f" of {', '.join(kinds[:3])}" if kinds else "")


def _told_by(model: nn.Module) -> Shape:
    """The first module that knows: one that `build` made, a linear layer or a norm over flat features."""
    for part in model.modules():
        note = note_on(part)
        if note is not None:
            return note.shape
        if isinstance(part, nn.Linear):
            return (part.in_features,)
        if isinstance(part, nn.BatchNorm1d):
            return (part.num_features,)
        if isinstance(part, nn.LayerNorm | nn.RMSNorm):
            return tuple(part.normalized_shape)
        if isinstance(part, nn.modules.conv._ConvNd):
            raise InvalidInput(
                expected="inputs: convolutions do not tell the size of the image", got="none", instead=ASK
            )
    raise InvalidInput(expected="inputs: no module tells the shape", got="none", instead=ASK)
