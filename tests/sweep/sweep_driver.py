"""A program that drives a sweep, begun anew or gone on with: ``python sweep_driver.py FOLDER ENGINE``."""

from __future__ import annotations

import sys
from pathlib import Path

from sweep_tasks import Signing

import normfield as nf

AXES = {"x": range(60), "y": [0.5, 1.0, 1.5]}
TOGETHER, SECONDS = 3, 0.03


def drive(folder: Path, engine: str) -> nf.Sweep:
    """Run the sweep in this folder, or go on with it."""
    task, path = Signing(together=TOGETHER, seconds=SECONDS, folder=str(folder)), folder / "s.db"
    workers = None if engine == "inline" else 2

    def tell(progress: nf.Progress) -> None:
        print(progress.finished, flush=True)

    if path.exists():
        return nf.resume_sweep(path, task, engine=engine, workers=workers, progress=tell)
    return nf.run_sweep(task, AXES, path, engine=engine, workers=workers, progress=tell)


if __name__ == "__main__":
    drive(Path(sys.argv[1]), sys.argv[2])
