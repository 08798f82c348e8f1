"""`normfield suggest` as a user meets it: a suggestion in words and in JSON, and one line for a mistake."""

import json
import sys

import pytest

from normfield.cli.program import main

SMALL = [
    "suggest",
    "--data",
    "digits",
    "--width",
    "16",
    "--depth",
    "2",
    "--batch-size",
    "64",
    "--epochs",
    "3",
]


def run(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["normfield", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_words_and_json_say_the_same(monkeypatch, capsys):
    code, words, _ = run(SMALL, monkeypatch, capsys)
    assert code == 0
    code, text, _ = run([*SMALL, "--json"], monkeypatch, capsys)
    assert code == 0
    found = json.loads(text)
    assert f"η = {found['learning_rate']:.3g}" in words
    assert found["scaling"] in words
    assert found["full_steps"] == 66
    assert found["gradient_evaluations"] <= 2 * 66
    assert found["loss"] == "squared"


def test_the_flags_reach_it(monkeypatch, capsys):
    flags = [
        "--loss",
        "cross_entropy",
        "--momentum",
        "0.5",
        "--steps",
        "40",
        "--restarts",
        "1",
        "--effort",
        "3",
        "--seed",
        "5",
    ]
    code, text, _ = run([*SMALL, *flags, "--json"], monkeypatch, capsys)
    found = json.loads(text)
    assert code == 0
    names = ("loss", "momentum", "full_steps", "restarts", "effort", "seed")
    assert [found[name] for name in names] == ["cross_entropy", 0.5, 40, 1, 3.0, 5]


MISTAKES = {
    "too short a run": (["--steps", "4"], "expected a full run of at least 16 steps, got 4"),
    "no effort": (["--effort", "0.1"], "expected effort of at least 1"),
    "a batch beyond the data": (["--batch-size", "5000"], "at most the 1437"),
    "no budget": (["--budget", "0"], "budget finite and above 0"),
    "a number that is none": (["--effort", "much"], "'much' is not a valid float"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_two(name, monkeypatch, capsys):
    flags, words = MISTAKES[name]
    code, out, error = run([*SMALL, *flags], monkeypatch, capsys)
    assert code == 2
    assert out == ""
    assert words in error
    assert len(error.strip().splitlines()) == 1
