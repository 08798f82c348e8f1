"""How fields show themselves: figures and a notebook's table with the numbers of the field."""

import numpy as np
import pytest

import normfield as nf

FIELD = nf.mean_field(nf.mlp(64, 100, 4, 10))


def test_the_plot_of_a_field_holds_its_terms():
    figure = FIELD.plot()
    assert type(figure).__name__ == "Figure"
    drawn = sum(value for trace in figure.data for value in trace.x)
    assert drawn == pytest.approx(FIELD.largest_eigenvalue)
    weights = next(trace for trace in figure.data if trace.name == "weights")
    term = next(float(t.value) for t in FIELD.terms if (t.layer, t.kind) == (4, "weight"))
    assert weights.x[3] == pytest.approx(term)


def test_the_plot_of_order_parameters_holds_every_layer():
    figure = FIELD.order_parameters.plot()
    drawn = {trace.name.split(",")[0]: trace.y for trace in figure.data}
    assert list(drawn["q"]) == pytest.approx(FIELD.order_parameters.q)
    assert list(drawn["q̃"]) == pytest.approx(FIELD.order_parameters.q_tilde)
    assert figure.layout.yaxis.type == "log"


def test_a_grid_is_not_drawn_as_one_network():
    grid = nf.mean_field(nf.mlp(64, 100, 4, 10), gamma=np.array([0.5, 1.0]))
    with pytest.raises(
        nf.InvalidInput, match=r"the terms of one network to draw, got a grid of shape \(2,\); draw one"
    ):
        grid.plot()
    with pytest.raises(nf.InvalidInput, match="order parameters of one network"):
        grid.order_parameters.plot()
    assert "grid of shape (2,)" in grid._repr_html_()


def test_a_notebook_shows_the_terms_and_what_they_rest_on():
    markup = FIELD._repr_html_()
    assert f'data-value="{FIELD.largest_eigenvalue!r}"' in markup
    assert FIELD.assumption.split(";")[0] in markup
    assert "<script" not in markup
    assert markup.count("<tr") == 1 + 4
