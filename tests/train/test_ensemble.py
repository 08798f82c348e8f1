"""An ensemble's runs against the same runs one by one, in float64 to round-off, and against torch's own optimizers."""

import copy
import math

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.train.run import train_once

G = torch.Generator().manual_seed(3)
X, Y = torch.randn(90, 6, generator=G).double(), torch.randint(0, 3, (90,), generator=G)
DATA = {"inputs": X, "targets": Y, "test_inputs": X[:40], "test_targets": Y[:40]}
IMAGES = {"inputs": torch.randn(48, 2, 5, 5, generator=G, dtype=torch.float64), "targets": Y[:48]}


def perceptron(seed):
    net = nf.mlp(inputs=6, width=7, depth=3, outputs=3)
    return nf.build(net, seed=seed).double()


def convolutional(seed):
    layers = (
        nf.Conv(4, padding=1),
        nf.BatchNorm(),
        nf.Activation("relu"),
        nf.GlobalAveragePool(),
        nf.Dense(3),
    )
    return nf.build(nf.Network((2, 5, 5), layers), seed=seed).double()


def relative(one, other):
    return max((abs(a - b) / abs(b) for a, b in zip(one, other, strict=True)), default=0.0)


def compare(build, data, members, loss="squared", **settings):
    """Every number of every run, and every parameter and buffer of every trained module."""
    found = nf.train_ensemble(build, data, members, loss=loss, keep_models=True, **settings)
    settings.pop("memory", None)
    for member, run, model in zip(members, found.runs, found.models, strict=True):
        alone = build(member.seed)
        expected = train_once(
            alone, data, learning_rate=member.learning_rate, momentum=member.momentum, seed=member.seed, loss=loss,
            **settings,
        )  # fmt: skip
        assert (run.status, run.diverged_at) == (expected.status, expected.diverged_at)
        assert relative(run.losses[:20], expected.losses[:20]) < 1e-10
        if run.status != "finished":
            continue
        assert run.final_loss == pytest.approx(expected.final_loss, rel=1e-10)
        assert (run.test_loss is None) == (expected.test_loss is None)
        assert run.test_loss is None or run.test_loss == pytest.approx(expected.test_loss, rel=1e-10)
        assert run.test_accuracy is None or run.test_accuracy == pytest.approx(
            expected.test_accuracy, rel=1e-12
        )
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-10, atol=1e-12)
    return found


MEMBERS = [
    nf.Member(0.01, seed=1),
    nf.Member(0.1, 0.5, seed=2),
    nf.Member(0.05, 0.0, seed=3),
    nf.Member(0.03, seed=1),
]


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_equal_to_the_loop(loss):
    found = compare(perceptron, DATA, MEMBERS, loss, batch_size=20, epochs=3)
    assert found.at_once == 4


def test_equal_to_the_loop_on_images():
    compare(convolutional, IMAGES, MEMBERS, "cross_entropy", batch_size=16, epochs=3)


def test_equal_to_the_loop_on_the_full_batch():
    compare(perceptron, DATA, MEMBERS, batch_size=None, epochs=5)


def test_a_diverged_member_leaves_and_touches_nobody():
    members = [*MEMBERS[:2], nf.Member(1e4, seed=4), *MEMBERS[2:], nf.Member(1e200, seed=5)]
    found = compare(perceptron, DATA, members, batch_size=20, epochs=4)
    assert [run.status for run in found.runs] == ["finished"] * 2 + ["diverged"] + ["finished"] * 2 + [
        "diverged"
    ]
    assert len(found.runs[2].losses) < len(found.runs[0].losses)
    assert math.isfinite(found.runs[0].final_loss)


def test_all_may_diverge():
    found = nf.train_ensemble(perceptron, DATA, [1e5, 1e6], batch_size=20)
    assert [run.status for run in found.runs] == ["diverged"] * 2
    assert str(found).startswith("2 runs, 2 at once, by sgd: 2 diverged")


def test_groups_that_fit_memory_change_nothing():
    members = [nf.Member(0.02, seed=seed) for seed in range(5)]
    found = compare(perceptron, DATA, members, batch_size=20, memory=60_000)
    assert 1 <= found.at_once < 5


def test_members_may_differ_in_gamma_and_variances():
    nets = [
        nf.mlp(inputs=6, width=7, depth=3, outputs=3, gamma=0.3),
        nf.mlp(inputs=6, width=7, depth=3, outputs=3, weight_variance=1.0),
    ]
    members = [nf.Member(0.05, seed=i, build=net) for i, net in enumerate(nets)]
    found = nf.train_ensemble(None, DATA, members, batch_size=20)
    for i, net in enumerate(nets):
        expected = train_once(nf.build(net, seed=i), DATA, learning_rate=0.05, seed=i, batch_size=20)
        assert relative(found.runs[i].losses, expected.losses) < 1e-3  # float32


