"""Sweeps on the command line: asked for, stopped, gone on with, looked at, exported; one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pandas as pd
import pytest

import normfield as nf
from normfield.cli.sweep_display import shown_sweep
from normfield.cli.sweep_pictures import map_over
from normfield.sweep import Outcome, Progress, Store

SMALL = ["--width", "8", "--depth", "2", "--samples", "128", "--epochs", "1"]
AXES = ["--axis", "gamma=0.3,1", "--axis", "learning_rate=log:0.01:1:3", "--restarts", "2"]
COLUMNS = ["gamma", "learning_rate", "seed", "status", "first_loss", "final_loss", "test_loss"]
GIVEN = """
import torch
from torch import nn
def build(seed, width=4, scale=1.0):
    if width == 13:
        raise ValueError("thirteen units")
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, 10))
def mean_error(outputs, targets):
    return (outputs - nn.functional.one_hot(targets, 10)).abs().mean()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "given.py").write_text(GIVEN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def called(arguments, monkeypatch, capsys):
    """Exit code, standard output and standard error of the program in this process."""
    from normfield.cli import main

    monkeypatch.setattr(sys, "argv", ["normfield", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def answered(arguments, monkeypatch, capsys):
    code, out, err = called(arguments, monkeypatch, capsys)
    assert code == 0, err
    return out


def test_a_run_gives_the_trainings_that_python_gives(folder, monkeypatch, capsys):
    text = answered(["sweep", "run", *SMALL, *AXES, "--out", "a.db"], monkeypatch, capsys)
    assert "12 of 12 trials finished" in text
    assert "sweep export a.db" in text
    net = nf.mlp(inputs=64, width=8, depth=2, outputs=10)
    task = nf.TrainingTask(net, "digits", samples=128, epochs=1)
    axes = {"gamma": [0.3, 1], "learning_rate": [0.01, 0.1, 1.0], "seed": [0, 1]}
    expected = nf.run_sweep(task, axes).to_frame()
    pd.testing.assert_frame_equal(nf.read_sweep("a.db").to_frame()[COLUMNS], expected[COLUMNS])


def test_a_file_stands_for_the_same_flags(folder, monkeypatch, capsys):
    (folder / "s.toml").write_text(
        'width = 8\ndepth = 2\nsamples = 128\nepochs = 1\nrestarts = 2\nshared-order = false\nno_batch_norm = true\n'
        '[axes]\nweight_variance = [1, 2.5]\nlearning_rate = "log:0.01:1:3"\n'
    )  # fmt: skip
    answered(["sweep", "run", "s.toml", "--out", "a.db", "--width", "6"], monkeypatch, capsys)
    axes = ["--axis", "weight_variance=1,2.5", *AXES[2:]]
    flags = [*SMALL, "--width", "6", "--no-batch-norm"]
    answered(["sweep", "run", *flags, *axes, "--out", "b.db"], monkeypatch, capsys)
    one, other = (nf.read_sweep(name).to_frame() for name in ("a.db", "b.db"))
    pd.testing.assert_frame_equal(one.drop(columns="seconds"), other.drop(columns="seconds"))


def test_the_default_name_says_what_is_swept(folder, monkeypatch, capsys):
    answered(["sweep", "run", *SMALL, "--axis", "learning_rate=0.1,0.2"], monkeypatch, capsys)
    assert Path("sweep-learning_rate.db").exists()


def test_status_export_and_json(folder, monkeypatch, capsys):
    run = [
        "sweep",
        "run",
        "given.py:build",
        "--samples",
        128,
        "--epochs",
        2,
        "--learning-rate",
        0.1,
        "--axis",
    ]
    told = json.loads(answered([*run, "width=4,13,6", "--out", "a.db", "--json"], monkeypatch, capsys))
    assert (told["trials"], told["finished"], told["failed"], told["complete"]) == (3, 3, 1, True)
    assert told["errors"][0]["point"] == {"width": 13, "seed": 0}
    assert "thirteen units" in told["errors"][0]["error"]
    assert told["made_by"].startswith("normfield sweep run given.py:build --samples 128")
    assert json.loads(answered(["sweep", "status", "a.db", "--json"], monkeypatch, capsys)) == told
    text = answered(["sweep", "status", "a.db"], monkeypatch, capsys)
    assert "3 of 3 trials finished" in text
    assert "width=13, seed=0: " in text
    answered(["sweep", "export", "a.db", "--to", "a.csv"], monkeypatch, capsys)
    table = pd.read_csv("a.csv")
    assert list(table["width"]) == [4, 13, 6]
    assert table["test_loss"].notna().tolist() == [True, False, True]
    answered(["sweep", "export", "a.db", "--to", "a.parquet", "--curves"], monkeypatch, capsys)
    curves = pd.read_parquet("a.parquet")
    assert set(curves["curve"]) >= {"train_loss", "test_loss"}


def test_a_function_and_a_loss_of_the_users_own_in_worker_processes(folder, monkeypatch, capsys):
    arguments = ["sweep", "run", "given.py:build", "--samples", 128, "--epochs", 1, "--loss", "given.py:mean_error",
                 "--axis", "width=4,6", "--axis", "learning_rate=0.1"]  # fmt: skip
    answered([*arguments, "--out", "a.db"], monkeypatch, capsys)
    answered([*arguments, "--out", "b.db", "--engine", "processes", "--workers", 1], monkeypatch, capsys)
    one, other = (nf.read_sweep(name).to_frame()["test_loss"] for name in ("a.db", "b.db"))
    assert one.notna().all()
    assert "given.py:mean_error " in nf.read_sweep("a.db").settings["loss"]
    (folder / "moved").mkdir()
    (folder / "given.py").rename(folder / "moved" / "given.py")
    monkeypatch.chdir(folder / "moved")
    assert "2 of 2 trials" in answered(["sweep", "resume", "../a.db"], monkeypatch, capsys)
    pd.testing.assert_series_equal(one, other)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_what_there_is_and_resume_ends_with_the_same_values(folder, monkeypatch, capsys):
    sweep = ["--width", "8", "--samples", "256", "--epochs", "60", "--axis", "depth=2,3,4,5",
             "--axis", "learning_rate=0.01,0.1"]  # fmt: skip
    started = subprocess.Popen(
        [sys.executable, "-m", "normfield", "sweep", "run", *sweep, "--out", "a.db"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": "200"},
    )
    while started.poll() is None and not (Path("a.db").exists() and nf.read_sweep("a.db").status.finished):
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    kept = nf.read_sweep("a.db").status.finished
    assert started.returncode == 130, err
    assert out == ""
    assert 0 < kept < 8
    assert f"{kept}/8" in err  # the bar, on what stands for a terminal
    assert "diverged" in err
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err).splitlines()[-1] == (
        f"normfield: stopped; {kept} of 8 trials are kept in a.db; normfield sweep resume a.db goes on"
    )
    assert "Traceback" not in err
    told = json.loads(answered(["sweep", "resume", "a.db", "--json"], monkeypatch, capsys))
    assert told["complete"]
    answered(["sweep", "run", *sweep, "--out", "b.db"], monkeypatch, capsys)
    one, other = (nf.read_sweep(name).to_frame() for name in ("a.db", "b.db"))
    same = ["depth", "learning_rate", "status", "first_loss", "final_loss", "test_loss", "test_accuracy"]
    pd.testing.assert_frame_equal(one[same], other[same], check_exact=True)


def test_a_sweep_of_other_making_is_refused_with_the_way_on(folder, monkeypatch, capsys):
    points = [{"seed": 0}, {"seed": 1}]
    for recipe in (None, "mine", '{"program": "another"}'):
        with Store.create(
            "a.db", axes=["seed"], points=points, groups=[[0, 1]], keys="ab", settings={}, recipe=recipe
        ) as store:
            store.begin(0)
            store.commit(0, [Outcome({"loss": 1.0}), Outcome(error="ValueError: no")])
        code, _, err = called(["sweep", "resume", "a.db"], monkeypatch, capsys)
        assert (code, len(err.splitlines())) == (2, 1)
        assert "a.db, made in Python; go on with nf.resume_sweep(file, task)" in err
        text = answered(["sweep", "status", "a.db"], monkeypatch, capsys)
        assert "made by" not in text
        assert "seed=1: ValueError: no" in text
        Path("a.db").unlink()


def test_a_phase_diagram_is_drawn_with_theory(folder, monkeypatch, capsys):
    answered(["sweep", "run", *SMALL, *AXES, "--out", "a.db"], monkeypatch, capsys)
    text = answered(["sweep", "plot", "a.db", "--html", "a.html"], monkeypatch, capsys)
    net = nf.mlp(inputs=64, width=8, depth=2, outputs=10)
    axes = {"gamma": [0.3, 1.0], "learning_rate": [0.01, 0.1, 1.0]}
    expected = nf.phase_diagram(net, "digits", axes, restarts=2, samples=128, epochs=1)
    for gamma in ("0.3", "1"):
        (line,) = [each for each in str(expected).splitlines() if each.startswith(f"  gamma = {gamma}:")]
        assert line in text
    assert expected.theory[0].log10[0] is not None
    page = Path("a.html").read_text(encoding="utf-8")
    assert "Phase diagram over batch-norm scale" in page
    assert "training mode" in page
    answered(["sweep", "plot", "a.db", "--html", "b.html", "--value", "test_accuracy"], monkeypatch, capsys)
    assert "test accuracy" in Path("b.html").read_text(encoding="utf-8")


def test_a_diagram_of_a_sweep_made_in_python_says_that_theory_is_missing(folder, monkeypatch, capsys):
    task = nf.TrainingTask(nf.mlp(64, 8, 2, 10), "digits", samples=128, epochs=1)
    nf.run_sweep(task, {"gamma": [0.3, 1.0], "learning_rate": [0.1, 1.0], "seed": [0]}, "a.db")
    code, out, err = called(["sweep", "plot", "a.db", "--html", "a.html"], monkeypatch, capsys)
    assert code == 0, err
    assert "theory is left out: " in err
    assert "made in Python" in err
    assert "gamma = 0.3" in out


def test_other_axes_are_drawn_as_a_map_or_a_line(folder, monkeypatch, capsys):
    points = [
        {"depth": d, "phi": phi, "eps": e} for d in (2, 3) for phi in ("relu", "tanh") for e in (0.1, 1)
    ]
    keys = [str(i) for i in range(len(points))]
    settings = {"data": "toy"}
    with Store.create(
        "a.db", axes=list(points[0]), points=points, groups=[range(8)], keys=keys, settings=settings
    ) as s:
        s.commit(0, [Outcome({"status": "finished", "test_loss": i + 0.5}) for i in range(8)])
    code, _, err = called(["sweep", "plot", "a.db", "--html", "a.html"], monkeypatch, capsys)
    assert (code, Path("a.html").exists()) == (2, False)
    assert "one or two axes with more than one value, got depth, phi, eps; draw only a part" in err
    for at, words in {
        ("--at", "eps=1"): "test_loss of 4 trials over depth, phi",
        ("--at", "phi=tanh", "--at", "eps=0.1"): "test_loss of 2 trials over depth",
        ("--at", "depth=3", "--at", "eps=1"): "test_loss of 2 trials over phi",
    }.items():
        assert words in answered(["sweep", "plot", "a.db", "--html", "a.html", *at], monkeypatch, capsys)
    axes = {"depth": [2, 3], "phi": ["relu", "tanh"]}
    read = map_over([*nf.read_sweep("a.db").results()][1::2], "depth", "phi", axes, "test_loss")
    assert read.data[0]["z"] == [[1.5, 5.5], [3.5, 7.5]]
    for arguments, words in {
        ("--value", "loss"): "--value among test_loss, got loss",
        ("--at", "width=3"): "--at with an axis among depth, phi, eps, got width",
        ("--at", "eps=3"): "at least one finished trial with eps=3",
        ("--at", "eps=1,2"): "one value in --at NAME=VALUE",
        ("--at", "eps"): "an axis as NAME=",
    }.items():
        code, _, err = called(["sweep", "plot", "a.db", "--html", "b.html", *arguments], monkeypatch, capsys)
        assert (code, len(err.splitlines()), Path("b.html").exists()) == (2, 1, False)
        assert words in err


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("normfield.cli.sweep_display.time.monotonic", lambda: clock[0])
    with shown_sweep() as tell:
        for seconds in (0, 10, 31, 40, 70):
            clock[0] = 100.0 + seconds
            tell(Progress(seconds, 99, 3, 0))
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["31", "70"]
    with shown_sweep(quiet=True) as tell:
        clock[0] = 1000.0
        tell(Progress(1, 99, 3, 0))
    assert capsys.readouterr().err == ""


def test_every_command_shows_an_example_that_its_parser_takes():
    from normfield.cli.sweep_command import sweep

    group = click.Context(sweep)
    for command in (sweep.get_command(group, name) for name in sweep.list_commands(group)):
        assert "Example: normfield sweep " in command.epilog
        words = command.epilog.split()[4:]
        assert command.make_context(command.name, words, parent=group).params


def test_looking_at_a_sweep_never_waits_for_torch(folder):
    Store.create("a.db", axes=["seed"], points=[{"seed": 0}], groups=[[0]], keys="a", settings={}).close()
    code = (
        "import sys; sys.argv = ['normfield', 'sweep', 'status', 'a.db']; from normfield.cli import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


BAD = {
    "no axis": (["run"], "expected at least one axis, got none"),
    "an unknown axis": (["run", "--axis", "gama=1", "--axis", "learning_rate=1"], "did you mean 'gamma'?"),
    "no learning rate": (["run", "--axis", "gamma=1"], "learning_rate"),
    "a value twice": (["run", "--axis", "learning_rate=1,1.0"], "every value once on the axis learning_rate"),
    "an axis of another form": (["run", "--axis", "gamma:1"], "an axis as NAME=log:LOW:HIGH:N"),
    "a rate below zero": (["run", "--axis", "learning_rate=-1"], "learning_rate"),
    "no restarts": (["run", "--axis", "learning_rate=1", "--restarts", "0"], "--restarts of at least 1"),
    "restarts beside seeds": (
        ["run", "--axis", "learning_rate=1", "--axis", "seed=1,2", "--restarts", "2"],
        "either --restarts or an axis of seeds",
    ),
    "a file that is there": (
        ["run", "--axis", "learning_rate=1", "--out", "given.py"],
        "given.py, which is there; normfield sweep resume given.py goes on with it, --out names another",
    ),
    "a folder that is not there": (
        ["run", "--axis", "learning_rate=1", "--out", "no/a.db"],
        "an existing folder",
    ),
    "an unknown engine": (["run", "--axis", "learning_rate=1", "--engine", "slurm"], "'slurm' is not one of"),
    "no workers": (
        ["run", "--axis", "learning_rate=1", "--engine", "processes", "--workers", "0"],
        "workers",
    ),
    "an address without a cluster": (
        ["run", "--axis", "learning_rate=1", "--address", "head:6379"],
        "address",
    ),
    "unknown data": (["run", "--axis", "learning_rate=1", "--data", "digitz"], "did you mean digits?"),
    "no such function": (["run", "given.py:absent", "--axis", "learning_rate=1"], "no such name"),
    "a word for a model": (["run", "resnet", "--axis", "learning_rate=1"], "path.py:function"),
    "flags of a network beside a model": (
        ["run", "given.py:build", "--gamma", "2", "--axis", "learning_rate=1"],
        "either --model or the flags of a network",
    ),
    "a batch beyond the data": (
        ["run", "--axis", "learning_rate=1", "--samples", "64", "--batch-size", "65"],
        "at most the 64 samples",
    ),
    "momentum of one": (["run", "--axis", "learning_rate=1", "--momentum", "1"], "momentum"),
    "a sweep's file that is no TOML": (["run", "broken.toml"], "broken.toml to be TOML"),
    "a sweep's file without axes": (["run", "bare.toml"], "a table [axes] in bare.toml"),
    "a sweep's file with another key": (["run", "other.toml"], "got widht; did you mean width?"),
    "a sweep's file with a list for a flag": (["run", "listed.toml"], "one value for width in listed.toml"),
    "a sweep's file with an axis of tables": (["run", "tables.toml"], "the axis gamma in tables.toml"),
    "a file that is not there": (["status", "absent.db"], "absent.db"),
    "a file that is no store": (["status", "given.py"], "given.py"),
    "going on with no store": (["resume", "given.py"], "given.py"),
    "no file named": (["status"], "Missing argument 'FILE'"),
    "export of nothing": (["export", "absent.db", "--to", "a.csv"], "absent.db"),
    "export without a target": (["export", "whole.db"], "Missing option '--to'"),
    "export to another kind": (["export", "whole.db", "--to", "a.xlsx"], ".csv"),
    "export over a file": (["export", "whole.db", "--to", "there.csv"], "there.csv"),
    "plot without a page": (["plot", "whole.db"], "Missing option '--html'"),
    "plot into no folder": (["plot", "whole.db", "--html", "no/a.html"], "an existing folder"),
    "plot of nothing finished": (["plot", "whole.db", "--html", "a.html"], "at least one finished trial"),
    "plot of no store": (["plot", "given.py", "--html", "a.html"], "given.py"),
    "another command": (["stop"], "No such command 'stop'"),
}


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("bad")
    (place / "given.py").write_text(GIVEN)
    (place / "broken.toml").write_text("width = [\n")
    (place / "bare.toml").write_text("width = 8\n")
    (place / "other.toml").write_text("widht = 8\n[axes]\nlearning_rate = [1]\n")
    (place / "listed.toml").write_text("width = [8, 9]\n[axes]\nlearning_rate = [1]\n")
    (place / "tables.toml").write_text("[axes]\ngamma = [[1], [2]]\n")
    (place / "there.csv").write_text("kept\n")
    Store.create(
        place / "whole.db", axes=["seed"], points=[{"seed": 0}], groups=[[0]], keys="a", settings={}
    ).close()
    return place


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_with_exit_code_two_and_writes_nothing(name, bad_folder, monkeypatch, capsys):
    arguments, words = BAD[name]
    monkeypatch.chdir(bad_folder)
    before = {path.name: path.stat().st_size for path in bad_folder.iterdir()}
    code, out, err = called(["sweep", *arguments], monkeypatch, capsys)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("normfield: ")
    assert words in err
    assert before == {p.name: p.stat().st_size for p in bad_folder.iterdir() if p.name != "__pycache__"}


def test_failed_trials_run_again_once_the_cause_is_mended(folder, monkeypatch, capsys):
    """The cause lies outside the function, so that the task stays the same one."""
    needing = GIVEN.replace("if width == 13:", "if not __import__('pathlib').Path('mended').exists():")
    (folder / "given.py").write_text(needing)
    asked = ["given.py:build", "--data", "digits", "--samples", "64", "--epochs", "1", "--batch-size", "32"]
    answered(
        ["sweep", "run", *asked, "--axis", "learning_rate=0.1,0.2", "--out", "a.db"], monkeypatch, capsys
    )
    assert nf.read_sweep("a.db").status.failed == 2
    (folder / "mended").touch()
    answered(["sweep", "resume", "a.db"], monkeypatch, capsys)
    assert nf.read_sweep("a.db").status.failed == 2
    answered(["sweep", "resume", "a.db", "--again"], monkeypatch, capsys)
    assert nf.read_sweep("a.db").status.failed == 0
    assert list(nf.read_sweep("a.db").to_frame()["status"]) == ["finished", "finished"]
