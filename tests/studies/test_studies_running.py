"""Running, keeping and reading: nothing finished is lost or computed twice, and nothing of another run is touched."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace

import pytest

import normfield as nf
from normfield.errors import InvalidInput
from normfield.report import Series, Table, lines
from normfield.studies import Check, Size, Study, Verdict
from normfield.studies.folder import cell, cell_text, read_table
from normfield.studies.groups import each_alone, one_by_one, sharing


def counting_study(calls, groups=each_alone):
    """Squares of whole numbers; each computed row is noted in ``calls``, where an exception may be planted."""

    def measure(settings, point):
        calls.append(point["n"])
        if calls.count("stop") and point["n"] == 3:
            calls.remove("stop")
            raise KeyboardInterrupt
        return {"square": float(point["n"] ** 2), "word": 'a, "b"'}

    return Study(
        name="wei-fig-1",  # a name that the catalogue knows
        title="Squares",
        citation="Nobody 2000",
        link="https://example.org",
        claim="Squares are squares.",
        background="A square is a product.",
        setting="Whole numbers.",
        differences=(),
        sizes={"smoke": Size("five", "nothing", 5), "small": Size("six", "nothing", 6)},
        points=lambda settings, seed: [{"n": n + seed} for n in range(settings)],
        groups=groups,
        measure=one_by_one(measure),
        draw=lambda rows: (
            lines([Series("s", [r["n"] for r in rows], [r["square"] for r in rows])], "n", "n²"),
        ),
        tabulate=lambda rows: Table("Squares", ["n", "n²"], [(r["n"], r["square"]) for r in rows]),
        verdict=lambda rows: Verdict(
            "So.", (Check("It is 16.", rows[4]["square"], "", "16", rows[4]["square"] == 16),)
        ),
    )


def files(folder):
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_an_interrupted_run_keeps_its_rows_and_goes_on(tmp_path):
    calls = ["stop"]
    study = counting_study(calls)
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path)
    assert [row["n"] for row in read_table(tmp_path / "table.csv")] == [0, 1, 2]
    assert json.loads((tmp_path / "result.json").read_text())["complete"] is False
    del calls[:]
    found = nf.run_study(study, folder=tmp_path)
    assert calls == [3, 4]
    assert [dict(row) for row in found.rows] == [dict(row) for row in nf.run_study(study).rows]
    assert found.verdict.outcome == "held"


def in_pairs(points):
    """0 with 2 and 1 with 3, as no table would have them in order, and what is left."""
    return [[points[0], points[2]], [points[1], points[3]], points[4:]]


def test_groups_are_kept_as_wholes_and_the_table_comes_out_in_order(tmp_path):
    calls = ["stop"]
    study = counting_study(calls, in_pairs)
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path)
    assert calls == [0, 2, 1, 3]
    assert [row["n"] for row in read_table(tmp_path / "table.csv")] == [0, 2], (
        "1 was measured with 3 and is not kept"
    )
    del calls[:]
    found = nf.run_study(study, folder=tmp_path)
    assert calls == [1, 3, 4]
    assert [row["n"] for row in found.rows] == [0, 1, 2, 3, 4]
    assert found.rows == nf.run_study(study).rows


def test_a_group_of_which_a_part_is_on_disk_is_measured_again_and_no_row_doubled(tmp_path):
    calls = []
    study = counting_study(calls, in_pairs)
    nf.run_study(study, folder=tmp_path / "whole")
    calls.append("stop")
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path / "part")
    table = tmp_path / "part" / "table.csv"
    table.write_text(table.read_text()[:-7])  # killed while it wrote the second line of two
    del calls[:]
    found = nf.run_study(study, folder=tmp_path / "part")
    assert calls == [0, 2, 1, 3, 4]
    assert table.read_bytes() == (tmp_path / "whole" / "table.csv").read_bytes()
    assert [row["n"] for row in found.rows] == [0, 1, 2, 3, 4]


def test_progress_names_the_rows_of_a_group_and_what_they_share():
    def points(settings, seed):
        return [{"n": n, "half": n // 3} for n in range(settings)]

    shared = replace(counting_study([], sharing("half")), points=points)
    seen = []
    nf.run_study(shared, progress=seen.append)
    assert seen == [
        "wei-fig-1, smoke: rows 1 to 3 of 5 (half 0)",
        "wei-fig-1, smoke: rows 4 to 5 of 5 (half 1)",
    ]


def test_points_that_share_columns_are_one_group_in_the_order_of_points():
    points = [{"a": a, "b": b, "c": a * b} for b in (2, 1) for a in (0, 1)]
    assert sharing("a")(points) == [[points[0], points[2]], [points[1], points[3]]]
    assert sharing("b", "a")(points) == each_alone(points)
    assert sharing()(points) == [points]


def test_a_finished_run_is_neither_computed_nor_written_again(tmp_path):
    calls = []
    study = counting_study(calls)
    first = nf.run_study(study, folder=tmp_path)
    before = files(tmp_path)
    del calls[:]
    again = nf.run_study(study, folder=tmp_path)
    assert calls == []
    assert files(tmp_path) == before
    assert again.rows == first.rows
    assert again.seconds == first.seconds


def test_only_a_missing_page_is_drawn_again(tmp_path):
    study = counting_study([])
    nf.run_study(study, folder=tmp_path)
    page = (tmp_path / "page.html").read_bytes()
    (tmp_path / "page.html").unlink()
    nf.run_study(study, folder=tmp_path)
    assert (tmp_path / "page.html").read_bytes() == page


def test_half_a_line_is_cut_off_and_computed_again(tmp_path):
    calls = ["stop"]
    study = counting_study(calls)
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path)
    table = tmp_path / "table.csv"
    table.write_text(table.read_text()[:-7])  # killed within the last line
    del calls[:]
    found = nf.run_study(study, folder=tmp_path)
    assert calls == [2, 3, 4]
    assert [row["square"] for row in found.rows] == [0, 1, 4, 9, 16]


def test_a_header_cut_in_half_begins_anew(tmp_path):
    calls = ["stop"]
    study = counting_study(calls)
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path)
    (tmp_path / "table.csv").write_text("n,squ")
    del calls[:]
    assert len(nf.run_study(study, folder=tmp_path).rows) == 5
    assert calls == [0, 1, 2, 3, 4]


def test_progress_names_each_row():
    seen = []
    nf.run_study(counting_study([]), progress=seen.append)
    assert seen[0] == "wei-fig-1, smoke: row 1 of 5 (n 0)"
    assert len(seen) == 5


@pytest.mark.parametrize(("size", "seed"), [("small", 0), ("smoke", 1)])
def test_a_folder_of_another_run_is_refused_and_untouched(tmp_path, size, seed):
    study = counting_study([])
    nf.run_study(study, folder=tmp_path)
    before = files(tmp_path)
    with pytest.raises(InvalidInput) as told:
        nf.run_study(study, size, seed, tmp_path)
    assert str(told.value) == (
        f"expected a folder of wei-fig-1, size {size}, seed {seed}, got wei-fig-1, size smoke, seed 0 in {tmp_path}; "
        "choose another folder"
    )
    assert files(tmp_path) == before


def test_rows_of_other_versions_are_not_mixed(tmp_path):
    study = counting_study(["stop"])
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(study, folder=tmp_path)
    result = tmp_path / "result.json"
    result.write_text(result.read_text().replace('"normfield": "', '"normfield": "9'))
    with pytest.raises(InvalidInput, match=r"expected a folder of normfield .*, got normfield 9"):
        nf.run_study(study, folder=tmp_path)


def test_a_table_of_something_else_is_refused_and_untouched(tmp_path):
    (tmp_path / "table.csv").write_text("my,own\n1,2\n")
    with pytest.raises(
        InvalidInput, match=r"expected an empty folder, .* with a table.csv of something else"
    ):
        nf.run_study("wei-fig-1", folder=tmp_path)
    assert (tmp_path / "table.csv").read_text() == "my,own\n1,2\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(
        InvalidInput, match=r"expected a folder that can be written, .*taken, got File exists"
    ):
        nf.run_study("wei-fig-1", folder=taken)
    assert taken.read_text() == "mine"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: nf.study("ntk-spektrum"),
            f"expected a study: {', '.join(nf.study_names())}, got 'ntk-spektrum'; did you mean ntk-spectrum?",
        ),
        (
            lambda: nf.study("zzz"),
            f"expected a study: {', '.join(nf.study_names())}, got 'zzz'",
        ),
        (lambda: nf.run_study(3), "expected a study's name or a Study, got int"),
        (
            lambda: nf.run_study("wei-fig-1", "huge"),
            "expected size smoke, small, paper, got 'huge'; smoke takes seconds",
        ),
        (
            lambda: nf.run_study("wei-fig-1", seed=-1),
            "expected seed as a whole number from 0 to 2³¹ − 1, got -1",
        ),
        (
            lambda: nf.run_study("wei-fig-1").plot(4),
            "expected the number of a figure, 0 to 3, got 4",
        ),
    ],
)
def test_bad_input_is_one_line(call, message):
    with pytest.raises(InvalidInput) as told:
        call()
    assert str(told.value) == message


@pytest.mark.parametrize("seed", [-1, 1.0, True, "0"])
def test_a_bad_seed_leaves_no_folder(tmp_path, seed):
    with pytest.raises(InvalidInput, match="expected seed"):
        nf.run_study("wei-fig-1", seed=seed, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_reading_says_what_is_wrong(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"expected a folder that a study was run into, got no result.json in"
    ):
        nf.read_study(tmp_path)
    nf.run_study("wei-fig-1", folder=tmp_path)
    with pytest.raises(
        InvalidInput, match="expected a folder of theory-against-measurement, got wei-fig-1 in"
    ):
        nf.read_study(tmp_path, "theory-against-measurement")
    table = tmp_path / "table.csv"
    text = table.read_text()
    table.write_text(text.replace("plain_eigenvalue", "flat_eigenvalue"))
    with pytest.raises(
        InvalidInput, match="got one without plain_eigenvalue; run the study into another folder"
    ):
        nf.read_study(tmp_path)
    table.write_text("\n".join(text.splitlines()[:-1]) + "\n")
    with pytest.raises(InvalidInput, match="got one without 18 rows, of which 17 are there"):
        nf.read_study(tmp_path)
    table.write_text(text + "1,2\n")
    with pytest.raises(InvalidInput, match=r"expected 8 cells in line 20 of .*, got 2"):
        nf.read_study(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"expected the result.json of a study in .*, got JSONDecodeError"):
        nf.read_study(tmp_path)


def test_an_unfinished_study_is_not_shown(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        nf.run_study(counting_study(["stop"]), folder=tmp_path)
    with pytest.raises(InvalidInput) as told:
        nf.read_study(tmp_path)
    assert "got 3 rows of wei-fig-1; finish it with normfield study run wei-fig-1 --size smoke" in str(
        told.value
    )


@pytest.mark.parametrize(
    "value",
    [None, "", "word", "a,b", 'say "1"', "1", "true", "null", "NaN", 1, -2.5, 1e-300, 0.1, True, False],
)
def test_cells_come_back_as_they_were(value):
    back = cell(cell_text(value))
    assert back == value
    assert type(back) is type(value)


def test_cells_that_are_not_finite_come_back():
    assert cell(cell_text(math.inf)) == math.inf
    assert math.isnan(cell(cell_text(math.nan)))


def test_nothing_is_left_beside_the_three_files(tmp_path):
    nf.run_study("wei-fig-1", folder=tmp_path / "deep" / "down")
    assert sorted(os.listdir(tmp_path / "deep" / "down")) == ["page.html", "result.json", "table.csv"]
