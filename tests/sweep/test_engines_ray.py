"""Sweeps on a local Ray cluster: the same results, workers lost and replaced, what cannot be sent or placed there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sweep_tasks
from sweep_tasks import Circumstances, DyingAtThree, FailingAtThree, Hashing, Holding, UnreadableElsewhere

import normfield as nf
from normfield.errors import InvalidInput

AXES = {"x": range(10), "y": [0.5, 1.5]}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two cores, and a GPU by its word, that is there before a sweep and stays after it."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
    ray.init("local", num_cpus=2, num_gpus=1, **quiet)
    yield ray
    ray.shutdown()


def values(sweep: nf.Sweep) -> list[tuple[Any, ...]]:
    """All that trials gave but their time."""
    outcomes = [(trial, trial.outcome) for trial in sweep.results()]
    return [(t.key, t.point, t.group, o.values, o.curves, o.error) for t, o in outcomes]


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_two_ray_workers_give_what_one_process_does() -> None:
    inline = nf.run_sweep(FailingAtThree(), AXES)
    assert values(nf.run_sweep(FailingAtThree(), AXES, engine="ray", workers=2)) == values(inline)


def test_a_group_whose_ray_worker_is_killed_is_run_again(tmp_path: Path, cluster: Any) -> None:
    task = DyingAtThree(folder=str(tmp_path), times=2)
    sweep = nf.run_sweep(task, AXES, engine="ray", workers=2)
    unharmed = nf.run_sweep(task, AXES)
    assert len(list(tmp_path.glob("death-*"))) == 2
    assert values(sweep) == values(unharmed)
    assert sweep.status.attempts == sweep.status.groups + 2
    assert cluster.is_initialized()


SCRIPT = """
import normfield as nf, sweep_tasks
task = sweep_tasks.DyingAtThree(folder={folder!r}, seconds=0.2)
sweep = nf.run_sweep(task, {{"x": range(40)}}, engine="ray", workers=2)
print(sweep.status.finished, sweep.status.attempts - sweep.status.groups)
"""


@pytest.mark.long
def test_a_lost_worker_leaves_standard_output_alone(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    command = [sys.executable, "-c", SCRIPT.format(folder=str(tmp_path))]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("40 1\n", "")


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_ray_workers_have_their_own_threads() -> None:
    sweep = nf.run_sweep(Circumstances(together=1), {"x": range(4)}, engine="ray", workers=2)
    seen = [trial.outcome.values for trial in sweep.results()]
    assert len({each["pid"] for each in seen} | {os.getpid()}) == 3
    assert {each["threads"] for each in seen} == {"1"}


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_two_ray_workers_share_a_gpu() -> None:
    sweep = nf.run_sweep(
        Circumstances(together=1), {"x": range(4)}, engine="ray", workers=2, gpus_per_worker=0.5
    )
    seen = {(trial.outcome.values["pid"], trial.outcome.values["gpus"]) for trial in sweep.results()}
    assert len(seen) == 2
    assert {gpus for _, gpus in seen} == {"0"}


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
def test_functions_without_a_module_travel_to_ray_workers() -> None:
    sweep = nf.run_sweep(
        Holding(build=eval("lambda: None", vars(sweep_tasks))), {"x": [1]}, engine="ray", workers=1
    )
    assert sweep.status.finished == 1


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("build", "told"),
    [
        (
            threading.Lock(),
            "expected a task that can be sent to a Ray worker, got TypeError: cannot pickle '_thread.lock'",
        ),
        (
            UnreadableElsewhere(),
            "expected a task that a Ray worker can read, got OSError: no such device here; install",
        ),
    ],
)
def test_what_cannot_travel_to_ray_workers_is_named(build: Any, told: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(Holding(build=build), {"x": [1]}, engine="ray", workers=1)
    assert str(refusal.value).startswith(told)


@pytest.mark.long
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            {"workers": 3},
            "expected a Ray cluster with room for 3 workers of 1 core, got 2 cores and 1 GPUs, room for 2; "
            "give fewer workers, or start its machines first",
        ),
        (
            {"workers": 2, "gpus_per_worker": 0.75},
            "expected a Ray cluster with room for 2 workers of 1 core and 0.75 GPUs, got 2 cores and 1 GPUs, "
            "room for 1; give fewer workers, or start its machines first",
        ),
    ],
)
def test_more_than_the_cluster_has_is_refused(asked: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(Hashing(), {"x": [1]}, tmp_path / "s.db", engine="ray", **asked)
    assert told in str(refusal.value)
    assert not (tmp_path / "s.db").exists()


@pytest.mark.long
def test_ctrl_c_leaves_a_cluster_that_was_there_before(cluster: Any) -> None:
    def stop(progress: nf.Progress) -> None:
        if progress.finished >= 6:
            raise KeyboardInterrupt

    sweep = nf.run_sweep(Hashing(), AXES, engine="ray", workers=2, progress=stop)
    assert sweep.interrupted
    assert 6 <= sweep.status.finished < 20
    assert cluster.cluster_resources()["CPU"] == 2


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(Hashing(), {"x": [1]}, engine="ray")
    assert str(refusal.value) == (
        "expected Ray for engine='ray', got none installed; pip install 'normfield[ray]'"
    )
