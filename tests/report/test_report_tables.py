from __future__ import annotations

import io
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from normfield.errors import InvalidInput
from normfield.report import Column, Table, print_table, table_html, table_text

VALUES = [0.1 + 0.2, 1 / 3, 6.02e23, -5e-324, 7, math.inf]


class Cells(HTMLParser):
    """Every cell as (tag, attributes, text)."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.cells: list[list] = []
        self.tags: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.cells:
            self.cells[-1][2] += data


def sample() -> Table:
    rows = [
        ["theory", 0.0312345, True, "infinite width, the statistics of the batch, random weights"],
        ["kernel", None, False, "not yet"],
    ]
    return Table(
        "Answers", ["answer", Column("rate", "1/step"), "stands", "what it assumes"], rows, ["kernel: later"]
    )


def printed(table: Table, **console) -> str:
    stream = io.StringIO()
    print_table(table, Console(file=stream, color_system=None, **console))
    return stream.getvalue()


def test_plain_text_lines_up():
    expected = """\
Answers

answer  rate (1/step)  stands  what it assumes
──────  ─────────────  ──────  ───────────────────────────────────────────────────────────
theory         0.0312  yes     infinite width, the statistics of the batch, random weights
kernel              –  no      not yet

kernel: later"""
    assert table_text(sample()) == expected
    assert str(sample()) == expected


def test_wide_letters_take_two_columns():
    lines = table_text(Table("t", ["name", "n"], [["漢字", 1], ["ab", 2]])).splitlines()
    assert lines[-2:] == ["漢字  1", "ab    2"]


def test_a_pipe_gets_plain_text_whatever_its_width():
    assert printed(sample(), width=20, force_terminal=False) == table_text(sample()) + "\n"


def test_a_pipe_gets_a_hundred_letters_a_line_and_every_word():
    words = " ".join(f"word{i}" for i in range(40))
    table = Table("t", ["name", "n", "note"], [["a", 1, words], ["b", 2, "short"]], [words])
    shown = printed(table, width=20, force_terminal=False)
    assert max(map(len, shown.splitlines())) <= 100
    assert all(shown.split().count(f"word{i}") == 2 for i in range(40))
    row = next(line for line in shown.splitlines() if line.startswith("a"))
    below = shown.splitlines()[shown.splitlines().index(row) + 1]
    assert below.index("word") == row.index("word0")
    assert table_text(table).splitlines()[4].endswith("word39")


@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_wraps_words_and_keeps_numbers(width):
    shown = printed(sample(), width=width, force_terminal=True)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "0.0312" in shown
    assert "kernel: later" in shown
    assert " ".join(sample().rows[0][3].split()[:2]) in shown


def test_a_narrow_terminal_gets_one_block_per_row():
    shown = printed(sample(), width=24, force_terminal=True)
    assert "theory\n  rate (1/step): 0.0312\n  stands: yes\n" in shown
    assert "kernel\n  rate (1/step): –\n" in shown


def test_names_are_not_read_as_markup_of_the_terminal():
    table = Table("[red]t[/red]", ["[b]h"], [["[link=x]c[/link] :smile: \x1b[31m"]], ["[i]n"])
    for console in (
        {"width": 80, "force_terminal": True},
        {"width": 80, "force_terminal": False},
        {"width": 9, "force_terminal": True},
    ):
        shown = printed(table, **console).replace("\n", " ")
        assert "\x1b[31m" not in shown
    shown = printed(table, width=80, force_terminal=True)
    assert all(text in shown for text in ("[red]t[/red]", "[b]h", "[link=x]c[/link] :smile: �[31m", "[i]n"))


def test_html_carries_each_number_in_full():
    table = Table("t", ["name", "value"], [[f"row {i}", x] for i, x in enumerate(VALUES)])
    cells = [attrs for tag, attrs, _ in Cells(table_html(table)).cells if tag == "td"]
    assert [float(attrs["data-value"]) for attrs in cells] == VALUES
    assert all("number" in attrs["class"].split() and "right" in attrs["class"].split() for attrs in cells)


def test_html_of_numpy_numbers_has_plain_values():
    table = Table("t", ["name", "value"], [["a", np.float64(0.1)], ["b", np.int64(3)]])
    cells = [attrs["data-value"] for tag, attrs, _ in Cells(table_html(table)).cells if tag == "td"]
    assert cells == ["0.1", "3"]


def test_html_names_rows_columns_and_itself():
    page = Cells(table_html(sample()))
    scopes = [attrs["scope"] for tag, attrs, _ in page.cells if tag == "th"]
    assert scopes == ["col"] * 4 + ["row"] * 2
    assert page.tags.count("caption") == 1
    missing = next(attrs for tag, attrs, _ in page.cells if attrs.get("data-value") == "")
    assert "missing" in missing["class"]


def test_html_escapes_every_name():
    evil = '"><script>x()</script>'
    table = Table(evil, [Column(evil, evil)], [[evil]], [evil])
    page = Cells(table_html(table))
    assert "script" not in page.tags
    assert page.cells[-1][2].startswith(evil)


def test_a_column_may_choose_its_side_and_digits():
    table = Table("t", [Column("a", align="right"), Column("b", digits=6)], [["x", 1 / 3]])
    assert table_text(table).splitlines()[-1] == "x  0.333333"
    assert 'scope="col" role="columnheader" class="right"' in table_html(table)
    assert ">0.333333<" in table_html(table)


def test_a_table_of_no_rows_is_still_a_table():
    table = Table("Nothing", ["a"], [])
    assert table_text(table).splitlines() == ["Nothing", "", "a", "─"]
    assert '<tbody role="rowgroup"></tbody>' in table_html(table)
    assert "Nothing" in printed(table, width=40, force_terminal=True)


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        ([], [], r"expected a table with at least one column, got none; name its columns"),
        (
            ["a", "b"],
            [[1, 2], [1]],
            r"expected 2 values in row 1 of the table, got 1; give one value per column",
        ),
        (["a", "b"], ["ab"], r"expected 2 values in row 0 of the table, got 'ab'"),
        (
            ["a"],
            [[[1]]],
            r"expected a string, a number, a boolean or None in a table's cell, got list; convert it",
        ),
    ],
)
def test_a_table_that_is_none_is_refused(columns, rows, message):
    with pytest.raises(InvalidInput, match=message):
        Table("t", columns, rows)
