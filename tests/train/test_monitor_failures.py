"""Mistakes, exceptions, losses that are no numbers and interruptions: one clear line each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import normfield as nf

X = torch.randn(24, 4, generator=torch.Generator().manual_seed(1))
Y = torch.arange(24) % 3


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def monitor(**asked):
    return nf.Monitor(net(), "cross_entropy", **asked)


MISTAKES = {
    "nothing to watch": (
        {"every": {}},
        "every as a dict of instruments and intervals in steps, with one at least",
    ),
    "an unknown instrument": ({"every": {"sharpness": 5}}, "instruments among signals"),
    "an interval of nothing": ({"every": {"signals": 0}}, "got 0, with which it would never run"),
    "half a step": ({"every": {"signals": 0.5}}, "got 0.5, with which it would never run"),
    "an interval beyond the run": (
        {"every": {"signals": 100}, "steps": 100},
        "below the run's 100 steps, got 100, with which it would never run after step 0; take 10",
    ),
    "an own instrument off schedule": (
        {"every": {"signals": 5}, "instruments": {"own": len}},
        "an interval in every for your instrument 'own', got none, so that it would never run",
    ),
    "an instrument that is a word": ({"instruments": {"own": "norm"}}, "functions of a moment"),
    "a name that is taken": ({"instruments": {"edge": len}}, "names of your own"),
    "shift of batches that change": ({"every": {"shift": 5}}, "which compares the same samples at two steps"),
    "noise across the batches of steps": (
        {"every": {"gradient_noise": 5}},
        "batch= with at least 4 batches for the instrument 'gradient_noise', since the model has batch norm, got 1",
    ),
    "noise across two batches": (
        {"every": {"gradient_noise": 5}, "batch": [(X, Y)] * 2},
        "batch norm, got 2; give",
    ),
    "a bound of nothing": ({"overhead": 0}, "overhead as a part of the training time above 0"),
    "unknown statistics": ({"statistics": "eval"}, "batch, frozen, running"),
    "a seed of half": ({"seed": 0.5}, "seed as a whole number"),
    "a run of no steps": ({"steps": 0}, "steps as a whole number"),
    "an optimizer that is a rate": ({"optimizer": 0.1}, "a torch.optim.Optimizer or None"),
    "another model's optimizer": (
        {"optimizer": torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)},
        "an optimizer over this model's parameters",
    ),
    "a held batch that is no batch": ({"batch": X}, "batches"),
    "NaN in the held batch": ({"batch": (X * math.nan, Y)}, "finite inputs"),
}


@pytest.mark.parametrize(
    ("steps", "intervals"),
    [
        (None, [50, 200, 500, 50]),
        (2000, [50, 200, 500, 50]),
        (600, [50, 200, 300, 50]),
        (30, [15, 15, 15, 15]),
        (1, [1, 1, 1, 1]),
    ],
)
def test_default_intervals_come_due_again_within_a_run_of_known_length(steps, intervals):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watching = nf.Monitor(
        model, "cross_entropy", optimizer=optimizer, instruments={"own": lambda moment: 1.0}, steps=steps
    )
    found = {each.name: each.every for each in watching.record.instruments}
    assert found == dict(zip(["signals", "landscape", "edge", "own"], intervals, strict=True))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_at_the_door_is_one_line(name):
    asked, words = MISTAKES[name]
    with pytest.raises(nf.InvalidInput) as caught:
        monitor(**asked)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_no_module_and_no_loss_are_refused():
    with pytest.raises(nf.InvalidInput, match=r"a torch\.nn\.Module"):
        nf.Monitor(len, "squared")
    with pytest.raises(nf.InvalidInput, match="a loss: 'squared'"):
        nf.Monitor(net(), "hinge")


FIRST_STEPS = {
    "no batch": ({"every": {"signals": 1}}, (None,), "a batch to measure on, got none"),
    "a batch that does not fit": ({"every": {"signals": 1}}, ((X[:, :2], Y),), "raised"),
    "a rate nobody told": ({"every": {"edge": 1}}, ((X, Y),), "a learning rate for the instrument 'edge'"),
    "words from an own instrument": (
        {"every": {"own": 1}, "instruments": {"own": lambda moment: "large"}},
        ((X, Y),),
        "instrument 'own' to return a number, or numbers by name, got a str",
    ),
    "an own instrument that raises": (
        {"every": {"own": 1}, "instruments": {"own": lambda moment: moment.colour}},
        ((X, Y),),
        "instrument 'own' to run, got AttributeError",
    ),
}


@pytest.mark.parametrize("name", FIRST_STEPS)
def test_a_mistake_seen_at_the_first_measurement_is_raised_there(name):
    asked, told, words = FIRST_STEPS[name]
    watching = monitor(**asked)
    with pytest.raises(nf.InvalidInput) as caught:
        watching.step(*told)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_model_in_eval_mode_is_refused_when_it_is_first_measured():
    model = net().eval()
    watching = nf.Monitor(model, "cross_entropy", every={"signals": 1})
    with pytest.raises(
        nf.InvalidInput, match="a model in training mode while it trains, got every submodule in eval"
    ):
        watching.step((X, Y))
    running = nf.Monitor(model, "cross_entropy", every={"signals": 1}, statistics="running")
    running.step((X, Y))
    assert running.record.readings


@pytest.mark.parametrize("value", [torch.ones(3), "low", [1.0], True, None.__class__])
def test_a_loss_that_is_no_number_is_refused(value):
    watching = monitor(every={"signals": 1})
    with pytest.raises(nf.InvalidInput, match="loss_value as one real number, got a"):
        watching.step((X, Y), loss_value=value)
    assert watching.record.steps == 0


def test_an_instrument_that_fails_later_is_recorded_and_switched_off():
    def fading(moment):
        if moment.step >= 4:
            raise RuntimeError("out of\nink")
        return 1.0

    watching = monitor(
        every={"own": 2, "good": 2}, instruments={"own": fading, "good": lambda m: 1}, overhead=None
    )
    for _ in range(20):
        watching.step((X, Y))
    own, good = watching.record.instruments
    assert (own.runs, own.failures, own.switched_off) == (2, 3, True)
    assert (good.runs, good.failures) == (10, 0)
    (note,) = watching.record.notes
    assert note.startswith(
        "own: failed 3 times, and was switched off; the last time: RuntimeError: out of ink (line "
    )


def test_an_answer_between_failures_keeps_an_instrument_on():
    def moody(moment):
        if moment.step % 2:
            raise ValueError
        return 1.0

    watching = monitor(every={"own": 1}, instruments={"own": moody}, overhead=None)
    for _ in range(20):
        watching.step((X, Y))
    (own,) = watching.record.instruments
    assert (own.runs, own.failures, own.switched_off) == (10, 10, False)


def test_while_the_loss_is_not_finite_nothing_is_measured():
    watching = monitor(every={"signals": 1}, overhead=None)
    for loss in (1.0, math.nan, torch.tensor(math.inf), 2.0):
        watching.step((X, Y), loss_value=loss)
    record = watching.record
    assert sorted({reading.step for reading in record.readings}) == [0, 3]
    assert record.notes[0] == "the loss was nan at step 1: nothing is measured while it is not finite"
    assert '"losses": [1.0, null, null, 2.0]' in record.to_json()


def test_weights_that_are_not_finite_are_told_in_one_line_each_and_training_goes_on():
    watching = monitor(every={"edge": 1}, overhead=None)
    watching.step((X, Y), learning_rate=0.1)
    with torch.no_grad():
        watching._model[0].weight.fill_(math.nan)
    for _ in range(5):
        watching.step((X, Y), learning_rate=0.1)
    (note,) = watching.record.notes
    assert note.startswith("edge: failed 3 times, and was switched off")
    assert len(note.splitlines()) == 1


def test_an_interval_that_never_comes_due_is_named():
    watching = monitor(every={"signals": 1000})
    for _ in range(3):
        watching.step((X, Y))
    assert watching.record.notes == (
        "signals: measured once only, its next turn was at step 1,000 of a run of 3 steps: take a shorter interval",
    )


def test_a_loop_that_tells_nothing_is_named():
    with monitor(every={"signals": 10}) as watching:
        pass
    assert watching.record.notes[0].startswith("no step was told: call monitor.step")
    assert "0 steps" in str(watching.record)
    assert '"overhead": null' in watching.record.to_json()
    with pytest.raises(nf.InvalidInput, match="a loss that was told"):
        watching.record.plot()


@pytest.mark.parametrize("inside", [True, False])
def test_after_ctrl_c_the_record_holds_what_was_found(inside):
    model = net()

    def interrupted(moment):
        with torch.no_grad():
            moment.model[0].weight.zero_()
        if inside and moment.step == 2:
            raise KeyboardInterrupt
        return moment.step

    watching = nf.Monitor(
        model, "cross_entropy", every={"own": 1}, instruments={"own": interrupted}, overhead=None
    )
    before = [value.clone() for value in model.state_dict().values()]

    def loop():
        with watching:
            for step in range(5):
                watching.step((X, Y), loss_value=1.0)
                if not inside and step == 2:
                    raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    record = watching.record
    assert record.curve("own", "own")[1].tolist() == ([0, 1] if inside else [0, 1, 2])
    assert record.steps == 3
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    watching.step((X, Y), loss_value=1.0)  # the loop may go on
    assert watching.record.curve("own", "own")[0].tolist()[-1] == 3
