"""Training on inputs of several tensors, indices, labels at positions and dicts of targets; and the modes in which."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normfield.data import DataSet, load
from normfield.errors import InvalidInput
from normfield.measure import curvature
from normfield.network import mlp
from normfield.train import critical_learning_rate, train_once
from normfield.train.builders import data_for

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(24, 4, generator=GENERATOR)
Z = torch.randn(24, 3, generator=GENERATOR)
TOKENS = torch.randint(9, (24, 5), generator=GENERATOR)
Y = torch.randint(3, (24,), generator=GENERATOR)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


class Two(nn.Module):
    """W(x, z) by positional or keyword arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.layer(torch.cat([x, z], 1))


class FromDict(Two):
    """The same function of one argument, a dict."""

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(**batch)


@pytest.mark.parametrize("inputs", [(X, Z), {"x": X, "z": Z}, {"z": Z, "x": X}])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_several_inputs_train_as_their_concatenation(inputs, batch_size):
    model, peer = seeded(Two), seeded(Two).layer
    settings = {"learning_rate": 0.1, "batch_size": batch_size, "loss": "cross_entropy"}
    run = train_once(model, (inputs, Y), **settings)
    expected = train_once(peer, (torch.cat([X, Z], 1), Y), **settings)
    assert run.losses == expected.losses
    assert torch.equal(model.layer.weight, peer.weight)


def test_a_dict_may_be_the_one_argument():
    model, peer = seeded(FromDict), seeded(Two)
    settings = {"learning_rate": 0.1, "batch_size": 8, "seed": 3}
    runs = [train_once(module, ({"x": X, "z": Z}, Y), **settings) for module in (model, peer)]
    assert runs[0].losses == runs[1].losses


def test_floats_follow_the_parameters_and_whole_numbers_stay():
    class Typed(Two):
        def forward(self, x, z):
            kinds.add((x.dtype, z.dtype))
            return super().forward(x, F.one_hot(z, 3).to(x.dtype))

    kinds: set = set()
    train_once(Typed().double(), ((X, Y), Y), learning_rate=0.1, batch_size=8)
    assert kinds == {(torch.float64, torch.int64)}


def embedded() -> nn.Module:
    return nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Linear(30, 3))


@pytest.mark.parametrize("data", [(TOKENS, Y), ((TOKENS,), Y), load((TOKENS.numpy(), Y), inputs="as given")])
def test_indices_reach_an_embedding(data):
    model = seeded(embedded)
    before = model[0].weight.detach().clone()
    run = train_once(model, data, learning_rate=0.5, batch_size=8, epochs=10, loss="cross_entropy")
    assert run.status == "finished"
    assert run.final_loss < run.first_loss
    assert not torch.equal(model[0].weight, before)


def test_wrong_types_are_answered_with_what_to_give():
    with pytest.raises(
        InvalidInput, match=r'give indices as int64 tensors, or nf.load\(\(x, y\), inputs="as given"\)$'
    ):
        train_once(embedded(), (TOKENS.numpy(), Y), learning_rate=0.1, batch_size=8)
    with pytest.raises(
        InvalidInput, match=r'give floats, e.g. nf.load\(\(x, y\), inputs="floats"\), if these are no'
    ):
        train_once(nn.Linear(5, 3), (TOKENS, Y), learning_rate=0.1, batch_size=8)
    assert train_once(
        nn.Linear(5, 3), load((TOKENS, Y), inputs="floats"), learning_rate=1e-3, batch_size=8
    ).losses
    with pytest.raises(
        InvalidInput, match=r"inputs of \{x: \(4,\), w: \(3,\)\} per sample, got .*; name a dict's"
    ):
        train_once(Two(), ({"x": X, "w": Z}, Y), learning_rate=0.1, batch_size=8)


