"""Heat maps: cells where they belong, explosions hatched, lines labelled, bad input refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from normfield.errors import InvalidInput
from normfield.report import Page, Section, Series, heat_map, write
from normfield.report.palette import HEAT, PAPER, dark_twins

X, Y = [1.0, 10.0, 100.0], [0.1, 1.0]
VALUES = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def drawn(**changes):
    given = {
        "x": X,
        "y": Y,
        "values": VALUES,
        "x_title": "γ",
        "y_title": "η",
        "value_title": "loss",
    } | changes
    return heat_map(**given)


def cells(figure):
    return figure.to_plotly().data[0]


def test_plotly_takes_it_and_json_is_what_was_drawn():
    figure = drawn(
        log_x=True, log_y=True, hatched=[[0, 0, 0], [0, 1, 1]], series=[Series("η*", X, [0.5, 0.4, 0.2])]
    )
    data = json.loads(figure.to_json())["data"]
    assert [trace["type"] for trace in data] == ["heatmap", "scatter", "scatter", "scatter"]
    assert data[0]["z"] == [[1, 2, 3], [4, None, None]]
    assert len(figure.to_plotly().data) == 4


def test_borders_lie_half_way_on_each_kind_of_axis():
    trace = cells(drawn(log_x=True))
    np.testing.assert_allclose(np.log10(trace.x), [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_allclose(trace.y, [-0.35, 0.55, 1.45])


def test_a_lone_column_has_a_width():
    log, linear = (
        cells(drawn(x=[10.0], values=[[1], [2]], log_x=True)),
        cells(drawn(x=[10.0], values=[[1], [2]])),
    )
    assert log.x[0] < 10 < log.x[1]
    np.testing.assert_allclose(math.sqrt(log.x[0] * log.x[1]), 10)
    np.testing.assert_allclose(sum(linear.x) / 2, 10)


def test_values_in_any_order_land_at_their_place():
    shuffled = drawn(x=[100.0, 1.0, 10.0], y=[1.0, 0.1], values=[[6, 4, 5], [3, 1, 2]], log_x=True)
    assert json.loads(shuffled.to_json())["data"][0]["z"] == VALUES
    assert shuffled.to_json() == drawn(log_x=True).to_json()


def test_logarithmic_colours_have_the_values_themselves_as_ticks():
    trace = cells(drawn(values=[[0.01, 0.1, 1.0], [10.0, 0.0, -1.0]], log_values=True))
    np.testing.assert_allclose(trace.z[0], [-2, -1, 0])
    assert trace.z[1][1] is None
    assert trace.z[1][2] is None
    assert (trace.zmin, trace.zmax) == (-2, 1)
    for place, text in zip(trace.colorbar.tickvals, trace.colorbar.ticktext, strict=True):
        assert 10**place == pytest.approx(float(text))
    assert {"0.01", "0.1", "1", "10"} <= set(trace.colorbar.ticktext)


def test_limits_are_the_ends_of_the_colours():
    trace = cells(drawn(limits=(2, 5)))
    assert (trace.zmin, trace.zmax) == (2, 5)


def test_bright_is_high_or_low():
    high, low = cells(drawn()).colorscale, cells(drawn(bright="low")).colorscale
    assert [colour for _, colour in high] == list(HEAT)
    assert [colour for _, colour in low] == list(HEAT)[::-1]


def test_one_value_everywhere_can_be_drawn():
    trace = cells(drawn(values=np.ones((2, 3))))
    assert trace.zmin < trace.zmax


def test_hatched_cells_are_one_area_over_exactly_these_cells():
    mask = np.array([[False, False, True], [True, False, True]])
    figure = drawn(hatched=mask)
    area = figure.data[1]
    corners = [
        (
            min(area["x"][i : i + 5]),
            max(area["x"][i : i + 5]),
            min(area["y"][i : i + 5]),
            max(area["y"][i : i + 5]),
        )
        for i in range(0, len(area["x"]), 6)
    ]
    covered = [
        [any(left < x < right and low < y < high for left, right, low, high in corners) for x in X] for y in Y
    ]
    assert covered == mask.tolist()
    assert len(corners) == 2  # one for each column with some
    assert area["fillpattern"]["bgcolor"] == PAPER
    assert figure.legend[0].name == "exploded"
    assert figure.legend[0].style == "hatched"


def test_all_exploded_is_still_a_figure():
    figure = drawn(hatched=np.ones((2, 3)))
    assert "exploded: 6 cells" in figure.alt


def test_without_explosions_there_is_no_hatching_nor_its_word():
    figure = drawn(hatched=np.zeros((2, 3)))
    assert len(figure.data) == 1
    assert not figure.legend


def test_lines_have_a_border_of_paper_in_both_schemes_and_their_name_beside_them():
    line = Series("η*, published", X, [0.3, 0.3, 0.3], "dashed")
    figure = drawn(log_x=True, series=[line])
    border, stroke = figure.data[1:]
    assert border["line"]["color"] == PAPER
    assert PAPER in dark_twins()
    assert border["line"]["width"] > stroke["line"]["width"]
    assert (border["showlegend"], stroke["showlegend"]) == (False, True)
    (label,) = figure.layout["annotations"]
    assert label["text"] == "η*, published"
    assert 0 <= label["x"] <= 2
    assert label["y"] == pytest.approx(0.3)


def test_a_line_outside_the_cells_stands_only_in_the_legend():
    figure = drawn(series=[Series("far", X, [50, 60, 70])])
    assert not figure.layout["annotations"]
    assert [entry.name for entry in figure.legend] == ["far"]


def test_labels_of_lines_that_cross_do_not_overlap_and_hide_no_marker():
    x = np.logspace(-1, 0.5, 20)
    one = Series("one", x, 0.1 / x)
    two = Series("two", x, 0.1 / x**1.2)
    points = Series("points", x, 0.13 / x, "markers")
    figure = heat_map(
        x,
        np.logspace(-2, 0.3, 20),
        np.ones((20, 20)),
        "x",
        "y",
        "v",
        log_x=True,
        log_y=True,
        series=[one, two, points],
    )
    boxes = [_box(label) for label in figure.layout["annotations"]]
    assert len(boxes) == 2
    a, b = boxes
    assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]
    for px, py in zip(_across(np.log10(x)), _up(np.log10(0.13 / x)), strict=True):
        assert not any(left < px < right and low < py < high for left, right, low, high in boxes)


def _across(log_x):
    return 700 * (log_x + 1.0395) / (1.5 * 20 / 19)


def _up(log_y):
    return 330 * (log_y + 2.0605) / (2.3 * 20 / 19)


def _box(label):
    """Corners in pixels of a plot 700 wide and 330 high."""
    width, x, y = (
        7 * len(label["text"]),
        _across(label["x"]) + label["xshift"],
        _up(label["y"]) + label["yshift"],
    )
    left = {"left": x, "center": x - width / 2, "right": x - width}[label["xanchor"]]
    low = y if label["yanchor"] == "bottom" else y - 18
    return left, left + width, low, low + 18


def test_series_of_a_group_share_a_colour_and_a_place_in_the_legend():
    pair = [Series(f"net {i}", X, [0.2 * i] * 3, group="nets") for i in (1, 2)]
    figure = drawn(series=pair)
    strokes = [trace for trace in figure.data[1:] if trace["line"]["color"] != PAPER]
    assert len({trace["line"]["color"] for trace in strokes}) == 1
    assert [trace["showlegend"] for trace in strokes] == [True, False]
    assert [entry.name for entry in figure.legend] == ["nets"]


def test_words_are_an_axis_in_their_own_order():
    figure = drawn(x=["relu", "tanh", "erf"])
    assert figure.layout["xaxis"]["ticktext"] == ["relu", "tanh", "erf"]
    assert cells(figure).x == (-0.5, 0.5, 1.5, 2.5)


def test_few_columns_have_their_ticks_and_many_do_not():
    few = drawn(log_x=True).layout["xaxis"]
    assert few["tickvals"] == X
    many = drawn(x=list(range(1, 31)), values=np.ones((2, 30))).layout["xaxis"]
    assert "tickvals" not in many


def test_the_words_and_the_table_hold_the_numbers():
    figure = drawn(hatched=[[0, 0, 0], [0, 0, 1]], title="Map")
    assert figure.alt.startswith(
        "Map. Heat map of loss over γ (across) and η (up), 6 cells. Lowest 1 at (1, 0.1)"
    )
    assert "highest 5 at (10, 1)" in figure.alt
    assert [list(row) for row in figure.table.rows] == [["1", 4.0, 5.0, "exploded"], ["0.1", 1.0, 2.0, 3.0]]


def test_the_table_of_a_large_map_is_thinned_and_says_so():
    figure = drawn(x=range(100), y=range(90), values=np.ones((90, 100)))
    assert len(figure.table.rows) == 40
    assert "40 of 90 rows and 40 of 100 columns, evenly spread." in figure.table.footnotes


def test_hostile_names_stay_text():
    figure = drawn(value_title="<img src=x>", hatched=np.ones((2, 3)), hatched_name="<b>")
    assert "<img" not in figure.to_json()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"values": [[1, 2, 3]]},
            "2 rows (one for each y) of 3 values (one for each x) of 'loss', got 1 rows",
        ),
        ({"values": [[1, 2], [1, 2]]}, "got a row of 2"),
        ({"values": 3}, "expected a row of 'loss' for each y, in it a value for each x, got int"),
        ({"values": [["a", 1, 1], [1, 1, 1]]}, "expected numbers or None as row 0 of 'loss', got str"),
        ({"values": [[None] * 3] * 2}, "expected at least one finite value of 'loss', got none"),
        (
            {"values": [[-1] * 3] * 2, "log_values": True},
            "expected at least one positive value of 'loss', got none",
        ),
        ({"hatched": [[1]]}, "of 'exploded', got 1 rows"),
        ({"x": []}, "expected at least one value on the axis 'γ', got none"),
        ({"x": [1, 1, 2]}, "expected every value once on the axis 'γ', got 1 twice"),
        ({"x": [0, 1, 2], "log_x": True}, "expected positive values on the axis 'γ', got 0"),
        ({"x": ["a", "b", "c"], "log_x": True}, "expected numbers on the logarithmic axis 'γ', got words"),
        ({"y": [1, math.nan]}, "expected finite values on the axis 'η', got nan"),
        ({"limits": (2, 1)}, "expected limits (low, high) of the colours, low < high, got (2, 1)"),
        ({"limits": (0, 1), "log_values": True}, "0 < low < high, got (0, 1)"),
        ({"bright": "blue"}, 'expected bright "high" or "low", got \'blue\''),
    ],
)
def test_bad_input_is_refused_in_one_line(changes, message):
    with pytest.raises(InvalidInput) as refused:
        drawn(**changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_draws_it(browser, tmp_path, scheme):
    """The cells are an image, the hatching a pattern, and its word stands in the legend although it is alone there."""
    figure = drawn(log_x=True, hatched=[[0, 0, 0], [0, 1, 1]], title="Map")
    page = Page("Maps", sections=[Section("One", figure)])
    driver = browser.open(write(page, tmp_path / "page.html"), scheme=scheme)
    images = driver.execute_script("return document.querySelectorAll('.plot .hm image').length")
    patterns = driver.execute_script("return document.querySelectorAll('.plot pattern').length")
    keys = driver.execute_script("return [...document.querySelectorAll('.key')].map((k) => k.textContent)")
    assert (images, patterns, keys) == (1, 1, ["exploded"])
