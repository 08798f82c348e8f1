"""A loss of the user's own file, which goes to worker processes by its place."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from normfield.cli.loss_flag import read_loss
from normfield.train.identity import function_words


class PlacedLoss:
    """A function (outputs, targets) -> scalar and the ``path.py:function`` that it came from.

    It is known by that place and a digest of its code, wherever the file lies.
    """

    def __init__(self, place: str, function: Callable[..., Any]) -> None:
        self._place, self._function = place, function
        self.__name__ = place.rpartition(":")[2]
        self.__qualname__ = f"{place} {function_words(function).rpartition(' ')[2]}"

    def __call__(self, outputs: Any, targets: Any) -> Any:
        return self._function(outputs, targets)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process reads it from its file."""
        return placed_loss, (self._place,)


def placed_loss(text: str) -> str | Callable[..., Any]:
    """The loss that a flag names, such that it can be sent to other processes.

    Raises
    ------
    InvalidInput
        Neither a name nor a function that can be loaded.
    """
    loss = read_loss(text)
    return PlacedLoss(text, loss) if isinstance(loss, FunctionType) else loss
