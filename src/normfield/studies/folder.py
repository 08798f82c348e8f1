"""A study on disk: its table as CSV, one line for each finished row, and beside it what run this is."""

from __future__ import annotations

import csv
import io
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from normfield.errors import InvalidInput
from normfield.report.plain_json import json_text
from normfield.studies.frame import Cell, Row, Rows
from normfield.studies.provenance import Provenance

TABLE, RESULT, PAGE = "table.csv", "result.json", "page.html"


@dataclass(frozen=True)
class StudyFolder:
    """A folder that holds one run of one study.

    Attributes
    ----------
    path
        The folder.
    study
        The study's name.
    provenance
        Size, seed, seconds so far, versions.
    complete
        Whether every row is there.
    """

    path: Path
    study: str
    provenance: Provenance
    complete: bool = False

    @property
    def table(self) -> Path:
        """The table's file."""
        return self.path / TABLE

    @property
    def page(self) -> Path:
        """The page's file."""
        return self.path / PAGE

    def rows(self) -> tuple[Row, ...]:
        """The finished rows."""
        return read_table(self.table) if self.table.exists() else ()

    def add(self, rows: Rows) -> None:
        """Append rows of the same columns; they are on disk when this returns."""
        is_new = not self.table.exists()
        with self.table.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if is_new:
                writer.writerow(rows[0])
            writer.writerows([cell_text(value) for value in row.values()] for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def noted(
        self, seconds: float, *, complete: bool, finding: Mapping[str, Any] | None = None
    ) -> StudyFolder:
        """Write down the time spent and whether every row is there, with what was found."""
        now = replace(self, provenance=replace(self.provenance, seconds=seconds), complete=complete)
        now._write(finding or {})
        return now

    def _write(self, finding: Mapping[str, Any]) -> None:
        content = (
            {"study": self.study} | asdict(self.provenance) | {"complete": self.complete} | dict(finding)
        )
        _replaced(self.path / RESULT, json_text(content, indent=2) + "\n")


def open_folder(path: str | os.PathLike[str], study: str, wanted: Provenance) -> StudyFolder:
    """The folder of this run, made where it is missing; a half-written last line of its table is cut off.

    Raises
    ------
    InvalidInput
        The folder holds another run or other versions, or cannot be written.
    """
    folder = StudyFolder(Path(path).absolute(), study, wanted)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        if not (folder.path / RESULT).exists():
            _check_free(folder)
            folder._write({})
            return folder
        _cut_half_line(folder.table)
    except OSError as cause:
        raise _unwritable(folder.path, cause) from cause
    found = find_folder(path)
    _check_same(found, folder)
    return found


def find_folder(path: str | os.PathLike[str]) -> StudyFolder:
    """The run that a folder holds.

    Raises
    ------
    InvalidInput
        The folder holds none, or its ``result.json`` cannot be read.
    """
    home = Path(path).absolute()
    try:
        content = json.loads((home / RESULT).read_text(encoding="utf-8"))
        provenance = Provenance(
            str(content["size"]), int(content["seed"]), float(content["seconds"]), dict(content["versions"])
        )
        return StudyFolder(home, str(content["study"]), provenance, bool(content["complete"]))
    except FileNotFoundError:
        raise InvalidInput(
            expected="a folder that a study was run into",
            got=f"no {RESULT} in {home}",
            instead="give the folder of `normfield study run … --out`",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise InvalidInput(
            expected=f"the {RESULT} of a study in {home}",
            got=f"{type(cause).__name__}: {cause}",
            instead="run the study into another folder",
        ) from cause


def read_table(path: Path) -> tuple[Row, ...]:
    """The rows of a table, cells as they were.

    Raises
    ------
    InvalidInput
        A line has another number of cells than the header.
    """
    lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    header = lines[0] if lines else []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) != len(header):
            raise InvalidInput(
                expected=f"{len(header)} cells in line {number} of {path}",
                got=str(len(line)),
                instead="mend it",
            )
    return tuple({name: cell(text) for name, text in zip(header, line, strict=True)} for line in lines[1:])


def cell_text(value: Cell) -> str:
    """A cell so that `cell` gives the same back: numbers in full, words as they are, None empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return json.dumps(value) if value == "" or cell(value) != value else value
    return json.dumps(value)


def cell(text: str) -> Cell:
    """What a cell's text stands for."""
    if text == "":
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _cut_half_line(table: Path) -> None:
    """A process that was killed while it wrote leaves a line without an end."""
    if not table.exists():
        return
    text = table.read_text(encoding="utf-8", errors="replace")
    if text and not text.endswith("\n"):
        _replaced(table, text[: text.rfind("\n") + 1])
    if not table.read_text(encoding="utf-8"):
        table.unlink()


def _replaced(path: Path, text: str) -> None:
    """Write a file in one step, and not at all where it says this already."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    beside = path.with_name(f".normfield-{secrets.token_hex(6)}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _check_free(folder: StudyFolder) -> None:
    taken = [name for name in (TABLE, PAGE) if (folder.path / name).exists()]
    if taken:
        raise InvalidInput(
            expected="an empty folder, or one of the same run",
            got=f"{folder.path} with a {taken[0]} of something else",
            instead="choose another",
        )


def _check_same(found: StudyFolder, wanted: StudyFolder) -> None:
    """The same run; versions matter only where rows are still to be added to those there."""
    ours, theirs = (_run_words(one) for one in (wanted, found))
    if ours == theirs and not found.complete:
        ours, theirs = (_version_words(one) for one in (wanted, found))
    if ours != theirs:
        raise InvalidInput(
            expected=f"a folder of {ours}", got=f"{theirs} in {found.path}", instead="choose another folder"
        )


def _run_words(folder: StudyFolder) -> str:
    return f"{folder.study}, size {folder.provenance.size}, seed {folder.provenance.seed}"


def _version_words(folder: StudyFolder) -> str:
    return ", ".join(f"{name} {version}" for name, version in folder.provenance.versions.items())


def _unwritable(path: Path, cause: OSError) -> InvalidInput:
    return InvalidInput(
        expected=f"a folder that can be written, {path}",
        got=cause.strerror or str(cause),
        instead="choose another",
    )
