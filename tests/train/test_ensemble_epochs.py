"""Losses, accuracies and probes by epoch: a hand-written loop's, alike one by one and together; no step moved."""

import copy
import json
import math

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.train import train_once
from normfield.train.epochs import Epoch

G = torch.Generator().manual_seed(4)
X, Y = torch.randn(60, 6, generator=G).double(), torch.randint(0, 3, (60,), generator=G)
DATA = {"inputs": X, "targets": Y, "test_inputs": X[:45], "test_targets": Y[:45]}
SETTINGS = {"batch_size": 20, "epochs": 3, "loss": "cross_entropy"}
COLUMNS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def perceptron(seed):
    return nf.build(nf.mlp(inputs=6, width=7, depth=3, outputs=3), seed=seed).double()


def norm(module):
    return sum(p.square().sum() for p in module.parameters()).sqrt().item()


def trained(steps, seed=1, **settings):
    """A module after so many steps, with no recording, and the run."""
    module = perceptron(seed)
    run = train_once(module, DATA, learning_rate=0.05, seed=seed, steps=steps, **(SETTINGS | settings))
    return module, run


def by_hand(module, inputs, targets, size):
    """Mean loss and accuracy over all full batches, in any order of equal batches only where one batch holds all."""
    module = copy.deepcopy(module).train()
    with torch.no_grad():
        outputs = module(inputs)
    assert len(inputs) == size
    return nn.functional.cross_entropy(outputs, targets).item(), (
        outputs.argmax(1) == targets
    ).double().mean().item()


def test_the_full_batch_by_hand():
    """One batch holds all of the data, so that order plays no part."""
    data = {**DATA, "test_inputs": X[:30], "test_targets": Y[:30]}
    run = train_once(
        perceptron(1), data, learning_rate=0.05, batch_size=None, epochs=3, loss="cross_entropy", every_epoch=True,
        probes={"norm": norm},
    )  # fmt: skip
    for epoch in run.by_epoch:
        module = perceptron(1)
        train_once(
            module, data, learning_rate=0.05, batch_size=None, epochs=epoch.epoch, loss="cross_entropy"
        )
        expected = by_hand(module, X, Y, 60) + by_hand(module, X[:30], Y[:30], 30)
        assert [getattr(epoch, name) for name in COLUMNS] == pytest.approx(expected, rel=1e-12)
        assert epoch.probes == {"norm": pytest.approx(norm(module), rel=1e-14)}
    assert [epoch.epoch for epoch in run.by_epoch] == [1, 2, 3]


def test_every_epoch_is_a_run_that_ended_there():
    """Mini-batches: the numbers of shorter runs of the same seed."""
    _, run = trained(None, every_epoch=True)
    for epoch in run.by_epoch:
        _, shorter = trained(3 * epoch.epoch)
        assert (epoch.train_loss, epoch.test_loss, epoch.test_accuracy) == (
            shorter.final_loss, shorter.test_loss, shorter.test_accuracy,
        )  # fmt: skip
    assert (run.final_loss, run.test_loss) == (run.by_epoch[-1].train_loss, run.by_epoch[-1].test_loss)


def test_recording_moves_no_step():
    quiet, silent = trained(None)
    loud, run = trained(None, every_epoch=True, probes={"spoil": spoil})
    assert run.losses == silent.losses
    assert silent.by_epoch == ()
    for name, value in quiet.state_dict().items():
        assert torch.equal(loud.state_dict()[name], value)
    assert loud.training
    assert all(parameter.grad is None for parameter in loud.parameters())


def spoil(module):
    """A probe that leaves nothing as it was."""
    module(X).sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    module.eval()
    return torch.rand(()).item()


MEMBERS = [
    nf.Member(0.05, seed=1),
    nf.Member(1e200, seed=2),
    nf.Member(0.01, 0.5, seed=3),
    nf.Member(3e3, seed=4),
]


def known(epoch):
    """The numbers that there are."""
    return {name: value for name, value in epoch.row().items() if value is not None}


def compare(members=MEMBERS, data=DATA, **settings):
    found = nf.train_ensemble(perceptron, data, members, every_epoch=True, **settings)
    for member, run in zip(members, found.runs, strict=True):
        alone = train_once(
            perceptron(member.seed), data, learning_rate=member.learning_rate, momentum=member.momentum,
            seed=member.seed, every_epoch=True, **settings,
        )  # fmt: skip
        assert (run.status, run.diverged_at, len(run.by_epoch)) == (
            alone.status, alone.diverged_at, len(alone.by_epoch),
        )  # fmt: skip
        for mine, theirs in zip(run.by_epoch, alone.by_epoch, strict=True):
            assert known(mine) == pytest.approx(known(theirs), rel=1e-10, nan_ok=True)
        if run.status == "finished":
            last = run.by_epoch[-1]
            assert (run.final_loss, run.test_loss, run.test_accuracy) == (
                last.train_loss, last.test_loss, last.test_accuracy,
            )  # fmt: skip
    return found


