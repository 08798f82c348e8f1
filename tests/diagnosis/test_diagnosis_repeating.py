"""The call that the report prints asks the same again."""

import pytest
import torch

import normfield as nf
from normfield.diagnosis.asked import Asked
from normfield.diagnosis.repeating import call_of, spelled
from normfield.diagnosis.subject import Subject

NETWORKS = [
    nf.mlp(64, 30, 3, 10),
    nf.mlp(64, 30, 3, 10, batch_norm=False, gamma=0.5, activation="tanh", weight_variance=1.3),
    nf.mlp(64, 30, 3, 10, gamma=0.25),
    nf.convnet((1, 8, 8), (4, 6), 10),
    nf.Network(
        (64,), [nf.Dense(8, bias=False), nf.LayerNorm(), nf.Activation("leaky_relu", slope=0.2), nf.Dense(3)]
    ),
    nf.Network(
        (20,), [nf.Dense(20), nf.Residual([nf.BatchNorm(), nf.Activation("relu"), nf.Dense(20)]), nf.Dense(2)]
    ),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_spelled_description_is_the_description(network):
    text = spelled(network)
    assert eval(text, {"nf": nf}) == network
    assert "None" not in text


def test_the_printed_call_runs_and_gives_the_same(tmp_path, monkeypatch):
    asked = Asked("squared", 32, 0.5, 0.8, 3, None, "frozen")
    subject = Subject.of(nf.mlp(64, 20, 3, 10), nf.load("digits", samples=300), 3)
    text = call_of(asked, subject)
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    exec(text, scope)
    found = scope["found"]
    assert (found.asked.loss, found.asked.batch_size, found.asked.momentum) == ("squared", 32, 0.5)
    assert (found.asked.budget, found.asked.seed, found.asked.statistics) == (0.8, 3, "frozen")
    assert found.subject.network == subject.network
    assert torch.equal(found.subject.data.inputs, subject.data.inputs)
    assert (tmp_path / "report.html").exists()


def test_data_are_flat_again_for_a_module_that_takes_them_flat():
    data = nf.load("digits", samples=100).flattened()
    text = call_of(Asked("squared", 32, 0.9, 5.0, 0), Subject.of(torch.nn.Linear(64, 10), data, 0))
    (line,) = [line for line in text.splitlines() if line.startswith("data = ")]
    scope = {"nf": nf}
    exec(line, scope)
    assert torch.equal(scope["data"].inputs, data.inputs)


def test_what_cannot_be_written_down_is_named():
    def my_loss(outputs, targets):
        return outputs.square().mean()

    data = (torch.randn(40, 6), torch.randn(40, 3))
    subject = Subject.of(torch.nn.Linear(6, 3), data, 0)
    text = call_of(Asked(my_loss, 8, 0.9, 5.0, 0), subject)
    assert "model = ...  # your Linear" in text
    assert "loss = ...  # your my_loss" in text
    assert "loss=loss" in text
    compile(text, "call", "exec")
