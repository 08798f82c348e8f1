"""Descriptions as tables of TOML and JSON: one key per field that is not at its default, and back.

A file with a key, a type or a layer that there is not is refused in one line that names the place.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

import tomli_w

from normfield.errors import InvalidInput
from normfield.network.activations import ACTIVATIONS, ActivationFunction
from normfield.network.layers import (
    Activation,
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    Layer,
    LayerNorm,
    Residual,
    RMSNorm,
)
from normfield.network.pooling import AveragePool, GlobalAveragePool, MaxPool

_KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind
    for kind in (
        *(Dense, Conv, BatchNorm, LayerNorm, RMSNorm, Activation, Flatten),
        *(AveragePool, MaxPool, GlobalAveragePool, Residual),
    )
}
_PATHS = ("branch", "shortcut")
_NETWORK = ("input_shape", "weight_variance", "bias_variance", "layers")


def table_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a network as a table that TOML and JSON hold; raises InvalidInput where one cannot be stored."""
    return {
        "input_shape": list(values["input_shape"]),
        "weight_variance": values["weight_variance"],
        "bias_variance": values["bias_variance"],
        "layers": _tables(values["layers"]),
    }


def fields_of(table: Any) -> dict[str, Any]:
    """The fields of a network from such a table; raises InvalidInput with the place of what is wrong."""
    if not isinstance(table, Mapping):
        raise InvalidInput(expected="a network as a table with input_shape and layers", got=_words(table))
    _refuse_unknown(table, _NETWORK, "the network")
    for key in ("input_shape", "layers"):
        if key not in table:
            raise InvalidInput(expected=f"the key {key!r} in the network", got="none")
    shape = table["input_shape"]
    if not _is_whole(shape) and not (isinstance(shape, list) and all(map(_is_whole, shape))):
        raise InvalidInput(expected="input_shape as a list of whole numbers", got=_words(shape))
    for key in ("weight_variance", "bias_variance"):
        if key in table and not _is_number(table[key]):
            raise InvalidInput(expected=f"{key} of the network as a number", got=_words(table[key]))
    return {**table, "layers": _layers(table["layers"], "layer", "layers of the network")}


def toml_text(table: Mapping[str, Any]) -> str:
    """The table as TOML, every layer as a ``[[layers]]`` table, those of a block as ``[[layers.branch]]``."""
    numbers = {key: value for key, value in table.items() if key != "layers"}
    return tomli_w.dumps(numbers) + _toml_layers("layers", table["layers"])


def _toml_layers(name: str, layers: Iterable[Mapping[str, Any]]) -> str:
    """Layers as an array of tables, which tomli_w would write inline where they are short."""
    text = ""
    for layer in layers:
        text += f"\n[[{name}]]\n" + tomli_w.dumps({k: v for k, v in layer.items() if k not in _PATHS})
        text += "".join(_toml_layers(f"{name}.{path}", layer[path]) for path in _PATHS if path in layer)
    return text


