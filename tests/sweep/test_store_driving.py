"""One driver at a time, and what is left of one that is killed."""

import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_stores
from small_stores import contents, drive, make_store, outcomes

from normfield.errors import InvalidInput
from normfield.sweep import Store

TRIALS = 400


def _start(path: Path, pause: float = 0.0) -> subprocess.Popen[str]:
    """A driver in another process, once it has the lock."""
    command = [sys.executable, small_stores.__file__, str(path), str(pause)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "driving\n"
    return driver


def _kill(driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.communicate()


def test_a_second_driver_is_told_who_is_driving(tmp_path):
    path = tmp_path / "s.db"
    make_store(path, TRIALS).close()
    driver = _start(path, pause=0.05)
    host = re.escape(os.uname().nodename)
    message = (
        rf"driven by process {driver.pid} on {host} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC; wait for it"
    )
    with pytest.raises(InvalidInput, match=message):
        Store.open(path, write=True)
    with Store.open(path) as reader:  # reading goes on beside it
        assert reader.status().trials == TRIALS
        contents(reader)
    _kill(driver)
    with Store.open(path, write=True) as store:  # the lock died with its process
        drive(store)
        assert store.status().complete


def test_one_process_does_not_drive_twice_either(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        with pytest.raises(InvalidInput, match=rf"driven by process {os.getpid()} on "):
            Store.open(tmp_path / "s.db", write=True)
        drive(store)
    Store.open(tmp_path / "s.db", write=True).close()


def test_a_group_is_counted_once_even_where_the_lock_was_taken_away(tmp_path):
    with make_store(tmp_path / "s.db") as first:
        (tmp_path / "s.db.lock").unlink()
        with Store.open(tmp_path / "s.db", write=True) as second:
            group, *_ = first.pending()
            assert second.commit(group.number, outcomes(group)) is True
            assert first.commit(group.number, outcomes(group)) is False
            assert first.status().finished == len(contents(first)) == len(group)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_worker_does_not_keep_the_lock_of_a_driver_that_is_gone(tmp_path):
    path = tmp_path / "s.db"
    with make_store(path):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        worker.start()
    try:
        Store.open(path, write=True).close()
    finally:
        worker.kill()
        worker.join()


def _killed_again_and_again(path: Path, kills: int, seed: int) -> int:
    """Drive to the end through kills at random moments; how many struck a driver at work."""
    random_ = random.Random(seed)
    struck = 0
    for _ in range(kills):
        driver = _start(path, pause=0.002)
        time.sleep(random_.uniform(0, 0.15))
        struck += driver.poll() is None
        _kill(driver)
        with Store.open(path) as reader:
            status = reader.status()
            found = list(reader.results())
        assert len(found) == len({trial.key for trial in found}) == status.finished
        assert all(size == 4 for size in _sizes(found))
    return struck


def _sizes(found) -> list[int]:
    groups = [trial.group for trial in found]
    return [groups.count(group) for group in set(groups)]


def _check_resumed(tmp_path: Path, kills: int, seed: int) -> None:
    trials = 400 * kills  # 100 groups of at least 2 ms for each kill within 150 ms
    with make_store(tmp_path / "whole.db", trials) as store:
        drive(store)
        whole, counted = contents(store), store.status()
    make_store(tmp_path / "killed.db", trials).close()
    assert _killed_again_and_again(tmp_path / "killed.db", kills, seed) == kills
    with Store.open(tmp_path / "killed.db", write=True) as store:
        drive(store)
        assert contents(store) == whole
        status = store.status()
    for name in ("trials", "finished", "failed", "diverged", "groups_done", "seconds"):
        assert getattr(status, name) == getattr(counted, name)


def test_a_sweep_killed_at_random_moments_ends_as_one_that_was_not(tmp_path):
    _check_resumed(tmp_path, kills=4, seed=1)


@pytest.mark.long
def test_a_sweep_killed_at_many_random_moments_ends_as_one_that_was_not(tmp_path):
    _check_resumed(tmp_path, kills=20, seed=2)


def test_a_kill_between_the_results_and_their_commit_leaves_the_group_pending(tmp_path):
    path = tmp_path / "s.db"
    make_store(path, 8).close()
    code = """
import os, sqlite3, sys
from normfield.sweep import Store
from normfield.sweep.store import committing
sys.path.insert(0, sys.argv[2])
from small_stores import outcomes
def die(*_):
    os.kill(os.getpid(), 9)
store = Store.open(sys.argv[1], write=True)
first, second = store.pending()
store.commit(first.number, outcomes(first))
committing._count = die  # the last write of the transaction
store.commit(second.number, outcomes(second))
"""
    folder = str(Path(small_stores.__file__).parent)
    ended = subprocess.run([sys.executable, "-c", code, str(path), folder], check=False)
    assert ended.returncode == -signal.SIGKILL
    with Store.open(path, write=True) as store:
        assert [group.number for group in store.pending()] == [1]
        assert store.status().finished == len(contents(store)) == 4
        drive(store)
        assert store.status().finished == len(contents(store)) == 8
