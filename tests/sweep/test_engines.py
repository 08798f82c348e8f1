"""Sweeps in worker processes: the same results, workers lost and replaced, what cannot be sent there."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import sweep_tasks
from sweep_tasks import Circumstances, DyingAtThree, FailingAtThree, Hashing, Holding, UnreadableElsewhere

import normfield as nf
from normfield.errors import InvalidInput
from normfield.free_memory import usable_bytes
from normfield.sweep.engines import Job, WorkersLost, engine_named, machine
from normfield.sweep.engines.processes import Processes

AXES = {"x": range(10), "y": [0.5, 1.5]}


def values(sweep: nf.Sweep) -> list[tuple[Any, ...]]:
    """All that trials gave but their time."""
    outcomes = [(trial, trial.outcome) for trial in sweep.results()]
    return [(t.key, t.point, t.group, o.values, o.curves, o.error) for t, o in outcomes]


def test_two_processes_give_what_one_does_and_can_go_on_with_what_it_began(tmp_path: Path) -> None:
    inline = nf.run_sweep(FailingAtThree(), AXES)
    processes = nf.run_sweep(FailingAtThree(), AXES, engine="processes", workers=2)
    assert values(processes) == values(inline)
    assert processes.status.failed == inline.status.failed == 2

    def stop(progress: nf.Progress) -> None:
        if progress.finished >= 6:
            raise KeyboardInterrupt

    path = tmp_path / "s.db"
    begun = nf.run_sweep(FailingAtThree(), AXES, path, progress=stop)
    assert begun.interrupted
    assert 0 < begun.status.finished < 20
    resumed = nf.resume_sweep(path, FailingAtThree(), engine="processes", workers=2)
    assert values(resumed) == values(inline)
    assert not resumed.interrupted


def test_a_group_whose_worker_is_killed_is_run_again(tmp_path: Path) -> None:
    task = DyingAtThree(folder=str(tmp_path), times=2)
    sweep = nf.run_sweep(task, AXES, engine="processes", workers=2)
    unharmed = nf.run_sweep(task, AXES)
    assert len(list(tmp_path.glob("death-*"))) == 2
    assert values(sweep) == values(unharmed)
    assert sweep.status.attempts == sweep.status.groups + 2


def test_a_group_that_always_kills_its_worker_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    task = DyingAtThree(folder=str(tmp_path), times=100)
    sweep = nf.run_sweep(task, {"x": range(12)}, engine="processes", workers=1, retries=1)
    errors = {trial.point["x"]: trial.outcome.error for trial in sweep.results()}
    told = (
        "its worker process ended, killed by signal 9, as by a machine out of memory "
        "(the last of 2 attempts at its group)"
    )
    together = {1, 3, 5}
    assert {x for x, error in errors.items() if error == told} == together
    assert all(errors[x] is None for x in set(range(12)) - together)


def test_workers_are_others_with_their_own_threads_and_without_torch() -> None:
    sweep = nf.run_sweep(Circumstances(together=1), {"x": range(4)}, engine="processes", workers=2)
    seen = [trial.outcome.values for trial in sweep.results()]
    assert len({each["pid"] for each in seen}) == 2
    assert os.getpid() not in {each["pid"] for each in seen}
    assert {each["threads"] for each in seen} == {str(max(1, machine.cores() // 2))}
    assert {each["torch"] for each in seen} == {False}


def test_a_resumed_sweep_has_the_threads_it_was_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(progress: nf.Progress) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    nf.run_sweep(Circumstances(), {"x": [1]}, tmp_path / "s.db", progress=stop)
    resumed = nf.resume_sweep(tmp_path / "s.db", Circumstances(), engine="processes", workers=1)
    assert [trial.outcome.values["threads"] for trial in resumed.results()] == ["7"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


def test_each_worker_sees_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    sweep = nf.run_sweep(
        Circumstances(together=1), {"x": range(4)}, engine="processes", workers=2, gpus_per_worker=1
    )
    seen = {(trial.outcome.values["pid"], trial.outcome.values["gpus"]) for trial in sweep.results()}
    assert sorted(gpus for _, gpus in seen) == ["3", "5"]  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("workers", "each", "visible"),
    [
        (4, 0.5, ["3", "3", "5", "5"]),
        (2, 1, ["3", "5"]),
        (1, 2, ["3,5"]),
        (5, 0.34, ["3", "3", "5", "5", "7"]),
    ],
)
def test_shares_of_gpus(
    workers: int, each: float, visible: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5, 7")
    assert machine.gpus_of(workers, each) == visible


def test_too_few_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(Hashing(), {"x": [1]}, engine="processes", workers=3, gpus_per_worker=0.5)
    assert str(refusal.value) == (
        "expected 2 GPUs for 3 workers with 0.5 each, got a machine with 0; "
        "give fewer workers, or a smaller gpus_per_worker"
    )


def test_a_worker_has_its_part_of_the_memory() -> None:
    engine = Processes(4, 1)
    assert engine.resources(4096.0).memory == 1024.0
    assert 0 < engine.resources(None).memory <= usable_bytes() / 4 * 1.5


def _refused(task: Any) -> str:
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(task, {"x": [1]}, engine="processes", workers=1)
    return str(refusal.value)


def test_a_function_that_no_process_can_import_is_named() -> None:
    def build() -> None:
        """A function of this test."""

    told = _refused(Holding(build=build))
    assert told.startswith(
        "expected functions that a worker process can import, got "
        "test_a_function_that_no_process_can_import_is_named.<locals>.build of test_engines (line "
    )
    assert told.endswith("; define it at the top level of a module, or use engine='inline' or engine='ray'")
    assert "got <lambda> of sweep_tasks" in _refused(Holding(build=eval("lambda: None", vars(sweep_tasks))))


def test_what_pickle_refuses_is_named() -> None:
    assert "got TypeError: cannot pickle '_thread.lock' object" in _refused(Holding(build=threading.Lock()))  # type: ignore[arg-type]


def test_a_task_that_its_worker_cannot_read_is_refused() -> None:
    told = _refused(Holding(build=UnreadableElsewhere()))  # type: ignore[arg-type]
    assert told.startswith(
        "expected a task that a worker process can read, got OSError: no such device here; keep"
    )


def test_a_task_may_say_itself_what_is_not_portable() -> None:
    class Stating(Hashing):
        def check_portable(self) -> None:
            raise InvalidInput(expected="a portable build function", got="one with a socket")

    assert _refused(Stating()) == "expected a portable build function, got one with a socket"


def test_stopping_ends_workers_that_are_at_work() -> None:
    engine = engine_named("processes", workers=2, address=None, gpus_per_worker=0.0, threads=1)
    engine.start(Hashing(seconds=600.0))
    engine.submit(Job(0, [{"x": 1}]))
    processes = [worker.process for worker in engine._crew]  # type: ignore[attr-defined]
    began = time.monotonic()
    engine.stop()
    engine.stop()
    assert time.monotonic() - began < 10
    assert not any(process.is_alive() for process in processes)


SCRIPT = """
    import normfield as nf, sweep_tasks
    if {guarded}:
        sweep = nf.run_sweep(sweep_tasks.Hashing(seconds={seconds}), {{"x": range(40)}}, {path!r},
                             engine="processes", workers=2, progress=lambda p: print(p, flush=True))
        print("interrupted" if sweep.interrupted else "done", flush=True)
