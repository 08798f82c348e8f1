"""Diagonal blocks of a curvature matrix: the trainable parameters in groups, by module, one by one or as asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from normfield.errors import InvalidInput

_EXPECTED = 'blocks as None (by module), "parameter", or a mapping from names to lists of parameter names'


@dataclass(frozen=True)
class Blocks:
    """Named groups of parameters, as positions in the module's order; groups may overlap or leave some out."""

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]

    def sums(self, by_parameter: np.ndarray) -> np.ndarray:
        """(…, parameters) added up within every block: (…, blocks)."""
        return np.stack([by_parameter[..., list(group)].sum(-1) for group in self.members], axis=-1)


def read_blocks(blocks: Any, parameters: tuple[str, ...]) -> Blocks:
    """The groups that are asked for.

    Parameters
    ----------
    blocks : None, "parameter", or mapping of str to iterable of str
        None: every module with parameters of its own.
    parameters : tuple of str
        The trainable parameters' names.

    Raises
    ------
    InvalidInput
        Another form, no block, an empty one, a name that is no trainable parameter or stands twice in a block.
    """
    if blocks is None:
        return _blocks(_by_module(parameters), parameters)
    if blocks == "parameter":
        return _blocks({name: [name] for name in parameters}, parameters)
    if not isinstance(blocks, Mapping) or not blocks:
        got = "an empty mapping" if isinstance(blocks, Mapping) else repr(blocks)
        raise InvalidInput(expected=_EXPECTED, got=got)
    groups = {str(name): _names(name, members) for name, members in blocks.items()}
    for name, members in groups.items():
        _check(name, members, parameters)
    return _blocks(groups, parameters)


def _by_module(parameters: tuple[str, ...]) -> dict[str, list[str]]:
    """Parameters by the module that owns them; one that the model itself owns is a block of its own."""
    groups: dict[str, list[str]] = {}
    for name in parameters:
        groups.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return groups


def _names(block: object, members: Any) -> list[str]:
    if isinstance(members, str) or not isinstance(members, Iterable):
        raise InvalidInput(expected=_EXPECTED, got=f"{members!r} for {block!r}")
    return [str(member) for member in members]


def _check(block: str, members: list[str], parameters: tuple[str, ...]) -> None:
    if not members or len(set(members)) < len(members):
        raise InvalidInput(
            expected=f"parameters in block {block!r}, each once", got="none" if not members else "one twice"
        )
    unknown = sorted(set(members) - set(parameters))
    if unknown:
        raise InvalidInput(
            expected=f"names of trainable parameters in block {block!r}",
            got=repr(unknown[0]),
            instead="take them from model.named_parameters()",
        )


def _blocks(groups: Mapping[str, list[str]], parameters: tuple[str, ...]) -> Blocks:
    place = {name: index for index, name in enumerate(parameters)}
    return Blocks(tuple(groups), tuple(tuple(place[m] for m in members) for members in groups.values()))
