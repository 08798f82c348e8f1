from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.report import Band, Estimate, Mark, Series, bars, estimates, lines


def curve(name="s", **kw):
    return Series(name, [1, 10, 100], [1.0, 0.1, 0.01], **kw)


def drawn(figure, kind="lines"):
    return [trace for trace in figure.data if trace.get("mode") == kind and "fill" not in trace]


def test_lines_are_a_figure_that_plotly_accepts():
    tinted = curve(low=[0.9, 0.09, 0.009], high=[1.1, 0.11, 0.011])
    figure = lines(
        [tinted, curve("m", style="markers"), curve("d", style="dashed")],
        "x",
        "y",
        log_x=True,
        log_y=True,
        marks=[Mark(20, "here"), Mark(0.1, "level", axis="y")],
        bands=[Band(2, 4, "b")],
    )
    plotly = figure.to_plotly()
    assert len(plotly.data) == 4
    assert plotly.layout.xaxis.type == plotly.layout.yaxis.type == "log"
    assert [entry.name for entry in figure.legend] == ["s", "m", "d"]
    assert plotly.data[-1].line.dash == "dash"


def test_bars_are_a_figure_that_plotly_accepts():
    figure = bars(["a", "b"], {"w": [1, 2], "γ": [None, 4]}, value_title="λ_max")
    plotly = figure.to_plotly()
    assert [list(trace.x) for trace in plotly.data] == [[1, 2], [None, 4]]
    assert plotly.layout.barmode == "relative"


def test_json_equals_what_was_drawn():
    x = [0.1 + 0.2, 1 / 3]
    data = json.loads(lines([Series("s", x, np.array(x) * 2)], "x", "y").to_json())["data"]
    assert data[0]["x"] == x
    assert data[0]["y"] == [2 * v for v in x]


def test_what_is_not_finite_is_a_gap():
    figure = lines([Series("s", [1, 2, 3, 4], [1.0, math.inf, math.nan, None])], "x", "y")
    assert figure.data[0]["y"] == [1.0, None, None, None]


def test_what_is_not_positive_is_a_gap_on_a_logarithmic_axis():
    figure = lines([Series("s", [0, 1, 2], [1.0, -1.0, 2.0])], "x", "y", log_x=True, log_y=True)
    assert figure.data[0]["x"] == [None, 1.0, 2.0]
    assert figure.data[0]["y"] == [1.0, None, 2.0]


def test_a_band_encloses_its_line_and_breaks_at_a_gap():
    series = Series("s", [1, 2, 3, 4, 5], [1] * 5, low=[0, 0, None, 0, 0], high=[2, 3, 2, 4, 5])
    areas = [trace for trace in lines([series], "x", "y").data if trace.get("fill") == "toself"]
    assert [(area["x"], area["y"]) for area in areas] == [
        ([1, 2, 2, 1], [2, 3, 0, 0]),
        ([4, 5, 5, 4], [4, 5, 0, 0]),
    ]


def test_markers_have_error_bars_instead():
    series = Series("s", [1, 2], [1, 2], "markers", low=[0.5, None], high=[3, 2.5])
    (trace,) = lines([series], "x", "y").data
    assert trace["error_y"]["array"] == [2, 0.5]
    assert trace["error_y"]["arrayminus"] == [0.5, 0]


def test_a_group_has_one_colour_and_one_entry():
    figure = lines([curve("a", group="calm"), curve("b", group="calm"), curve("c", group="wild")], "x", "y")
    traces = drawn(figure)
    assert [entry.name for entry in figure.legend] == ["calm", "wild"]
    assert [trace["showlegend"] for trace in traces] == [True, False, True]
    assert traces[0]["line"]["color"] == traces[1]["line"]["color"] != traces[2]["line"]["color"]
    assert [trace["customdata"][0][0] for trace in traces] == ["a", "b", "c"]


def test_beyond_the_palette_the_dash_tells_series_apart():
    traces = drawn(lines([curve(str(i)) for i in range(15)], "x", "y"))
    assert len({(trace["line"]["color"], trace["line"]["dash"]) for trace in traces}) == 15


