"""Trainings on every engine: the same bits, whichever process they are made in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import normfield as nf

pytestmark = pytest.mark.long


def task() -> nf.TrainingTask:
    """Small networks with batch norm on the embedded digits."""
    network = nf.mlp(inputs=64, width=8, depth=3, outputs=10)
    return nf.TrainingTask(network, "digits", samples=96, batch_size=32, epochs=2)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose groups are fixed and of which nothing has run; one learning rate diverges."""

    def stop(progress: nf.Progress) -> None:
        raise KeyboardInterrupt

    path = tmp_path_factory.mktemp("begun") / "s.db"
    axes = {"depth": [2, 3], "gamma": [0.5, 1.0], "learning_rate": [0.02, 100.0], "seed": [0, 1]}
    assert nf.run_sweep(task(), axes, path, progress=stop).interrupted
    return path


def _gone_on(begun: Path, folder: Path, engine: str, workers: int) -> list[tuple[Any, ...]]:
    """All values and curves, each number by its 64 bits."""
    path = Path(shutil.copy(begun, folder / f"{engine}.db"))
    sweep = nf.resume_sweep(path, task(), engine=engine, workers=workers)
    assert (sweep.status.finished, sweep.status.failed, sweep.status.groups) == (16, 0, 2)
    assert 0 < sweep.status.diverged < 16
    return [
        (
            t.key,
            _exact(t.outcome.values),
            {name: _exact(dict(enumerate(c))) for name, c in t.outcome.curves.items()},
        )
        for t in sweep.results()
    ]


def _exact(cells: Any) -> dict[Any, Any]:
    return {name: cell.hex() if isinstance(cell, float) else cell for name, cell in cells.items()}


def test_trainings_in_processes_equal_those_in_this_one(begun: Path, tmp_path: Path) -> None:
    assert _gone_on(begun, tmp_path, "processes", 2) == _gone_on(begun, tmp_path, "inline", 1)


def test_trainings_on_ray_equal_those_in_this_process(begun: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    assert _gone_on(begun, tmp_path, "ray", 2) == _gone_on(begun, tmp_path, "inline", 1)
