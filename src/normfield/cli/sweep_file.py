"""A sweep written down in a TOML file, read as the flags that it stands for."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput

AXES = "axes"


def expanded(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """Arguments with a sweep's file replaced by the flags that it holds; the others stay, after these.

    Parameters
    ----------
    arguments
        As they were typed.
    flags
        Names of the flags that a file may hold, without dashes.

    Raises
    ------
    InvalidInput
        A file that cannot be read, a key that is no flag, a value that a flag cannot hold.
    """
    place = next((i for i in range(len(arguments)) if _is_sweep(arguments, i)), None)
    if place is None:
        return list(arguments)
    path = Path(arguments[place])
    return [*_arguments(_read(path), path, flags), *arguments[:place], *arguments[place + 1 :]]


def _is_sweep(arguments: Sequence[str], i: int) -> bool:
    """Whether this is the name of a TOML file with axes; one with layers describes a network."""
    named = arguments[i].endswith(".toml") and not arguments[i].startswith("-")
    is_value = i > 0 and arguments[i - 1] in ("--model", "--out", "--data")
    if not named or is_value or not Path(arguments[i]).is_file():
        return False
    return "layers" not in _read(Path(arguments[i]))


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(expected=f"{path} to be readable", got=error.strerror or str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(
            expected=f"{path} to be TOML", got=" ".join(str(error).split()), instead="correct the file"
        ) from error


def _arguments(found: Mapping[str, Any], path: Path, flags: Collection[str]) -> list[str]:
    axes = found.get(AXES)
    if not isinstance(axes, Mapping) or not axes:
        raise InvalidInput(
            expected=f"a table [{AXES}] in {path}",
            got="none" if axes is None else repr(axes),
            instead='write e.g. [axes] and gamma = "log:0.1:5:20"',
        )
    given: list[str] = []
    for key, value in found.items():
        if key != AXES:
            given += _flag(key.replace("-", "_"), value, path, flags)
    for name, values in axes.items():
        given += ["--axis", f"{name}={_axis(name, values, path)}"]
    return given


def _flag(key: str, value: Any, path: Path, flags: Collection[str]) -> list[str]:
    if key not in flags:
        near = get_close_matches(key, flags, n=1)
        raise InvalidInput(
            expected=f"keys of {path} to be flags of normfield sweep run, or [{AXES}]",
            got=key,
            instead=f"did you mean {near[0]}?" if near else "normfield sweep run --help lists them",
        )
    name = "--" + key.replace("_", "-")
    if isinstance(value, bool):
        return [name] if value else []
    if isinstance(value, str | int | float):
        return [f"{name}={value}"]
    raise InvalidInput(expected=f"one value for {key} in {path}", got=repr(value))


def _axis(name: str, values: Any, path: Path) -> str:
    """An axis as its flag has it: a text as it is, a list with commas."""
    if isinstance(values, str):
        return values
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(v, str | int | float) for v in values)
    ):
        raise InvalidInput(
            expected=f"the axis {name} in {path} as a list of values or a text",
            got=repr(values),
            instead='write e.g. [0.1, 1.0] or "log:0.1:5:20"',
        )
    if comma := next((v for v in values if isinstance(v, str) and ("," in v or not v.strip())), None):
        raise InvalidInput(expected=f"words without commas on the axis {name} in {path}", got=repr(comma))
    return ",".join(str(v).lower() if isinstance(v, bool) else str(v) for v in values)
