"""How a search for the critical learning rate shows itself."""

import dataclasses

import pytest
import torch

import normfield as nf

DATA = (torch.eye(2) * 2**0.5, torch.eye(2))


@pytest.fixture(scope="module")
def found():
    return nf.critical_learning_rate(
        torch.nn.Linear(2, 2), DATA, batch_size=None, momentum=0.0, epochs=60, restarts=1
    )


def test_the_plot_has_a_point_for_every_finished_run_and_the_edge(found):
    figure = found.plot()
    finished = sorted((r.learning_rate, r.final_loss) for r in found.runs if r.final_loss)
    training = next(trace for trace in figure.data if trace.name == "training loss")
    assert list(zip(training.x, training.y, strict=True)) == finished
    diverged = next(trace for trace in figure.data if trace.name.startswith("diverged"))
    assert sorted(diverged.x) == sorted(r.learning_rate for r in found.runs if r.status == "diverged")
    assert min(diverged.y) > max(training.y)
    assert any(shape.x0 == shape.x1 == found.value for shape in figure.layout.shapes)
    assert any(shape.type == "rect" and shape.x0 < found.value < shape.x1 for shape in figure.layout.shapes)


def test_a_notebook_shows_the_edge_and_every_run(found):
    markup = found._repr_html_()
    assert f'data-value="{found.value!r}"' in markup
    assert markup.count('<tr role="row">') == 1 + len(found.runs)
    assert "<script" not in markup


def test_without_a_finished_run_there_is_nothing_to_draw(found):
    none = dataclasses.replace(found, runs=())
    with pytest.raises(
        nf.InvalidInput, match=r"at least one finished run to draw, got .*; give it a larger budget"
    ):
        none.plot()
