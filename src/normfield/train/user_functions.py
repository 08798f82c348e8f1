"""Functions and classes of the user's that make models: whether they take a seed, and calling them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from normfield.data.foreign_errors import described
from normfield.errors import InvalidInput, NormfieldError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def takes_a_seed(maker: Callable[..., Any]) -> bool:
    """Whether it has a parameter named seed, or is a function with a positional one that must be given."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return not inspect.isclass(maker)
    if any(p.name == "seed" for p in parameters):
        return True
    return not inspect.isclass(maker) and any(
        p.kind in _POSITIONAL and p.default is p.empty for p in parameters
    )


def made(maker: Callable[..., Any], seed: int, name: str = "build") -> Any:
    """What it returns, called with the seed where it takes one.

    Raises
    ------
    InvalidInput
        It raised: in one line what, and in which line of its file.
    """
    call = "(seed)" if takes_a_seed(maker) else "()"
    try:
        return _called(maker, seed)
    except (NormfieldError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise InvalidInput(
            expected=f"{name}{call} to return a torch.nn.Module",
            got=described(error, source_file(maker)),
            instead=_instead(maker),
        ) from error


def _called(maker: Callable[..., Any], seed: int) -> Any:
    if not takes_a_seed(maker):
        return maker()
    return maker(**{"seed": seed}) if inspect.isclass(maker) else maker(seed)


def source_file(maker: Callable[..., Any]) -> str | None:
    """The file that its code stands in; None where it has none in Python."""
    try:
        return inspect.getfile(maker)
    except (TypeError, OSError):
        return None


def _instead(maker: Callable[..., Any]) -> str:
    if inspect.isclass(maker):
        return f"correct it, or give a function that makes it: def make(): return {maker.__name__}(...)"
    return "correct the function"
