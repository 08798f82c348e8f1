"""A task as bytes for another process, or the name of what in it cannot go there."""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
from types import FunctionType
from typing import Any

from normfield.errors import InvalidInput
from normfield.sweep.engines.attempt import in_a_line
from normfield.sweep.task import Task

_TOP_LEVEL = "define it at the top level of a module, or use engine='inline' or engine='ray'"


def packed(task: Task) -> bytes:
    """A task pickled once, to be sent to every worker.

    Raises
    ------
    InvalidInput
        For a function or class that no other process can import by its name, and for what pickle refuses.
    """
    check = getattr(task, "check_portable", None)
    if check is not None:
        check()
    packet = io.BytesIO()
    try:
        _Pickler(packet, protocol=pickle.HIGHEST_PROTOCOL).dump(task)
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(
            expected="a task that pickle can send to a worker process",
            got=in_a_line(error),
            instead=_TOP_LEVEL,
        ) from error
    return packet.getvalue()


class _Pickler(pickle.Pickler):
    """Refuses a function or class by its name and place, where pickle would tell its address."""

    def reducer_override(self, obj: Any) -> Any:
        """Look at functions and classes, and leave the rest to pickle."""
        is_named = isinstance(obj, FunctionType | type) and type(obj) not in copyreg.dispatch_table
        if is_named and not _importable(obj):
            raise InvalidInput(
                expected="functions that a worker process can import", got=_told(obj), instead=_TOP_LEVEL
            )
        return NotImplemented


def _importable(named: Any) -> bool:
    """Whether its module's file, read again, gives it under its name; what is not ours to tell, pickle will."""
    module = sys.modules.get(named.__module__)
    if module is None or named.__module__ == "builtins":
        return True
    if named.__module__ == "__main__" and getattr(module, "__file__", None) is None:
        return False
    found: Any = module
    for part in named.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is named


def _told(named: Any) -> str:
    """Name, module and line: ``make.<locals>.build of trial (line 12 of trial.py)``."""
    code = getattr(named, "__code__", None)
    place = f" (line {code.co_firstlineno} of {code.co_filename})" if code is not None else ""
    return f"{named.__qualname__} of {named.__module__}{place}"
