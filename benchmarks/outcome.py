"""What a benchmark prints: measurements, the limits they are held to, and where it ran."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """A value against the limit it is held to."""

    what: str
    value: float
    sense: Literal["at least", "at most"]
    limit: float

    @property
    def met(self) -> bool:
        """Whether the limit is kept; NaN keeps none."""
        return self.value >= self.limit if self.sense == "at least" else self.value <= self.limit

    def row(self) -> dict[str, str]:
        """Its line of the table."""
        return {
            "held to a limit": self.what,
            "value": f"{self.value:.3g}",
            "limit": f"{self.sense} {self.limit:g}",
            "of the limit": f"{self.value / self.limit:.2f}" if self.limit else "",
            "": "pass" if self.met else "MISS",
        }


@dataclass(frozen=True)
class Outcome:
    """One run of one benchmark."""

    title: str
    measured: Sequence[dict[str, str]]
    verdicts: Sequence[Verdict]
    threads: int | None = None

    def __str__(self) -> str:
        tables = [_table(self.measured), _table([verdict.row() for verdict in self.verdicts])]
        return "\n\n".join([self.title, *tables, f"{_place(self.threads)}\n{_versions()}"])

    def to_json(self) -> str:
        """The same as a JSON object."""
        verdicts = [vars(verdict) | {"met": verdict.met} for verdict in self.verdicts]
        named = {"title": self.title, "measured": list(self.measured), "verdicts": verdicts}
        return json.dumps(named | {"place": _place(self.threads), "versions": _versions()}, indent=2)


def _table(rows: Sequence[dict[str, str]]) -> str:
    """Columns as wide as their longest cell; the first to the left, the others to the right."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        for line in cells
    )


def _place(threads: int | None) -> str:
    cores = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    using = "" if threads is None else f", {threads} torch threads"
    load = f"; load average at the end {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{date.today()}; {cores}{using}{load}"


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for name in (
        "normfield",
        "torch",
        "numpy",
        "scipy",
        "curvlinops-for-pytorch",
        "hessian-eigenthings",
        "pyhessian",
        "torch-lr-finder",
    ):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    return ", ".join(found)


def arguments(description: str | None, rounds: int | None = None) -> argparse.ArgumentParser:
    """The flags that every benchmark has, and how often to time where it times."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help="each is timed (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the outcome here as well")
    return parser


def conclude(outcome: Outcome, path: Path | None) -> int:
    """Print, write where asked to, and give the exit code: 1 where a limit is missed."""
    print(outcome)
    if path is not None:
        path.write_text(outcome.to_json() + "\n", encoding="utf-8")
    return 0 if all(verdict.met for verdict in outcome.verdicts) else 1


def conclude_all(outcomes: Sequence[Outcome], path: Path | None) -> int:
    """The same for several outcomes of one run; the file holds a JSON array of them."""
    print("\n\n".join(map(str, outcomes)))
    if path is not None:
        path.write_text("[" + ",\n".join(each.to_json() for each in outcomes) + "]\n", encoding="utf-8")
    return 0 if all(verdict.met for each in outcomes for verdict in each.verdicts) else 1
