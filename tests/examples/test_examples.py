"""The examples run as their first lines say, and are what users write: plain PyTorch."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import normfield as nf
from normfield.data import load_target

FOLDER = Path(__file__).parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.py"))
QUICK = ("transformer_encoder", "custom_loss", "dict_input")
CIFAR10 = bool(os.environ.get("NORMFIELD_DATA"))


def command(path):
    """The command in an example's docstring, as arguments."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return shlex.split(re.search(r"^ *normfield (.+)$", text, re.MULTILINE)[1])


def run(arguments, budget, timeout=280):
    arguments = [*arguments[: arguments.index("--budget")], "--budget", str(budget), "--json"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "normfield", *arguments],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), time.monotonic() - began


def test_every_example_stands_in_the_readme_with_its_command():
    text = (FOLDER / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("normfield ")]
    assert sorted(lines) == sorted(command(path) for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_examples_are_plain_pytorch(path):
    assert "normfield" not in re.sub(r'^""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    make = load_target(f"{path}:make")
    first, again, other = (list(make(seed).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(one, same) for one, same in zip(first, again, strict=True))
    assert not all(torch.equal(one, same) for one, same in zip(first, other, strict=True))


@pytest.mark.parametrize("name", QUICK)
def test_examples_run_as_they_say(name):
    found, _ = run(command(FOLDER / f"{name}.py"), budget=20)
    answers = found["answers"]
    assert answers["theory"]["status"] == "not covered"
    assert answers["measured"]["max_learning_rate"] > 0


def test_theory_names_the_part_that_it_does_not_cover():
    found = nf.diagnose(load_target(f"{FOLDER}/transformer_encoder.py:make"), "digits", budget=0.05)
    assert "PatchEncoder" in found.answers["theory"].reason


def test_the_loss_of_ones_own_gets_the_gauss_newton_matrix_in_its_own_units():
    make, data, huber = (load_target(f"{FOLDER}/custom_loss.py:{name}") for name in ("make", "data", "huber"))
    inputs, targets = data()
    batch = nf.load((inputs, targets)).batches(128, 0)[0]
    once = nf.curvature(make(0), batch, huber, kind="ggn").largest_eigenvalue
    thrice = nf.curvature(make(0), batch, lambda f, y: 3 * huber(f, y), kind="ggn").largest_eigenvalue
    assert thrice == pytest.approx(3 * once, rel=1e-2)


def test_a_dict_reaches_the_model_by_names():
    make, loader = (load_target(f"{FOLDER}/dict_input.py:{name}") for name in ("make", "loader"))
    data = nf.load(loader())
    assert set(data.inputs) == {"tokens", "mask", "numbers"}
    direct = nf.curvature(make(0), data.batches(64, 0)[0], "cross_entropy")
    assert direct.largest_eigenvalue > 0


@pytest.mark.longest
@pytest.mark.timeout(900)
@pytest.mark.skipif(not CIFAR10, reason="NORMFIELD_DATA names no folder with CIFAR-10")
@pytest.mark.parametrize("budget", [60, 300])
def test_preact_resnet18_stays_within_its_budget(budget):
    found, wall = run(command(FOLDER / "preact_resnet18.py"), budget, timeout=2 * budget)
    assert wall <= 1.05 * budget
    assert "Residual" in found["answers"]["theory"]["reason"]
    for name in ("measured", "trained"):
        answer = found["answers"][name]
        assert answer["status"] in ("answered", "cut")
        assert answer["cut"] if answer["status"] == "answered" else "budget" in answer["reason"]