def test_the_test_part_is_evaluated_too():
    both = DataSet("both", {"x": X, "z": Z}, Y, 3, {"x": X[:6], "z": Z[:6]}, Y[:6])
    model = seeded(Two)
    run = train_once(model, both, learning_rate=0.1, batch_size=8, loss="cross_entropy")
    outputs = model(X[:6], Z[:6])
    assert run.test_loss == pytest.approx(F.cross_entropy(outputs, Y[:6]).item(), rel=1e-5)
    assert run.test_accuracy == pytest.approx((outputs.argmax(1) == Y[:6]).float().mean().item())


def tagger() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 4, 1))


SERIES = torch.randn(24, 2, 5, generator=GENERATOR)
TAGS = torch.randint(4, (24, 5), generator=GENERATOR)


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(), "squared"])
def test_labels_at_positions(loss):
    data = load({"inputs": SERIES, "targets": TAGS, "test_inputs": SERIES, "test_targets": TAGS}, classes=4)
    model = seeded(tagger)
    began = seeded(tagger)(SERIES)
    run = train_once(model, data, learning_rate=0.05, batch_size=None, loss=loss)
    if loss == "squared":
        wanted = np.eye(4)[TAGS.numpy()].transpose(0, 2, 1)
        expected = 0.5 * ((began.detach().numpy() - wanted) ** 2).sum((1, 2)).mean()
    else:
        flat = began.transpose(1, 2).reshape(-1, 4)
        expected = F.cross_entropy(flat, TAGS.reshape(-1)).item()
    assert run.first_loss == pytest.approx(expected, rel=1e-5)
    hits = (model(SERIES).argmax(1) == TAGS).float().mean().item()
    assert run.test_accuracy == pytest.approx(hits, abs=1e-6)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (tagger(), load((SERIES, TAGS)), "load them with classes=4"),
        (
            nn.Conv1d(2, 3, 1),
            load((SERIES, TAGS), classes=4),
            r"shape \(samples, classes, 5\) with at least 4 outputs per position, .*, got outputs of shape "
            r"\(samples, 3, 5\); put the classes into dimension 1",
        ),
        (nn.Flatten(), load((SERIES, TAGS), classes=4), "a module with trainable parameters"),
        (
            Two(),
            load(((X, Z), {"y": Y})),
            "targets of one tensor for the loss cross_entropy, got dict; give a loss",
        ),
    ],
)
def test_targets_that_do_not_fit_are_one_line(model, data, message):
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        train_once(model, data, learning_rate=0.1, batch_size=8, loss="cross_entropy")


