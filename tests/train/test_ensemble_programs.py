"""Compiled steps, bfloat16 products and chunks against the same runs one by one; what cannot be compiled says so."""

import math
import threading
import warnings

import pytest
import torch
from torch import nn

import normfield as nf
from normfield.train import train_once
from normfield.train.ensemble import programs
from normfield.train.ensemble.descending import _blocks
from normfield.train.ensemble.rewriting import multiplies_first, outputs_of_all
from normfield.train.ensemble.room import Needs, room_for
from normfield.train.ensemble.side_by_side import side_by_side
from normfield.train.ensemble.stack import stacked

G = torch.Generator().manual_seed(5)
X, Y = torch.randn(60, 6, generator=G).double(), torch.randint(0, 3, (60,), generator=G)
DATA = {"inputs": X, "targets": Y, "test_inputs": X[:40], "test_targets": Y[:40]}
SETTINGS = {"batch_size": 20, "epochs": 4}
MEMBERS = [
    nf.Member(0.02, seed=1), nf.Member(1e200, seed=2), nf.Member(0.05, 0.5, seed=3), nf.Member(0.01, 0.0, seed=4),
    nf.Member(1e199, seed=5),
]  # fmt: skip


def perceptron(seed):
    return nf.build(nf.mlp(inputs=6, width=5, depth=3, outputs=3), seed=seed).double()


def single(seed):
    return perceptron(seed).float()


def assert_as_one_by_one(found, members=MEMBERS, **settings):
    for member, run, model in zip(members, found.runs, found.models, strict=True):
        alone = perceptron(member.seed)
        expected = train_once(
            alone,
            DATA,
            learning_rate=member.learning_rate,
            momentum=member.momentum,
            seed=member.seed,
            **settings,
        )
        assert (run.status, run.diverged_at) == (expected.status, expected.diverged_at)
        if run.status == "finished":
            assert run.losses == pytest.approx(expected.losses, rel=1e-10)
            assert run.test_loss == pytest.approx(expected.test_loss, rel=1e-10)
            for name, value in alone.state_dict().items():
                torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-10, atol=1e-12)


def test_compiled_as_one_by_one_with_members_that_diverge():
    """Without a warning or a trace in the random state; warnings are errors here."""
    state = torch.random.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nf.train_ensemble(perceptron, DATA, MEMBERS, compiled=True, keep_models=True, **SETTINGS)
    assert found.compiled
    assert 0 < found.compile_seconds < found.seconds
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_as_one_by_one(found, **SETTINGS)


def taken_off(module):
    """Biases that a batch norm takes off at once, and the running means that follow them."""
    pairs = [(i, part) for i, part in enumerate(module) if isinstance(part, nn.BatchNorm1d)]
    return {name for i, _ in pairs for name in (f"{i - 1}.bias", f"{i}.running_mean")}


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_compiled_steps_are_torchs(optimizer):
    members = [nf.Member(0.003, 0.9, seed=1), nf.Member(0.01, 0.5, seed=2)]
    settings = {"optimizer": optimizer, "batch_size": None, "epochs": 8, "keep_models": True}
    found = nf.train_ensemble(perceptron, DATA, members, compiled=True, **settings)
    for member, model in zip(members, found.models, strict=True):
        alone = perceptron(member.seed)
        if optimizer == "adam":
            steps = torch.optim.Adam(alone.parameters(), member.learning_rate, (member.momentum, 0.999))
        else:
            steps = torch.optim.RMSprop(alone.parameters(), member.learning_rate, momentum=member.momentum)
        for _ in range(8):
            steps.zero_grad()
            (0.5 * (alone(X) - nn.functional.one_hot(Y, 3)).square().sum() / len(X)).backward()
            steps.step()
        for name, value in alone.state_dict().items():
            # A bias that batch norm takes off has no gradient but round-off, 1e-17, which both rules divide by 1e-8.
            atol = 1e-8 if name in taken_off(alone) else 1e-11
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-8, atol=atol)


