"""Where and with what a sweep is run, kept in its store and compared when it goes on."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("normfield", "torch", "numpy")
_COMPARED = (*_PACKAGES, "python", "machine", "threads")


def circumstances(engine: str, workers: int, threads: int) -> dict[str, str]:
    """Versions, machine, engine, and the threads of a worker, on which the last digits of results depend."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    found |= {name: told for name in _PACKAGES if (told := _version(name))}
    return found | {"engine": engine, "workers": str(workers), "threads": str(threads)}


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What is other than when the sweep was made, where that can move results in their last digits; a line each."""
    return tuple(
        f"made with {name} {before[name]}, gone on with {now[name]}: the last digits of results may differ"
        for name in _COMPARED
        if name in before and name in now and before[name] != now[name]
    )


def threads_kept(environment: Mapping[str, str]) -> int | None:
    """Threads that a sweep's workers were made with; None where a store does not tell."""
    told = environment.get("threads", "")
    return int(told) if told.isdecimal() and int(told) > 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
