"""Models, losses and batch sizes from the command line: every form that works, one line for every one that does not."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

FILES = {
    "good.py": """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        norm, activation = nn.BatchNorm1d(width), nn.ReLU()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(64, width), norm, activation)
        self.last = nn.Linear(width, 10)
    def forward(self, x):
        return self.last(self.first(x))
class Needy(Net):
    def __init__(self, width):
        super().__init__(width)
def make():
    return Net()
def seeded(seed):
    torch.manual_seed(seed)
    return Net()
ready = Net().eval()
def words():
    return "a net"
def raising():
    x = 1
    return x / 0
def mean_error(outputs, targets):
    return (outputs - torch.nn.functional.one_hot(targets, 10)).abs().mean()
def vector_loss(outputs, targets):
    return outputs.sum(1)
""",
    "broken.py": "def make(:\n",
    "importing.py": "import no_such_package\ndef make(): pass\n",
    "failing.py": "x = 1\nraise RuntimeError('no weights here')\ndef make(): pass\n",
    "slow.py": """
import time
from pathlib import Path
import torch
from torch import nn
class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    def forward(self, x):
        if isinstance(x, torch.Tensor):
            time.sleep(0.02)
            if len(x) == 64:
                Path("measuring").touch()
        return self.body(x)
def make(): return Slow()
""",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


def main(arguments, folder, monkeypatch, capsys):
    """(exit code, standard output, standard error) of the program, in this process."""
    from normfield.cli import main as program

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["normfield", *arguments])
    with pytest.raises(SystemExit) as end:
        program()
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


MEASURE = ["measure", "--data", "digits", "--samples", "32", "--json"]


@pytest.mark.parametrize("name", ["make", "seeded", "Net", "ready"])
@pytest.mark.parametrize("flag", [True, False])
def test_functions_classes_and_modules_are_models(name, flag, folder, monkeypatch, capsys):
    how = ["--model", f"good.py:{name}"] if flag else [f"good.py:{name}"]
    code, out, err = main([*MEASURE, *how], folder, monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert json.loads(out)["largest_eigenvalue"] > 0


def test_a_maker_without_a_seed_makes_other_weights_for_other_seeds(folder, monkeypatch, capsys):
    found = [
        json.loads(main([*MEASURE, "good.py:Net", "--seed", seed], folder, monkeypatch, capsys)[1])
        for seed in ("0", "1", "0")
    ]
    values = [each["largest_eigenvalue"] for each in found]
    assert values[0] == values[2] != values[1]


@pytest.mark.parametrize("loss", ["good.py:mean_error", "torch.nn:CrossEntropyLoss"])
def test_losses_of_ones_own(loss, folder, monkeypatch, capsys):
    code, out, err = main([*MEASURE, "good.py:make", "--loss", loss], folder, monkeypatch, capsys)
    assert (code, err) == (0, "")
    assert json.loads(out)["kind"] == ("fisher" if "Cross" in loss else "ggn")


BAD = {
    "no such file": (["absent.py:make"], "absent.py"),
    "no such function": (["good.py:absent"], "it defines"),
    "a file that is no Python": (["broken.py:make"], "SyntaxError: invalid syntax (line 1)"),
    "a file that imports what is not there": (
        ["importing.py:make"],
        "No module named 'no_such_package' (line 1)",
    ),
    "a file that raises": (["failing.py:make"], "RuntimeError: no weights here (line 2)"),
    "a function that raises": (
        ["good.py:raising"],
        "good.py:raising() to return a torch.nn.Module, got Zero",
    ),
    "its line": (["good.py:raising"], "division by zero (line 25)"),
    "a class that needs more": (["good.py:Needy"], "def make(): return Needy(...)"),
    "no model at all": (["good.py:words"], "good.py:words to return a torch.nn.Module or a Network, got str"),
    "no function named": (["good.py"], "name the function after a colon"),
    "two models": (["good.py:make", "--model", "good.py:seeded"], "expected one model"),
    "a model and a network": (["good.py:make", "--gamma", "2"], "got good.py:make and --gamma"),
    "no such loss": (["good.py:make", "--loss", "hinge"], "--loss squared, cross_entropy, path.py:function"),
    "no such loss function": (["good.py:make", "--loss", "good.py:absent"], "it defines"),
    "a loss that is no number": (["good.py:make", "--loss", "good.py:vector_loss"], "scalar"),
    "a batch above the samples": (["good.py:make", "--batch-size", "33"], "at most the 32 samples, got 33"),
    "a batch of none": (["good.py:make", "--batch-size", "0"], "at least 1, got 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_one_line(name, folder, monkeypatch, capsys):
    arguments, words = BAD[name]
    code, out, err = main([*MEASURE, *arguments], folder, monkeypatch, capsys)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert words in err


def test_critical_refuses_a_batch_above_the_samples_too(folder, monkeypatch, capsys):
    arguments = ["critical", "good.py:make", "--data", "digits", "--samples", "32", "--batch-size", "64"]
    code, _, err = main(arguments, folder, monkeypatch, capsys)
    assert code == 2
    assert "at most the 32 samples, got 64" in err


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_prints_and_writes_what_was_found(folder):
    arguments = [
        "slow.py:make",
        "--data",
        "digits",
        "--samples",
        "64",
        "--budget",
        "200",
        "--html",
        "page.html",
    ]
    started = subprocess.Popen(
        [sys.executable, "-m", "normfield", "diagnose", *arguments, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "FORCE_COLOR": "1"},
    )
    for _ in range(600):
        if (folder / "measuring").exists() or started.poll() is not None:
            break
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=120)
    assert started.returncode == 130, err
    answers = json.loads(out)["answers"]
    assert answers["theory"]["status"] == "answered"
    assert answers["trained"]["status"] == "stopped"
    assert "stopped by Ctrl-C" in err
    assert " s left" in err  # the line that counts down, on what stands for a terminal
    assert (folder / "page.html").exists()
