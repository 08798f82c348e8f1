"""What is told of a sweep's store: how far it is, how it was made, and what failed first."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from itertools import islice
from typing import Any

from normfield.report.plain_json import json_text
from normfield.sweep import Point, Store

_ERRORS = 3


def status_lines(store: Store) -> str:
    """Counts, axes, the command that made it, and the first errors, a line each."""
    lines = [f"{store.path}: {store.status()}", f"axes: {', '.join(store.axes)}"]
    if (made := _made_by(store)) is not None:
        lines.append(f"made by: {made}")
    failed = store.status().failed
    if failed:
        lines.append(f"failed: {failed:,}, the first {min(failed, _ERRORS)}:")
    lines += [f"  {at(each['point'])}: {each['error']}" for each in _first_errors(store)]
    return "\n".join(lines)


def status_json(store: Store) -> str:
    """The same as JSON."""
    status = store.status()
    return json_text(
        {
            "path": str(store.path),
            **asdict(status),
            "complete": status.complete,
            "seconds_left": status.seconds_left,
            "axes": list(store.axes),
            "settings": dict(store.settings),
            "environment": dict(store.environment),
            "made_by": _made_by(store),
            "errors": _first_errors(store),
        }
    )


def at(point: Point) -> str:
    """A point in words."""
    return ", ".join(f"{name}={value}" for name, value in point.items())


def _first_errors(store: Store) -> list[dict[str, Any]]:
    failed = islice(store.errors(), _ERRORS)
    return [{"point": dict(trial.point), "error": trial.outcome.error} for trial in failed]


def _made_by(store: Store) -> str | None:
    """The command line that made it; None for a sweep made in Python."""
    try:
        found = json.loads(store.recipe or "null")
        return shlex.join([*found["program"].split(), *found["arguments"]])
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError):
        return None