@pytest.mark.long
def test_compiled_bfloat16_is_as_near_as_eager():
    members = [nf.Member(0.01, seed=seed) for seed in range(3)]
    runs = [
        nf.train_ensemble(single, DATA, members, precision="bfloat16", compiled=compiled, **SETTINGS).runs
        for compiled in (True, False)
    ]
    for one, other in zip(*runs, strict=True):
        assert one.final_loss == pytest.approx(other.final_loss, rel=0.05)


@pytest.mark.parametrize("chunk_bytes", [1, 2**40])
def test_chunks_of_any_size_change_nothing(monkeypatch, chunk_bytes):
    monkeypatch.setattr("normfield.train.ensemble.room._STEPPED_BYTES", chunk_bytes)
    found = nf.train_ensemble(perceptron, DATA, MEMBERS, keep_models=True, **SETTINGS)
    assert_as_one_by_one(found, **SETTINGS)


def test_a_divergence_is_dated_as_one_by_one_wherever_losses_are_read():
    """Rates at which runs diverge at different steps within the eight that are read together."""
    members = [nf.Member(10 ** (0.1 * i - 0.6), 0.9, seed=i) for i in range(10)]
    settings = {"batch_size": 10, "epochs": 4, "divergence_factor": 30.0}
    found = nf.train_ensemble(perceptron, DATA, members, **settings)
    dates = []
    for member, run in zip(members, found.runs, strict=True):
        expected = train_once(
            perceptron(member.seed), DATA, learning_rate=member.learning_rate, seed=member.seed, **settings
        )
        assert (run.status, run.diverged_at) == (expected.status, expected.diverged_at)
        dates.append(run.diverged_at)
    assert len({date for date in dates if date is not None}) > 2


@pytest.mark.parametrize(("before", "todo"), [(0, 5), (0, 234), (100, 31), (1000, 33)])
def test_blocks_of_steps_cover_a_pass_once_and_grow_with_what_was_taken(before, todo):
    blocks = list(_blocks(before, todo))
    assert [i for block in blocks for i in block] == list(range(todo))
    for block in blocks[:-1]:
        assert len(block) == min(max((before + block[0]) // 4, 8), 32)


def test_evaluations_are_compiled_by_their_own_work(monkeypatch):
    """Four members take 12 steps and evaluate 3 batches before and 3 + 2 after each of 4 epochs."""
    asked = []
    monkeypatch.setattr("normfield.train.ensemble.training.pays", lambda steps: asked.append(steps))
    nf.train_ensemble(perceptron, DATA, [0.1] * 4, batch_size=20, epochs=4, every_epoch=True)
    assert asked == [4 * 12, 4 * (3 + 4 * 5) // 3]


def test_bfloat16_products_of_float32_weights():
    """Losses within what eight bits of mantissa leave, other than float32's, and parameters in float32."""
    settings = {"keep_models": True, **SETTINGS}
    whole = nf.train_ensemble(single, DATA, [nf.Member(0.01, seed=1)], **settings)
    mixed = nf.train_ensemble(single, DATA, [nf.Member(0.01, seed=1)], precision="bfloat16", **settings)
    assert mixed.runs[0].losses != whole.runs[0].losses
    assert mixed.runs[0].losses == pytest.approx(whole.runs[0].losses, rel=0.05)
    assert {p.dtype for p in mixed.models[0].parameters()} == {torch.float32}


def test_inputs_rounded_beforehand_change_no_bit(monkeypatch):
    """In bfloat16 the data are rounded once where the first layer would do so at every step."""
    members = [nf.Member(0.01, seed=seed) for seed in range(3)]
    settings = {"precision": "bfloat16", "compiled": False, **SETTINGS}
    found = nf.train_ensemble(single, DATA, members, **settings)
    monkeypatch.setattr("normfield.train.ensemble.training.multiplies_first", lambda module: False)
    expected = nf.train_ensemble(single, DATA, members, **settings)
    assert [run.losses for run in found.runs] == [run.losses for run in expected.runs]


@pytest.mark.parametrize(
    ("module", "multiplies"),
    [
        (nn.Linear(2, 2), True),
        (nn.Sequential(nn.Flatten(), nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())), True),
        (nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2)), False),
        (nn.Sequential(nn.Flatten()), False),
        (nn.LSTM(2, 2), False),
    ],
)
def test_what_meets_a_product_first(module, multiplies):
    assert multiplies_first(module) is multiplies


