"""Training as a sweep's task: what trains together, what fails alone, what goes to other processes."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.errors import InvalidInput
from normfield.sweep import Grid, Resources
from normfield.train import train_once
from normfield.train.alike import signature
from normfield.train.identity import function_words
from normfield.train.sweeps.network_axes import VALUES_ONLY, axes_of, changed, skeleton

NET = nf.mlp(64, 12, 3, 10)
ROOM = Resources(memory=1e9, cores=1)


def task(build=NET, **settings):
    return nf.TrainingTask(build, "digits", **{"samples": 256, "epochs": 2, "compiled": False, **settings})


def points(**axes):
    return list(Grid(axes))


def net_of(seed, gamma=1.0, depth=3):
    """A function with axes, at the top level, so that pickle finds it."""
    if gamma == 7:
        raise ValueError("no seven")
    return nf.mlp(64, 12, depth, 10, gamma=gamma)


def module_of(seed, eps=1e-5, slope=0.0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 12), nn.BatchNorm1d(12, eps=eps), nn.LeakyReLU(slope), nn.Linear(12, 10)
    )


@pytest.mark.parametrize("build", [NET, net_of])
def test_trials_are_the_runs_of_train_once(build):
    """The oracle trains each by itself; the ensemble's sums are in another order."""
    asked = points(gamma=[0.3, 1.0], learning_rate=[0.02, 0.1], seed=[0, 4])
    data = nf.load("digits", samples=256).flattened()
    for point, outcome in zip(asked, task(build).run(asked), strict=True):
        model = nf.build(nf.mlp(64, 12, 3, 10, gamma=point["gamma"]), seed=point["seed"])
        alone = train_once(
            model, data, learning_rate=point["learning_rate"], epochs=2, seed=point["seed"], every_epoch=True
        )
        assert outcome.values["status"] == alone.status == "finished"
        for name in ("first_loss", "final_loss", "test_loss", "test_accuracy"):
            assert outcome.values[name] == pytest.approx(getattr(alone, name), rel=2e-4), name
        assert outcome.curves["test_loss"] == pytest.approx(
            [one.test_loss for one in alone.by_epoch], rel=2e-4
        )
        assert outcome.values["ended_worse"] is alone.ended_worse


def test_a_diverged_trial_says_when_and_has_no_losses():
    (outcome,) = task().run([{"learning_rate": 1e4}])
    assert outcome.values["status"] == "diverged"
    assert outcome.values["diverged_at"] >= 1
    assert outcome.values["ended_worse"] is True
    assert outcome.values["test_loss"] is None
    assert outcome.error is None
    json.dumps(outcome.values, allow_nan=False)


def test_probes_are_curves():
    (outcome,) = task(probes={"gamma_0": lambda model: model[1].weight[0].item()}).run(
        [{"learning_rate": 0.01}]
    )
    assert len(outcome.curves["gamma_0"]) == 2
    assert outcome.curves["gamma_0"][0] == pytest.approx(1.0, abs=0.1)


def test_values_train_together_and_shapes_apart():
    asked = points(
        gamma=[0.1, 1.0],
        weight_variance=[1.0, 2.0],
        bias_variance=[0.0, 0.5],
        learning_rate=[0.1],
        seed=[0, 1],
    )
    assert len(task().group(asked)) == 1
    for name, values in {
        "width": [8, 9],
        "depth": [2, 3],
        "eps": [0.0, 1e-5],
        "activation": ["relu", "tanh"],
        "batch_norm": [True, False],
        "batch_size": [32, None],
        "loss": ["squared", "cross_entropy"],
    }.items():
        groups = task().group(points(**{name: values, "learning_rate": [0.1, 0.2]}))
        assert groups == [[0, 1], [2, 3]], name


