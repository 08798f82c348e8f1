"""A page for readers on a phone, on paper, with a keyboard, or who listen to it."""

from __future__ import annotations

import itertools

import pytest

from normfield.report import Code, Column, Facts, Fold, Page, Section, Statement, Table, write


@pytest.fixture
def wide_page(tmp_path):
    """Tables of one long column and of many, a fold, code."""
    long = "a sentence of many words that no phone shows on one line, and_an_identifier_" + "x" * 90
    tables = [
        Table("One column", ["what it says"], [[long]]),
        Table(
            "Many",
            [Column(f"column {i}") for i in range(9)],
            [[f"row {r}", *range(8)] for r in range(3)],
            [long],
        ),
        Table("Two", ["a", "b"], [[long, 1.5], ["b", 2.5]]),
    ]
    sections = [
        Section("", [Statement(long, long)]),
        Section("Tables", tables),
        Section(
            "Folded", [Fold("Every run", [Facts([("fact", long)]), tables[1]]), Code(long + "\nsecond line")]
        ),
    ]
    return write(Page("A page", long, sections), tmp_path / "page.html")


@pytest.mark.parametrize("width", [320, 390])
def test_nothing_goes_on_sideways_on_a_phone(browser, wide_page, width):
    driver = browser.open(wide_page, width=width)
    driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.scroll')].map((box) => [box.scrollWidth, box.clientWidth])"
    )
    assert all(inner <= outer for inner, outer in boxes)


def test_a_wide_table_becomes_cards_with_each_value_beside_its_header(browser, wide_page):
    driver = browser.open(wide_page, width=390)
    cells = driver.execute_script(
        "return [...document.querySelectorAll('section > .stacks tbody tr')[1].cells].map((c) => ["
        "c.getBoundingClientRect().top, getComputedStyle(c, '::before').content, c.textContent])"
    )
    assert [text for _, _, text in cells] == ["row 1", *map(str, range(8))]
    assert [label for _, label, _ in cells[1:]] == [f'"column {i}"' for i in range(1, 9)]
    tops = [top for top, _, _ in cells]
    assert all(a < b for a, b in itertools.pairwise(tops))
    driver = browser.open(wide_page, width=1200)
    tops = driver.execute_script(
        "return [...document.querySelectorAll('section > .stacks tbody tr')[1].cells]"
        ".map((c) => c.getBoundingClientRect().top)"
    )
    assert len(set(tops)) == 1


STRUCTURE = """
const all = (query) => [...document.querySelectorAll(query)];
const count = (query, wrong) => all(query).filter(wrong).length;
const ids = all("[id]").map((e) => e.id).filter((id) => !/svg|clip|legend/.test(id));
return {
  lang: document.documentElement.lang,
  title: document.title,
  headings: all("h1, h2, h3, h4").map((h) => Number(h.tagName[1])),
  landmarks: ["header", "main", "nav", "footer"].map((name) => all(`body > ${name}, header > ${name}`).length),
  wrong: [
    count("th", (th) => !th.scope),
    count("table", (table) => !table.caption || !table.caption.textContent.trim()),
    count("th, h1, h2, h3, summary, button, a", (e) => !(e.textContent.trim() || e.ariaLabel)),
    ids.length - new Set(ids).size,
  ],
  figures: all("figure").map((figure) => {
    const plot = figure.querySelector(".plot");
    const rows = figure.querySelectorAll("details table tbody tr").length;
    return [figure.ariaLabel, plot.getAttribute("role"), plot.ariaLabel, rows];
  }),
}"""


def test_a_page_has_landmarks_an_order_of_headings_and_words_for_every_figure(browser, sample_page, tmp_path):
    driver = browser.open(write(sample_page, tmp_path / "page.html"))
    found = driver.execute_script(STRUCTURE)
    assert found["lang"] == "en"
    assert found["title"] == sample_page.title
    assert found["headings"][0] == 1
    assert found["headings"].count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(found["headings"]))
    assert found["landmarks"] == [1, 1, 1, 1]
    assert found["wrong"] == [0, 0, 0, 0]
    assert len(found["figures"]) == 3
    for name, role, words, rows in found["figures"]:
        assert name
        assert role == "img"
        assert sum(letter.isdigit() for letter in words) >= 3
        assert rows >= 3


def test_the_numbers_of_a_figure_open_from_the_keyboard(browser, sample_page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    driver = browser.open(write(sample_page, tmp_path / "page.html"))
    summary = driver.find_element("css selector", "figure summary")
    cell = driver.find_element("css selector", "figure details td")
    assert not cell.is_displayed()
    summary.send_keys(Keys.ENTER)
    assert cell.is_displayed()


def test_everything_that_can_be_reached_can_be_seen_to_be(browser, sample_page, tmp_path):
    from selenium.webdriver.common.keys import Keys

    driver = browser.open(write(sample_page, tmp_path / "page.html"))
    body, seen = driver.find_element("css selector", "body"), []
    for _ in range(12):
        body.send_keys(Keys.TAB) if not seen else driver.switch_to.active_element.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        outline = driver.execute_script(
            "const s = getComputedStyle(arguments[0]); return [s.outlineStyle, parseFloat(s.outlineWidth)]",
            active,
        )
        seen.append(active.get_attribute("outerHTML")[:60])
        assert outline[0] != "none", seen[-1]
        assert outline[1] >= 1, seen[-1]
    assert len(set(seen)) > 8


def test_the_page_prints_black_on_white_with_its_figures_whole(browser, sample_page, tmp_path):
    driver = browser.open(write(sample_page, tmp_path / "page.html"), scheme="dark")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    driver.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    found = driver.execute_script(
        "const s = getComputedStyle(document.body);"
        "const wide = [...document.querySelectorAll('.main-svg')].map((e) => e.getBoundingClientRect().width);"
        "const hidden = ['.save', 'nav', '.numbers'].map((q) => document.querySelector(q).getClientRects().length);"
        "const whole = [...document.querySelectorAll('figure')].map((f) => getComputedStyle(f).breakInside);"
        "return [s.color, s.backgroundColor, Math.max(...wide), hidden, whole]"
    )
    settled = driver.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]("
        "Math.max(...[...document.querySelectorAll('.main-svg')].map((e) => e.getBoundingClientRect().width)))))"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert found[0] == "rgb(0, 0, 0)"
    assert found[1] == "rgb(255, 255, 255)"
    assert 0 < found[2] <= 680  # the width of A4 between its margins, in CSS pixels
    assert settled == found[2], (
        "the end of the dark scheme, which paper does not have, must not draw them anew"
    )
    assert found[3] == [0, 0, 0]
    assert set(found[4]) == {"avoid"}


def test_readers_who_want_no_motion_get_none(browser, sample_page, tmp_path):
    driver = browser.open(write(sample_page, tmp_path / "page.html"))
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    moving = driver.execute_script(
        "return [...document.querySelectorAll('body *')].filter((e) => {"
        "const s = getComputedStyle(e);"
        "return parseFloat(s.transitionDuration) > 0 || s.animationName !== 'none'; }).length"
    )
    assert moving == 0
