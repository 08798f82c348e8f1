"""Functions named from outside, as ``path.py:function`` or ``package.module:function``."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from normfield.data.foreign_errors import described
from normfield.data.random_state import kept_random_state
from normfield.errors import InvalidInput

_FORM = "path.py:function or package.module:function"


def load_target(spec: str) -> Callable[..., Any]:
    """Import the function that `spec` names, by running its file or importing its module.

    The file's folder (for a module: the working folder) can be imported from only while the code runs, so
    imports belong at its top. A file is run anew at every call. The global random state is left as it was.

    Parameters
    ----------
    spec : str
        ``path.py:function`` or ``package.module:function``.

    Returns
    -------
    Callable
        The function, not yet called.

    Raises
    ------
    InvalidInput
        Another form; a file or module that is missing, not readable or raises; a name that it lacks or that
        is not callable.

    Examples
    --------
    >>> load_target("math:sqrt")(9.0)
    3.0
    """
    place, name = _split(spec)
    with kept_random_state():
        module = _run_file(Path(place).expanduser()) if place.endswith(".py") else _import_module(place)
    return _callable_in(module, name, place)


def is_target(spec: str) -> bool:
    """Say whether a string has the form of a target rather than that of a plain name or path."""
    place, colon, name = spec.rpartition(":")
    return bool(place and colon and name.isidentifier())


def _split(spec: str) -> tuple[str, str]:
    if not isinstance(spec, str) or not is_target(spec):
        raise InvalidInput(expected=_FORM, got=repr(spec), instead="name the function after a colon")
    place, _, name = spec.rpartition(":")
    if not place.endswith(".py") and not all(part.isidentifier() for part in place.split(".")):
        raise InvalidInput(
            expected=_FORM, got=repr(spec), instead="give a file ending in .py, or a dotted module name"
        )
    return place, name


def _run_file(path: Path) -> ModuleType:
    """Run a file as a fresh module, registered as long as it runs through, so that its dataclasses work."""
    code = _compiled(path)
    module = ModuleType(f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}")
    module.__file__ = str(path)
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        with _importable(path.resolve().parent):
            exec(code, module.__dict__)
    except (Exception, SystemExit) as error:
        _put_back(module.__name__, before)
        raise InvalidInput(
            expected=f"{path} to run", got=described(error, str(path)), instead="correct the file"
        ) from error
    return module


def _put_back(name: str, before: ModuleType | None) -> None:
    if before is None:
        sys.modules.pop(name, None)
    else:
        sys.modules[name] = before


def _compiled(path: Path) -> CodeType:
    try:
        return compile(path.read_bytes(), str(path), "exec")
    except FileNotFoundError as error:
        raise InvalidInput(
            expected="an existing Python file", got=str(path), instead="check the path"
        ) from error
    except OSError as error:
        raise InvalidInput(
            expected=f"{path} to be readable",
            got=error.strerror or str(error),
            instead="check what it is and who may read it",
        ) from error
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(
            expected=f"{path} to be Python", got=described(error), instead="correct the file"
        ) from error


def _import_module(name: str) -> ModuleType:
    try:
        with _importable(Path.cwd()):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidInput(
                expected=f"an importable module {name}",
                got=f"no module named {error.name}",
                instead="check the name, run from the folder that holds it, or give path.py:function",
            ) from error
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_failed(name: str, error: BaseException) -> InvalidInput:
    return InvalidInput(
        expected=f"module {name} to import", got=described(error), instead="correct the module"
    )


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder first on the import path for as long as the code inside runs."""
    entry = os.fspath(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


def _callable_in(module: ModuleType, name: str, place: str) -> Callable[..., Any]:
    if not hasattr(module, name):
        raise InvalidInput(
            expected=f"a function {name} in {place}", got="no such name", instead=_offer(module)
        )
    found = getattr(module, name)
    if not callable(found):
        raise InvalidInput(
            expected=f"{name} in {place} to be a function", got=type(found).__name__, instead=_offer(module)
        )
    return found


def _offer(module: ModuleType) -> str:
    """List the functions that the module itself defines."""
    own = [
        name
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    ]
    return f"it defines {', '.join(own[:8])}" if own else "it defines no function"
