"""Contrast of text at least 4.5 : 1, of lines 3 : 1, in light, dark and on paper [WCAG 2.2, 1.4.3 and 1.4.11]."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from normfield.report.palette import GRID, INK, MUTED, PAPER, SERIES, dark_twins

TEXT, GRAPHICS = 4.5, 3.0


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def style_sheets() -> dict[str, dict[str, str]]:
    """The variables of each :root in the page's style sheet: light, dark, paper."""
    text = (resources.files("normfield.report") / "assets" / "page.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    assert len(roots) == 3
    found = [dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", root)) for root in roots]
    return dict(zip(("light", "dark", "paper"), found, strict=True))


def test_the_formula_gives_the_standards_extremes():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("scheme", ["light", "dark", "paper"])
def test_every_colour_of_text_stands_out_from_paper_and_sheet(scheme):
    colours = style_sheets()[scheme]
    for name in ("ink", "muted", "accent", "good", "caution", "bad"):
        for ground in ("paper", "sheet"):
            assert contrast(colours[name], colours[ground]) >= TEXT, (name, ground)


def test_figures_stand_out_from_the_page_in_both_schemes():
    sheets, twins = style_sheets(), dark_twins()
    assert sheets["light"]["paper"] == PAPER
    assert twins[PAPER] == sheets["dark"]["paper"]
    for colour in (INK, MUTED):
        assert contrast(colour, PAPER) >= TEXT
        assert contrast(twins[colour], twins[PAPER]) >= TEXT
    for colour in SERIES:
        assert contrast(colour, PAPER) >= GRAPHICS, colour
        assert contrast(twins[colour], twins[PAPER]) >= GRAPHICS, colour
    assert contrast(GRID, PAPER) < 1.5


CONTRASTS = """
const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const ground = (el) => {
  for (let at = el; at; at = at.parentElement) {
    const c = rgb(getComputedStyle(at).backgroundColor);
    if (c.length === 3 || (c.length === 4 && c[3] > 0.99)) return c.slice(0, 3);
  }
  return null;
};
const found = [];
for (const el of document.querySelectorAll("body *")) {
  const words = [...el.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const shown = el.getClientRects().length && !el.closest("script, .unseen, .skip, noscript, .swatch");
  if (!words || !shown) continue;
  const inPlot = el.closest("svg");
  const colour = rgb(inPlot ? getComputedStyle(el).fill : getComputedStyle(el).color).slice(0, 3);
  found.push([el.tagName + "." + (el.getAttribute("class") || ""), el.textContent.slice(0, 30), colour, ground(el)]);
}
return found"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_of_a_page_as_drawn_can_be_read(browser, sample_page, tmp_path, scheme):
    from normfield.report import write

    driver = browser.open(write(sample_page, tmp_path / "page.html"), scheme=scheme)
    driver.execute_script("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    found = driver.execute_script(CONTRASTS)
    assert len(found) > 100
    assert any(name.startswith("text") for name, *_ in found)  # of plots
    for name, words, colour, ground in found:
        fore, back = ("#" + "".join(f"{round(c):02x}" for c in each) for each in (colour, ground))
        assert contrast(fore, back) >= TEXT, (name, words, fore, back)