@pytest.mark.parametrize("axis", axes_of(nf.mlp(6, 5, 3, 2)))
def test_an_axis_that_is_said_to_change_values_only_does_so(axis):
    """What a Network's axes are said to change is held against the modules themselves."""
    values = {"activation": ("relu", "tanh"), "batch_norm": (True, False), "width": (4, 5), "depth": (2, 3)}
    one, other = (changed(nf.mlp(6, 5, 3, 2), {axis: value}) for value in values.get(axis, (0.25, 0.75)))
    alike = signature(nf.build(one)) == signature(nf.build(other))
    assert alike is (axis in VALUES_ONLY)
    assert (skeleton(one) == skeleton(other)) is alike


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        *[("gamma", 0.3), ("beta", 0.2), ("eps", 1e-3), ("weight_variance", 1.5), ("bias_variance", 0.0)],
        *[("activation", "tanh"), ("width", 9), ("depth", 5), ("batch_norm", False)],
    ],
)
def test_an_axis_makes_the_network_that_the_shorthand_makes(axis, value):
    assert changed(nf.mlp(6, 5, 3, 2), {axis: value}) == nf.mlp(
        6, **{"width": 5, "depth": 3, axis: value}, outputs=2
    )


def test_axes_reach_into_residual_blocks_and_convolutions():
    block = nf.Residual([nf.Dense(4), nf.BatchNorm()])
    net = nf.Network((4,), [nf.Dense(4), block, nf.Dense(2)])
    found = changed(net, {"gamma": 0.1, "width": 7})
    assert found.layers[1].branch == (nf.Dense(7), nf.BatchNorm(gamma=0.1))
    assert found.layers[-1] == nf.Dense(2)
    conv = nf.convnet((1, 8, 8), [4, 4], 3)
    assert changed(conv, {"width": 6}) == nf.convnet((1, 8, 8), [6, 6], 3)
    assert "depth" not in axes_of(net)
    assert "gamma" not in axes_of(nf.mlp(4, 4, 2, 2, batch_norm=False))


def test_groups_are_in_the_order_of_learning_rates():
    asked = points(learning_rate=[0.3, 0.1, 0.2], seed=[0, 1])
    (places,) = task().group(asked)
    assert [asked[i]["learning_rate"] for i in places] == sorted(point["learning_rate"] for point in asked)


def test_modules_that_differ_in_a_plain_attribute_do_not_train_together():
    assert len(task(module_of).group(points(eps=[1e-5, 1e-3], learning_rate=[0.1]))) == 2
    assert len(task(module_of).group(points(slope=[0.0, 0.5], learning_rate=[0.1]))) == 2
    with pytest.raises(
        InvalidInput, match=r"members of one shape, got member 1 with 2.eps 0.001 where .* 1e-05"
    ):
        nf.train_ensemble(None, "digits", [nf.Member(0.1, build=module_of(0, eps)) for eps in (1e-5, 1e-3)])
    apart = task(module_of).run(points(eps=[1e-5, 10.0], learning_rate=[0.1]))
    assert apart[0].values["first_loss"] != apart[1].values["first_loss"]


def test_a_build_that_raises_fails_its_own_trial():
    asked = points(gamma=[1.0, 7], learning_rate=[0.05, 0.1])
    found = task(net_of)
    assert found.group(asked) == [[0, 1], [2, 3]]
    outcomes = found.run(asked)
    assert [outcome.error for outcome in outcomes[:2]] == [None, None]
    assert outcomes[3].error.startswith("ValueError: no seven (line ")
    assert outcomes[3].values == {}
    alone = found.run(asked[:2])
    assert [one.values for one in outcomes[:2]] == [one.values for one in alone]


def test_a_network_that_cannot_be_made_fails_its_own_trial():
    outcomes = task().run(points(width=[8, -1], learning_rate=[0.1]))
    assert outcomes[0].values["status"] == "finished"
    assert outcomes[1].error == "expected the width of Dense of at least 1, got -1"


def explosive(seed, scale=1.0):
    model = module_of(seed)
    with torch.no_grad():
        model[-1].weight.mul_(scale)
    return model


