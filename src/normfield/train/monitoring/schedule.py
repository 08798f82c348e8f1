"""Which instrument's turn it is."""

from __future__ import annotations

from collections.abc import Mapping


class Schedule:
    """Every instrument's turn comes at step 0 and at each multiple of its interval, and stays until it is taken.

    Parameters
    ----------
    every : mapping of name to int
        The intervals, in steps.
    """

    def __init__(self, every: Mapping[str, int]) -> None:
        self._every = dict(every)
        self._since: dict[str, int] = {}

    def due(self, step: int) -> list[str]:
        """Those whose turn it is, the longest waiting first; to be asked at every step, in order."""
        for name, interval in self._every.items():
            if step % interval == 0:
                self._since.setdefault(name, step)
        return sorted(self._since, key=self._since.__getitem__)

    def taken(self, name: str, step: int) -> int:
        """Note that the turn was taken; give how many steps late."""
        return step - self._since.pop(name)
