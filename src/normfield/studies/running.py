"""Compute a study, keeping every finished row on the way, and read one back."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import Any

from normfield.errors import InvalidInput
from normfield.studies.catalogue import study as study_called
from normfield.studies.folder import StudyFolder, find_folder, open_folder
from normfield.studies.frame import Progress, Study
from normfield.studies.provenance import Provenance, versions
from normfield.studies.result import StudyResult


def run_study(
    study: str | Study[Any],
    size: str = "smoke",
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
) -> StudyResult:
    """Compute a study's table and judge it.

    With a folder rows are written to its ``table.csv`` as soon as they are finished, and at the end ``result.json`` and
    ``page.html``. Called again with the same folder it goes on where it stopped, and computes nothing where
    nothing is left.

    Parameters
    ----------
    study
        A name of `study_names`, or a Study.
    size
        "smoke" (seconds), "small" (minutes on 2 cores) or "paper".
    seed
        Of every random draw.
    folder
        Where to keep it; made where it is missing. None keeps it in memory only.
    progress
        Called with a line before each row, or before rows that are measured together.

    Returns
    -------
    StudyResult

    Raises
    ------
    InvalidInput
        No such study or size, or the folder holds another run.
    DataUnavailable
        The size needs data that are not here.

    Examples
    --------
    >>> run_study("wei-fig-1").verdict.outcome
    'held'
    """
    asked = study_called(study) if isinstance(study, str) else study
    if not isinstance(asked, Study):
        raise InvalidInput(expected="a study's name or a Study", got=type(study).__name__)
    asked.settings(size, seed)
    start = Provenance(size, seed, 0.0, versions())
    if folder is not None:
        return _in_folder(asked, open_folder(folder, asked.name, start), progress)
    started = time.perf_counter()
    found = [row for rows in asked.compute(size, seed, progress=progress) for row in rows]
    rows = asked.in_order(found, size, seed)
    return StudyResult(asked, rows, replace(start, seconds=time.perf_counter() - started))


def read_study(folder: str | os.PathLike[str], expected: str | None = None) -> StudyResult:
    """A finished study from the folder that it was run into; nothing is computed.

    Parameters
    ----------
    folder
        That `run_study` wrote.
    expected
        The study that it must hold; None takes any.

    Raises
    ------
    InvalidInput
        The folder holds no study, another one, an unfinished one, or a table that this version cannot read.
    """
    found = find_folder(folder)
    if expected not in (None, found.study):
        raise InvalidInput(
            expected=f"a folder of {expected}", got=f"{found.study} in {found.path}", instead="name that one"
        )
    asked = study_called(found.study)
    asked.settings(found.provenance.size, found.provenance.seed)
    if not found.complete:
        again = (
            f"normfield study run {found.study} --size {found.provenance.size} --seed {found.provenance.seed}"
        )
        raise InvalidInput(
            expected=f"a finished study in {found.path}",
            got=f"{len(found.rows())} rows of {found.study}",
            instead=f"finish it with {again} --out {folder}",
        )
    return _result(asked, found)


def _in_folder(asked: Study[Any], kept: StudyFolder, progress: Progress | None) -> StudyResult:
    """Fill the table, then write what it says; a finished run is read, and only what is missing is written."""
    was_complete = kept.complete
    if not was_complete:
        kept = _filled(asked, kept, progress)
    result = _result(asked, kept)
    if not was_complete:
        finding = {name: value for name, value in result.as_dict().items() if name != "table"}
        kept.noted(result.seconds, complete=True, finding=finding)
    if not kept.page.exists():
        result.to_html(kept.page)
    return result


def _filled(asked: Study[Any], kept: StudyFolder, progress: Progress | None) -> StudyFolder:
    """Compute what is missing; each group's rows and the time so far are on disk before the next is begun."""
    size, seed, before = kept.provenance.size, kept.provenance.seed, kept.provenance.seconds
    started = time.perf_counter()
    for rows in asked.compute(size, seed, done=kept.rows(), progress=progress):
        kept.add(rows)
        kept.noted(before + time.perf_counter() - started, complete=False)
    return kept.noted(before + time.perf_counter() - started, complete=True)


def _result(asked: Study[Any], kept: StudyFolder) -> StudyResult:
    """Judged once, so that a table of another version is refused here and not on the page."""
    rows = asked.in_order(kept.rows(), kept.provenance.size, kept.provenance.seed)
    points = asked.points(asked.settings(kept.provenance.size, kept.provenance.seed), kept.provenance.seed)
    result = StudyResult(asked, rows, kept.provenance)
    try:
        if len(rows) != len(points):
            raise KeyError(f"{len(points)} rows, of which {len(rows)} are there")
        _ = result.verdict, result.figures
    except KeyError as missing:
        raise InvalidInput(
            expected=f"the table of {asked.name} in {kept.table}",
            got=f"one without {missing.args[0]}",
            instead="run the study into another folder",
        ) from missing
    return result
