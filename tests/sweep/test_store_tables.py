"""What comes out of a store as tables: frames, CSV, Parquet, JSON lines."""

import csv
import json
import math
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from small_stores import drive, make_store, outcome

from normfield.errors import InvalidInput, StoreError
from normfield.sweep import Outcome, Store
from normfield.sweep.store.tables import Column

COLUMNS = ["key", "group", "gamma", "seed", "status", "loss", "strange", "error", "seconds", "attempts"]


@pytest.fixture
def store(tmp_path):
    with make_store(tmp_path / "s.db", 24) as made:
        drive(made)
        yield made


def _of(path, rows):
    """A store with these values, in one group."""
    points = [{"axis": place} for place in range(len(rows))]
    keys = [f"key-{place}" for place in range(len(rows))]
    store = Store.create(
        path, axes=["axis"], points=points, groups=[range(len(rows))], keys=keys, settings={}
    )
    store.commit(0, [Outcome(row) for row in rows])
    return store


def test_the_frame_has_a_row_for_each_finished_trial(store):
    store.add([{"gamma": 0.0, "seed": 99}], [[0]], ["not finished"])
    frame = store.to_frame()
    assert list(frame.columns) == COLUMNS
    assert list(frame["key"]) == [f"key-{place}" for place in range(24)]
    assert list(frame["group"]) == [place // 4 for place in range(24)]
    assert list(frame["gamma"]) == [0.1 * place for place in range(24)]
    given = [outcome(place) for place in range(24)]
    losses = [each.values.get("loss", math.nan) for each in given]
    np.testing.assert_array_equal(frame["loss"], np.array(losses))
    assert list(frame["error"].dropna()) == [each.error for each in given if each.error]
    assert list(frame["seconds"]) == [each.seconds for each in given]


def test_the_frames_columns_have_the_types_of_their_cells(tmp_path):
    first = {"real": 1.5, "both": 1, "whole": 3, "gaps": None, "truth": True, "text": "a", "mixed": 1}
    second = {
        "real": math.inf,
        "both": 0.5,
        "whole": 2**60,
        "gaps": 2,
        "truth": False,
        "text": None,
        "mixed": "1",
    }
    rows = [first | {"none": None}, second | {"none": None}]
    with _of(tmp_path / "s.db", rows) as store:
        frame = store.to_frame()
    types = {
        name: str(frame[name].dtype) for name in ("real", "both", "whole", "gaps", "truth", "mixed", "none")
    }
    assert types == {
        "real": "float64",
        "both": "float64",
        "whole": "int64",
        "gaps": "Int64",
        "truth": "bool",
        "mixed": "object",
        "none": "object",
    }
    assert list(frame["whole"]) == [3, 2**60]
    assert list(frame["mixed"]) == [1, "1"]
    assert frame["gaps"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("kinds", "type_"),
    [("", "none"), ("n", "none"), ("bn", "truth"), ("il", "whole"), ("fi", "real"), ("s", "text")]
    + [(kinds, "mixed") for kinds in ("h", "fl", "bi", "fs")],
)
def test_a_column_is_of_the_narrowest_type_that_is_exact(kinds, type_):
    assert Column("any", kinds).type == type_


def test_an_empty_frame_has_the_columns_and_types_too(tmp_path):
    with make_store(tmp_path / "s.db") as empty:
        types = empty.to_frame().dtypes
    assert list(types.index) == ["key", "group", "gamma", "seed", "error", "seconds", "attempts"]
    assert [str(types[name]) for name in ("group", "gamma", "seed", "seconds")] == [
        "int64",
        "float64",
        "int64",
        "float64",
    ]


def test_curves_come_as_a_long_table(store):
    frame = store.curves_frame()
    assert list(frame.columns) == ["key", "group", "curve", "epoch", "value"]
    expected = [
        (f"key-{place}", name, epoch, math.nan if value is None else value)
        for place in range(24)
        for name, curve in sorted(outcome(place).curves.items(), key=lambda item: item[0] != "train")
        for epoch, value in enumerate(curve, 1)
    ]
    assert list(frame["key"]) == [row[0] for row in expected]
    assert list(frame["curve"]) == [row[1] for row in expected]
    assert list(frame["epoch"]) == [row[2] for row in expected]
    np.testing.assert_array_equal(frame["value"], np.array([row[3] for row in expected]))


def test_csv_reads_back_to_the_same_numbers(store, tmp_path):
    store.export(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    for place, row in enumerate(rows):
        given = outcome(place)
        assert float(row["gamma"]) == 0.1 * place
        assert row["loss"] == repr(given.values["loss"]) if given.values else row["loss"] == ""
        strange = given.values.get("strange")
        assert row["strange"] == ("" if strange is None else str(strange))
    assert rows[1]["strange"] == "inf"
    assert rows[0]["strange"] == "nan"


def test_parquet_keeps_missing_nan_and_infinite_apart(tmp_path):
    rows = [{"loss": math.nan}, {"loss": None}, {"loss": -math.inf}, {"loss": 0.1 + 0.2}, {}]
    with _of(tmp_path / "s.db", rows) as store:
        store.export(tmp_path / "t.parquet")
    found = pq.read_table(tmp_path / "t.parquet")
    assert repr(found["loss"].to_pylist()) == "[nan, None, -inf, 0.30000000000000004, None]"
    assert str(found.schema.field("axis").type) == "int64"


def test_parquet_has_typed_columns_and_mixed_ones_as_text(store, tmp_path):
    store.export(tmp_path / "trials.parquet")
    found = pq.read_table(tmp_path / "trials.parquet")
    types = {field.name: str(field.type) for field in found.schema}
    assert types == {
        "key": "string",
        "group": "int64",
        "gamma": "double",
        "seed": "int64",
        "status": "string",
        "loss": "double",
        "strange": "string",
        "error": "string",
        "seconds": "double",
        "attempts": "int64",
    }
    expected = [
        "NaN",
        "Infinity",
        "-Infinity",
        None,
        "-0.0",
        "5e-324",
        "0.30000000000000004",
        "1",
        "1.0",
        "true",
    ]
    assert found["strange"].to_pylist()[:10] == expected
    assert found["loss"].to_pylist() == [outcome(place).values.get("loss") for place in range(24)]


def test_json_lines_are_read_by_any_reader_and_say_why_a_number_is_missing(store, tmp_path):
    store.export(tmp_path / "trials.jsonl")

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    lines = (tmp_path / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [row["loss"] for row in rows] == [outcome(place).values.get("loss") for place in range(24)]
    assert (rows[0]["strange"], rows[0]["strange_reason"]) == (None, "not a number")
    assert rows[1]["strange_reason"] == "infinite"
    assert rows[2]["strange_reason"] == "minus infinity"
    assert "strange_reason" not in rows[3]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_curves_and_empty_tables_can_be_exported(store, tmp_path, suffix):
    store.export_curves(tmp_path / f"curves.{suffix}")
    read = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "json": lambda path: pd.read_json(path, lines=True),
    }[suffix]
    found = read(tmp_path / f"curves.{suffix}")
    assert len(found) == sum(len(curve) for place in range(24) for curve in outcome(place).curves.values())
    with make_store(tmp_path / "empty.db") as empty:
        empty.export(tmp_path / f"empty.{suffix}")
    assert (tmp_path / f"empty.{suffix}").exists()


def test_an_existing_file_is_replaced_only_when_that_is_asked_for(store, tmp_path):
    target = tmp_path / "t.CSV"
    target.write_text("mine")
    with pytest.raises(
        InvalidInput, match=r"expected a new file to export to, got \S+t.CSV, which is there; allow"
    ):
        store.export(target)
    assert target.read_text() == "mine"
    store.export(target, overwrite=True)
    assert target.read_text().startswith("key,group,")


def test_an_export_that_fails_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("normfield.sweep.store.text_files._line", full)
    with pytest.raises(
        StoreError, match=r"t.jsonl could not be written \(No space left on device\); the store is un"
    ):
        store.export(tmp_path / "t.jsonl")
    assert not [path for path in tmp_path.iterdir() if "jsonl" in path.name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("t.xlsx", r"expected a name that ends in .csv, .parquet, .json, .jsonl, got t.xlsx"),
        ("nowhere/t.csv", r"expected a folder to export to, got \S+nowhere; create it"),
    ],
)
def test_a_place_that_cannot_be_written_is_named(store, tmp_path, name, message):
    with pytest.raises(InvalidInput, match=message):
        store.export(tmp_path / name)


def test_parquet_without_pyarrow_is_one_clear_line(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        InvalidInput, match=r"expected pyarrow, to write Parquet, got none; pip install 'normfield\[par"
    ):
        store.export(tmp_path / "t.parquet")
    store.export(tmp_path / "t.csv")


def test_many_chunks_make_one_table(tmp_path):
    rows = [
        {"loss": 1 / (1 + place), "half": place} if place % 2 else {"loss": 0.5} for place in range(25_000)
    ]
    with _of(tmp_path / "s.db", rows) as store:
        store.export(tmp_path / "t.parquet")
        store.export(tmp_path / "t.csv")
        frame = store.to_frame()
    losses = [row["loss"] for row in rows]
    assert list(frame["loss"]) == losses
    assert pq.read_table(tmp_path / "t.parquet")["loss"].to_pylist() == losses
    assert pq.read_table(tmp_path / "t.parquet")["half"].to_pylist() == [row.get("half") for row in rows]
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [float(row["loss"]) for row in csv.DictReader(file)] == losses
