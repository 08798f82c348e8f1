"""The command that a report prints is the one that was typed, quoted for a shell."""

import shlex

import pytest

from normfield.cli.command_line import command_line


@pytest.mark.parametrize("program", ["/usr/bin/normfield", "/x/normfield/__main__.py"])
def test_what_was_typed_can_be_typed_again(monkeypatch, program):
    typed = ["diagnose", "--data", "my data.npz", "--html", "it's; rm -rf.html"]
    monkeypatch.setattr("sys.argv", [program, *typed])
    assert shlex.split(command_line()) == ["normfield", *typed]


def test_other_programs_have_no_such_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/pytest", "-q"])
    assert command_line() == ""
