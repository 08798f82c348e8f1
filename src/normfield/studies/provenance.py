"""How a table came about: size, seed, time and versions."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from normfield import __version__


@dataclass(frozen=True)
class Provenance:
    """Size and seed of a computed table, the seconds it took over all sittings, and the versions it rests on."""

    size: str
    seed: int
    seconds: float
    versions: Mapping[str, str]


def versions() -> dict[str, str]:
    """Of normfield, Python and the libraries that compute."""
    found = {name: metadata.version(name) for name in ("torch", "numpy", "scipy")}
    return {"normfield": __version__, "python": platform.python_version()} | found