def test_together_as_one_by_one():
    found = compare(probes={"norm": norm}, **SETTINGS)
    assert [len(run.by_epoch) for run in found.runs] == [3, 0, 3, 0]
    assert found.runs[0].by_epoch[0].train_loss > found.runs[0].by_epoch[-1].train_loss


@pytest.mark.parametrize(
    "settings", [{"steps": 4}, {"batch_size": None}, {"loss": "squared", "divergence_factor": 5.0}]
)
def test_alike_in_other_settings(settings):
    """Steps that end within a pass; the full batch; a divergence after some epochs."""
    compare(**(SETTINGS | settings))


def test_without_tests_or_labels_nothing_is_made_up():
    found = compare(MEMBERS[:1], (X, X[:, :3]), batch_size=20, loss="squared")
    last = found.runs[0].by_epoch[-1]
    assert (last.train_accuracy, last.test_loss, last.test_accuracy) == (None, None, None)


def test_groups_of_one_size_record_alike():
    one = nf.train_ensemble(perceptron, DATA, MEMBERS, every_epoch=True, **SETTINGS)
    many = nf.train_ensemble(perceptron, DATA, MEMBERS, every_epoch=True, memory=30_000, **SETTINGS)
    assert many.at_once < one.at_once
    for a, b in zip(one.runs, many.runs, strict=True):
        assert [e.train_loss for e in a.by_epoch] == pytest.approx(
            [e.train_loss for e in b.by_epoch], rel=1e-10
        )


def test_a_probe_sees_each_members_own_values_and_may_not_move_them():
    found = compare(probes={"spoil": spoil, "norm": norm}, **SETTINGS)
    norms = {run.by_epoch[-1].probes["norm"] for run in found.runs if run.by_epoch}
    assert len(norms) == 2


def test_tables_and_json():
    found = nf.train_ensemble(perceptron, DATA, MEMBERS, every_epoch=True, probes={"norm": norm}, **SETTINGS)
    curves = found.curves()
    assert list(curves.columns) == ["member", "learning_rate", "momentum", "seed", "epoch", *COLUMNS, "norm"]
    assert curves["member"].tolist() == [0, 0, 0, 2, 2, 2]
    assert len(found.to_frame()) == 4
    assert "by_epoch" not in found.to_frame()
    read = json.loads(found.runs[0].to_json())
    assert [epoch["epoch"] for epoch in read["by_epoch"]] == [1, 2, 3]
    assert read["by_epoch"][2]["train_loss"] == read["final_loss"]
    assert found.runs[0].curves()["test_loss"].tolist() == [e.test_loss for e in found.runs[0].by_epoch]
    assert found.runs[0].to_frame().columns.tolist() == ["step", "loss"]


def test_infinite_numbers_become_null():
    assert math.isinf(Epoch(1, math.inf, None, None, None).row()["train_loss"])
    run = nf.train_ensemble(
        perceptron, DATA, [0.05], every_epoch=True, probes={"endless": lambda module: math.inf}, **SETTINGS
    ).runs[0]
    assert json.loads(run.to_json())["by_epoch"][0]["probes"] == {"endless": None}


def broken(module):
    raise ValueError("no such layer")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"every_epoch": 1}, "every_epoch True or False, got 1"),
        ({"every_epoch": False, "probes": {"norm": norm}}, "every_epoch=True with probes"),
        ({"probes": [norm]}, "probes as a dict of names and functions"),
        ({"probes": {"norm": 3}}, "functions of a module, got 3 among them"),
        ({"probes": {"train_loss": norm}}, "names of their own"),
        (
            {"probes": {"bad": broken}},
            r"probe 'bad' to return a number, got ValueError: no such layer \(line",
        ),
        ({"probes": {"bad": lambda module: "much"}}, "probe 'bad' to return a number, got ValueError"),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_bad_input_is_one_line(given, message, together):
    settings = SETTINGS | {"every_epoch": True} | given
    train = nf.train_ensemble if together else one
    with pytest.raises(nf.InvalidInput, match=message) as caught:
        train(perceptron, DATA, [0.1], **settings)
    assert "\n" not in str(caught.value)


def one(build, data, rates, **settings):
    return train_once(build(0), data, learning_rate=rates[0], **settings)
