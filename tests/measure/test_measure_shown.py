"""How a curvature shows itself."""

import dataclasses

import numpy as np
import pytest
import torch

import normfield as nf


@pytest.fixture(scope="module")
def found():
    torch.manual_seed(0)
    x, y = torch.randn(30, 6), torch.randn(30, 3)
    return nf.curvature(torch.nn.Linear(6, 3), (x, y))


def test_the_plot_holds_every_eigenvalue_and_the_mean(found):
    figure = found.plot()
    assert list(figure.data[0].y) == pytest.approx(found.eigenvalues)
    assert list(figure.data[0].x) == list(range(1, len(found.eigenvalues) + 1))
    mean = [shape for shape in figure.layout.shapes if shape.y0 == shape.y1 == found.cluster_mean]
    assert len(mean) == 1
    assert "Fisher" in figure.layout.title.text


def test_a_notebook_shows_them_as_a_table(found):
    markup = found._repr_html_()
    for value in found.eigenvalues:
        assert f'data-value="{float(value)!r}"' in markup
    assert "<script" not in markup


def test_nothing_found_is_not_drawn(found):
    empty = dataclasses.replace(found, eigenvalues=np.array([]), status="budget spent")
    with pytest.raises(
        nf.InvalidInput, match="at least one eigenvalue to draw, got budget spent; give it a larger"
    ):
        empty.plot()
