"""Groups of flags that several commands share: a frozen dataclass is a group, one field a flag."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints

import click


def flag(default: Any, words: str, *, kind: Any = None) -> Any:
    """A field that is also a flag: its default, its help, and its click type where the default does not tell.

    One whose default is a tuple may be given several times; its ``kind`` is what its value is called in the help.
    """
    return field(default=default, metadata={"help": words, "kind": kind})


def argument(metavar: str) -> Any:
    """A field that is also the command's one argument, which may be left out."""
    return field(default=None, metadata={"argument": metavar})


def taking_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Spread a command's dataclass parameters into single flags, in their order.

    ``def theory(network: NetworkFlags, ask: TheoryFlags)`` takes every field of both as a flag of its own. Other
    parameters stay as they are.
    """
    hints = get_type_hints(command)
    groups: dict[str, Any] = {name: group for name, group in hints.items() if is_dataclass(group)}
    others = {name for name in hints if name not in groups and name != "return"}

    @wraps(command)
    def spread(**values: Any) -> None:
        command(
            **{name: values[name] for name in others},
            **{
                name: group(**{item.name: values[item.name] for item in fields(group)})
                for name, group in groups.items()
            },
        )

    taken: Callable[..., None] = spread
    for item in reversed([item for group in groups.values() for item in fields(group)]):
        taken = _option(item)(taken)
    return taken


def _option(item: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    if "argument" in item.metadata:
        return click.argument(item.name, required=False, metavar=item.metadata["argument"])
    name = "--" + item.name.replace("_", "-")
    words = item.metadata["help"]
    if isinstance(item.default, tuple):
        return click.option(
            name, item.name, multiple=True, default=item.default, metavar=item.metadata["kind"], help=words
        )
    if isinstance(item.default, bool):
        return click.option(name, item.name, is_flag=True, default=item.default, help=words)
    return click.option(
        name,
        item.name,
        type=item.metadata["kind"],
        default=item.default,
        help=words,
        show_default=item.default is not None,
    )


def typed_flags(group: type) -> list[str]:
    """The flags of a group that stand on the command line itself, not at their defaults."""
    context = click.get_current_context()
    typed = click.core.ParameterSource.COMMANDLINE
    return [
        "--" + item.name.replace("_", "-")
        for item in fields(group)
        if context.get_parameter_source(item.name) is typed
    ]