@pytest.mark.parametrize(
    ("optimizer", "theirs"),
    [
        ("sgd", lambda parameters, m: torch.optim.SGD(parameters, m.learning_rate, m.momentum)),
        ("adam", lambda parameters, m: torch.optim.Adam(parameters, m.learning_rate, (m.momentum, 0.999))),
        (
            "rmsprop",
            lambda parameters, m: torch.optim.RMSprop(parameters, m.learning_rate, momentum=m.momentum),
        ),
    ],
)
def test_steps_are_torchs(optimizer, theirs):
    """On the full batch, 12 steps, with torch's optimizer on a module of its own."""
    members = [nf.Member(0.003, 0.9, seed=1), nf.Member(0.01, 0.5, seed=2)]
    found = nf.train_ensemble(
        perceptron, DATA, members, optimizer=optimizer, batch_size=None, epochs=12, keep_models=True
    )
    for member, model in zip(members, found.models, strict=True):
        alone = perceptron(member.seed)
        descent = theirs(alone.parameters(), member)
        for _ in range(12):
            descent.zero_grad()
            (0.5 * (alone(X) - nn.functional.one_hot(Y, 3)).square().sum() / len(X)).backward()
            descent.step()
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-8, atol=1e-11)


def test_one_order_for_all():
    """The batches of `order_seed`, whatever the member's own seed."""
    found = nf.train_ensemble(
        perceptron, DATA, [nf.Member(0.02, seed=5), nf.Member(0.02, seed=6)], batch_size=20, shared_order=True,
        order_seed=5,
    )  # fmt: skip
    own = nf.train_ensemble(perceptron, DATA, [nf.Member(0.02, seed=5)], batch_size=20)
    assert relative(found.runs[0].losses, own.runs[0].losses) < 1e-10
    assert relative(found.runs[1].losses, nf.train_ensemble(perceptron, DATA, [nf.Member(0.02, seed=6)],
                                                            batch_size=20).runs[0].losses) > 1e-3  # fmt: skip


def test_what_was_given_is_left_as_it_was():
    module = perceptron(0)
    before, state = copy.deepcopy(module.state_dict()), torch.random.get_rng_state()
    nf.train_ensemble(module, DATA, [0.01, 0.02], batch_size=20)
    for name, value in before.items():
        torch.testing.assert_close(module.state_dict()[name], value, rtol=0, atol=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_deadline_cuts_short():
    found = nf.train_ensemble(perceptron, DATA, [0.01, 0.02], batch_size=20, deadline=0.0)
    assert [run.status for run in found.runs] == ["cut short"] * 2


def test_a_table_with_a_row_for_each_member():
    frame = nf.train_ensemble(perceptron, DATA, [0.01, 1e5], batch_size=20).to_frame()
    assert list(frame["status"]) == ["finished", "diverged"]
    assert frame["learning_rate"].tolist() == [0.01, 1e5]


class Branching(nn.Module):
    """A forward that looks at values, which cannot be vectorised."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        y = self.layer(x)
        return y if y.sum() > 0 else 2 * y


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"members": []}, "at least one member, got none"),
        ({"members": 0.1}, "a list of nf.Member or of learning rates, got 0.1"),
        ({"members": ["fast"]}, "nf.Member or a learning rate in the list, got 'fast'"),
        ({"optimizer": "lion"}, "optimizer one of sgd, adam, rmsprop, got 'lion'"),
        ({"memory": 10}, "members that fit into memory=10 bytes"),
        ({"memory": -1}, "memory finite and above 0"),
        ({"build": lambda seed: nn.Linear(6, 3 + seed).double(), "members": [nf.Member(0.1, seed=s) for s in (0, 1)]},
         r"members of one shape, got member 1 with weight \(\(4, 6\)"),
        ({"build": Branching().double()}, "operations torch.func.vmap can vectorise"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(given, message):
    arguments = {"build": perceptron, "data": DATA, "members": [0.1, 0.2], "batch_size": 20} | given
    with pytest.raises(nf.InvalidInput, match=message) as caught:
        nf.train_ensemble(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{"learning_rate": 0}, {"learning_rate": 0.1, "momentum": 1.0}])
def test_a_member_is_checked_when_made(given):
    with pytest.raises(nf.InvalidInput):
        nf.Member(**given)
