"""The store in plain use: groups out, results in, what is refused."""

import math
import re

import numpy as np
import pytest
from small_stores import contents, drive, make_store, outcome, outcomes

from normfield.errors import InvalidInput
from normfield.sweep import Group, Outcome, Store
from normfield.sweep.store.connection import snapshot
from normfield.sweep.store.tables import trial_table


def test_what_was_given_comes_out_again(tmp_path):
    facts = {"recipe": "axes.toml", "environment": {"torch": "2.13"}}
    make_store(tmp_path / "s.db", **facts).close()
    with Store.open(tmp_path / "s.db") as store:
        assert store.axes == ("gamma", "seed")
        assert store.settings == {"epochs": 3}
        assert store.recipe == "axes.toml"
        assert store.environment == {"torch": "2.13"}
        assert [group.number for group in store.pending()] == [0, 1, 2]
        assert list(store.results()) == []


def test_groups_keep_their_order_and_their_members_order(tmp_path):
    with make_store(tmp_path / "s.db", 5, groups=[[4, 0], [3, 1, 2]]) as store:
        first, second = store.pending()
    assert first == Group(0, ("key-4", "key-0"), ({"gamma": 0.4, "seed": 4}, {"gamma": 0.0, "seed": 0}))
    assert second.keys == ("key-3", "key-1", "key-2")
    assert [type(value) for value in second.points[0].values()] == [float, int]


def test_results_belong_to_their_points_and_come_by_place(tmp_path):
    with make_store(tmp_path / "s.db", 5, groups=[[4, 0], [3, 1, 2]]) as store:
        drive(store)
        found = list(store.results())
    assert [trial.key for trial in found] == [f"key-{place}" for place in range(5)]
    assert [trial.point["seed"] for trial in found] == [0, 1, 2, 3, 4]
    assert [trial.group for trial in found] == [0, 1, 1, 1, 0]
    assert [repr(trial.outcome.values) for trial in found] == [
        repr(outcome(seed).values) for seed in range(5)
    ]


def test_outcomes_come_back_exactly_with_their_curves(tmp_path):
    with make_store(tmp_path / "s.db", 24) as store:
        drive(store)
        for place in range(24):
            found, given = store.result(f"key-{place}"), outcome(place)
            assert found is not None
            assert repr(found.values) == repr(given.values)
            assert repr(found.curves) == repr({name: tuple(curve) for name, curve in given.curves.items()})
            assert (found.error, found.seconds) == (given.error, given.seconds)


def test_numpy_numbers_are_kept_as_pythons(tmp_path):
    with make_store(tmp_path / "s.db", 1) as store:
        values = {"loss": np.float32(0.1), "steps": np.int64(3), "worse": np.True_}
        store.commit(0, [Outcome(values, {"train": np.array([0.5, np.nan], dtype=np.float32)})])
        found = store.result("key-0")
    assert found is not None
    assert found.values == {"loss": float(np.float32(0.1)), "steps": 3, "worse": True}
    assert [type(value) for value in found.values.values()] == [float, int, bool]
    assert repr(found.curves) == "{'train': (0.5, nan)}"


