"""Groups with a failed trial, to be run again as wholes."""

from __future__ import annotations

import math
import sqlite3

from normfield.sweep.store.committing import has_diverged
from normfield.sweep.store.contents import layouts_of
from normfield.sweep.store.encoding import cells_of

_IN_GROUP = "trial IN (SELECT trial FROM seats WHERE grp = ?)"


def reopen_failed(connection: sqlite3.Connection) -> int:
    """Take back the results of every group in which a trial failed, and what was counted of them; how many groups."""
    layouts = layouts_of(connection)
    groups = connection.execute(
        "SELECT DISTINCT seats.grp FROM results JOIN seats ON seats.trial = results.trial WHERE error IS NOT NULL"
    ).fetchall()
    for (group,) in groups:
        _uncount(connection, group, layouts)
        connection.execute(f"DELETE FROM results WHERE {_IN_GROUP}", (group,))
        connection.execute(f"DELETE FROM curves WHERE {_IN_GROUP}", (group,))
        connection.execute("UPDATE groups SET committed = NULL WHERE number = ?", (group,))
    return len(groups)


def _uncount(connection: sqlite3.Connection, group: int, layouts: dict[int, tuple[str, ...]]) -> None:
    rows = connection.execute(
        f"SELECT layout, cells, error, seconds FROM results WHERE {_IN_GROUP}", (group,)
    ).fetchall()
    values = [dict(zip(layouts[layout], cells_of(cells), strict=True)) for layout, cells, _, _ in rows]
    connection.execute(
        "UPDATE totals SET finished = finished - ?, failed = failed - ?, diverged = diverged - ?,"
        " groups_done = groups_done - 1, seconds = max(seconds - ?, 0)",
        (
            len(rows),
            sum(error is not None for _, _, error, _ in rows),
            sum(map(has_diverged, values)),
            math.fsum(seconds for *_, seconds in rows),
        ),
    )
