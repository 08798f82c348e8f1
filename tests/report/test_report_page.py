from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from normfield.errors import InvalidInput
from normfield.report import (
    Card,
    Cards,
    Code,
    Facts,
    Figure,
    Finding,
    Findings,
    Fold,
    Html,
    Page,
    Section,
    Table,
    block_html,
    fragment_html,
    render,
    write,
)

EXECUTABLE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def test_the_policy_allows_the_pages_two_scripts_and_no_other(sample_page):
    document = render(sample_page)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', document).group(1)
    scripts = EXECUTABLE.findall(document)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(scripts) == 2
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none'")


def test_plotly_is_embedded_once_and_only_for_figures(sample_page):
    assert render(sample_page).count("plotly.js (cartesian - minified) v") == 1
    assert len(render(Page("t", sections=[Section("h", "words")]))) < 30_000


def test_a_page_with_figures_stays_small_enough_to_mail(sample_page):
    assert 1.4e6 < len(render(sample_page).encode()) < 2e6


def test_a_fold_and_code_are_shown_as_text_and_hold_no_figure(sample_page):
    folded = block_html(Fold("Every <run>", ["a <b>", Facts([("f", 1)])]))
    assert folded.startswith('<details class="fold"><summary>Every &lt;run&gt;</summary><p>a &lt;b&gt;</p>')
    assert block_html(Code("x < 1\ny")) == '<pre tabindex="0"><code>x &lt; 1\ny</code></pre>'
    figure = next(b for s in sample_page.sections for b in s.blocks if isinstance(b, Figure))
    with pytest.raises(InvalidInput, match="expected a fold without figures, got a Figure; put it beside"):
        block_html(Fold("s", [figure]))


def test_a_fragment_stands_by_itself_and_escapes():
    table = Table("t <b>", ["name", "v"], [["<script>x()</script>", 0.1 + 0.2]])
    markup = fragment_html("a & b", table, Findings([Finding("note", "s", 2)]))
    assert markup.startswith('<div class="normfield"><style>')
    assert "<script" not in markup
    assert "http" not in markup
    assert 'data-value="0.30000000000000004"' in markup
    assert "a &amp; b" in markup


def test_a_fragment_takes_no_figure(sample_page):
    figure = next(b for s in sample_page.sections for b in s.blocks if isinstance(b, Figure))
    with pytest.raises(
        InvalidInput, match=r"in a fragment, got Figure; show a figure with its own .plot\(\)"
    ):
        fragment_html(figure)


def test_the_data_are_in_the_page(sample_page):
    found = re.search(r'id="normfield-data">(.*?)</script>', render(sample_page)).group(1)
    assert json.loads(found) == sample_page.data


def test_a_string_is_a_paragraph_and_markup_is_said_to_be_so():
    assert block_html("a <b> & c") == "<p>a &lt;b&gt; &amp; c</p>"
    assert block_html(Html("<b>x</b>")) == "<b>x</b>"


def test_cards_findings_and_facts_carry_their_numbers():
    value = 0.1 + 0.2
    blocks = [Cards([Card("c", value)]), Findings([Finding("note", "s", value)]), Facts([("f", value)])]
    for block in blocks:
        assert f'data-value="{value!r}"' in block_html(block)
        assert ">0.300<" in block_html(block)


def test_a_missing_answer_has_a_dash_and_its_reason():
    markup = block_html(Cards([Card("Kernel", None, note="not yet", tone="absent")]))
    assert ">–<" in markup
    assert "not yet" in markup


def test_contents_are_listed_where_there_are_many_sections():
    few, many = ([Section(f"h{i}", "x") for i in range(n)] for n in (3, 4))
    assert "<nav" not in render(Page("t", sections=few))
    assert '<a href="#section-3">h3</a>' in render(Page("t", sections=many))


def test_a_page_is_frozen():
    page = Page("t")
    with pytest.raises(FrozenInstanceError):
        page.title = "u"


def test_writing_gives_the_rendered_page(tmp_path):
    page = Page("tïtle", sections=[Section("h", "words")])
    written = write(page, tmp_path / "page.html")
    assert written == tmp_path / "page.html"
    assert written.read_text(encoding="utf-8") == render(page)
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_written_page_has_the_permissions_of_any_file(tmp_path):
    (tmp_path / "other").touch()
    page = write(Page("t"), tmp_path / "page.html")
    assert stat.S_IMODE(page.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_write_that_fails_leaves_the_old_page(tmp_path, monkeypatch, step):
    target = write(Page("old"), tmp_path / "page.html")
    before = target.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(
        InvalidInput, match=r"expected a path that can be written, .*, got No space left on device"
    ):
        write(Page("new"), target)
    assert target.read_bytes() == before
    assert os.listdir(tmp_path) == ["page.html"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "missing/page.html",
            r"expected an existing folder for page.html, got .*missing; make the folder first",
        ),
        ("", r"expected the path of a file, got the folder .*; add a file's name"),
        ("x" * 300, r"expected a path that can be written"),
    ],
)
def test_a_path_that_cannot_be_written_is_refused(tmp_path, path, message):
    with pytest.raises(InvalidInput, match=message):
        write(Page("t"), tmp_path / path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Page(" "), r"expected a page with a title, got ' '; name the page"),
        (
            lambda: Page("t", sections=["x"]),
            r"expected sections of type Section, got str; wrap it in Section",
        ),
        (
            lambda: block_html(3),
            r"expected a Table, Figure, .* or a string in a section, got int; wrap markup in Html",
        ),
        (
            lambda: Card("h", 1, tone="loud"),
            r"expected a card's tone of plain, good, .*, got 'loud'; choose one",
        ),
        (
            lambda: Card("h", [1]),
            r"expected a card's value as a number, a string or None, got list; convert it first",
        ),
        (
            lambda: Finding("dire", "s"),
            r"expected a finding's severity of problem, warning, note, good, got 'dire'",
        ),
    ],
)
def test_what_no_page_can_hold_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_importing_the_report_loads_no_heavy_library():
    heavy = "plotly pandas rich numpy torch matplotlib"
    code = f"import sys, normfield.report; print([m for m in '{heavy}'.split() if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
