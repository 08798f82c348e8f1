"""``normfield study`` as a user meets it: whole processes, their output, one line for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import normfield as nf

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PROGRAM = [sys.executable, "-m", "normfield", "study"]


def normfield(*arguments, cwd):
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=120, check=False,
    )  # fmt: skip


def test_list_names_every_study_and_its_sizes(tmp_path):
    done = normfield("list", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert [one["name"] for one in found] == list(nf.study_names())
    assert all(set(one["sizes"]) == {"smoke", "small", "paper"} for one in found)
    words = normfield("list", cwd=tmp_path).stdout
    assert "wei-fig-1: Does batch norm flatten the loss" in words


def test_run_then_show(tmp_path):
    ran = normfield("run", "wei-fig-1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "held: By the published theory" in ran.stdout
    folder = tmp_path / "wei-fig-1-smoke"
    assert f"page: {folder / 'page.html'}" in ran.stdout
    (folder / "page.html").unlink()
    kept = {name: (folder / name).read_bytes() for name in ("table.csv", "result.json")}
    shown = normfield("show", "wei-fig-1", cwd=tmp_path)
    assert shown.stdout == ran.stdout
    assert (folder / "page.html").stat().st_size > 100_000
    assert {name: (folder / name).read_bytes() for name in kept} == kept


def test_json_holds_verdict_and_table(tmp_path):
    found = json.loads(normfield("run", "wei-fig-1", "--out", "here", "--json", cwd=tmp_path).stdout)
    assert found["verdict"]["outcome"] == "held"
    assert len(found["table"]) == 18
    assert found["table"][0]["architecture"] == "fully connected"
    again = json.loads(normfield("show", "wei-fig-1", "--from", "here", "--json", cwd=tmp_path).stdout)
    assert again == found


def test_stopping_keeps_the_finished_rows(tmp_path):
    process = subprocess.Popen(
        [*PROGRAM, "run", "theory-against-measurement", "--out", "kept"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENVIRONMENT,
    )  # fmt: skip
    table = tmp_path / "kept" / "table.csv"
    until = time.monotonic() + 90
    while not (table.exists() and table.read_text().count("\n") >= 2) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    rows = table.read_text().count("\n") - 1
    assert rows >= 1
    assert (
        f"{rows} finished rows are kept in kept/table.csv; the same command goes on from there" in complaint
    )
    assert "Traceback" not in complaint
    refused = normfield("show", "theory-against-measurement", "--from", "kept", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"got {rows} rows of theory-against-measurement; finish it with" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["run", "ntk-spektrum"],
            f"expected a study: {', '.join(nf.study_names())}, got 'ntk-spektrum'; did you mean ntk-spectrum?",
        ),
        (["show", "theory"], "got 'theory'; did you mean theory-against-measurement?"),
        (["run", "wei-fig-1", "--size", "big"], "'big' is not one of 'smoke', 'small', 'paper'"),
        (["run", "wei-fig-1", "--seed", "-1"], "expected seed as a whole number from 0 to 2³¹ − 1, got -1"),
        (["show", "wei-fig-1"], "expected a folder that a study was run into, got no result.json in"),
        (["rum", "wei-fig-1"], "No such command 'rum'. Did you mean 'run'?"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, arguments, line):
    done = normfield(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [[], ["list"], ["run"], ["show"]])
def test_help_shows_a_real_example(tmp_path, command):
    done = normfield(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Example: normfield study" in done.stdout
