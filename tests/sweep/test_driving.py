"""Sweeps run, gone on with and read, in this process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sweep_tasks import FailingAtThree, Hashing, Interrupted, NoCell, RaisingAtThree, TooFew

import normfield as nf
from normfield.errors import InvalidInput
from normfield.sweep import Grid, Outcome, Point
from normfield.sweep.engines import own_threads
from normfield.sweep.store import Store

AXES = {"x": range(10), "y": [0.5, 1.5]}


def values(sweep: nf.Sweep) -> dict[str, tuple[Any, ...]]:
    """All that a trial gave but its time, by key."""
    return {
        trial.key: (
            dict(trial.point),
            trial.group,
            dict(trial.outcome.values),
            dict(trial.outcome.curves),
            trial.outcome.error,
        )
        for trial in sweep.results()
    }


def test_a_sweep_gives_what_the_task_gives_group_by_group(tmp_path: Path) -> None:
    sweep = nf.run_sweep(Hashing(), AXES, tmp_path / "s.db")
    even = [point for point in Grid(AXES) if point["x"] % 2 == 0]  # type: ignore[operator]
    odd = [point for point in Grid(AXES) if point["x"] % 2]  # type: ignore[operator]
    expected = {}
    for kind in (even, odd):
        # Ten of a kind and four at most: three groups, of 3, 3 and 4.
        for group in (kind[:3], kind[3:6], kind[6:]):
            outcomes = Hashing().run(group)
            expected |= {
                Hashing().key(p): (dict(o.values), dict(o.curves))
                for p, o in zip(group, outcomes, strict=True)
            }
    found = {
        trial.key: (dict(trial.outcome.values), {k: list(v) for k, v in trial.outcome.curves.items()})
        for trial in sweep.results()
    }
    assert found == expected
    assert (sweep.status.trials, sweep.status.finished, sweep.status.groups) == (20, 20, 6)
    assert not sweep.interrupted
    assert sweep.path == tmp_path / "s.db"


def test_points_one_by_one_are_a_sweep_too() -> None:
    sweep = nf.run_sweep(Hashing(), [{"x": 1, "y": 2.0}, {"x": 4, "y": 2.0}])
    assert [trial.point for trial in sweep.results()] == [{"x": 1, "y": 2.0}, {"x": 4, "y": 2.0}]


def test_without_a_store_trials_last_as_long_as_the_result() -> None:
    sweep = nf.run_sweep(Hashing(), AXES)
    folder = sweep._place.path.parent
    assert sweep.path is None
    assert len(sweep.to_frame()) == 20
    assert folder.exists()
    del sweep
    assert not folder.exists()


def test_a_point_that_fails_is_recorded_and_the_others_go_on() -> None:
    sweep = nf.run_sweep(FailingAtThree(), {"x": range(8)})
    errors = {trial.point["x"]: trial.outcome.error for trial in sweep.results()}
    assert errors == {x: "no network of width 3" if x == 3 else None for x in range(8)}
    assert (sweep.status.finished, sweep.status.failed) == (8, 1)


def test_a_group_that_raises_is_tried_again_and_then_recorded() -> None:
    sweep = nf.run_sweep(RaisingAtThree(), {"x": range(16)}, retries=1)
    told = "ArithmeticError: three is too much (the last of 2 attempts at its group)"
    errors = {trial.point["x"]: trial.outcome.error for trial in sweep.results()}
    assert errors == {x: told if x in (1, 3, 5, 7) else None for x in range(16)}
    assert sweep.status.attempts == sweep.status.groups + 1


def test_a_task_that_gives_too_few_outcomes_is_not_tried_again() -> None:
    sweep = nf.run_sweep(TooFew(), {"x": [1, 3]})
    assert {trial.outcome.error for trial in sweep.results()} == {"the task gave 1 outcomes for 2 points"}
    assert sweep.status.attempts == 1


def test_a_value_that_is_no_cell_fails_its_group_only() -> None:
    sweep = nf.run_sweep(NoCell(), {"x": range(8)})
    errors = {trial.point["x"]: trial.outcome.error for trial in sweep.results()}
    assert [errors[x] for x in (0, 2, 4, 6)] == [None] * 4
    assert all("in the column loss, got [1, 2]" in errors[x] for x in (1, 3, 5, 7))  # type: ignore[operator]


def test_ctrl_c_keeps_what_is_done_and_resuming_gives_the_rest(tmp_path: Path) -> None:
    whole = nf.run_sweep(Hashing(), AXES)
    task = Interrupted(folder=str(tmp_path))
    cut_short = nf.run_sweep(task, AXES, tmp_path / "s.db")
    assert cut_short.interrupted
    assert cut_short.status.groups_done == 2
    assert str(cut_short).startswith("interrupted; 6 of 20 trials finished")
    resumed = nf.resume_sweep(tmp_path / "s.db", task)
    assert not resumed.interrupted
    assert [row[2:] for row in values(resumed).values()] != []
    assert resumed.status.attempts == resumed.status.groups + 1
    same = [(dict(t.point), t.group) for t in whole.results()]
    assert [(dict(t.point), t.group) for t in resumed.results()] == same


def test_an_interrupted_and_resumed_sweep_equals_the_whole_one(tmp_path: Path) -> None:
    def once(folder: Path) -> nf.Sweep:
        folder.mkdir()
        return nf.run_sweep(Interrupted(folder=str(folder)), AXES, folder / "s.db")

    (tmp_path / "marked").mkdir()
    (tmp_path / "marked" / "groups").write_text("never three")
    whole = nf.run_sweep(Interrupted(folder=str(tmp_path / "marked")), AXES)
    once(tmp_path / "again")
    resumed = nf.resume_sweep(tmp_path / "again" / "s.db", Interrupted(folder=str(tmp_path / "again")))
    assert values(resumed) == values(whole)


def test_progress_is_told_at_once_and_after_every_group(tmp_path: Path) -> None:
    told: list[nf.Progress] = []
    nf.run_sweep(FailingAtThree(), AXES, tmp_path / "s.db", progress=told.append)
    assert [each.finished for each in told] == [0, 3, 6, 10, 13, 16, 20]
    assert told[0] == nf.Progress(0, 20, 0, 0)
    assert str(told[0]) == "0 of 20 trials, 0 diverged"
    status = nf.read_sweep(tmp_path / "s.db").status
    assert (told[-1].diverged, told[-1].failed) == (status.diverged, status.failed)
    assert told[-1].failed == 2
    assert told[-1].rate is not None
    assert told[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            nf.Progress(1200, 10_000, 31, 2, 14.24, 618.0),
            "1,200 of 10,000 trials, 31 diverged, 2 failed, 14.2 a second, 10 min left",
        ),
        (nf.Progress(1, 2, 0, 0, 0.01, 100.0), "1 of 2 trials, 0 diverged, 0.01 a second, 100 s left"),
        (nf.Progress(1, 9, 1, 0, 0.001, 8000.0), "1 of 9 trials, 1 diverged, 0.001 a second, 2.2 h left"),
        (nf.Progress(1, 9, 1, 0, 0.001, 1e6), "1 of 9 trials, 1 diverged, 0.001 a second, 11.6 days left"),
    ],
)
def test_progress_in_a_line(progress: nf.Progress, line: str) -> None:
    assert str(progress) == line


def test_a_progress_that_raises_ends_the_sweep_and_keeps_what_is_done(tmp_path: Path) -> None:
    def stop_at_ten(progress: nf.Progress) -> None:
        if progress.finished == 10:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        nf.run_sweep(Hashing(), AXES, tmp_path / "s.db", progress=stop_at_ten)
    assert nf.read_sweep(tmp_path / "s.db").status.finished == 10


def test_resuming_a_finished_sweep_runs_nothing(tmp_path: Path) -> None:
    nf.run_sweep(Hashing(), AXES, tmp_path / "s.db")

    class Refusing(Hashing):
        @property
        def settings(self) -> dict[str, str]:  # type: ignore[override]
            return {"kind": "Hashing"}

        def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
            raise AssertionError("nothing is to be run")

    assert nf.resume_sweep(tmp_path / "s.db", Refusing()).status.attempts == 6


def test_failed_groups_are_run_again_where_that_is_asked_for(tmp_path: Path) -> None:
    class Mended(RaisingAtThree):
        @property
        def settings(self) -> dict[str, str]:  # type: ignore[override]
            return {"kind": "RaisingAtThree"}

        def run(self, points: Sequence[Point]) -> Sequence[Outcome]:
            return Hashing.run(self, points)

    path = tmp_path / "s.db"
    broken = nf.run_sweep(RaisingAtThree(), AXES, path, retries=0)
    assert broken.status.failed == 6
    assert nf.resume_sweep(path, Mended()).status == broken.status
    mended = nf.resume_sweep(path, Mended(), again=True)
    whole = nf.run_sweep(Mended(), AXES)
    assert values(mended) == values(whole)
    counts, expected = mended.status, whole.status
    assert (counts.finished, counts.failed, counts.diverged) == (20, 0, expected.diverged)
    assert (counts.groups_done, counts.seconds) == (6, pytest.approx(expected.seconds))
    assert counts.attempts == 8
    before = {trial.key: trial.outcome.values for trial in whole.results()}
    assert all(before[key] == found[2] for key, found in values(mended).items())


def test_another_version_since_it_was_made_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    place = {"axes": ["x"], "points": [{"x": 1}], "groups": [[0]], "keys": ["a"]}
    environment = {"torch": "1.0", "threads": str(own_threads())}
    Store.create(path, **place, settings=Hashing().settings, environment=environment).close()  # type: ignore[arg-type]
    (note,) = nf.resume_sweep(path, Hashing()).notes
    assert note.startswith("made with torch 1.0, gone on with ")


def test_other_threads_than_it_was_made_with_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    nf.run_sweep(Interrupted(folder=str(tmp_path)), AXES, tmp_path / "s.db")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    notes = nf.resume_sweep(tmp_path / "s.db", Interrupted(folder=str(tmp_path))).notes
    assert notes == ("made with threads 3, gone on with 4: the last digits of results may differ",)


def test_json_holds_every_trial_and_says_why_a_number_is_missing() -> None:
    class Infinite(Hashing):
        def outcome(self, point: Point, whole: str) -> Outcome:
            return Outcome({"loss": float("inf"), "other": 1.0}, {"path": [1.0, float("nan"), None]})

    told = json.loads(nf.run_sweep(Infinite(), {"x": [1]}).to_json())
    (trial,) = told["trials"]
    assert trial["values"] == {"loss": None, "other": 1.0, "loss_reason": "infinite"}
    assert trial["curves"] == {"path": [1.0, None, None]}
    assert told["status"]["finished"] == 1


def test_the_frame_has_a_row_for_each_trial() -> None:
    frame = nf.run_sweep(FailingAtThree(), {"x": range(4)}).to_frame()
    assert list(frame["x"]) == [0, 1, 2, 3]
    assert frame["error"].notna().tolist() == [False, False, False, True]


def test_a_table_is_written_by_the_suffix(tmp_path: Path) -> None:
    path = nf.run_sweep(Hashing(), {"x": range(4)}).export(tmp_path / "trials.csv")
    assert len(path.read_text().splitlines()) == 5


def test_a_group_is_no_more_than_a_workers_part() -> None:
    sweep = nf.run_sweep(Hashing(together=100), {"x": range(0, 16, 2)})
    assert sweep.status.groups == 1


def test_two_drivers_on_one_store(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    seen: list[str] = []

    def drive_too(progress: nf.Progress) -> None:
        if progress.finished == 3:
            with pytest.raises(
                InvalidInput, match=r"expected a store that no other process is driving"
            ) as refusal:
                nf.resume_sweep(path, Hashing())
            seen.append(str(refusal.value))
            assert nf.read_sweep(path).status.finished == 3

    nf.run_sweep(Hashing(), AXES, path, progress=drive_too)
    assert len(seen) == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"points": {"z": [1]}}, "expected axes among x, y, got z"),
    ({"points": {}}, 'expected axes by name, e.g. {"gamma": [0.1, 1.0]}, got {}; name one'),
    ({"points": 5}, 'expected axes by name, e.g. {"gamma": [0.1, 1.0]}, or a list of points, got 5'),
    (
        {"points": [{"x": 1}, {"x": 1.0}]},
        "expected every point once, got {'x': 1.0} at places 0 and 1; leave one out",
    ),
    ({"engine": "dask"}, "expected engine as one of inline, processes, ray, got 'dask'"),
    ({"workers": 0}, "expected workers as a whole number of at least 1, got 0"),
    ({"workers": 2}, "expected one worker with engine='inline', got workers=2; use engine='processes'"),
    ({"address": "auto"}, "expected an address only with engine='ray', got engine='inline'"),
    ({"gpus_per_worker": -1}, "expected gpus_per_worker of at least 0, got -1"),
    ({"memory": 0}, "expected memory as a positive number of bytes, got 0"),
    ({"retries": -1}, "expected retries as a whole number of at least 0, got -1"),
    (
        {"engine": "processes", "workers": 2, "gpus_per_worker": 1.5},
        "expected gpus_per_worker below 1 or a whole number, got 1.5",
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_input_is_named_and_leaves_nothing_behind(
    given: dict[str, Any], message: str, tmp_path: Path
) -> None:
    asked = {"points": {"x": [1]}} | given
    with pytest.raises(InvalidInput) as refusal:
        nf.run_sweep(Hashing(), store=tmp_path / "s.db", **asked)
    assert str(refusal.value) == message
    assert not (tmp_path / "s.db").exists()


def test_a_grid_larger_than_any_store_is_refused_before_it_is_counted_out(tmp_path: Path) -> None:
    axis = range(10**5)
    with pytest.raises(InvalidInput, match="at most 100,000,000 trials"):
        nf.run_sweep(Hashing(), {"x": axis, "y": axis}, tmp_path / "s.db")
    assert not (tmp_path / "s.db").exists()


def test_a_store_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    nf.run_sweep(Hashing(), {"x": [1]}, tmp_path / "s.db")
    with pytest.raises(InvalidInput, match=r"which is there; go on with it by nf\.resume_sweep"):
        nf.run_sweep(Hashing(), {"x": [1]}, tmp_path / "s.db")


def test_another_task_does_not_go_on_with_a_sweep(tmp_path: Path) -> None:
    nf.run_sweep(Hashing(), {"x": [1]}, tmp_path / "s.db")
    with pytest.raises(InvalidInput) as refusal:
        nf.resume_sweep(tmp_path / "s.db", FailingAtThree())
    assert str(refusal.value) == (
        "expected the task that the sweep was made with, kind='Hashing', got kind='FailingAtThree'; "
        "give that setting, or begin a sweep of its own"
    )


def test_no_store_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="got no file"):
        nf.resume_sweep(tmp_path / "none.db", Hashing())