def test_float32_casts_the_modules():
    found = nf.train_ensemble(perceptron, DATA, [0.01], precision="float32", keep_models=True, **SETTINGS)
    assert {p.dtype for p in found.models[0].parameters()} == {torch.float32}
    assert math.isfinite(found.runs[0].final_loss)


def test_auto_goes_on_where_nothing_can_be_compiled(monkeypatch):
    def no_compiler(*_, **__):
        raise RuntimeError("no C++ compiler found")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(programs, "_WORTHWHILE", 1)
    monkeypatch.setattr(programs, "_kept", {})
    found = nf.train_ensemble(perceptron, DATA, MEMBERS, keep_models=True, **SETTINGS)
    assert not found.compiled
    assert found.compile_seconds > 0
    assert_as_one_by_one(found, **SETTINGS)
    with pytest.raises(nf.InvalidInput, match="got RuntimeError: no C"):
        nf.train_ensemble(perceptron, DATA, MEMBERS, compiled=True, **SETTINGS)


def test_auto_compiles_by_the_number_of_steps_alone():
    assert not nf.train_ensemble(perceptron, DATA, MEMBERS, **SETTINGS).compiled
    assert not programs.pays(19_999)
    assert programs.pays(20_000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": "float16"}, 'precision None, "float32" or "bfloat16", got'),
        ({"compiled": "yes"}, "compiled True"),
    ],
)
def test_bad_input_is_one_line(given, message):
    with pytest.raises(nf.InvalidInput, match=message) as caught:
        nf.train_ensemble(perceptron, DATA, [0.1], **given, **SETTINGS)
    assert "\n" not in str(caught.value)


class Scaled(nn.Module):
    """A layer of the user's own, with a buffer that moves."""

    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(width, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(width, dtype=torch.float64))

    def forward(self, x):
        if self.training:
            self.seen.add_(x.detach().mean(0))
        return x * self.scale


def dense(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False), nn.ReLU(), Scaled(5), nn.Linear(5, 5, bias=False),
        nn.BatchNorm1d(5, momentum=0.3), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4),
        nn.BatchNorm1d(4, track_running_stats=False), nn.Softmax(1),
    ).double()  # fmt: skip


def spatial(seed):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)
    ).double()


def convolutional(seed):
    """Convolutions of every kind: strided, padded by zeros or by reflection, dilated, in groups, without bias."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding="same", groups=2, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 4, (2, 3), dilation=2, padding=2), nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
        nn.Flatten(), nn.Linear(45, 2),
    ).double()  # fmt: skip


def frozen(seed):
    module = dense(seed)
    module[5].eval()
    return module


def averaging(seed):
    """Running statistics that are plain means over all batches."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, momentum=None), nn.ReLU()).double()


