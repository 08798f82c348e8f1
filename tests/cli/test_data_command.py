"""``normfield data``: list, verify and fetch, in this process."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from normfield.cli import main, model_flags
from normfield.data.cifar_binary import CifarSet
from normfield.errors import DataUnavailable


@pytest.fixture
def said(monkeypatch, capsys, tmp_path):
    """Run a command with an empty cache; give its exit code, output and complaint."""
    monkeypatch.delenv("NORMFIELD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["normfield", "data", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        written = capsys.readouterr()
        return end.value.code, written.out, written.err

    return run


def test_list_says_what_each_set_is_and_how_to_get_it(said):
    code, out, err = said("list")
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert (code, err) == (0, "")
    assert rows["digits"].endswith("1,437 + 360 handwritten digits, values 0 to 16, 1×8×8, 10 classes, 0.0 MB; "
                                   "inside the package")  # fmt: skip
    assert rows["fashion-mnist"].endswith(
        "60,000 + 10,000 articles of clothing, values 0 to 255, 1×28×28, 10 classes, 30.9 MB; "
        "not here (NORMFIELD_DATA is not set): download with normfield data fetch fashion-mnist"
    )


def test_no_command_lists(said):
    assert said() == said("list")
    assert said("--json") == said("list", "--json")


def test_list_as_json(said):
    code, out, _ = said("list", "--json")
    row = json.loads(out)[3]
    assert code == 0
    assert (row["name"], row["found"], row["samples"], row["test_samples"]) == (
        "cifar10",
        False,
        50000,
        10000,
    )
    assert (row["shape"], row["classes"], row["megabytes"]) == ([3, 32, 32], 10, 170.052171)


def test_verify_without_names_checks_what_is_here(said):
    assert said("verify") == (0, "digits         right      inside the package\n", "")


def test_verify_of_a_name_that_is_not_here_is_exit_code_two(said):
    code, out, err = said("verify", "mnist")
    assert code == 2
    assert "missing    not here (NORMFIELD_DATA is not set)" in out
    assert err == (
        "normfield: 1 of 1 files are missing, corrupt or different (mnist); normfield data fetch NAME gets a set\n"
    )


def test_verify_names_what_is_missing_and_corrupt(said, tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(bytes(3073))
    (folder / "test_batch.bin").write_bytes(bytes(3000))
    monkeypatch.setenv("NORMFIELD_DATA", str(tmp_path))
    code, out, err = said("verify")
    assert code == 2
    assert [line.split()[1] for line in out.splitlines()] == [
        "right",
        "different",
        *["missing"] * 4,
        "corrupt",
    ]
    assert f"{folder / 'data_batch_4.bin'} is missing" in out
    assert "expected a multiple of 3,073 bytes, found 3,000" in out
    assert err.startswith("normfield: 6 of 7 files are missing, corrupt or different (cifar10)")
    assert len(err.splitlines()) == 1
    code, out, _ = said("verify", "cifar10", "--json")
    assert code == 2
    assert len(json.loads(out)) == len(CifarSet.names)


def test_fetch_of_what_is_inside_the_package(said):
    code, out, _ = said("fetch", "digits")
    assert code == 0
    assert "inside the package" in out


def test_fetch_offline_is_one_line(said):
    code, out, err = said("fetch", "mnist", "--json")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith(
        "normfield: mnist not found: NORMFIELD_DATA is not set, and NORMFIELD_OFFLINE forbids"
    )


def test_an_unknown_name_is_one_line(said):
    code, _, err = said("verify", "minst")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "'minst' is not one of 'digits', 'mnist'" in err


def test_verify_reads_plain_and_compressed(said, tmp_path, monkeypatch):
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    labels = b"\x00\x00\x08\x01\x00\x00\x00\x02\x01\x09"
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    monkeypatch.setenv("NORMFIELD_DATA", str(tmp_path))
    _, out, _ = said("verify", "fashion-mnist")
    assert [line.split()[1] for line in out.splitlines()] == ["missing", "different", "missing", "unknown"]


@pytest.mark.parametrize(("flags", "quiet"), [([], False), (["--json"], True)])
def test_programs_are_shown_no_progress_of_a_download(flags, quiet, monkeypatch, capsys):
    asked = {}

    def refuse(name: str, **options):
        asked.update(options, name=name)
        raise DataUnavailable("not here")

    monkeypatch.setattr(model_flags, "load", refuse)
    monkeypatch.setattr(sys, "argv", ["normfield", "measure", "--data", "mnist", *flags])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "normfield: not here\n"
    assert (asked["name"], asked["quiet"]) == ("mnist", quiet)
