"""The result columns of a store: their names and types as they were first seen, kept by number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from normfield.errors import InvalidInput
from normfield.sweep.store.encoding import cell, kind
from normfield.sweep.store.schema import RESERVED
from normfield.sweep.task import Cell


class Columns:
    """Numbers of layouts and curves, and the kinds of cells in each column, as the store has them.

    A trial's cells are written without their names; its layout, the list of them, is written once.

    Parameters
    ----------
    connection
        The store's, read once.
    axes
        Names that no column may have.
    """

    def __init__(self, connection: sqlite3.Connection, axes: Sequence[str]) -> None:
        self._taken = frozenset(axes) | frozenset(RESERVED)
        self.reload(connection)

    def reload(self, connection: sqlite3.Connection) -> None:
        """Read them from the store, as after a transaction that was undone."""
        layouts = connection.execute("SELECT names, number FROM layouts")
        self._layouts: dict[tuple[str, ...], int] = {tuple(json.loads(names)): n for names, n in layouts}
        self._curves: dict[str, int] = dict(connection.execute("SELECT name, number FROM curve_names"))
        self._kinds: dict[str, str] = dict(
            connection.execute("SELECT name, kinds FROM columns ORDER BY number")
        )

    def checked(self, values: Mapping[str, Cell]) -> dict[str, Cell]:
        """Values of a trial as cells; a column that has an axis's name is refused."""
        for name in self._taken & values.keys():
            raise InvalidInput(
                expected="result columns with names of their own",
                got=f"{name}, which is an axis or a column of every table",
                instead="choose another name",
            )
        return {name: cell(name, value) for name, value in values.items()}

    def layout(self, connection: sqlite3.Connection, cells: Mapping[str, Cell]) -> int:
        """Number of the list of these names, new ones and new kinds written down."""
        for name, value in cells.items():
            if (letter := kind(value)) not in self._kinds.get(name, ""):
                self._widen(connection, name, letter)
        names = tuple(cells)
        if names not in self._layouts:
            self._layouts[names] = len(self._layouts)
            row = (self._layouts[names], json.dumps(names))
            connection.execute("INSERT INTO layouts VALUES (?, ?)", row)
        return self._layouts[names]

    def curve(self, connection: sqlite3.Connection, name: str) -> int:
        """Number of a curve's name."""
        if name not in self._curves:
            self._curves[name] = len(self._curves)
            connection.execute("INSERT INTO curve_names VALUES (?, ?)", (self._curves[name], name))
        return self._curves[name]

    def _widen(self, connection: sqlite3.Connection, name: str, letter: str) -> None:
        kinds = "".join(sorted(self._kinds.get(name, "") + letter))
        self._kinds[name] = kinds
        connection.execute(
            "INSERT INTO columns (name, kinds) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET kinds = excluded.kinds",
            (name, kinds),
        )
