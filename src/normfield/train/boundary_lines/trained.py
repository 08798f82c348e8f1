"""The trainings that a trace has asked for: made by a task, kept in memory or in a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from normfield.errors import InvalidInput
from normfield.sweep import Outcome, Point, Task
from normfield.sweep.store import Store

MayGoOn = Callable[[], bool]


class Trained(Protocol):
    """Outcomes by the points' keys."""

    def outcome(self, point: Point) -> Outcome | None:
        """What a point gave; None where it was not run yet."""
        ...

    def run(self, points: Sequence[Point], may_go_on: MayGoOn) -> None:
        """Run those that have no outcome yet, group by group, for as long as it may go on."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class InMemory:
    """Outcomes that end with the process."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self, point: Point) -> Outcome | None:
        return self._outcomes.get(self._task.key(point))

    def run(self, points: Sequence[Point], may_go_on: MayGoOn) -> None:
        for group in self._task.group(points):
            if not may_go_on():
                return
            chosen = [points[i] for i in group]
            for point, outcome in zip(chosen, self._task.run(chosen), strict=True):
                self._outcomes[self._task.key(point)] = outcome

    def close(self) -> None:
        """Nothing to let go of."""


class InStore:
    """Outcomes in a sweep's store, made with the first points; groups that were begun there are ended first."""

    def __init__(self, task: Task, path: Path, axes: Sequence[str]) -> None:
        self._task, self._path, self._axes = task, path, tuple(axes)
        self._store = self._opened() if path.exists() else None

    def outcome(self, point: Point) -> Outcome | None:
        return None if self._store is None else self._store.result(self._task.key(point))

    def run(self, points: Sequence[Point], may_go_on: MayGoOn) -> None:
        store = self._with(points)
        for group in store.pending():
            if not may_go_on():
                return
            store.begin(group.number)
            store.commit(group.number, self._task.run(group.points))

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _with(self, points: Sequence[Point]) -> Store:
        """The store, with the points that it did not hold yet as new groups."""
        if self._store is None:
            groups, keys = self._task.group(points), [self._task.key(point) for point in points]
            settings = self._task.settings
            self._store = Store.create(
                self._path, axes=self._axes, points=points, groups=groups, keys=keys, settings=settings
            )
            return self._store
        new = [point for point in points if self._task.key(point) not in self._store]
        if new:
            self._store.add(new, self._task.group(new), [self._task.key(point) for point in new])
        return self._store

    def _opened(self) -> Store:
        """The store that is there, refused untouched where it is another sweep's."""
        with Store.open(self._path) as store:
            mine, kept = dict(self._task.settings), dict(store.settings)
            other = sorted(name for name in {*mine, *kept} if mine.get(name) != kept.get(name))
            if other or set(store.axes) != set(self._axes):
                raise InvalidInput(
                    expected=f"a store of this trace, or a new file, for {self._path.name}",
                    got=f"one of another sweep ({', '.join(other) or 'axes ' + ', '.join(store.axes)})",
                    instead="name another file",
                )
        return Store.open(self._path, write=True)
