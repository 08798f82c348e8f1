"""A store is made whole or not at all."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
from small_stores import make_store

from normfield.errors import InvalidInput
from normfield.sweep import Grid, Store

POINTS = [{"seed": 0}, {"seed": 1}, {"seed": 2}]

SLOW_MAKING = """
import sys, time
from normfield.sweep import Store
def points():
    for place in range(10**6):
        yield {"seed": place}
        if place == 5000:
            print("half made", flush=True)
            time.sleep(60)
keys = (str(place) for place in range(10**6))
Store.create(sys.argv[1], axes=["seed"], points=points(), groups=[range(10**6)], keys=keys, settings={})
"""


def _create(path, *, axes=("seed",), points=POINTS, groups=((0, 1, 2),), keys=("a", "b", "c")):
    return Store.create(path, axes=axes, points=points, groups=groups, keys=keys, settings={})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"keys": ["a", "b", "a"]},
            "expected every point once, got {'seed': 2} at place 2 with the key of {'seed': 0} at place 0;"
            " leave one out",
        ),
        ({"keys": ["a", "b"]}, "expected a key for every point, got only 2 keys"),
        ({"keys": ["a", "b", "c", "d"]}, "expected a key for every point, got only 3 points"),
        ({"keys": ["a", "b", 3]}, "expected a key that is a text, got 3 for the point {'seed': 2}"),
        ({"groups": [[0, 1]]}, "expected groups that hold all 3 places, got 2 of them"),
        (
            {"groups": [[0, 1], [1, 2]]},
            "expected every place in one group, got one twice, the second time in [1, 2]",
        ),
        ({"groups": [[0, 1, 2, 2]]}, "expected every place in one group, got one twice"),
        ({"groups": [[0, 1, 2, 3]]}, "expected places from 0 to 2 in the groups, got 3"),
        ({"groups": [[0, 1, -1]]}, "expected places from 0 to 2 in the groups, got -1"),
        ({"groups": [[0, 1, 2], []]}, "expected at least one place in every group, got an empty group"),
        (
            {"axes": ["gamma"]},
            "expected a point with the axes gamma, got one with seed; give each point all axes",
        ),
        ({"axes": ["seed", "seed"]}, "expected axes with names of their own, got ['seed', 'seed']"),
        ({"axes": ["error"]}, "expected an axis not named key, group, error, seconds or attempts, got error"),
        ({"points": [{"seed": object}] * 3}, "truth value or None in the column seed, got <class 'object'>"),
    ],
)
def test_what_cannot_be_a_sweep_leaves_no_store(tmp_path, given, message):
    with pytest.raises(InvalidInput, match=re.escape(message)) as caught:
        _create(tmp_path / "s.db", **given)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["s.db.lock"]
    _create(tmp_path / "s.db").close()


def test_an_existing_file_is_not_touched(tmp_path):
    (tmp_path / "s.db").write_bytes(b"something else")
    with pytest.raises(
        InvalidInput, match=r"expected a new file for a new store, got \S+s.db, which is there"
    ):
        _create(tmp_path / "s.db")
    assert (tmp_path / "s.db").read_bytes() == b"something else"


def test_a_log_without_its_store_is_not_read_into_a_new_one(tmp_path):
    (tmp_path / "s.db-wal").write_bytes(b"log of a removed store")
    with pytest.raises(
        InvalidInput, match=r"s.db-wal, the log of a store whose file is gone; move the log away"
    ):
        _create(tmp_path / "s.db")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"expected a folder in which a store can be written, got \S+nowhere"
    ):
        _create(tmp_path / "nowhere" / "s.db")


def test_more_trials_than_a_store_takes_are_refused_before_any_is_written(tmp_path):
    huge = Grid({"seed": range(10_001), "other": range(10_000)})
    with pytest.raises(
        InvalidInput, match=r"at most 100,000,000 trials in one store, got 100,010,000; take fewer"
    ):
        _create(tmp_path / "s.db", axes=["seed", "other"], points=huge)
    beyond = Grid({name: range(1000) for name in "abcdefg"})
    with pytest.raises(
        InvalidInput, match=r"at most 100,000,000 trials in one store, got more than 9.2e\+18"
    ):
        _create(tmp_path / "s.db", axes=list("abcdefg"), points=beyond)


def test_more_trials_than_the_disk_takes_are_refused_with_both_numbers(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(
        InvalidInput, match=r"room for 10,000 trials, about 0.005 GB on disk, got 0.001 GB free in"
    ):
        _create(tmp_path / "s.db", points=Grid({"seed": range(10_000)}))
    with _create(tmp_path / "s.db") as store, pytest.raises(InvalidInput, match=r"room for 10,000 trials"):
        store.add(Grid({"seed": range(10_000)}), [], [])


def test_what_a_trial_is_said_to_take_on_disk_is_what_it_takes(tmp_path):
    from normfield.sweep import Outcome
    from normfield.sweep.store.waves import BYTES_PER_TRIAL

    grid = Grid({"gamma": [0.1 / (1 + i) for i in range(20)], "seed": range(100)})
    values = {f"column {i}": 1 / (3 + i) for i in range(8)}
    curves = {name: [1 / 3, 1 / 7, 1 / 9] for name in ("train", "test", "accuracy", "other")}
    store = Store.create(
        tmp_path / "s.db",
        axes=["gamma", "seed"],
        points=grid,
        groups=[range(2000)],
        keys=[f"{place:020d}" for place in range(2000)],
        settings={},
    )
    with store:
        store.commit(0, [Outcome(values, curves)] * 2000)
    taken = (tmp_path / "s.db").stat().st_size / 2000
    assert 0.5 * BYTES_PER_TRIAL < taken < 1.5 * BYTES_PER_TRIAL


def test_a_maker_that_is_killed_leaves_no_store_and_the_next_one_begins_anew(tmp_path):
    path = tmp_path / "s.db"
    maker = subprocess.Popen(
        [sys.executable, "-c", SLOW_MAKING, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == "half made\n"
    with pytest.raises(InvalidInput, match=r"driven by a process that is still making it"):
        _create(path)
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    maker.stdout.close()
    with pytest.raises(
        InvalidInput, match=r"no file \S+s.db, but one beside it that is being made or was left half"
    ):
        Store.open(path)
    with make_store(path) as store:
        assert store.status().trials == 12
    assert sorted(each.name for each in tmp_path.iterdir()) == ["s.db", "s.db.lock"]


def test_points_are_never_all_held(tmp_path):
    alive = 0

    class Counted(dict):
        def __init__(self, seed):
            nonlocal alive
            alive += 1
            super().__init__(seed=seed)

        def __del__(self):
            nonlocal alive
            alive -= 1

    most = 0

    def keys():
        nonlocal most
        for place in range(5000):
            most = max(most, alive)
            yield str(place)

    _create(tmp_path / "s.db", points=map(Counted, range(5000)), groups=[range(5000)], keys=keys()).close()
    assert most < 10


def test_the_file_can_be_named_by_any_road_to_it(tmp_path, monkeypatch):
    _create(tmp_path / "s.db").close()
    (tmp_path / "link.db").symlink_to("s.db")
    monkeypatch.chdir(tmp_path)
    with Store.open("link.db", write=True) as store:
        monkeypatch.chdir("/")
        assert store.path == Path(tmp_path / "s.db").resolve()
        assert list(store.results()) == []
        with pytest.raises(InvalidInput, match=r"no other process is driving"):
            Store.open(tmp_path / "s.db", write=True)