def labels_above(figure):
    """Rows taken by each label above the plot, from its shift and its number of lines."""
    return [
        (a["yshift"], a["yshift"] + 17 * (a["text"].count("<br>") + 1)) for a in figure.layout["annotations"]
    ]


def test_labels_of_near_marks_do_not_overlap():
    marks = [
        Mark(v, f"mark number {i} with quite a long name") for i, v in enumerate([0.030, 0.031, 0.0305, 0.9])
    ]
    figure = lines([Series("s", [0.01, 1], [1, 2])], "x", "y", log_x=True, marks=marks)
    spans = sorted(labels_above(figure))
    assert all(top <= bottom for (_, top), (bottom, _) in itertools.pairwise(spans))
    assert figure.layout["meta"]["top"] >= spans[-1][1]


def test_no_line_crosses_the_label_of_a_neighbour():
    marks = [Mark(v, "m") for v in (0.1, 0.2, 0.3)]
    figure = lines([Series("s", [0, 1], [1, 2])], "x", "y", marks=marks)
    rows = {a["x"]: a["yshift"] for a in figure.layout["annotations"]}
    assert all(a["xanchor"] == "left" for a in figure.layout["annotations"])
    assert rows[0.1] > rows[0.2] > rows[0.3]


def test_marks_on_a_logarithmic_axis_stand_at_their_value():
    figure = lines([curve()], "x", "y", log_x=True, marks=[Mark(10.0, "ten")])
    line = next(shape for shape in figure.layout["shapes"] if shape["y1"] == 1)
    assert line["x0"] == line["x1"] == 10.0
    assert figure.layout["annotations"][0]["x"] == pytest.approx(1.0)


def test_two_bars_of_one_name_stay_two():
    figure = bars(["Dense", "Dense"], {"w": [1, 2]}, value_title="v")
    assert len(set(figure.data[0]["y"])) == 2
    assert [text.strip() for text in figure.layout["yaxis"]["ticktext"]] == ["Dense", "Dense"]


def test_every_figure_says_what_it_shows():
    words = lines([curve("theory"), curve("run")], "γ", "rate", marks=[Mark(2, "yours")], title="A title").alt
    assert words == (
        "A title. Chart of rate against γ. theory: from 1 at 1 to 0.01 at 100. run: from 1 at 1 to 0.01 at 100. "
        "Marked: yours at 2."
    )
    assert str(bars(["a"], {"w": [1]}, value_title="v")) == "Bars of v: a 1."
    stacked = bars(["a", "b"], {"w": [1, None], "u": [3, None]}, value_title="v")
    assert str(stacked) == "Bars of v: a 4 (mostly u), b no value."
    assert lines([curve()], "x", "y", alt="mine").alt == "mine"


def test_the_words_give_extremes_and_error_bars():
    swing = lines([Series("s", [0, 1, 2, 3], [1.0, 5.0, 0.5, 2.0])], "x", "y").alt
    assert swing == "Chart of y against x. s: from 1 at 0 to 2 at 3, between 0.500 and 5.".replace(
        "0.500", "0.5"
    )
    point = lines([Series("p", [2], [3.0], "markers", [2.5], [4.0])], "x", "y").alt
    assert "p: 3 at 2 (from 2.5 to 4)." in point
    assert "s: no value." in lines([Series("s", [1], [None]), curve("t")], "x", "y").alt


def test_every_figure_has_its_numbers_as_a_table():
    shared = lines([curve("a"), curve("b")], "x", "y", title="t").table
    assert [column.header for column in shared.columns] == ["x", "a", "b"]
    assert shared.rows[1] == (10, 0.1, 0.1)
    apart = lines([curve("a"), Series("p", [3], [0.5], "markers", [0.4], [0.7])], "x", "y").table
    assert apart.rows[-1] == ("p", 3, 0.5, 0.4, 0.7)
    stacked = bars(["l"], {"w": [1 / 3], "u": [None]}, value_title="v").table
    assert stacked.rows == (("l", 1 / 3, None),)


def test_a_long_series_is_thinned_with_its_ends_kept_and_says_so():
    table = lines([Series("s", range(1000), range(1000))], "x", "y").table
    assert len(table.rows) == 60
    assert (table.rows[0], table.rows[-1]) == ((0, 0), (999, 999))
    assert table.footnotes == ("60 of 1000 points, evenly spread.",)


