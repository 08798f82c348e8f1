"""The command line as a user meets it: whole processes, their output, and one line for every mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
THEORY = ["theory", "--inputs", "784", "--width", "1000", "--depth", "4", "--outputs", "10"]


def normfield(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "normfield", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
        timeout=240,
        check=False,
    )


def answered(*arguments, cwd=None):
    done = normfield(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_theory_prints_the_fixed_keys():
    text = answered(
        *THEORY, "--gamma", 1, "--weight-variance", 2, "--bias-variance", 0.5, "--statistics", "published",
        "--momentum", 0.9, "--json",
    )  # fmt: skip
    found = json.loads(text)
    assert found["largest_eigenvalue"] == pytest.approx(229.9, rel=5e-4)
    assert found["max_learning_rate"] == pytest.approx(2 * 1.9 / found["largest_eigenvalue"])
    rows = found["order_parameters"]
    assert [row["layer"] for row in rows] == [1, 2, 3, 4]
    assert set(rows[0]) == {"layer", "q", "q_xy", "q_hat", "q_hat_xy", "q_tilde", "q_tilde_xy"}
    assert rows[-1]["q_tilde"] == rows[-1]["q_tilde_xy"] == 1
    assert sum(term["value"] for term in found["terms"]) == pytest.approx(found["largest_eigenvalue"])


@pytest.mark.parametrize(
    ("flags", "value", "digits"),
    [
        (["--no-batch-norm", "--statistics", "published"], 2234.2, 5),
        (["--statistics", "frozen"], 366, 3),
        (["--statistics", "batch"], 161, 3),
        (["--statistics", "frozen", "--gamma", "0.1"], 7.75, 3),
        (["--statistics", "batch", "--gamma", "0.1"], 3.41, 3),
        (["--statistics", "batch", "--activation", "tanh", "--beta", "1", "--gamma", "0.5"], 476.4, 4),
    ],
)
def test_theory_in_every_reading(flags, value, digits):
    found = json.loads(answered(*THEORY, *flags, "--json"))
    assert float(f"{found['largest_eigenvalue']:.{digits}g}") == value


def test_theory_of_the_convolutional_network():
    text = answered(
        "theory",
        "--conv",
        "--input-shape",
        "3,32,32",
        "--channels",
        "30,60,90",
        "--statistics",
        "published",
        "--json",
    )
    assert json.loads(text)["largest_eigenvalue"] == pytest.approx(162.3, rel=5e-4)


def test_theory_in_words_and_for_cross_entropy():
    text = answered(*THEORY)
    assert "λ_max = 161" in text
    assert "2,803,010 parameters" in text
    found = json.loads(answered(*THEORY, "--loss", "cross_entropy", "--json"))
    low, high = found["max_learning_rate_interval"]
    assert low < found["max_learning_rate"] < high


def test_theory_never_loads_torch():
    code = (
        "import sys; sys.argv = ['normfield', 'theory', '--inputs', '9', '--json']; "
        "from normfield.cli import main\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 False"


def test_measure_prints_the_measured_numbers():
    found = json.loads(
        answered("measure", "--data", "digits", "--width", 64, "--batch-size", 256, "--batches", 1, "--json")
    )
    assert found["statistics"] == "batch"
    assert found["network"].startswith("Dense(width=64) → BatchNorm() → relu → ")
    assert found["max_learning_rate"] == pytest.approx(3.8 / found["largest_eigenvalue"])
    assert len(found["eigenvalues"]) == 10
    assert "256" in answered(
        "measure", "--data", "digits", "--width", 64, "--batch-size", 256, "--batches", 1
    )


def test_measure_keeps_to_its_budget():
    found = json.loads(
        answered("measure", "--data", "digits", "--tolerance", 1e-5, "--budget", 1e-3, "--json")
    )
    assert found["status"].startswith("not ")
    assert "budget" in found["status"]
    assert found["products"] == 10  # the first block: one product for each output


def test_critical_prints_boundaries_and_runs():
    found = json.loads(
        answered(
            "critical",
            "--data",
            "digits",
            "--width",
            32,
            "--depth",
            2,
            "--restarts",
            1,
            "--epochs",
            2,
            "--json",
        )
    )
    assert found["status"] == "bracketed"
    assert {"value", "worse_value", "best_learning_rate", "runs", "verdict"} <= set(found)


def test_own_model_and_data_and_a_report(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def make(seed):\n"
        "    torch.manual_seed(seed)\n"
        "    return torch.nn.Sequential(torch.nn.Linear(6, 20), torch.nn.BatchNorm1d(20), torch.nn.ReLU(), "
        "torch.nn.Linear(20, 3))\n"
        "def data():\n"
        "    g = torch.Generator().manual_seed(0)\n"
        "    return torch.randn(300, 6, generator=g), torch.randint(0, 3, (300,), generator=g)\n"
    )
    text = answered(
        "diagnose", "--model", "mine.py:make", "--data", "mine.py:data", "--loss", "cross_entropy", "--budget", 15,
        "--html", "out.html", "--json", cwd=tmp_path,
    )  # fmt: skip
    found = json.loads(text)
    assert set(found["answers"]) == {"theory", "kernel", "measured", "trained"}
    low, high = found["answers"]["theory"]["max_learning_rate_interval"]  # read from the module
    assert low < found["answers"]["theory"]["max_learning_rate"] < high
    assert found["answers"]["measured"]["max_learning_rate"] > 0
    assert found["answers"]["trained"]["max_learning_rate"] > 0
    assert (tmp_path / "out.html").stat().st_size > 1_000_000


def test_help_and_version_and_data():
    assert "diagnose" in answered()
    assert "Example: " in answered("diagnose", "--help")
    assert "normfield, version" in answered("--version")
    assert "inside the package" in answered("data")
    names = [row["name"] for row in json.loads(answered("data", "--json"))]
    assert names == ["digits", "mnist", "fashion-mnist", "cifar10"]


BAD = {
    "no such command": (["explain"], "No such command 'explain'"),
    "no such flag": (["theory", "--gama", "1"], "No such option"),
    "not a number": ([*THEORY, "--gamma", "one"], "'one' is not a valid float"),
    "unknown statistics": ([*THEORY, "--statistics", "running"], "'running' is not one of"),
    "unknown activation": ([*THEORY, "--activation", "rely"], "expected an activation among relu"),
    "no inputs": (["theory"], "expected --inputs"),
    "negative variance": ([*THEORY, "--weight-variance", "-1"], "a finite weight_variance above 0"),
    "momentum": ([*THEORY, "--momentum", "1"], "momentum in [0, 1)"),
    "not covered": (["theory", "--conv", "--padding", "1"], "padded convolution"),
    "shape": (["theory", "--conv", "--input-shape", "3,32"], "input_shape as (features,) or"),
    "shape words": (["theory", "--conv", "--input-shape", "3x32x32"], "whole numbers with commas"),
    "image too small": (["theory", "--conv", "--input-shape", "3,8,8"], "at least as large as the 3-pixel"),
    "unknown data": (["measure", "--data", "digitz"], "did you mean digits?"),
    "missing file": (["measure", "--data", "absent.npz"], "absent.npz"),
    "corrupt file": (["measure", "--data", "corrupt.npz"], "corrupt.npz"),
    "truncated file": (["measure", "--data", "truncated.npz"], "truncated.npz"),
    "empty data": (["measure", "--data", "given.py:empty"], "at least"),
    "NaN inputs": (["measure", "--data", "given.py:nan"], "NaN"),
    "infinite inputs": (["measure", "--data", "given.py:infinite"], "infinite"),
    "labels out of range": (["measure", "--data", "given.py:labels", "--model", "given.py:narrow"], "3"),
    "lengths differ": (["measure", "--data", "given.py:lengths"], "as many"),
    "shapes that do not fit": (["measure", "--model", "given.py:narrow", "--data", "digits"], "shape"),
    "batch of one": (["measure", "--data", "digits", "--batch-size", "1"], "at least 2 samples"),
    "training batch of one": (["critical", "--data", "digits", "--batch-size", "1"], "at least 2"),
    "no parameters": (["measure", "--model", "given.py:bare", "--data", "digits"], "trainable parameters"),
    "no such model file": (["measure", "--model", "absent.py:make"], "an existing Python file"),
    "no such function": (["measure", "--model", "given.py:absent"], "no such name"),
    "model that raises": (["measure", "--model", "given.py:raising"], "ZeroDivisionError"),
    "model file with an error": (["measure", "--model", "broken.py:make"], "broken.py"),
    "model of another type": (["measure", "--model", "given.py:words"], "Module"),
    "outputs given twice": (["measure", "--data", "digits", "--outputs", "7"], "10 outputs for digits"),
    "flags of a network beside a model": (
        ["measure", "--model", "given.py:narrow", "--gamma", "7"],
        "either --model or the flags of a network, got --model and --gamma",
    ),
    "flags of convolutions without any": (["measure", "--channels", "4,4"], "--channels without --conv"),
    "flags of dense layers with convolutions": (["theory", "--conv", "--width", "9"], "--width with --conv"),
    "one output with cross-entropy": (
        ["theory", "--inputs", "9", "--outputs", "1", "--loss", "cross_entropy"],
        "at least 2 outputs for cross-entropy, got 1",
    ),
    "one class with cross-entropy": (
        ["diagnose", "--data", "given.py:one_class", "--loss", "cross_entropy"],
        "at least 2 outputs for cross-entropy, got 1",
    ),
    "no batches": (["measure", "--batches", "0"], "'--batches': 0 is not in the range x>=1"),
    "momentum of measure": (["measure", "--momentum", "2"], "'--momentum': 2.0 is not in the range"),
    "infinite budget": (["diagnose", "--budget", "inf"], "a budget above 0 seconds, and finite"),
    "budget": (["diagnose", "--data", "digits", "--budget", "0"], "a budget above 0"),
    "report folder": (["diagnose", "--data", "digits", "--html", "no/folder/r.html"], "an existing folder"),
    "batch larger than data": (["diagnose", "--data", "digits", "--batch-size", "5000"], "at most the 1437"),
    "tolerance": (["measure", "--data", "digits", "--tolerance", "0"], "tolerance"),
    "no data folder": (["measure", "--data", "mnist"], "NORMFIELD_DATA"),
}

GIVEN = """
import torch
x, y = torch.ones(8, 4), torch.arange(8) % 4
def empty(): return x[:0], y[:0]
def nan(): return torch.full((8, 4), float("nan")), y
def infinite(): return torch.full((8, 4), float("inf")), y
def labels(): return x, y
def one_class(): return torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), y * 0
def lengths(): return x, y[:5]
def narrow(): return torch.nn.Sequential(torch.nn.Linear(4, 2))
def bare(): return torch.nn.Flatten()
def raising(): return 1 / 0
def words(): return "a model"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import numpy as np

    place = tmp_path_factory.mktemp("bad")
    (place / "given.py").write_text(GIVEN)
    (place / "broken.py").write_text("def make(:\n")
    (place / "corrupt.npz").write_bytes(b"not a zip file at all")
    np.savez(place / "whole.npz", x=np.ones((8, 4)), y=np.arange(8))
    (place / "truncated.npz").write_bytes((place / "whole.npz").read_bytes()[:-100])
    return place


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_one_line_and_exit_code_two(name, folder, monkeypatch, capsys):
    arguments, words = BAD[name]
    monkeypatch.chdir(folder)
    monkeypatch.delenv("NORMFIELD_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["normfield", *arguments])
    before = {path.name for path in Path(folder).iterdir()}
    from normfield.cli import main

    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("normfield: ")
    assert words in said.err
    assert {path.name for path in Path(folder).iterdir()} - {"__pycache__"} == before - {"__pycache__"}


def test_a_mistake_in_a_process_of_its_own_has_no_traceback(folder):
    done = normfield("measure", "--data", "corrupt.npz", cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
