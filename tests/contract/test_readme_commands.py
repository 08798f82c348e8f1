"""What README and guide show is true: commands run, flags exist, code prints what stands below it."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from normfield.cli.program import program

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/guide.md")
FENCE = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
QUICK = ("theory", "data", "study")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file name it is titled with, its text, and its page."""

    language: str
    title: str
    text: str
    page: str


def blocks() -> list[Block]:
    return [
        Block(found[1], found[2] or "", found[3], page)
        for page in PAGES
        for found in FENCE.finditer((ROOT / page).read_text(encoding="utf-8"))
    ]


def commands() -> list[str]:
    lines = [line for block in blocks() if block.language == "sh" for line in block.text.splitlines()]
    return sorted({line for line in lines if line.startswith("normfield ")})


def is_quick(command: str) -> bool:
    return shlex.split(command)[1] in QUICK


def run(arguments: list[str], folder: Path) -> str:
    """Standard output of a command in a folder that holds the guide's files and the examples; it must exit with 0."""
    for block in blocks():
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
    if not (folder / "examples").exists():
        (folder / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def normfield(command: str, folder: Path) -> str:
    return run([sys.executable, "-m", *shlex.split(command)], folder)


def assert_reads_the_same(shown: str, printed: str) -> None:
    """Same words; numbers, which differ in their last digits between machines, within 2 %."""
    assert NUMBER.sub("#", shown).split() == NUMBER.sub("#", printed).split()
    pairs = [tuple(map(float, NUMBER.findall(text))) for text in (shown, printed)]
    assert pairs[1] == pytest.approx(pairs[0], rel=0.02)


def test_there_is_something_to_check():
    shown = {shlex.split(command)[1] for command in commands()}
    assert shown == {
        "theory",
        "kernel",
        "measure",
        "critical",
        "diagnose",
        "data",
        "study",
        "suggest",
        "sweep",
        "inspect",
    }


@pytest.mark.parametrize("command", list(filter(is_quick, commands())))
def test_quick_commands_run(command, tmp_path):
    assert normfield(command, tmp_path).strip()


@pytest.mark.parametrize("command", commands())
def test_flags_that_are_shown_exist(command):
    name, *arguments = shlex.split(command)[1:]
    subcommand = program.get_command(click.Context(program), name)
    assert subcommand is not None
    given = subcommand.make_context(name, arguments).params
    assert given.keys() == {parameter.name for parameter in subcommand.params if parameter.expose_value}


@pytest.mark.parametrize("name", sorted({shlex.split(command)[1] for command in commands()}))
def test_help_shows_a_real_example(name, tmp_path):
    printed = normfield(f"normfield {name} --help", tmp_path)
    assert "Example:" in printed
    assert f"normfield {name}" in printed


@pytest.mark.long
@pytest.mark.parametrize("command", [c for c in commands() if not is_quick(c)])
def test_long_commands_run(command, tmp_path):
    assert normfield(command, tmp_path).strip()
    if "--html" in command:
        assert (tmp_path / "report.html").stat().st_size > 0


def printing() -> list[tuple[str, str]]:
    """Python in the README, with what stands below it."""
    readme = [block for block in blocks() if block.page == "README.md"]
    return [
        (one.text, two.text)
        for one, two in itertools.pairwise(readme)
        if (one.language, two.language) == ("python", "text")
    ]


@pytest.mark.parametrize(("code", "shown"), printing(), ids=["in Python", "while it trains"])
def test_python_in_the_readme_prints_what_stands_below_it(code, shown, tmp_path):
    assert_reads_the_same(shown, run([sys.executable, "-W", "error", "-c", code], tmp_path))


def test_curves_in_the_guide_have_the_shape_that_is_claimed():
    code = next(b.text for b in blocks() if b.page == "docs/guide.md" and "gamma=np" in b.text)
    names: dict = {}
    exec(code, names)
    assert names["rates"].shape == (100, 2)


def test_the_report_in_the_readme_is_there():
    shown = re.search(r'<img src="(.+?)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown is not None
    assert (ROOT / shown[1]).stat().st_size < 300_000


def test_links_between_pages_hold():
    for page in (*PAGES, "CONTRIBUTING.md", "docs/index.md", "docs/theory.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
