"""Points cut into groups: as many together as a worker can take, and no more than each worker's part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from normfield.errors import InvalidInput
from normfield.sweep.task import Point, Task

_WINDOW = 20_000
"""Points that a task is asked about at once, so that a million of them are never held together."""


def cut(task: Task, points: Iterable[Point], most: int, window: int = _WINDOW) -> Iterator[list[int]]:
    """Places of the points, group by group, each of at most `most` that the task can run together.

    The task sees a window of points at a time; what does not fill a group waits for the next window, so that groups
    are as full as if it had seen all. What is left at the end is cut into equal parts.
    """
    source = enumerate(points)
    held: list[tuple[int, Point]] = []
    is_last = False
    while not is_last:
        asked = max(window, len(held))
        fresh = list(islice(source, asked))
        held, is_last = held + fresh, len(fresh) < asked
        waiting: list[tuple[int, Point]] = []
        for alike in _alike(task, [point for _, point in held]):
            members = [held[place] for place in alike]
            whole = members if is_last else members[: len(members) // most * most]
            waiting += members[len(whole) :]
            yield from ([place for place, _ in part] for part in _equal_parts(whole, most))
        held = sorted(waiting, key=lambda member: member[0])


def _alike(task: Task, points: Sequence[Point]) -> Sequence[Sequence[int]]:
    """What can be run together; each point once."""
    groups = task.group(points) if points else ()
    if sorted(chain.from_iterable(groups)) != list(range(len(points))):
        raise InvalidInput(
            expected="a task whose group(points) holds the place of every point once",
            got=f"{sum(map(len, groups))} places for {len(points)} points",
            instead="give each point to one group",
        )
    return groups


def _equal_parts(members: Sequence[tuple[int, Point]], most: int) -> Iterator[Sequence[tuple[int, Point]]]:
    """As few parts as can be, which differ by one member at most."""
    parts = -(-len(members) // most)
    for i in range(parts):
        yield members[i * len(members) // parts : (i + 1) * len(members) // parts]
