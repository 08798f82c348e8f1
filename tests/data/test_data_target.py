"""Functions named as path.py:function or package.module:function, and data from them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from normfield.data import load, load_target
from normfield.errors import InvalidInput


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_function_of_a_file(tmp_path):
    path = write(tmp_path, "def double(x):\n    return 2 * x\n")
    assert load_target(f"{path}:double")(4) == 8


def test_function_of_a_module():
    assert load_target("os.path:basename")("a/b") == "b"


def test_module_of_the_working_folder(tmp_path, monkeypatch):
    write(tmp_path, "def seven():\n    return 7\n", "module_of_the_working_folder.py")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert load_target("module_of_the_working_folder:seven")() == 7
    assert sys.path == before
    del sys.modules["module_of_the_working_folder"]


def test_a_file_may_import_its_neighbours_and_define_dataclasses(tmp_path):
    write(tmp_path, "VALUE = 3\n", "neighbour_of_a_target.py")
    text = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\nimport neighbour_of_a_target as n\n"
        "@dataclass\nclass Point:\n    x: int = n.VALUE\ndef point():\n    return Point()\n"
    )
    before = list(sys.path)
    assert load_target(f"{write(tmp_path, text)}:point")().x == 3
    assert sys.path == before
    del sys.modules["neighbour_of_a_target"]


def test_a_changed_file_is_run_anew(tmp_path):
    path = write(tmp_path, "def number():\n    return 1\n")
    assert load_target(f"{path}:number")() == 1
    write(tmp_path, "def number():\n    return 2\n")
    assert load_target(f"{path}:number")() == 2


def test_random_state_is_left_by_running_a_file(tmp_path):
    path = write(tmp_path, "import torch\ntorch.manual_seed(3)\ndef f():\n    pass\n")
    before = torch.get_rng_state()
    load_target(f"{path}:f")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("def f(:\n", "f", "to be Python, got SyntaxError: invalid syntax .line 1.; correct the file"),
        ("\x00", "f", "to be Python, got SyntaxError: source code string cannot contain null bytes"),
        (
            "x = 1\n\nundefined\n",
            "f",
            "to run, got NameError: name 'undefined' is not defined .line 3.; correct",
        ),
        ("raise SystemExit(2)\n", "f", "to run, got SystemExit: 2 .line 1."),
        ("raise ValueError('two\\nlines')\n", "f", "to run, got ValueError: two lines .line 1."),
        ("import no_such_module_anywhere\n", "f", "got ModuleNotFoundError: No module named"),
        ("def g():\n    pass\nk = 1\n", "f", "a function f in .*, got no such name; it defines g"),
        ("f = 5\n", "f", "f in .* to be a function, got int; it defines no function"),
    ],
)
def test_bad_files_are_one_line(tmp_path, text, name, message):
    path = write(tmp_path, text)
    modules = set(sys.modules)
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        load_target(f"{path}:{name}")
    if "to run" in message:
        assert set(sys.modules) == modules


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.py:f", "expected an existing Python file, got nowhere.py; check the path"),
        (
            "nowhere",
            "expected path.py:function or package.module:function, got 'nowhere'; name the function after",
        ),
        ("file.py:", "expected path.py:function or package.module:function, got 'file.py:'"),
        ("a/b.txt:f", "got 'a/b.txt:f'; give a file ending in .py, or a dotted module name"),
        (
            "no_such_module_anywhere:f",
            "expected an importable module no_such_module_anywhere, got no module named no_s",
        ),
        (
            "os.no_such_part:f",
            "expected an importable module os.no_such_part, got no module named os.no_such_part",
        ),
        ("os:no_such_name", "expected a function no_such_name in os, got no such name; it defines"),
        ("math:pi", "expected pi in math to be a function, got float"),
        (3, "got 3; name the function"),
    ],
)
def test_bad_targets_are_one_line(spec, message):
    with pytest.raises(InvalidInput, match=f"^[^\n]*{message}[^\n]*$"):
        load_target(spec)


def test_file_in_a_folder_that_may_not_be_searched_is_one_line(tmp_path, forbidden):
    path = write(tmp_path, "def f():\n    pass\n")
    forbidden(tmp_path)
    with pytest.raises(InvalidInput, match=f"^expected {path} to be readable, got Permission denied; check"):
        load_target(f"{path}:f")


def test_unreadable_file_is_one_line(tmp_path, monkeypatch):
    folder = tmp_path / "folder.py"
    folder.mkdir()
    with pytest.raises(
        InvalidInput, match=f"^expected {folder} to be readable, got Is a directory; check what"
    ):
        load_target(f"{folder}:f")
    path = write(tmp_path, "def f():\n    pass\n")
    monkeypatch.setattr(
        Path, "read_bytes", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(
        InvalidInput, match=f"^expected {path} to be readable, got Permission denied; check what"
    ):
        load_target(f"{path}:f")


def test_a_module_that_raises_is_one_line(tmp_path, monkeypatch):
    write(tmp_path, "1 / 0\n", "module_that_raises.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InvalidInput, match="expected module module_that_raises to import, got ZeroDivisionError: div"
    ):
        load_target("module_that_raises:f")


DATA = """
import numpy as np, torch
def pair():
    return np.arange(6.0).reshape(3, 2), np.array([0, 1, 1])
def drawn():
    return torch.rand(4, 2), torch.randint(2, (4,)).clamp(0, 1)
def named():
    return "digits"
def chained():
    return "other.py:function"
def broken():
    return {}["missing"]
def greedy(path):
    return path
def nothing():
    pass
"""


def test_data_from_a_function(tmp_path):
    path = write(tmp_path, DATA)
    data = load(f"{path}:pair", samples=2, standardise="global")
    assert (data.name, data.samples_used, data.samples_total) == (f"{path}:pair", 2, 3)
    np.testing.assert_allclose(data.inputs.flatten(), (np.arange(4) - 1.5) / np.std(np.arange(4)), rtol=1e-6)


def test_a_function_may_give_a_name(tmp_path):
    data = load(f"{write(tmp_path, DATA)}:named", samples=5)
    assert (data.name, data.standardise) == ("digits", "global")


def test_a_function_that_draws_follows_the_seed(tmp_path):
    spec = f"{write(tmp_path, DATA)}:drawn"
    before = torch.get_rng_state()
    one = load(spec, seed=4).inputs
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, load(spec, seed=4).inputs)
    assert not torch.equal(one, load(spec, seed=5).inputs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "broken",
            "to return data when called without arguments, got KeyError: 'missing' .line 12.; correct",
        ),
        ("greedy", "got TypeError: greedy.. missing 1 required positional argument"),
        ("chained", "to return data or a name, got another target, 'other.py:function'; name that one"),
        ("nothing", "got NoneType"),
    ],
)
def test_functions_that_give_no_data_are_one_line(tmp_path, name, message):
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        load(f"{write(tmp_path, DATA)}:{name}")
