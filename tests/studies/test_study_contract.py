"""What every study must do; a new one inherits all of this by its name in the catalogue."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import normfield as nf
from normfield.report import Figure, Table, render
from normfield.studies import Verdict
from normfield.studies import catalogue as home
from normfield.studies.frame import SIZES

NAMES = nf.study_names()
FOLDER = Path(home.__file__).parent


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def smoke(name, smoke_results):
    return smoke_results[name][0]


def test_files_and_catalogue_name_the_same_studies():
    files = {
        path.stem for path in FOLDER.glob("*.py") if re.search(r"^STUDY\b", path.read_text("utf-8"), re.M)
    }
    assert files == {name.replace("-", "_") for name in NAMES}
    assert list(NAMES) == sorted(NAMES)


def test_it_says_what_it_is(name):
    one = nf.study(name)
    assert one.name == name
    assert tuple(one.sizes) == SIZES
    assert one.link.startswith("https://")
    assert re.search(r"\b(19|20)\d\d\b", one.citation), "a citation has a year"
    assert one.claim.count(". ") == 0, "a claim is one sentence"
    assert one.claim.endswith(".")
    for text in (one.title, one.background, one.setting, *one.differences):
        assert text.strip() == text != ""
    for size in one.sizes.values():
        assert size.words
        assert size.cost


def test_points_are_known_beforehand_and_all_different(name):
    one = nf.study(name)
    counts = []
    for size in SIZES:
        points = [dict(point) for point in one.points(one.settings(size), 0)]
        assert len({json.dumps(point) for point in points}) == len(points)
        assert points == [dict(point) for point in one.points(one.settings(size), 0)]
        counts.append(len(points))
    assert counts == sorted(counts), "a larger size computes no less"


def test_every_point_is_in_one_group(name):
    one = nf.study(name)
    for size in SIZES:
        points = [json.dumps(point) for point in one.points(one.settings(size), 0)]
        groups = one.groups(one.points(one.settings(size), 0))
        assert sorted(json.dumps(point) for group in groups for point in group) == sorted(points)


def test_the_table_has_a_row_for_each_point_and_no_gap(smoke):
    points = smoke.study.points(smoke.study.settings("smoke"), 0)
    assert [dict(point).items() <= dict(row).items() for point, row in zip(points, smoke.rows, strict=True)]
    assert len({tuple(row) for row in smoke.rows}) == 1, "all rows have the same columns"
    for row in smoke.rows:
        exploded = row.get("diverged", 0) > 0
        for value in row.values():
            assert isinstance(value, str | int | float) or (value is None and exploded), "a gap has a reason"
            assert not isinstance(value, float) or math.isfinite(value)


def test_the_same_point_gives_the_same_row(smoke):
    settings = smoke.study.settings("smoke")
    group = smoke.study.groups(smoke.study.points(settings, 0))[0]
    again = {**group[0], **smoke.study.measure(settings, group)[0]}
    assert again.keys() == smoke.rows[0].keys()
    for key, value in smoke.rows[0].items():
        assert again[key] == (pytest.approx(value, rel=1e-4) if isinstance(value, float) else value)


def test_it_draws_with_words_for_those_who_cannot_see(smoke):
    figures = smoke.study.draw(smoke.rows)
    assert figures
    for figure in figures:
        assert isinstance(figure, Figure)
        assert figure.title
        assert figure.alt
    assert isinstance(smoke.study.tabulate(smoke.rows), Table)
    assert smoke.plot().data


def test_drawing_and_judging_leave_the_table_as_it_is(smoke):
    before = [dict(row) for row in smoke.rows]
    smoke.study.draw(smoke.rows)
    smoke.study.verdict(smoke.rows)
    assert [dict(row) for row in smoke.rows] == before


def scaled(value, factor):
    """A gap stays a gap."""
    return None if value is None else value * factor


def upside_down(rows, columns):
    return [
        {**row, **{name: other[name] for name in columns}}
        for row, other in zip(rows, reversed(rows), strict=True)
    ]


def falsified(study, rows):
    """Tables in which one column is scaled, everywhere or in the latter half, held constant, upside down, or a copy of
    another; and all columns upside down at once.
    """
    known = set(study.points(study.settings("smoke"), 0)[0])
    numbers = [key for key, value in rows[0].items() if key not in known and isinstance(value, float)]
    counts = [key for key, value in rows[0].items() if key not in known and type(value) is int]
    for column in numbers + counts:
        yield [{**row, column: rows[0][column]} for row in rows]
        yield upside_down(rows, [column])
    yield upside_down(rows, rows[0].keys() - known)
    for column in numbers:
        for factor in (1e-3, 0.3, 0.6, 0.95, 1.05, 1.5, 3.0, 1e3):
            for first in (0, len(rows) // 2):
                yield [
                    {**row, column: scaled(row[column], factor)} if k >= first else dict(row)
                    for k, row in enumerate(rows)
                ]
        for other in numbers:
            yield [{**row, column: row[other]} for row in rows]


def test_every_check_can_hold_and_can_fail(smoke):
    study = smoke.study
    verdicts = [study.verdict(rows) for rows in falsified(study, smoke.rows)]
    assert {len(verdict.checks) for verdict in verdicts} == {len(smoke.verdict.checks)}
    for number, check in enumerate(smoke.verdict.checks):
        outcomes = {verdict.checks[number].held for verdict in verdicts} | {check.held}
        assert outcomes == {True, False}, f"nothing changes the check: {check.sentence}"


def test_the_outcome_can_differ(smoke):
    outcomes = {smoke.study.verdict(rows).outcome for rows in falsified(smoke.study, smoke.rows)}
    assert len(outcomes) > 1


def test_a_table_without_numbers_holds_nothing(smoke):
    known = set(smoke.study.points(smoke.study.settings("smoke"), 0)[0])
    rows = [{key: value if key in known else math.nan for key, value in row.items()} for row in smoke.rows]
    verdict = smoke.study.verdict(rows)
    assert verdict.outcome == "did not hold"
    assert not any(check.held for check in verdict.checks)


def test_the_verdict_gives_numbers_and_criteria(smoke):
    verdict = smoke.verdict
    assert isinstance(verdict, Verdict)
    assert re.search(r"\d", verdict.sentence)
    assert verdict.of("paper"), "some check is on the paper's claim"
    for check in verdict.checks:
        assert math.isfinite(check.value)
        assert check.unit
        assert check.criterion
        assert re.search(r"\d", check.sentence)


def test_the_page_says_claim_size_verdict_and_what_was_not_run(smoke):
    text = re.sub(r"<[^>]+>", "", render(smoke.page()))
    assert smoke.study.title in text
    assert smoke.verdict.outcome in text
    assert "size smoke" in text
    assert text.count("not run for this page") == len(SIZES) - 1
    assert f"normfield study run {smoke.study.name} --size smoke --seed 0" in text
    assert "What the paper claims" in text


def test_results_are_frames_json_and_words(smoke):
    frame = smoke.to_frame()
    assert frame.shape == (len(smoke.rows), len(smoke.rows[0]))
    found = json.loads(smoke.to_json())
    assert found["study"] == smoke.study.name
    assert found["verdict"]["outcome"] == smoke.verdict.outcome
    assert found["table"] == [dict(row) for row in smoke.rows]
    assert set(found["versions"]) == {"normfield", "python", "torch", "numpy", "scipy"}
    assert smoke.verdict.sentence in str(smoke)
    assert "<table" in smoke._repr_html_()


def test_what_was_kept_is_what_was_found(name, smoke_results):
    smoke, folder = smoke_results[name]
    assert {path.name for path in folder.iterdir()} == {"table.csv", "result.json", "page.html"}
    again = nf.read_study(folder)
    assert [dict(row) for row in again.rows] == [dict(row) for row in smoke.rows]
    assert again.verdict == smoke.verdict
    assert again.provenance == smoke.provenance


def test_the_page_opens_without_error_on_a_phone_in_the_dark(name, smoke_results, browser):
    driver = browser.open(smoke_results[name][1] / "page.html", width=390, scheme="dark")
    assert browser.errors() == []
    asked = [address for address in browser.requests() if not address.startswith("data:")]
    assert len(asked) == 1, "the page alone is asked for"
    assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    plots = driver.execute_script("return document.querySelectorAll('.plot .main-svg').length")
    assert plots >= len(smoke_results[name][0].figures)


def test_a_study_of_theory_alone_never_waits_for_torch():
    code = "import sys, normfield as nf; nf.run_study('wei-fig-1'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
