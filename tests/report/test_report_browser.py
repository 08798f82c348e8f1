"""Pages as a reader's browser shows them."""

from __future__ import annotations

import json
import struct
import time

import pytest

from normfield.report import (
    Band,
    Card,
    Cards,
    Column,
    Facts,
    Finding,
    Findings,
    Html,
    Mark,
    Page,
    Section,
    Series,
    Table,
    bars,
    lines,
    write,
)
from normfield.report.text import one_line

HOSTILE = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 2</script>",
    "<img src=x onerror='window.hit = 3'>",
    '" onmouseover="window.hit = 4" x=\'',
    "<a href='javascript:window.hit = 5'>x</a>",
    "<!--<script>",
    "{{constructor.constructor('window.hit = 6')()}} %{x} ${window.hit}",
    "naïve 漢字 \u202e \u2028 \x00 &lt; &amp;",
]

PLOT_SIZES = """
return [...document.querySelectorAll("figure.plate")].map((frame) => {
  const drawing = frame.querySelector(".main-svg").getBoundingClientRect();
  const marks = frame.querySelectorAll(".scatterlayer .js-line, .scatterlayer .point, .barlayer .point path");
  return [drawing.width, drawing.height, marks.length];
})"""


@pytest.fixture
def sample_file(sample_page, tmp_path):
    return write(sample_page, tmp_path / "page.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_needs_nothing_and_draws_everything(browser, sample_file, width, scheme):
    driver = browser.open(sample_file, width=width, scheme=scheme)
    sizes = driver.execute_script(PLOT_SIZES)
    assert browser.requests() == [sample_file.as_uri()]
    assert browser.errors() == []
    assert len(sizes) == 3
    assert all(0 < w <= min(width, 980) and h > 200 and marks > 0 for w, h, marks in sizes)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_numbers_shown_are_the_numbers_given(browser, sample_file, sample_page):
    driver = browser.open(sample_file)
    table = next(
        block for section in sample_page.sections for block in section.blocks if isinstance(block, Table)
    )
    given = [x for row in table.rows for x in row[1:4]]
    shown = driver.execute_script(
        "return [...document.querySelectorAll('section > .table td[data-value]')].map((c) => c.dataset.value)"
    )
    assert [None if text == "" else float(text) for text in shown] == given
    data = driver.execute_script("return document.getElementById('normfield-data').textContent")
    assert json.loads(data) == sample_page.data


def test_plots_follow_the_readers_colours(browser, sample_file):
    driver = browser.open(sample_file, scheme="light")
    colours = """return [...document.querySelectorAll(".plot")].map(
      (plot) => plot.data.at(-1).marker.color + plot.layout.font.color)"""
    day = driver.execute_script(colours)
    browser.set_scheme("dark")
    night = driver.execute_script(colours)
    browser.set_scheme("light")
    assert all(a != b for a, b in zip(day, night, strict=True))
    assert driver.execute_script(colours) == day


def test_the_legend_hides_and_shows_from_the_keyboard(browser, sample_file):
    from selenium.webdriver.common.keys import Keys

    driver = browser.open(sample_file)
    key = driver.find_element("css selector", ".key")
    count = "return document.querySelector('.plot').querySelectorAll('.barlayer .trace').length"
    before = driver.execute_script(count)
    key.send_keys(Keys.ENTER)
    assert key.get_attribute("aria-pressed") == "false"
    assert driver.execute_script(count) == before - 1
    key.send_keys(Keys.ENTER)
    assert driver.execute_script(count) == before


def test_the_first_tab_leads_to_the_content(browser, sample_file):
    from selenium.webdriver.common.keys import Keys

    driver = browser.open(sample_file)
    driver.find_element("css selector", "body").send_keys(Keys.TAB)
    link = driver.switch_to.active_element
    assert link.text == "Skip to the content"
    assert link.rect["x"] >= 0
    link.send_keys(Keys.ENTER)
    assert driver.switch_to.active_element.get_attribute("id") == "content"


def test_labels_of_a_plot_do_not_meet(browser, sample_file):
    driver = browser.open(sample_file, width=390)
    boxes = driver.execute_script("""
      return [...document.querySelectorAll(".annotation-text")].map((text) => {
        const box = text.getBoundingClientRect();
        return [box.left, box.top, box.right, box.bottom];
      })""")
    assert len(boxes) == 4
    apart = [
        a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] + 3 or b[3] <= a[1] + 3
        for i, a in enumerate(boxes)
        for b in boxes[i + 1 :]
    ]
    assert all(apart)
    assert all(left >= 0 and right <= 390 for left, _, right, _ in boxes)


