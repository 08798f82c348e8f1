"""Killed at random moments and gone on with, a sweep gives what it would have given: no trial lost, none twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sweep_driver
from sweep_tasks import Signing

import normfield as nf

pytestmark = [pytest.mark.long, pytest.mark.timeout(120)]
TRIALS = 180
RUNNING = TRIALS / sweep_driver.TOGETHER * sweep_driver.SECONDS
"""Seconds that the groups take one after another."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the sweep gives when nothing disturbs it."""
    task = Signing(together=sweep_driver.TOGETHER, folder=str(tmp_path_factory.mktemp("whole")))
    return _columns(nf.run_sweep(task, sweep_driver.AXES))


def _columns(sweep: nf.Sweep) -> list[tuple[Any, ...]]:
    """The result columns and curves, each float by its 64 bits."""
    return [
        (t.key, t.point, t.group, _exact(t.outcome.values.values()), *map(_exact, t.outcome.curves.values()))
        for t in sweep.results()
    ]


def _exact(cells: Any) -> list[Any]:
    return [cell.hex() if isinstance(cell, float) else cell for cell in cells]


def _check(sweep: nf.Sweep, uninterrupted: list[tuple[Any, ...]]) -> None:
    found = _columns(sweep)
    assert found == uninterrupted
    assert Counter(key for key, *_ in found).most_common(1)[0][1] == 1
    counts = sweep.status
    assert (counts.trials, counts.finished, counts.failed) == (TRIALS, TRIALS, 0)
    assert counts.groups_done == counts.groups
    assert counts.diverged == sum(row[3][1] == "diverged" for row in uninterrupted)


def _start(folder: Path, engine: str) -> subprocess.Popen[str]:
    command = [sys.executable, sweep_driver.__file__, str(folder), engine]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def _kill_in_the_midst(folder: Path, engine: str, rng: random.Random) -> int:
    """Start a driver and kill it, at a moment of its run or, one time in five, before; how far it had told it was."""
    at_once, moment = rng.random() < 0.2, rng.random()
    with _start(folder, engine) as driver:
        assert driver.stdout is not None
        if not at_once:
            driver.stdout.readline()
            time.sleep(moment * RUNNING / (1 if engine == "inline" else 2))
        else:
            time.sleep(moment)
        driver.kill()
        told = driver.stdout.read().split()
    return int(told[-1]) if told else 0


def _living(folder: Path) -> list[int]:
    """Processes that ran groups of this sweep and are there still."""
    return [pid for mark in folder.glob("pid-*") if _is_living(pid := int(mark.name.removeprefix("pid-")))]


def _is_living(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def _wait_until_none_lives(folder: Path, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while _living(folder) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _living(folder), "workers outlive their driver"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("engine", ["inline", "processes", "ray"])
def test_the_driver_is_killed(
    engine: str, seed: int, tmp_path: Path, uninterrupted: list[tuple[Any, ...]]
) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed")
    rng = random.Random(f"{engine} {seed}")
    told = _kill_in_the_midst(tmp_path, engine, rng)
    _wait_until_none_lives(tmp_path)
    if (tmp_path / "s.db").exists():
        assert nf.read_sweep(tmp_path / "s.db").status.finished >= told
    _check(sweep_driver.drive(tmp_path, engine), uninterrupted)


def test_a_sweep_that_is_killed_again_and_again(tmp_path: Path, uninterrupted: list[tuple[Any, ...]]) -> None:
    rng = random.Random(0)
    for _ in range(8):
        _kill_in_the_midst(tmp_path, "processes", rng)
        _wait_until_none_lives(tmp_path)
    _check(sweep_driver.drive(tmp_path, "inline"), uninterrupted)


@pytest.fixture(scope="module")
def cluster() -> Any:
    """A local cluster that stays while its workers are killed."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("seed", range(5))
def test_a_ray_worker_is_killed(seed: int, tmp_path: Path, uninterrupted: list[tuple[Any, ...]]) -> None:
    rng = random.Random(f"ray worker {seed}")
    killed: list[int] = []

    def kill_one() -> None:
        victim = rng.choice(sorted(_living(tmp_path)))
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)

    timer = threading.Timer(0.1 + rng.random() * 0.35 * RUNNING, kill_one)

    def begin(progress: nf.Progress) -> None:
        if not timer.is_alive() and not killed:
            timer.start()

    task = Signing(together=sweep_driver.TOGETHER, seconds=sweep_driver.SECONDS, folder=str(tmp_path))
    sweep = nf.run_sweep(task, sweep_driver.AXES, engine="ray", workers=2, progress=begin)
    assert len(killed) == 1
    assert sweep.status.attempts == sweep.status.groups + 1
    _check(sweep, uninterrupted)
