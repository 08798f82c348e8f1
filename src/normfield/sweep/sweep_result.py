"""What a sweep gave: a view of its store."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normfield.sweep.store import Store, SweepStatus, Trial
from normfield.sweep.task import Cell

if TYPE_CHECKING:
    import pandas


class Place:
    """Where a store lies: a path that was given, or a folder that goes with the last result that reads from it."""

    def __init__(self, path: Path | None) -> None:
        self.given = path
        self.path = path or Path(tempfile.mkdtemp(prefix="normfield-sweep-")) / "sweep.db"
        if path is None:
            weakref.finalize(self, shutil.rmtree, self.path.parent, ignore_errors=True)


@dataclass(frozen=True)
class Sweep:
    """A sweep as it stands; the trials are read from its store when they are asked for.

    Attributes
    ----------
    status : SweepStatus
        Counts of trials and groups: all, finished, diverged, failed.
    path : Path or None
        The store's file; None for a sweep without one, whose trials last as long as this object.
    interrupted : bool
        Whether Ctrl-C ended it before all was done.
    notes : tuple of str
        What can move the last digits of results, e.g. another version of torch since the sweep was made.
    """

    status: SweepStatus
    path: Path | None
    interrupted: bool = False
    notes: tuple[str, ...] = ()
    _place: Place = field(kw_only=True, repr=False, compare=False)

    @property
    def settings(self) -> Mapping[str, Cell]:
        """Settings of the task that runs at each point."""
        with self._open() as store:
            return store.settings

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes."""
        with self._open() as store:
            return tuple(store.axes)

    def results(self, keys: Iterable[str] | None = None) -> Iterator[Trial]:
        """Finished trials with their points, values and curves, one at a time; those of some keys, or all."""
        with self._open() as store:
            yield from store.results(keys)

    def to_frame(self) -> pandas.DataFrame:
        """One row for each finished trial: key, axes, result columns, error, seconds."""
        with self._open() as store:
            return store.to_frame()

    def export(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the finished trials to a file by its suffix, ``.csv``, ``.parquet`` or ``.jsonl``; the path."""
        with self._open() as store:
            store.export(path, overwrite=overwrite)
        return Path(path)

    def to_json(self) -> str:
        """Counts and finished trials as JSON text; infinite and missing numbers are null with a reason."""
        trials = [_plain(trial) for trial in self.results()]
        counts = asdict(self.status)
        told = {
            "status": counts,
            "interrupted": self.interrupted,
            "notes": list(self.notes),
            "trials": trials,
        }
        return json.dumps(told, ensure_ascii=False, allow_nan=False)

    def __str__(self) -> str:
        kept = f"store: {self.path}" if self.path else "kept until this object goes"
        begun = f"interrupted; {self.status}" if self.interrupted else str(self.status)
        return "\n".join([begun, kept, *self.notes])

    def _open(self) -> Store:
        return Store.open(self._place.path)


def swept(place: Place, interrupted: bool = False, notes: tuple[str, ...] = ()) -> Sweep:
    """The sweep in a store as it stands now."""
    with Store.open(place.path) as store:
        status = store.status()
    return Sweep(status, place.given, interrupted, notes, _place=place)


def _plain(trial: Trial) -> dict[str, Any]:
    """A trial as JSON's objects."""
    outcome = trial.outcome
    curves = {name: [_finite(number) for number in curve] for name, curve in outcome.curves.items()}
    named = {"key": trial.key, "point": dict(trial.point), "values": _with_reasons(outcome.values)}
    return named | {"curves": curves, "error": outcome.error, "seconds": outcome.seconds}


def _with_reasons(values: Mapping[str, Cell]) -> dict[str, Cell]:
    """Cells of which those that are no finite number are null, with why under ``NAME_reason``."""
    reasons = {f"{name}_reason": reason for name, value in values.items() if (reason := _reason(value))}
    return {name: _finite(value) for name, value in values.items()} | reasons


def _finite(value: Any) -> Any:
    return None if _reason(value) else value


def _reason(value: Cell) -> str:
    if not isinstance(value, float) or math.isfinite(value):
        return ""
    return "not a number" if math.isnan(value) else "infinite" if value > 0 else "minus infinity"
