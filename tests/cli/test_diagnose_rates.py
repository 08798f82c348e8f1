"""``normfield diagnose`` with the settings that the caller means to train with."""

from __future__ import annotations

import json

import pytest
from test_commands import normfield

NET = ["diagnose", "--data", "digits", "--width", 30, "--depth", 3, "--batch-size", 32, "--budget", 1.5]


def test_a_rate_that_is_given_is_held_against_the_limit():
    found = normfield(*NET, "--learning-rate", 1000, "--json")
    assert found.returncode == 0, found.stderr
    sentences = [finding["sentence"] for finding in json.loads(found.stdout)["findings"]]
    assert any(sentence.startswith("A learning rate of ") and "times" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("flag", "words"),
    [("--learning-rate", "learning_rate above 0"), ("--weight-decay", "weight_decay of at least 0")],
)
def test_a_rate_that_is_none_is_refused(flag, words):
    found = normfield(*NET, flag, -1)
    assert found.returncode == 2
    assert words in found.stderr
    assert "Traceback" not in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
