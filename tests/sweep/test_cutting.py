"""Points cut into groups, window by window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from sweep_tasks import Hashing

from normfield.errors import InvalidInput
from normfield.sweep import Grid, Point
from normfield.sweep.cutting import cut


class ByRemainder(Hashing):
    """Seven kinds; notes how many points it was asked about."""

    asked: list[int] = []  # noqa: RUF012

    def group(self, points: Sequence[Point]) -> Sequence[Sequence[int]]:
        self.asked.append(len(points))
        kinds: dict[int, list[int]] = {}
        for i, point in enumerate(points):
            kinds.setdefault(int(point["x"]) % 7, []).append(i)  # type: ignore[arg-type]
        return list(kinds.values())


@pytest.mark.parametrize("window", [1, 3, 50, 10_000])
@pytest.mark.parametrize("most", [1, 4, 100])
def test_every_point_is_in_one_group_of_its_kind(window: int, most: int) -> None:
    groups = list(cut(ByRemainder(), Grid({"x": range(500)}), most, window))
    assert sorted(place for group in groups for place in group) == list(range(500))
    assert all(len({place % 7 for place in group}) == 1 and len(group) <= most for group in groups)


def test_groups_are_as_full_as_if_the_task_had_seen_all_points() -> None:
    groups = list(cut(ByRemainder(), Grid({"x": range(7 * 100)}), 20, window=30))
    assert Counter(map(len, groups)) == {20: 35}


def test_the_task_never_sees_many_more_points_than_a_window() -> None:
    ByRemainder.asked.clear()
    list(cut(ByRemainder(), Grid({"x": range(3000)}), 20, window=100))
    assert max(ByRemainder.asked) <= max(100, 7 * 19) + 7 * 19


def test_what_is_left_is_cut_into_equal_parts() -> None:
    groups = list(cut(Hashing(), Grid({"x": range(0, 260, 2)}), 128))
    assert [len(group) for group in groups] == [65, 65]
    assert groups[0] == list(range(65))


def test_a_task_that_loses_a_point_is_refused() -> None:
    class Losing(Hashing):
        def group(self, points: Sequence[Point]) -> Sequence[Sequence[int]]:
            return [[0], [0]]

    with pytest.raises(InvalidInput, match=r"holds the place of every point once, got 2 places for 3 points"):
        list(cut(Losing(), Grid({"x": range(3)}), 2))