def test_a_figure_is_saved_whole_for_slides(browser, sample_file, tmp_path):
    driver = browser.open(sample_file, scheme="dark")
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    driver.find_element("css selector", ".save").click()
    picture, deadline = tmp_path / "normfield.png", time.monotonic() + 20
    while not picture.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    width, height = struct.unpack(">II", picture.read_bytes()[16:24])
    assert width == 1920
    assert height > 600
    assert browser.errors() == []


def test_a_page_prints(browser, sample_file, tmp_path):
    driver = browser.open(sample_file, scheme="dark")
    before = driver.execute_script(PLOT_SIZES)
    paper = browser.pdf(tmp_path / "page.pdf").read_bytes()
    assert paper.startswith(b"%PDF")
    assert driver.execute_script(PLOT_SIZES) == before
    assert browser.errors() == []


def hostile_section(name: str) -> Section:
    figure = lines(
        [
            Series(name, [1, 2], [1, 2], hover=[name, name]),
            Series("b" + name, [1, 2], [2, 1], group=name + "g"),
        ],
        name,
        name,
        marks=[Mark(1.5, name), Mark(1.2, name, "y")],
        bands=[Band(1, 1.1, name)],
        title=name,
        caption=name,
        alt=name,
    )
    stack = bars([name, name], {name: [1, 2], name + "2": [1, 2]}, value_title=name, title=name, caption=name)
    blocks = [
        Cards([Card(name, name, name, name, name)]),
        Findings([Finding("note", name, name, name)]),
        Facts([(name, name)]),
        Table(name, [Column(name, name)], [[name]], [name]),
        figure,
        stack,
        name,
    ]
    return Section(name, blocks, name)


HOVER = """
const plots = document.querySelectorAll(`#section-${arguments[0]} .plot`);
Plotly.Fx.hover(plots[0], [{curveNumber: 0, pointNumber: 1}]);
return plots[0].querySelector(".hoverlayer").textContent"""


def without_blanks(text: str) -> str:
    return "".join(text.split())


def test_names_are_shown_and_never_run(browser, tmp_path):
    whole = " ".join(HOSTILE)
    page = Page(
        whole, whole, [hostile_section(name) for name in HOSTILE], {name: name for name in HOSTILE}, whole
    )
    written = write(page, tmp_path / "page.html")
    driver = browser.open(written)
    sizes = driver.execute_script(PLOT_SIZES)
    assert len(sizes) == 2 * len(HOSTILE)
    assert all(marks > 0 for _, _, marks in sizes)
    for i, name in enumerate(HOSTILE):
        heading = driver.execute_script(
            "return document.querySelector(`#section-${arguments[0]} h2`).textContent", i
        )
        assert heading == name.replace("\x00", "\ufffd").replace("\u202e", "\ufffd")
        assert without_blanks(one_line(name)) in without_blanks(driver.execute_script(HOVER, i))
    data = driver.execute_script("return document.getElementById('normfield-data').textContent")
    assert json.loads(data) == page.data
    assert (
        driver.execute_script("return document.querySelectorAll('main a, main img, main b > b').length") == 0
    )
    assert driver.execute_script("return window.hit") is None
    assert browser.errors() == []
    assert browser.requests() == [written.as_uri()]


def test_a_script_smuggled_into_markup_is_stopped_by_the_policy(browser, tmp_path):
    markup = Html(
        "<script>window.hit = 1</script><img src='http://localhost:9/x.png' onerror='window.hit = 2'>"
    )
    driver = browser.open(write(Page("t", sections=[Section("", [markup])]), tmp_path / "page.html"))
    assert driver.execute_script("return window.hit") is None
    assert len(browser.errors()) >= 2