def test_a_member_that_an_ensemble_refuses_fails_alone():
    """An infinite loss before the first step, first in its group: the others train."""
    asked = [{"scale": scale, "learning_rate": 0.01} for scale in (1e30, 1.0, 1.1, 1.2)]
    outcomes = task(explosive).run(asked)
    assert outcomes[0].error is not None or outcomes[0].values["status"] == "diverged"
    assert [outcome.values.get("status") for outcome in outcomes[1:]] == ["finished"] * 3


class Stubborn(nn.Module):
    """Looks at a number on its way, which cannot be vectorised."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = module_of(0)

    def forward(self, x):
        return self.inside(x) * (1.0 if x.sum().item() < 1e9 else 2.0)


def test_models_that_cannot_be_vectorised_train_one_by_one():
    asked = points(learning_rate=[0.05, 1e4])
    outcomes = task(Stubborn()).run(asked)
    alike = task(module_of(0)).run(asked)
    assert [outcome.values["status"] for outcome in outcomes] == ["finished", "diverged"]
    assert outcomes[0].values["test_loss"] == pytest.approx(alike[0].values["test_loss"], rel=1e-3)
    (refused,) = task(Stubborn(), optimizer="adam").run([{"learning_rate": 0.05}])
    assert "a model whose operations torch.func.vmap can vectorise" in refused.error


def test_a_batch_size_that_does_not_fit_is_each_trials_failure():
    outcomes = task().run(points(batch_size=[64, 1000], learning_rate=[0.1]))
    assert outcomes[0].error is None
    assert "expected batch_size of at most 256, the number of samples, got 1,000" in outcomes[1].error


def test_data_that_are_not_there_are_no_trials_failure():
    with pytest.raises(InvalidInput, match=r"path\.py:function"):
        nf.TrainingTask(NET, "no-such-data").run([{"learning_rate": 0.1}])


def test_one_module_is_made_for_each_shape_not_for_each_point():
    made = []

    def build(seed, depth=3):
        made.append(depth)
        return nf.mlp(64, 4, depth, 10)

    found = task(build)
    asked = points(depth=[2, 3], learning_rate=[0.001 * i for i in range(1, 2001)], seed=[0, 1, 2])
    assert sorted(map(len, found.group(asked))) == [6000, 6000]
    assert sorted(made) == [2, 3]
    found.group(asked)
    assert len(made) == 2


@pytest.mark.parametrize(
    ("build", "axes", "message"),
    [
        (NET, ["learning_rate", "gama"], "got 'gama'; did you mean 'gamma'?"),
        (
            NET,
            ["learning_rate", "colour"],
            "expected axes among learning_rate, momentum, seed, batch_size, loss, gamma",
        ),
        (NET, ["gamma"], "expected an axis learning_rate, which has no default, got gamma"),
        (
            module_of,
            ["learning_rate", "gamma"],
            "expected axes among learning_rate, momentum, seed, batch_size, loss, eps",
        ),
        (
            lambda seed, width: None,
            ["learning_rate"],
            "expected an axis width, which has no default, got learning_rate",
        ),
        (module_of(0), ["learning_rate", "gamma"], "batch_size, loss, got 'gamma'"),
    ],
)
def test_axes_that_mean_nothing_are_refused(build, axes, message):
    with pytest.raises(InvalidInput) as refused:
        task(build).check(axes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_axes_that_there_are_pass():
    task().check(["learning_rate", "gamma", "seed"])
    task(learning_rate=0.1).check(["depth", "batch_size"])
    task(lambda seed, **others: module_of(seed)).check(["learning_rate", "anything"])
    task(lambda s: module_of(s)).check(["learning_rate"])


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"learning_rate": 0.0}, "expected learning_rate finite and above 0, got 0.0"),
        ({"learning_rate": "much"}, "expected learning_rate finite and above 0, got 'much'"),
        ({"learning_rate": 0.1, "momentum": 1.0}, "expected momentum at least 0 and below 1, got 1.0"),
        ({"learning_rate": 0.1, "seed": -1}, "expected seed as a whole number from 0 to 2**63 - 1, got -1"),
        (
            {"learning_rate": 0.1, "batch_size": 1},
            "expected batch_size as a whole number of at least 2, got 1",
        ),
        ({"learning_rate": 0.1, "loss": "hinge"}, 'expected loss as "squared", "cross_entropy"'),
    ],
)
def test_values_that_no_run_can_have_are_refused_before_any_is_trained(point, message):
    with pytest.raises(InvalidInput) as refused:
        task().group([{"learning_rate": 0.1}, point])
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lion"}, "expected optimizer one of 'sgd', 'adam', 'rmsprop', got 'lion'"),
        ({"precision": "float16"}, "expected precision one of None, 'float32', 'bfloat16', got 'float16'"),
        ({"compiled": "yes"}, "expected compiled one of True, False, 'auto', got 'yes'"),
        ({"epochs": 0}, "expected epochs as a whole number of at least 1, got 0"),
        ({"loss": 3}, "expected loss as"),
        ({"threads": 0}, "expected threads as a whole number of at least 1, got 0"),
        (
            {"build": 3},
            "expected build as a Network, a module, a function of a seed and axes, or path.py:function, got int",
        ),
    ],
)
def test_bad_settings_are_refused_at_the_door(settings, message):
    with pytest.raises(InvalidInput) as refused:
        task(**settings)
    assert message in str(refused.value)


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    found = task(module_of)
    found.group(points(eps=[1e-5], learning_rate=[0.1]))
    found.run([{"learning_rate": 0.1}])
    assert torch.equal(before, torch.get_rng_state())


def test_a_module_is_copied_and_left_as_it_was():
    model = module_of(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    outcomes = task(model).run(points(learning_rate=[0.05, 0.1], seed=[0, 1]))
    assert outcomes[0].values["first_loss"] == outcomes[3].values["first_loss"]
    assert outcomes[0].values["final_loss"] != outcomes[1].values["final_loss"]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_room_and_gpus_decide_the_capacity():
    found = task()
    assert found.capacity(ROOM) == 64
    assert found.capacity(Resources(memory=1e9, cores=1, gpus=0.5)) == 256
    each = 8 * 4 * (NET.parameter_count + 2 * (2 * 12) + 0)
    few = found.capacity(Resources(memory=5.5 * each, cores=1))
    assert few == 5
    assert found.capacity(Resources(memory=1.0, cores=1)) == 1
    assert task(memory=each).capacity(ROOM) == 1


def test_unserialisable_functions_are_named():
    task(net_of).check_portable()
    task().check_portable()
    with pytest.raises(InvalidInput) as refused:
        task(lambda seed: module_of(seed)).check_portable()
    assert "expected build that other processes can import, got test_unserialisable_functions" in str(
        refused.value
    )
    assert "<lambda> (line " in str(refused.value)
    assert "def it at a module's top level, name it as 'path.py:function'" in str(refused.value)
    with pytest.raises(InvalidInput, match=r"expected norm that other processes can import, got .*<lambda>"):
        task(probes={"norm": lambda model: 0.0}).check_portable()
    with pytest.raises(InvalidInput, match=r"expected loss that other processes can import, got .*<lambda>"):
        task(loss=lambda outputs, targets: outputs.mean()).check_portable()


def test_a_function_by_its_place_goes_to_other_processes(tmp_path):
    file = tmp_path / "nets.py"
    file.write_text(
        "import normfield as nf\n\ndef make(seed, gamma=1.0):\n    return nf.mlp(64, 12, 3, 10, gamma=gamma)\n"
    )
    found = task(f"{file}:make", threads=1)
    found.check_portable()
    asked = points(gamma=[0.5], learning_rate=[0.1])
    assert pickle.loads(pickle.dumps(found)).run(asked)[0].values == found.run(asked)[0].values


def test_the_same_group_gives_the_same_bits_in_another_process():
    found = task(threads=1)
    asked = points(gamma=[0.3, 1.0], learning_rate=[0.02, 0.1, 1e4], seed=[0])
    here = nf.run_sweep(found, asked, engine="inline")
    there = nf.run_sweep(found, asked, engine="processes", workers=1)
    one, other = (
        {t.key: (t.outcome.values, t.outcome.curves) for t in sweep.results()} for sweep in (here, there)
    )
    assert one == other
    assert len(one) == 6


def test_threads_are_put_back():
    before = torch.get_num_threads()
    task(threads=before + 1).run([{"learning_rate": 0.1}])
    assert torch.get_num_threads() == before


def test_settings_tell_tasks_apart():
    def other(seed, gamma=1.0, depth=3):
        return nf.mlp(64, 13, depth, 10, gamma=gamma)

    tasks = [
        *(
            task(),
            task(nf.mlp(64, 13, 3, 10)),
            task(net_of),
            task(other),
            task(module_of(0)),
            task(module_of(1)),
        ),
        *(task(epochs=3), task(loss="cross_entropy"), task(samples=128), task(momentum=0.5), task(threads=1)),
        *(nf.TrainingTask(NET, nf.load("digits", samples=256), epochs=2, compiled=False, samples=200),),
        *(task(probes={"zero": lambda model: 0.0}), task(probes={"zero": lambda model: 1.0})),
    ]
    keys = [one.key({"learning_rate": 0.1}) for one in tasks]
    assert len(set(keys)) == len(tasks)
    assert len({json.dumps(dict(one.settings), allow_nan=False) for one in tasks}) == len(tasks)
    assert task().key({"learning_rate": 0.1, "seed": 0}) == task().key({"seed": 0, "learning_rate": 0.1})
    assert task().key({"learning_rate": 0.1}) != task().key({"learning_rate": 0.2})


def test_what_a_function_closes_over_tells_it_apart():
    def made(width):
        return lambda seed: nf.mlp(64, width, 3, 10)

    assert function_words(made(3)) == function_words(made(3))
    assert function_words(made(3)) != function_words(made(4))


def test_settings_and_keys_are_the_same_in_every_process(tmp_path):
    """Two interpreters with other hash seeds and other numbers of threads."""
    code = (
        "import normfield as nf, torch\n"
        "def build(seed, gamma=1.0, kinds=frozenset({'a', 'b', 'c'})):\n    return nf.mlp(64, 5, 3, 10)\n"
        "pair = (torch.arange(12.).reshape(6, 2), torch.tensor([0, 1, 0, 1, 1, 0]))\n"
        "tasks = [nf.TrainingTask(nf.mlp(64, 5, 3, 10), 'digits'), nf.TrainingTask(build, 'digits', "
        "loss=torch.nn.MSELoss()), nf.TrainingTask(nf.mlp(2, 5, 3, 2), pair, batch_size=3)]\n"
        "print([task.key({'learning_rate': 0.1}) for task in tasks])\n"
    )
    script = tmp_path / "keys.py"
    script.write_text(code)
    told = []
    for number in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": number, "OMP_NUM_THREADS": number}
        done = subprocess.run(
            [sys.executable, str(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        told.append(done.stdout)
    assert told[0] == told[1]
    assert told[0].count("'") == 6


def test_given_data_travel_and_named_data_do_not():
    inputs = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
    named, given = task(), nf.TrainingTask(NET, (inputs, torch.arange(512) % 10), epochs=1)
    named.run([{"learning_rate": 0.1}])
    assert len(pickle.dumps(named)) < 20_000
    assert len(pickle.dumps(given)) > inputs.nbytes


def test_a_device_is_where_modules_go():
    (outcome,) = task(device="cpu").run([{"learning_rate": 0.1}])
    assert outcome.values["status"] == "finished"
    (outcome,) = task(device="no-such-device").run([{"learning_rate": 0.1}])
    assert outcome.error.startswith("RuntimeError")
