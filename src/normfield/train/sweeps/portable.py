"""Whether functions can go to another process, which imports them by name."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Mapping
from typing import Any

from normfield.errors import InvalidInput


def check_portable(functions: Mapping[str, Any]) -> None:
    """Refuse the first of some functions (or modules, words, None) that pickle cannot send.

    Raises
    ------
    InvalidInput
        The message names the function, where it stands, and what to do.
    """
    for what, function in functions.items():
        try:
            pickle.dumps(function)
        except Exception as error:
            raise InvalidInput(
                expected=f"{what} that other processes can import",
                got=_described(function, error),
                instead="def it at a module's top level, name it as 'path.py:function', or use engine='inline'",
            ) from error


def _described(function: Any, error: Exception) -> str:
    """A function by its name and line; of anything else, what pickle says."""
    code = getattr(inspect.unwrap(getattr(function, "func", function)), "__code__", None)
    if code is None:
        return f"{type(function).__qualname__}, which pickle refuses ({' '.join(str(error).split())})"
    return f"{code.co_qualname} (line {code.co_firstlineno} of {code.co_filename})"
