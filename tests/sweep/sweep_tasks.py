"""Tasks that need no network, in a module that worker processes can import."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from normfield.errors import InvalidInput
from normfield.sweep import Cell, Outcome, Point, Resources
from normfield.sweep.points import point_key


@dataclass(frozen=True)
class Hashing:
    """Numbers that depend on the point and on all points of its group; even and odd x run apart."""

    together: int = 4
    seconds: float = 0.0

    @property
    def settings(self) -> Mapping[str, Cell]:
        return {"kind": type(self).__name__}

    def check(self, axes: Sequence[str]) -> None:
        unknown = set(axes) - {"x", "y"}
        if unknown:
            raise InvalidInput(expected="axes among x, y", got=", ".join(sorted(unknown)))

    def key(self, point: Point) -> str:
        return point_key(point, self.settings)

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[int]]:
        parities = [[i for i, point in enumerate(points) if point["x"] % 2 == rest] for rest in (0, 1)]  # type: ignore[operator]
        return [places for places in parities if places]

    def capacity(self, resources: Resources) -> int:
        return self.together

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        time.sleep(self.seconds)
        whole = json.dumps([dict(point) for point in points], sort_keys=True)
        return [self.outcome(point, whole) for point in points]

    def outcome(self, point: Point, whole: str) -> Outcome:
        digest = hashlib.sha256((self.key(point) + whole).encode()).digest()
        number = int.from_bytes(digest[:8]) / 2**64
        values = {"loss": number, "status": "diverged" if number > 0.9 else "finished"}
        return Outcome(values, {"path": [number, None, number / 3]}, seconds=0.25)


@dataclass(frozen=True)
class FailingAtThree(Hashing):
    """The point x = 3 fails, the others of its group do not."""

    def outcome(self, point: Point, whole: str) -> Outcome:
        return Outcome(error="no network of width 3") if point["x"] == 3 else super().outcome(point, whole)


@dataclass(frozen=True)
class RaisingAtThree(Hashing):
    """A group with x = 3 raises as a whole."""

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        if any(point["x"] == 3 for point in points):
            raise ArithmeticError("three is\ntoo much")
        return super().run(points)


@dataclass(frozen=True)
class DyingAtThree(Hashing):
    """The worker of a group with x = 3 kills itself; as often as `times`, counted by files in a folder."""

    folder: str = ""
    times: int = 1

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        deaths = len(list(Path(self.folder).glob("death-*")))
        if any(point["x"] == 3 for point in points) and deaths < self.times:
            Path(self.folder, f"death-{deaths}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(points)


@dataclass(frozen=True)
class Interrupted(Hashing):
    """Ctrl-C in the third group, in the process that runs it."""

    folder: str = ""

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        mark = Path(self.folder, "groups")
        count = len(mark.read_text()) if mark.exists() else 0
        mark.write_text("x" * (count + 1))
        if count == 2:
            signal.raise_signal(signal.SIGINT)
        return super().run(points)


@dataclass(frozen=True)
class Circumstances(Hashing):
    """What a worker sees of its process."""

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        threads, gpus = os.environ.get("OMP_NUM_THREADS"), os.environ.get("CUDA_VISIBLE_DEVICES")
        seen = {"pid": os.getpid(), "threads": threads, "gpus": gpus, "torch": "torch" in sys.modules}
        time.sleep(0.3)
        return [Outcome(seen) for _ in points]


@dataclass(frozen=True)
class TooFew(Hashing):
    """Gives an outcome less than it should."""

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        return super().run(points)[1:]


@dataclass(frozen=True)
class NoCell(Hashing):
    """A value that no store can hold, at one point."""

    def outcome(self, point: Point, whole: str) -> Outcome:
        return Outcome({"loss": [1, 2]}) if point["x"] == 3 else super().outcome(point, whole)  # type: ignore[dict-item]


@dataclass(frozen=True)
class Holding(Hashing):
    """Holds a function, as a task holds the one that builds a network."""

    build: Callable[[], object] | None = None


def build() -> None:
    """A function that can be imported."""


class UnreadableElsewhere:
    """Can be pickled, cannot be read in another process."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __setstate__(self, state: Mapping[str, int]) -> None:
        if state["home"] != os.getpid():
            raise OSError("no such device here")
        self.__dict__.update(state)


@dataclass(frozen=True)
class Signing(Hashing):
    """Every process that runs a group leaves its number in a folder."""

    folder: str = ""

    def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
        Path(self.folder, f"pid-{os.getpid()}").touch()
        return super().run(points)
