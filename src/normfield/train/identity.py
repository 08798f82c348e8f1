"""Functions, tensors and other values in words that are equal where they are, in every process and on every day."""

from __future__ import annotations

import functools
import hashlib
import inspect
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn

_PLAIN = bool | int | float | complex | str | bytes | Enum | None


@dataclass(frozen=True)
class Wording:
    """How an object that can neither be read nor pickled is told, and how a function's code."""

    opaque: Callable[[Any], str]
    code: Callable[[FunctionType], str]


def digest(text: object, length: int = 12) -> str:
    """So many hexadecimal digits that stand for a text."""
    return hashlib.sha256(str(text).encode("utf-8", "backslashreplace")).hexdigest()[:length]


def in_words(value: Any, wording: Wording | None = None) -> str:
    """A value in words: by default such as are the same in every process."""
    wording = wording or EVERYWHERE
    try:
        return _words(value, wording)
    except RecursionError:
        return wording.opaque(value)


def tensor_words(tensor: torch.Tensor) -> str:
    """Shape, type, device and whether it takes a gradient."""
    return str((tuple(tensor.shape), str(tensor.dtype), str(tensor.device), tensor.requires_grad))


def tensor_digest(tensor: torch.Tensor) -> str:
    """Hexadecimal digits that stand for a tensor's values, bit for bit."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return digest_of_bytes(plain.view(torch.uint8).numpy()) if plain.numel() else "empty"


def digest_of_bytes(content: Any) -> str:
    """The same for bytes."""
    return hashlib.blake2b(content, digest_size=6).hexdigest()


def function_words(function: Any, wording: Wording | None = None) -> str:
    """A function by its place and its code, with its defaults and what it closes over."""
    wording = wording or EVERYWHERE
    if isinstance(function, functools.partial):
        given = in_words((function.args, function.keywords), wording)
        return f"{function_words(function.func, wording)} with {given}"
    if isinstance(function, MethodType):
        return f"{function_words(function.__func__, wording)} of {in_words(function.__self__, wording)}"
    if not isinstance(function, FunctionType):
        named = hasattr(function, "__qualname__")
        return f"{function.__module__}.{function.__qualname__}" if named else in_words(function, wording)
    own = (function.__defaults__, function.__kwdefaults__, _closed_over(function))
    content = digest((wording.code(function), *(in_words(each, wording) for each in own)))
    return f"{function.__module__}.{function.__qualname__} {content}"


def _words(value: Any, wording: Wording) -> str:
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, torch.Tensor):
        return f"{tensor_words(value)} {tensor_digest(value)}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(_words(each, wording) for each in value)})"
    if isinstance(value, Mapping):
        pairs = (f"{_words(key, wording)}: {_words(each, wording)}" for key, each in value.items())
        return f"{_kind(value)}({', '.join(pairs)})"
    if isinstance(value, set | frozenset):
        return f"set({', '.join(sorted(_words(each, wording) for each in value))})"
    if isinstance(value, FunctionType | MethodType | BuiltinFunctionType | functools.partial):
        return function_words(value, wording)
    return _object_words(value, wording)


def _object_words(value: Any, wording: Wording) -> str:
    """An object by its class and its content: its fields, its state, or its pickle."""
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if is_dataclass(value):
        own = (f"{item.name}={_words(getattr(value, item.name), wording)}" for item in fields(value))
        return f"{_kind(value)}({', '.join(own)})"
    if isinstance(value, nn.Module):
        return f"{_kind(value)} {digest(value)} {_words(dict(value.state_dict()), wording)}"
    try:
        return f"{_kind(value)} {digest_of_bytes(pickle.dumps(value))}"
    except Exception:
        return wording.opaque(value)


def _closed_over(function: FunctionType) -> tuple[Any, ...]:
    return tuple(_content(cell) for cell in function.__closure__ or ())


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _code_of(function: FunctionType) -> str:
    """Its text, with its constants since several may share a line; its instructions where there is no text."""
    code = function.__code__
    constants = [each for each in code.co_consts if isinstance(each, _PLAIN)]
    try:
        return f"{inspect.getsource(function)} {constants}"
    except (OSError, TypeError):
        return f"{code.co_code.hex()} {code.co_names} {constants}"


def _address(value: Any) -> str:
    return f"{_kind(value)} at {id(value):x}"


#: Equal words for equal functions in every process; an object that hides its content is told by its class.
EVERYWHERE = Wording(_kind, _code_of)
#: Within one process: quicker, and an object that hides its content is like no other.
HERE = Wording(_address, lambda function: _address(function.__code__))
