"""Hostile names change neither a page's structure nor the numbers in it."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from normfield.report import (
    Card,
    Cards,
    Code,
    Column,
    Estimate,
    Facts,
    Finding,
    Findings,
    Fold,
    Mark,
    Page,
    Section,
    Series,
    Statement,
    Table,
    bars,
    estimates,
    fragment_html,
    lines,
    render,
    write,
)

HOSTILE = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 2</script>",
    "]]><script>window.hit = 3</script>",
    "<!--<script>",
    "\"' onload='window.hit = 4' `x`",
    "\u202eabc\u202c \u200bzero\u200d\ufeff \u2066",
    "emoji 👩‍👩‍👧 🏴",
    "nul \x00 bell \x07 esc \x1b[31m",
    "x" * 5000,
    "${window.hit = 5} {{1}} %{x} &lt; &amp;",
    "</style><style>*{display:none}",
    "\u2028\u2029\x85",
    "javascript:window.hit=6",
]
names = st.one_of(
    st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
).filter(lambda text: text.strip())


class Structure(HTMLParser):
    """Tags with the names of their attributes, in order; the content of scripts apart."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, *(key for key, _ in attrs)))

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data):
        self.tags.append(("comment",))


def page(name: str) -> Page:
    figure = lines(
        [Series(name, [1, 2], [1, 2]), Series(name + "2", [1, 2], [2, 1])],
        name,
        name,
        title=name,
        caption=name,
    )
    stack = bars([name, "b"], {name: [1, 2], name + "2": [1, 2]}, value_title=name, title=name, alt=name)
    axis = estimates(
        [Estimate(name, 1.0, 0.5, 2.0, name)], name, marks=[Mark(1.0, name)], title=name, caption=name
    )
    blocks = [
        Statement(name, name),
        Cards([Card(name, name, name, name, name)]),
        Findings([Finding("note", name, name, name)]),
        Fold(name, [Facts([(name, name)]), name]),
        Code(name),
        Table(name, [Column(name, name), *"abc"], [[name, 1, 2, 3]], [name]),
        figure,
        stack,
        axis,
        name,
    ]
    return Page(name, name, [Section(name, blocks, name)], {name: name, "list": [name]}, name)


def structure(name: str) -> list[tuple]:
    """Of the page without what typesetting adds to some words: subscripts, unbroken numbers, long facts, wide cells."""
    document = render(page(name)).split('id="normfield-palette"')[0]  # the page's own scripts follow
    found = Structure(document).tags
    return [
        tag for tag in found if tag[0] not in ("sub", "/sub") and tag not in (("span", "class"), ("/span",))
    ]


PLAIN = [(tag[0], *(a for a in tag[1:] if a != "class")) for tag in structure("n")]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names)
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[7])
def test_no_name_changes_the_structure_of_a_page(name):
    found = [(tag[0], *(a for a in tag[1:] if a != "class")) for tag in structure(name)]
    assert found == PLAIN


@settings(max_examples=25, deadline=None)
@given(names, st.floats(allow_nan=False, allow_infinity=False))
def test_the_data_in_the_page_are_the_data_given(name, number):
    data = {"name": name, "numbers": [number], name: {name: name}}
    document = render(Page("t", data=data))
    inside = document.split('id="normfield-data">')[1].split("</script>")[0]
    assert json.loads(inside) == data


@settings(max_examples=25, deadline=None)
@given(names)
def test_no_name_leaves_a_fragment(name):
    given_name = Structure(fragment_html(name, Facts([(name, name)]), Table(name, [name], [[name]]))).tags
    plain = Structure(fragment_html("n", Facts([("n", "n")]), Table("n", ["n"], [["n"]]))).tags
    loose = [t for t in given_name if t[0] not in ("sub", "/sub", "span", "/span")]
    assert [t[0] for t in loose] == [t[0] for t in plain if t[0] not in ("span", "/span")]


@pytest.mark.parametrize("name", HOSTILE[:4] + HOSTILE[5:6])
def test_a_browser_runs_none_of_them_and_the_page_fits_a_phone(browser, tmp_path, name):
    written = write(page(name), tmp_path / "page.html")
    driver = browser.open(written, width=390)
    assert driver.execute_script("return window.hit") is None
    assert browser.errors() == []
    assert browser.requests() == [written.as_uri()]
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    assert driver.execute_script("return document.querySelectorAll('.main-svg').length") >= 3
    kept = driver.execute_script("return document.getElementById('normfield-data').textContent")
    assert json.loads(kept) == page(name).data
