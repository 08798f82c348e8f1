"""Axes of a sweep as they are typed, and as they stand in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

import normfield as nf
from normfield.cli.sweep_axes import read_axes, read_axis
from normfield.cli.sweep_file import expanded
from normfield.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("gamma=log:0.1:10:5", "gamma", (0.1, 0.316228, 1.0, 3.16228, 10.0)),
        ("learning-rate=lin:0:1:3", "learning_rate", (0.0, 0.5, 1.0)),
        ("depth=lin:2:10:5", "depth", (2, 4, 6, 8, 10)),
        ("depth=lin:2:5:3", "depth", (2.0, 3.5, 5.0)),
        ("momentum=0, 0.5,0.9", "momentum", (0, 0.5, 0.9)),
        ("activation=relu,tanh", "activation", ("relu", "tanh")),
        ("batch_norm=true,false", "batch_norm", (True, False)),
        ("batch_size=none,64", "batch_size", (None, 64)),
        ("loss=given.py:mean_error", "loss", ("given.py:mean_error",)),
    ],
)
def test_axes_are_read(text, name, values):
    assert read_axis(text) == (name, values)
    assert [type(value) for value in read_axis(text)[1]] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "expected at least one axis, got none; e.g. --axis gamma=log:0.1:5:20"),
        (["gamma"], "expected an axis as NAME=log:LOW:HIGH:N, NAME=lin:LOW:HIGH:N or NAME=VALUE,VALUE,..."),
        (["=1,2"], "got '=1,2'"),
        (["gamma="], "got 'gamma='"),
        (["gamma=0.1,,1"], "a value between commas"),
        (["gamma=log:0.1:5"], "NAME=log:LOW:HIGH:N"),
        (["gamma=log:0:5:20"], "LOW below HIGH, both above 0, in NAME=log:LOW:HIGH:N"),
        (["gamma=lin:5:0:20"], "LOW below HIGH in NAME=lin:LOW:HIGH:N"),
        (["gamma=log:0.1:5:1"], "N as a whole number from 2 to 100,000"),
        (["gamma=log:a:5:3"], "numbers for LOW and HIGH, not 'a'"),
        (["gamma=inf"], "finite numbers on an axis"),
        (["gamma=1", "gamma=2"], "expected every axis once, got gamma twice"),
    ],
)
def test_other_axes_are_refused_in_one_line(texts, message):
    with pytest.raises(InvalidInput) as caught:
        read_axes(texts)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_only_a_toml_file_with_axes_is_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.toml").write_text(nf.mlp(4, 3, 2, 2).to_toml())
    Path("s.toml").write_text("[axes]\nseed = [0, 1]\n")
    assert expanded(["net.toml", "--axis", "seed=0"], []) == ["net.toml", "--axis", "seed=0"]
    assert expanded(["--model", "s.toml"], []) == ["--model", "s.toml"]
    assert expanded(["s.toml", "--json"], []) == ["--axis", "seed=0,1", "--json"]
