"""The gallery is what its script makes of the kept tables, and the tables are what the studies compute."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import normfield as nf

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "studies"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_gallery", ROOT / "docs" / "make_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept():
    return [nf.read_study(KEPT / name, name) for name in nf.study_names()]


def test_every_study_is_kept_and_nothing_else():
    assert {path.name for path in KEPT.iterdir()} == set(nf.study_names())


def test_the_page_is_what_the_script_writes(script, kept):
    assert (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8") == script.gallery_text(kept)


def same_today(result, row):
    """A row computed again; measured numbers differ between machines in their last digits, trained ones in more."""
    settings = result.study.settings(result.size)
    points = result.study.points(settings, result.seed)
    group = next(group for group in result.study.groups(points) if points[row] in group)
    today = result.study.measure(settings, group)[group.index(points[row])]
    for key, value in today.items():
        if key == "products" or isinstance(value, str) or value is None:
            continue
        trained = key.startswith("trained")
        assert value == pytest.approx(result.rows[row][key], rel=0.1 if trained else 2e-3, abs=1e-3), key


@pytest.mark.parametrize(
    ("name", "row"), [("wei-fig-1", 0), ("wei-fig-1", -1), ("theory-against-measurement", 0)]
)
def test_kept_rows_are_what_is_computed_today(name, row):
    same_today(nf.read_study(KEPT / name, name), row)


@pytest.mark.long
@pytest.mark.parametrize("name", nf.study_names())
def test_first_kept_rows_of_all_studies_are_what_is_computed_today(name):
    same_today(nf.read_study(KEPT / name, name), 0)


def test_pictures_are_there_and_light():
    shown = re.findall(
        r"\]\((images/[^)#]+)#only", (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    )
    assert len(shown) == 2 * len(nf.study_names())
    for path in (*shown, "images/leading-light.png", "images/leading-dark.png"):
        size = (ROOT / "docs" / path).stat().st_size
        assert 10_000 < size < 450_000, path


def test_the_readme_leads_with_the_figure_and_its_numbers(kept):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    place = text.index("docs/images/leading-light.png")
    assert place < text.index("## Start")
    leading = next(result for result in kept if result.study.name == "theory-against-measurement").figures[0]
    for number in re.findall(r"\d\.\d\d", leading.title):
        assert number in text[: text.index("## Start")]