@pytest.mark.parametrize(
    ("make", "shape"),
    [(dense, (6,)), (frozen, (6,)), (averaging, (6,)), (spatial, (2, 6, 6)), (convolutional, (2, 6, 6))],
)
@pytest.mark.parametrize("shared", [True, False])
def test_rewritten_layers_are_the_modules(make, shape, shared):
    """Outputs, and buffers after two batches, of each module called by itself."""
    with torch.random.fork_rng():
        modules = [make(seed) for seed in range(3)]
    stack = stacked(modules)
    for _ in range(2):
        inputs = torch.randn(*([] if shared else [3]), 8, *shape, dtype=torch.float64, generator=G)
        outputs, buffers = outputs_of_all(
            stack.module, stack.trained | stack.kept, stack.buffers, inputs, shared
        )
        for i, module in enumerate(modules):
            torch.testing.assert_close(
                outputs[i], module(inputs if shared else inputs[i]), rtol=1e-11, atol=1e-12
            )
        stack.buffers = buffers
    for i, module in enumerate(modules):
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(buffers[name][i], buffer, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3, 8, 16])
def test_what_is_no_number_in_one_member_meets_no_other_in_convolutions(channels):
    """Libraries pad channels with zeros, and zero times NaN is NaN: outputs and gradients of the rest are as alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = [nn.Conv2d(channels, channels, 3, stride=2) for _ in range(3)]
    inputs = torch.randn(3, 4, channels, 9, 9, generator=G)
    stack = stacked(modules)

    def total(trained):
        outputs, _ = outputs_of_all(stack.module, trained, stack.buffers, inputs, False)
        return outputs.square().sum((1, 2, 3, 4)).nansum(), outputs

    clean, _ = torch.func.grad_and_value(total, has_aux=True)(stack.trained)
    spoiled = {name: tensor.clone() for name, tensor in stack.trained.items()}
    spoiled["weight"][1] = math.nan
    gradients, (_, outputs) = torch.func.grad_and_value(total, has_aux=True)(spoiled)
    assert outputs[1].isnan().all()
    for i in (0, 2):
        torch.testing.assert_close(outputs[i], modules[i](inputs[i]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradients["weight"][i], clean["weight"][i], rtol=1e-4, atol=1e-4)


def test_chunks_side_by_side_give_the_bits_of_one_thread(monkeypatch):
    """Six chunks of two on three threads; torch's own number of threads is as it was."""
    monkeypatch.setattr("normfield.train.ensemble.room._STEPPED_BYTES", 1)
    members = [nf.Member(0.02 * (i + 1), 0.9, seed=i) for i in range(6)]
    before = torch.get_num_threads()
    losses = {}
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found = nf.train_ensemble(perceptron, DATA, members, compiled=True, **SETTINGS)
            assert torch.get_num_threads() == threads
            losses[threads] = [run.losses for run in found.runs]
    finally:
        torch.set_num_threads(before)
    assert losses[1] == losses[3]


def test_side_by_side_runs_at_the_same_time_and_puts_threads_back():
    barrier, before = threading.Barrier(2, timeout=20), torch.get_num_threads()

    def meet(i):
        barrier.wait()
        return i, torch.get_num_threads()

    torch.set_num_threads(2)
    try:
        with side_by_side() as mapped:
            assert list(mapped(meet, range(2))) == [(0, 1), (1, 1)]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("members", "most", "chunk"), [(16, 3, 2), (64, 8, 8), (7, 4, 4), (5, 8, 5), (9, 4, 3)]
)
def test_chunks_are_of_the_size_that_adds_the_fewest_rows(members, most, chunk):
    room = room_for(members, Needs(1, 2**25 // most), 1e9, torch.device("cpu"))
    assert room.chunk == chunk


def test_room():
    """100 bytes waiting and 300 stepping of each: what is held never passes the memory, and parts are even."""
    for memory in (400, 1000, 5000, 1e5):
        room = room_for(20, Needs(100, 300), memory, torch.device("cpu"))
        assert room.at_once * 100 + room.chunk * 300 <= memory
        assert 1 <= room.chunk <= room.at_once <= 20
    assert room_for(20, Needs(100, 300), 1e5, torch.device("cpu")).at_once == 20
    assert room_for(64, Needs(2**20, 2**22), 2**30, torch.device("cpu")).chunk == 8
    assert room_for(64, Needs(2**20, 2**22), 2**40, torch.device("cuda")).chunk == 16
