"""A loss from the command line: by name, or the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from normfield.data import load_target
from normfield.data.target import is_target
from normfield.errors import InvalidInput
from normfield.train.user_functions import made

LOSS_WORDS = (
    "squared, cross_entropy, or your own: path.py:function or package.module:function of (outputs, targets), or a "
    "class of such, as torch.nn:SmoothL1Loss."
)
_NAMES = ("squared", "cross_entropy")


def read_loss(text: str) -> str | Callable[..., Any]:
    """The loss that a flag names; a class is called without arguments.

    Raises
    ------
    InvalidInput
        Neither a name nor a function that can be loaded.
    """
    if text in _NAMES:
        return text
    if not is_target(text):
        raise InvalidInput(
            expected="--loss squared, cross_entropy, path.py:function or package.module:function",
            got=repr(text),
        )
    found = load_target(text)
    if not inspect.isclass(found):
        return found
    loss = made(found, 0, text)
    if not callable(loss):
        raise InvalidInput(expected=f"{text} to make a loss that can be called", got=type(loss).__name__)
    return loss
