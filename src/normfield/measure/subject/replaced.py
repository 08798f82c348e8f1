"""Attributes of single objects replaced for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

_MISSING = object()
_HOLDERS = ("_parameters", "_buffers", "_modules")


@contextmanager
def replaced(name: str, values: dict[Any, Any]) -> Iterator[None]:
    """While open, each key of `values` has the value as its own attribute `name`; its class is left alone."""
    before = {thing: vars(thing).get(name, _MISSING) for thing in values}
    try:
        for thing, value in values.items():
            vars(thing)[name] = value
        yield
    finally:
        for thing, own in before.items():
            vars(thing).pop(name, None)
            if own is not _MISSING:
                vars(thing)[name] = own


@contextmanager
def same_attributes(model: nn.Module) -> Iterator[None]:
    """Put back what every submodule holds: attributes, mode, and which parameters, buffers and modules."""
    dictionaries = [vars(module) for module in model.modules()]
    dictionaries += [dictionary[name] for dictionary in dictionaries for name in _HOLDERS]
    before = [(dictionary, dict(dictionary)) for dictionary in dictionaries]
    try:
        yield
    finally:
        for dictionary, entries in before:
            _put_back(dictionary, entries)


def _put_back(dictionary: dict[str, Any], entries: dict[str, Any]) -> None:
    """The entries, in their order; nothing is written where nothing changed."""
    same = dictionary.keys() == entries.keys() and all(dictionary[key] is entries[key] for key in entries)
    if not same:
        dictionary.clear()
        dictionary.update(entries)