def test_estimates_stand_on_one_axis_with_their_bars():
    rows = [
        Estimate("theory", 0.08, 0.06, 0.1, "estimate"),
        Estimate("bound", 0.5, bound=True),
        Estimate("trained", 0.1, note="observed"),
    ]
    figure = estimates(rows, "η", marks=[Mark(0.04, "try")], title="answers")
    plotly = figure.to_plotly()
    assert [trace.x[0] for trace in plotly.data] == [0.08, 0.5, 0.1]
    assert plotly.data[0].error_x.array[0] == pytest.approx(0.02)
    assert plotly.data[0].error_x.arrayminus[0] == pytest.approx(0.02)
    assert plotly.data[1].marker.symbol == "triangle-left"
    low, high = plotly.layout.xaxis.range
    assert low < math.log10(0.04) < math.log10(0.5) < high
    assert figure.alt == (
        "answers. η on one logarithmic axis. theory, estimate: 0.08 (0.06 to 0.1); bound: at most 0.5; "
        "trained, observed: 0.1. Marked: try at 0.04."
    )
    assert figure.table.rows[1] == ("bound", "upper bound", 0.5, None, None)


def test_estimates_that_nearly_agree_still_have_a_decade_of_axis():
    low, high = estimates([Estimate("a", 1.0), Estimate("b", 1.01)], "η").layout["xaxis"]["range"]
    assert high - low == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimates([], "η"), "expected at least one estimate to draw, got none"),
        (
            lambda: Estimate("a", 0.0),
            r"expected positive finite numbers in the estimate 'a', got 0.0, None, None",
        ),
        (lambda: Estimate("a", math.inf), r"expected positive finite numbers in the estimate 'a'"),
        (lambda: Estimate("a", 1.0, 0.5), r"expected both low and high of the estimate 'a', or neither"),
        (
            lambda: Series("s", [1, 2], [1]),
            r"expected as many values in y as in x \(2\) of series 's', got 1",
        ),
        (
            lambda: Series("s", [1], [1], low=[0]),
            r"expected both low and high of series 's', or neither, got one",
        ),
        (lambda: Series("s", [1], [1], hover=["a", "b"]), r"as many values in hover as in x \(1\)"),
        (lambda: Series("s", [1], [1], "zigzag"), r"expected style line, dashed or markers, got 'zigzag'"),
        (
            lambda: Series("s", 3, [1]),
            r"expected a sequence of numbers as x of series 's', got int; give a list",
        ),
        (
            lambda: Series("s", ["a"], [1]),
            r"expected numbers or None as x of series 's', got str; convert it",
        ),
        (
            lambda: Mark(math.inf, "m"),
            r"expected a finite number to mark on an axis, got inf; leave the mark out",
        ),
        (lambda: Mark(1, "m", "z"), r"expected axis x or y, got 'z'"),
        (lambda: Band(2, 1), r"expected a band with low not above high, got 2 and 1; swap them"),
        (
            lambda: lines([], "x", "y"),
            r"expected at least one series to draw, got none; leave the figure out",
        ),
        (
            lambda: lines([Series("s", [1], [0])], "x", "loss", log_y=True),
            r"expected at least one positive value on the axis 'loss', got none; draw it on a linear axis",
        ),
        (
            lambda: lines([curve()], "x", "y", log_x=True, marks=[Mark(0, "m")]),
            r"expected a positive value to mark on a logarithmic axis, got 0",
        ),
        (
            lambda: bars([], {"w": []}, value_title="v"),
            r"expected at least one label and one kind of bar, got none",
        ),
        (
            lambda: bars(["a"], {"w": [1, 2]}, value_title="v"),
            r"expected a value of 'w' for each of the 1 labels, got 2",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


def test_a_line_of_one_point_is_a_marker():
    figure = lines([Series("one", [1, 2], [3, None]), Series("two", [1, 2], [3, 4])], "x", "y")
    assert [trace["mode"] for trace in figure.data] == ["markers", "lines"]
    assert [entry.style for entry in figure.legend] == ["markers", "line"]