class Heads(nn.Module):
    """Two outputs in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.where, self.what = nn.Linear(4, 2), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"where": self.where(x), "what": self.what(x)}


def both_heads(outputs, targets):
    return F.mse_loss(outputs["where"], targets["where"]) + F.cross_entropy(outputs["what"], targets["what"])


def test_dicts_of_outputs_and_targets_for_a_loss_of_ones_own():
    targets = {"where": Z[:, :2], "what": Y}
    model = seeded(Heads).double()
    expected = both_heads(seeded(Heads).double()(X.double()), {"where": Z[:, :2].double(), "what": Y}).item()
    run = train_once(model, (X, targets), learning_rate=0.1, batch_size=None, loss=both_heads)
    assert run.losses[0] == pytest.approx(expected, rel=1e-6)
    assert run.losses[-1] < run.losses[0]
    assert run.test_accuracy is None


def test_a_loss_that_raises_is_one_line():
    with pytest.raises(
        InvalidInput, match="a loss both_heads that takes the model's outputs and the targets, got KeyE"
    ):
        train_once(Heads(), (X, {"where": Z[:, :2]}), learning_rate=0.1, batch_size=8, loss=both_heads)


def test_the_critical_learning_rate_of_several_inputs_is_that_of_their_concatenation():
    joined = np.c_[X.numpy(), Z.numpy(), np.ones(24)]
    largest = np.linalg.eigvalsh(joined.T @ joined / 24)[-1]
    found = critical_learning_rate(
        seeded(Two), ({"x": X, "z": Z}, Y), batch_size=None, momentum=0.5, steps=400, restarts=1, start=0.3,
        look_for_best=False,
    )  # fmt: skip
    assert found.log10 == pytest.approx(np.log10(2 * 1.5 / largest), abs=0.06)
    assert "inputs {x: (4,), z: (3,)}" in found.data


def with_batch_norm() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


def test_a_batch_norm_in_eval_mode_stays_frozen_while_its_model_trains():
    model = seeded(with_batch_norm)
    model[1].running_mean.fill_(0.3)
    model[1].eval().requires_grad_(False)
    kept = model[1].running_mean.clone()
    run = train_once(model, (X, Y), learning_rate=0.05, batch_size=8)
    assert torch.equal(model[1].running_mean, kept)
    assert [module.training for module in model] == [True, False, True, True, True]
    outputs = seeded(with_batch_norm)
    outputs[1].running_mean.fill_(0.3)
    order = load((X, Y)).batches(8, 0)
    expected = [((outputs.eval()(x) - F.one_hot(y, 3)) ** 2).sum().item() / 16 for x, y in order]
    assert run.first_loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_a_model_in_eval_mode_trains_in_training_mode():
    model = seeded(with_batch_norm).eval()
    train_once(model, (X, Y), learning_rate=0.05, batch_size=8)
    assert model[1].num_batches_tracked == 9
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("frozen", "source"),
    [
        ([], "measured on"),
        ([1], "measured on"),
        ([1, 4], "measured on"),
        ([4], "some batch norms are in eval mode"),
    ],
)
def test_the_reference_is_measured_in_the_modes_of_training(frozen, source):
    layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)]
    model = seeded(
        lambda: nn.Sequential(*layers, nn.BatchNorm1d(3)) if 4 in frozen else nn.Sequential(*layers)
    )
    for place in frozen:
        model[place].running_var.fill_(0.01)
        model[place].eval()
    found = critical_learning_rate(
        model, (X, Y), batch_size=8, steps=2, restarts=1, look_for_best=False, budget=20.0, resolution=2.0
    )
    assert source in found.reference_source
    if found.reference is not None:
        statistics = "running" if frozen else "batch"
        measured = curvature(model, list(load((X, Y)).batches(8, 0)), kind="ggn", statistics=statistics)
        assert found.reference == pytest.approx(measured.max_learning_rate(0.9), rel=0.02)


def test_dropout_is_drawn_anew_each_step_and_by_the_seed():
    def losses(seed: int) -> tuple[float, ...]:
        model = seeded(lambda: nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 3)))
        return train_once(model, (X, Y), learning_rate=1e-12, batch_size=None, steps=4, seed=seed).losses

    assert losses(0) == losses(0)
    assert losses(0) != losses(1)
    assert len(set(losses(0))) == 4


@pytest.mark.parametrize(
    "layer", [nn.TransformerEncoderLayer(4, 2, 8, 0.5, batch_first=True), nn.GRU(4, 4, 2, dropout=0.5)]
)
def test_evaluation_has_no_dropout_of_attention_or_recurrence(layer):
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.layer(x)
            return (out[0] if isinstance(out, tuple) else out).sum(1)

    model, series = Summed(), SERIES.reshape(24, 5, 2).repeat(1, 1, 2)
    run = train_once(model, (series, X), learning_rate=1e-12, batch_size=None, steps=1)
    expected = ((model.eval()(series) - X) ** 2).sum().item() / 48
    assert run.first_loss == pytest.approx(expected, rel=1e-4)


def test_a_network_takes_whole_numbers_as_floats_and_no_structure():
    net = mlp(5, 6, 2, 3)
    assert data_for(net, (TOKENS, Y), 20).inputs.dtype == torch.float32
    assert data_for(nn.Linear(5, 3), (TOKENS, Y), None).inputs.dtype == torch.int64
    with pytest.raises(InvalidInput, match="inputs of one tensor, to reshape it, got a dict"):
        data_for(net, ({"x": X, "z": Z}, Y), None)