def json_text(table: Mapping[str, Any]) -> str:
    """The table as JSON, indented."""
    return json.dumps(table, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def from_toml_text(text: str) -> Any:
    """The table in TOML text; raises InvalidInput with the line where it is none."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, TypeError, RecursionError) as error:
        raise InvalidInput(expected="a network as TOML text", got=f"an error in it: {error}") from None


def from_json_text(text: str) -> Any:
    """The table in JSON text; raises InvalidInput with the line where it is none."""
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except (json.JSONDecodeError, TypeError, RecursionError) as error:
        raise InvalidInput(expected="a network as JSON text", got=f"an error in it: {error}") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise InvalidInput(expected="each key once in a table of JSON", got=f"{twice!r} twice")
    return table


def _tables(layers: Iterable[Layer]) -> list[dict[str, Any]]:
    return [_table(layer) for layer in layers]


def _table(layer: Layer) -> dict[str, Any]:
    """A layer as its type and the fields that are not at their defaults."""
    if type(layer) not in _KINDS.values():
        raise InvalidInput(
            expected="a layer that can be stored: " + ", ".join(_KINDS), got=type(layer).__name__
        )
    return {
        "type": type(layer).__name__,
        **{name: _stored(name, value) for name, value in layer.stated().items()},
    }


def _stored(name: str, value: Any) -> Any:
    if name in _PATHS:
        return _tables(value)
    if name == "function" and not isinstance(value, str):
        raise InvalidInput(
            expected="an activation with a name, to store it",
            got=value.name if isinstance(value, ActivationFunction) else repr(value),
            instead="a function is code, which a file does not hold: use one of " + ", ".join(ACTIVATIONS),
        )
    return list(value) if isinstance(value, tuple) else value


def _layers(tables: Any, place: str, where: str) -> tuple[Layer, ...]:
    if not isinstance(tables, list):
        raise InvalidInput(expected=f"a list of tables for the {where}", got=_words(tables))
    return tuple(_layer(table, f"{place} {number}") for number, table in enumerate(tables, start=1))


def _layer(table: Any, place: str) -> Layer:
    if not isinstance(table, Mapping) or "type" not in table:
        raise InvalidInput(
            expected=f"{place} as a table with a type", got=_words(table), instead='e.g. type = "Dense"'
        )
    kind = table["type"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInput(
            expected=f"a type among {', '.join(_KINDS)} in {place}",
            got=repr(kind),
            instead=_meant(kind, _KINDS),
        )
    place = f"{place} ({kind})"
    given = {key: value for key, value in table.items() if key != "type"}
    known = {item.name: item for item in fields(_KINDS[kind])}
    _refuse_unknown(given, known, place)
    for name, item in known.items():
        if name not in given and item.default is MISSING:
            raise InvalidInput(expected=f"the key {name!r} in {place}", got="none")
    values = {name: _value(name, value, place) for name, value in given.items()}
    try:
        return _KINDS[kind](**values)
    except InvalidInput as refused:
        raise InvalidInput(
            expected=refused.expected, got=f"{refused.got} in {place}", instead=refused.instead
        ) from None


def _value(name: str, value: Any, place: str) -> Any:
    """A field's value, of the type that a file must give it."""
    if name in _PATHS:
        return _layers(value, f"{place}, {name}", f"{name} of {place}")
    fits, wanted = _FORMS[name]
    if not fits(value):
        raise InvalidInput(expected=f"{name} as {wanted} in {place}", got=_words(value))
    return value


def _refuse_unknown(table: Mapping[str, Any], known: Iterable[str], place: str) -> None:
    names = list(known)
    for key in table:
        if key not in names:
            wanted = f"keys among {', '.join(names)}" if names else "no keys but type"
            raise InvalidInput(
                expected=f"{wanted} in {place}", got=f"unknown key {key!r}", instead=_meant(key, names)
            )


def _meant(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1)
    lower = [name for name in known if name.lower() == str(word).lower()]
    found = lower or close
    return f"did you mean {found[0]!r}?" if found else ""


def _words(value: object) -> str:
    """A value from a file, cut to what fits a line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value)))


_Form = tuple[Callable[[Any], bool], str]
_WHOLE: _Form = (_is_whole, "a whole number")
_NUMBER: _Form = (_is_number, "a number")
_PAIR: _Form = (_is_pair, "a whole number or a list of two")
_FORMS: dict[str, _Form] = {
    **dict.fromkeys(("width", "channels"), _WHOLE),
    **dict.fromkeys(("weight_variance", "bias_variance", "gamma", "beta", "eps", "slope"), _NUMBER),
    **dict.fromkeys(("kernel", "stride", "padding", "window"), _PAIR),
    "bias": (lambda value: isinstance(value, bool), "true or false"),
    "function": (lambda value: isinstance(value, str), "a name"),
}
