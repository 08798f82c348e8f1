"""Descriptions in files, given to the commands; theory for them loads no torch."""

import json
import subprocess
import sys

import pytest

import normfield as nf
from normfield.cli import main

NET = nf.mlp(64, 50, 3, 10, gamma=0.5)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.toml"
    path.write_text(NET.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """The program in this process: (exit code, standard output, standard error)."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["normfield", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return called


@pytest.mark.parametrize("form", ["toml", "json"])
def test_theory_for_a_file_is_theory_for_its_network(file, run, form):
    if form == "json":
        file = file.with_suffix(".json")
        file.write_text(NET.to_json(), encoding="utf-8")
    code, out, _ = run("theory", "--model", file, "--json")
    assert code == 0
    assert json.loads(out)["largest_eigenvalue"] == pytest.approx(nf.mean_field(NET).largest_eigenvalue)


def test_theory_for_a_file_loads_no_torch(file):
    code = (
        "import sys; from normfield.cli import main\n"
        f"sys.argv = ['normfield', 'theory', '--model', {str(file)!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "largest Fisher eigenvalue" in done.stdout


def test_measure_takes_a_file(file, run):
    code, out, _ = run("measure", "--model", file, "--batches", 1, "--samples", 128, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["network"] == NET.path
    module = nf.build(NET, seed=0)
    data = nf.load("digits", samples=128, seed=0).shaped((64,))
    curv = nf.curvature(module, data.batches(128, 0)[0], "squared", seed=0)
    assert found["largest_eigenvalue"] == pytest.approx(curv.largest_eigenvalue, rel=2e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["theory", "--model", "absent.toml"], "expected a readable file absent.toml, got No such file or directory"),
        (["measure", "--model", "absent.json"], "expected a readable file absent.json, got No such file or directory"),
        (["theory", "--model", "net.py:make"], "a description in a .toml or .json file, got net.py:make; for a module"),
        (["theory", "--model", "FILE", "--depth", 3], "expected either --model or the flags of a network, got --model"),
        (["theory", "--model", "BROKEN"], "(BatchNorm), got unknown key 'gama' in "),
        (["measure", "--model", "BROKEN"], "did you mean 'gamma'?"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_exit_code_2(file, run, arguments, words):
    broken = file.with_name("broken.toml")
    broken.write_text(NET.to_toml().replace("gamma", "gama", 1), encoding="utf-8")
    places = {"FILE": file, "BROKEN": broken}
    code, out, err = run(*(places.get(word, word) for word in arguments))
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