def test_a_group_is_pending_until_it_is_committed_and_is_committed_once(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        _, middle, _ = store.pending()
        assert store.begin(middle.number) == 1
        assert store.commit(middle.number, outcomes(middle)) is True
        before = contents(store)
        assert store.commit(middle.number, [Outcome({"loss": -1.0})] * 4) is False
        assert store.failed(middle.number, "too late") is False
        assert contents(store) == before
        assert [group.number for group in store.pending()] == [0, 2]
        assert store.status().finished == 4


def test_attempts_and_failures_are_counted(tmp_path):
    with make_store(tmp_path / "s.db", 4) as store:
        assert store.begin(0, worker="first") == 1
        assert store.failed(0, "worker lost") is True
        assert store.begin(0, worker="second") == 2
        (group,) = store.pending()
        assert (group.attempts, group.failures) == (2, 1)
        store.commit(0, outcomes(group))
        assert store.status().attempts == 2
        assert list(store.to_frame()["attempts"]) == [2, 2, 2, 2]


def test_groups_may_be_committed_and_added_while_pending_is_gone_through(tmp_path):
    with make_store(tmp_path / "s.db", 2, groups=[[0], [1]]) as store:
        ran = []
        for group in store.pending():
            ran.append(group.keys[0])
            store.commit(group.number, outcomes(group))
            if len(ran) < 600:
                place = len(ran) + 1
                store.add([{"gamma": 0.0, "seed": place}], [[0]], [f"key-{place}"])
        assert ran == [f"key-{place}" for place in range(601)]
        assert store.status().complete


def test_waves_are_numbered_on_and_their_keys_are_known(tmp_path):
    with make_store(tmp_path / "s.db", 4) as store:
        wave = [{"gamma": 1, "seed": seed} for seed in (7, 8, 9)]
        assert store.add(wave, [[2], [0, 1]], ["a", "b", "c"]) == range(1, 3)
        assert [group.keys for group in store.pending()][1:] == [("c",), ("a", "b")]
        assert "b" in store
        assert "d" not in store
        assert store.status().trials == 7


def test_a_wave_that_is_refused_leaves_nothing(tmp_path):
    with make_store(tmp_path / "s.db", 4) as store:
        with pytest.raises(InvalidInput, match=r"every point once, got {'gamma': 2, 'seed': 3} at place 5"):
            store.add([{"gamma": 1, "seed": 1}, {"gamma": 2, "seed": 3}], [[0, 1]], ["new", "key-3"])
        assert "new" not in store
        assert store.status().trials == 4
        assert store.add([{"gamma": 1, "seed": 1}], [[0]], ["new"]) == range(1, 2)


def test_a_store_may_begin_without_trials(tmp_path):
    with make_store(tmp_path / "s.db", 0) as store:
        assert store.status().complete
        assert len(store.to_frame()) == 0
        store.add([{"gamma": 1.0, "seed": 0}], [[0]], ["first"])
        assert not store.status().complete


def test_results_of_some_keys_come_in_their_order(tmp_path):
    with make_store(tmp_path / "s.db", 8) as store:
        (group, _) = store.pending()
        store.commit(0, outcomes(group))
        assert [trial.key for trial in store.results(["key-3", "key-7", "none", "key-1"])] == [
            "key-3",
            "key-1",
        ]
        assert store.result("key-7") is None
        assert store.result("none") is None


def test_failed_trials_can_be_had_by_themselves(tmp_path):
    with make_store(tmp_path / "s.db", 26) as store:
        assert list(store.errors()) == []
        drive(store)
        assert [(trial.point["seed"], trial.outcome.error) for trial in store.errors()] == [
            (10, "seed 10 cannot be built"),
            (21, "seed 21 cannot be built"),
        ]


def test_groups_with_a_failed_trial_can_be_opened_again_as_wholes(tmp_path):
    with make_store(tmp_path / "s.db", 26) as store:
        drive(store)
        whole, counted = contents(store), store.status()
        assert store.reopen_failed() == 2
        assert [group.number for group in store.pending()] == [10 // 4, 21 // 4]
        left = list(store.results())
        status = store.status()
        assert [repr(trial) for trial in left] == [
            text for text in whole if "group=2," not in text and "group=5," not in text
        ]
        assert (status.finished, status.failed, status.groups_done) == (18, 0, 5) == (len(left), 0, 5)
        assert status.diverged == sum(trial.outcome.values["status"] == "diverged" for trial in left)
        assert status.seconds == sum(trial.outcome.seconds for trial in left)
        drive(store)
        assert contents(store) == whole
        assert (store.status().failed, store.status().diverged) == (counted.failed, counted.diverged)
        assert store.reopen_failed() == 2


def test_an_error_may_hold_what_is_no_character(tmp_path):
    with make_store(tmp_path / "s.db", 1) as store:
        store.begin(0)
        store.failed(0, "no file \udcff")
        store.commit(0, [Outcome(error="no file \udcff\0")])
        assert [trial.outcome.error for trial in store.errors()] == ["no file \\udcff\0"]


def test_status_counts_what_came_out(tmp_path):
    with make_store(tmp_path / "s.db", 26) as store:
        empty = store.status()
        drive(store)
        full = store.status()
    assert (empty.trials, empty.finished, empty.rate, empty.seconds_left, empty.last_commit) == (
        26,
        0,
        None,
        None,
        None,
    )
    assert (full.trials, full.finished, full.groups, full.groups_done) == (26, 26, 7, 7)
    assert full.failed == 2  # seeds 10 and 21
    assert full.diverged == 4 + 1  # seeds 0, 5, 15, 20, 25; seed 10 failed
    assert full.seconds == 0.25 * 24
    assert full.complete
    assert full.rate is not None
    assert "26 of 26 trials finished, 5 diverged, 2 failed; 7 of 7 groups in 7 attempts" in str(full)
    assert '"seconds_left": 0.0' in full.to_json()


def test_the_rate_is_that_of_the_last_driver(tmp_path, monkeypatch):
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr("time.time", lambda: float(next(clock)))
    with make_store(tmp_path / "s.db", 12) as store:
        first, second, third = store.pending()
        store.begin(first.number)
        store.commit(first.number, outcomes(first))
    for _ in range(1000):  # between the drivers, time goes by
        next(clock)
    with Store.open(tmp_path / "s.db", write=True) as store:
        store.begin(second.number)
        assert store.status().rate is None
        store.commit(second.number, outcomes(second))
        rate = store.status().rate
    # begun, committed, its attempt closed: two ticks of ten seconds for four trials
    assert rate == 4 / 20
    assert third.number == 2


def test_reading_needs_no_lock_and_writes_nothing(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        drive(store)
        with Store.open(tmp_path / "s.db") as reader:
            assert contents(reader) == contents(store)
            with pytest.raises(InvalidInput, match=r"opened for reading; open it with write=True"):
                reader.begin(0)
            with pytest.raises(InvalidInput, match=r"opened for reading"):
                reader.add([], [], [])


def test_a_reader_sees_the_store_as_it_was_when_it_began(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        first, second, _ = store.pending()
        store.commit(first.number, outcomes(first))
        reading = store.results()
        seen = [next(reading).key]
        store.commit(second.number, outcomes(second))
        seen += [trial.key for trial in reading]
    assert seen == list(first.keys)


def test_a_table_is_of_one_moment_its_columns_and_its_rows(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        first, second, _ = store.pending()
        store.commit(first.number, outcomes(first))
        with snapshot(store.path) as connection:
            table = trial_table(connection)
            store.commit(second.number, [Outcome({"new": 1.0})] * 4)
            rows = [row for chunk in table.chunks for row in chunk]
        assert [row[0] for row in rows] == list(first.keys)
        assert len(store.to_frame()) == 8


def test_closing_leaves_one_file_and_an_empty_lock(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        drive(store)
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"s.db", "s.db-shm", "s.db-wal", "s.db.lock"}
    assert {path.name: path.stat().st_size > 0 for path in tmp_path.iterdir()} == {
        "s.db": True,
        "s.db.lock": False,
    }
    with Store.open(tmp_path / "s.db") as reader:
        contents(reader)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.db", "s.db.lock"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda store: store.begin(9), "expected the number of a group in the store, got 9"),
        (lambda store: store.commit(9, []), "expected the number of a group in the store, got 9"),
        (lambda store: store.commit(1, [Outcome()]), "expected 4 outcomes for group 1, got 1"),
        (
            lambda store: store.begin(0),
            "expected a group that is still to be run, got 0, which has its results",
        ),
        (
            lambda store: store.commit(1, [Outcome({"loss": [1]})] * 4),
            "expected a string, a number, a truth value or None in the column loss, got [1]",
        ),
        (
            lambda store: store.commit(1, [Outcome({"gamma": 1})] * 4),
            "expected result columns with names of their own, got gamma, which is an axis",
        ),
        (
            lambda store: store.commit(1, [Outcome({}, {"train": ["low"]})] * 4),
            "expected numbers or None along the curve train",
        ),
        (
            lambda store: store.commit(1, [Outcome(seconds=math.nan)] * 4),
            "expected seconds of a trial, finite and not below 0, got nan",
        ),
    ],
)
def test_what_cannot_be_written_changes_nothing(tmp_path, call, message):
    with make_store(tmp_path / "s.db") as store:
        store.commit(0, [Outcome({"loss": 1.0})] * 4)
        before = contents(store), store.status()
        with pytest.raises(InvalidInput, match=re.escape(message)):
            call(store)
        assert (contents(store), store.status()) == before
        assert store.commit(1, [Outcome({"new": 1.0})] * 4)
        assert store.result("key-4") == Outcome({"new": 1.0})