"""


def _script(
    tmp_path: Path, guarded: str = '__name__ == "__main__"', seconds: float = 0.0
) -> subprocess.Popen[str]:
    file = tmp_path / "script.py"
    file.write_text(
        textwrap.dedent(SCRIPT.format(guarded=guarded, seconds=seconds, path=str(tmp_path / "s.db")))
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, str(file)], env=environment, text=True, start_new_session=True, **pipes
    )


def _group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def _wait_for(condition: Any, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return bool(condition())


def test_ctrl_c_at_the_terminal_ends_the_workers_without_a_traceback(tmp_path: Path) -> None:
    with _script(tmp_path, seconds=0.2) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            if line.startswith("8 of"):
                break
        os.killpg(driver.pid, signal.SIGINT)
        rest, errors = driver.communicate(timeout=20)
    assert rest.splitlines()[-1] == "interrupted"
    assert errors == ""
    assert driver.returncode == 0
    assert _wait_for(lambda: _group_is_gone(driver.pid))
    begun = nf.read_sweep(tmp_path / "s.db").status
    assert 8 <= begun.finished < 40
    assert nf.resume_sweep(tmp_path / "s.db", Hashing()).status.finished == 40


def test_workers_do_not_outlive_a_driver_that_is_killed(tmp_path: Path) -> None:
    with _script(tmp_path, seconds=60.0) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        driver.kill()
    assert _wait_for(lambda: _group_is_gone(driver.pid))


def test_a_script_without_a_guard_is_told_what_to_do(tmp_path: Path) -> None:
    with _script(tmp_path, guarded="True") as driver:
        _, errors = driver.communicate(timeout=60)
    last = errors.strip().splitlines()[-1]
    assert "WorkersLost: 3 worker processes in a row ended before they could begin (exit code 1)" in last
    assert 'call run_sweep beneath `if __name__ == "__main__":`' in last
    assert not (tmp_path / "s.db").exists()


def test_an_end_before_the_beginning_is_no_endless_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Processes(1, 1)
    started = engine._started

    def stillborn(place: int) -> Any:
        worker = started(place)
        worker.process.kill()
        return worker

    monkeypatch.setattr(engine, "_started", stillborn)
    with pytest.raises(WorkersLost, match="killed by signal 9"):
        engine.start(Hashing())


def test_one_file_imports_ray() -> None:
    source = Path(nf.__file__).parent
    importing = [path.name for path in source.rglob("*.py") if "ray" in _imported(path)]
    assert importing == ["ray_cluster.py"]


def _imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names += [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}
