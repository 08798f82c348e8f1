"""Batches and outputs in every structure: which form is which, and the same numbers from each."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from dense_oracle import Named, eigenvalues
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, TensorDataset

from normfield.data.dataset import DataSet
from normfield.errors import InvalidInput
from normfield.measure import curvature
from normfield.measure.subject.batches import read_batches


def randn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


A, B, Y, Z = randn(6, 3), randn(6, 2, seed=2), randn(6, 2, seed=3), torch.arange(6) % 2
PAIR = (A, Y)


class Joined(nn.Module):
    """Two inputs, the second also by keyword."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (self.left(left) + self.right(right)).tanh()


class OfDict(Joined):
    def forward(self, batch: dict[str, Any]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(batch["left"], batch["more"]["right"][0])


def joined_formula(p: Named) -> Tensor:
    return (A @ p["left.weight"].T + p["left.bias"] + B @ p["right.weight"].T + p["right.bias"]).tanh()


def half_squared(f: Tensor) -> Tensor:
    return ((f - Y) ** 2).sum() / 12


INPUTS = {
    "tuple": (Joined, ((A, B), Y)),
    "list of arrays": (Joined, ([A.numpy(), B.numpy()], Y.numpy())),
    "keywords": (Joined, ({"right": B, "left": A}, Y)),
    "one dict": (OfDict, ({"left": A, "more": {"right": [B]}}, Y)),
    "mapping with targets": (Joined, {"left": A, "right": B, "labels": Y}),
    "mapping of a library": (Joined, UserDict(left=A, right=B, labels=Y)),
    "inputs and targets": (Joined, {"inputs": (A, B), "targets": Y}),
    "list of one": (Joined, [((A, B), Y)]),
    "halves": (Joined, [((A[:3], B[:3]), Y[:3]), ((A[3:], B[3:]), Y[3:])]),
    "generator": (Joined, "generator"),
}


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("kind", ["ggn", "hessian"])
def test_the_same_numbers_from_every_form(name: str, kind: str) -> None:
    make, batches = INPUTS[name]
    if batches == "generator":
        batches = (item for item in [((A, B), Y)])
    model = make().double()
    expected = eigenvalues(model, joined_formula, half_squared, kind)
    result = curvature(model, batches, kind=kind, tolerance=1e-10, method="lanczos")
    np.testing.assert_allclose(result.eigenvalues, expected[:2], rtol=1e-8)


SEVERAL = {
    "list of two pairs": ([PAIR, PAIR], 2),
    "list of two lists": ([[A, Y], [A, Y]], 2),
    "tuple of three pairs": ((PAIR, PAIR, PAIR), 3),
    "tuple of two of different length": ((PAIR, (A[:4], Y[:4])), 1),
    "two mappings": (({"x": A, "y": Y}, {"x": A, "y": Y}), 2),
    "a mapping and a pair": ([{"x": A, "y": Y}, PAIR], 2),
    "pair of arrays": (PAIR, 1),
    "list that is a pair": ([A, Y], 1),
    "two inputs": (((A, B), Y), 1),
    "three inputs, two targets": (((A, B, A), (Y, Z)), 1),
    "one input, two targets": ((A, (Y, Z)), 1),
    "mapping of inputs, mapping of targets": (({"left": A, "right": B}, {"labels": Y, "weights": Z}), 1),
    "one mapping": ({"x": A, "y": Y}, 1),
    "nested one": ([((A, B), (Y, Z))], 1),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_one_batch_or_several(name: str) -> None:
    batches, count = SEVERAL[name]
    assert len(read_batches(batches).items) == count


def test_two_inputs_of_one_pair_stay_together() -> None:
    (item,) = read_batches([((A, B), (Y, Z))]).items
    assert [part.shape[1] for part in item.inputs] == [3, 2]
    assert torch.equal(item.targets[1], Z)


class Raising(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index > 3:
            raise OSError("no file 4.png\nthere")
        return A[index], 0


def wrong_later() -> Iterator[Any]:
    yield PAIR
    yield {"x": A}


REFUSED = {
    "could be one or two": (
        ((A, B), (Y, Z)),
        "expected a tuple of two that is either one batch or two, got a tuple of two pairs of one length, which could "
        "be both; write a list: [(x1, y1), (x2, y2)] for two batches, [((x1, x2), (y1, y2))] for one",
    ),
    "data set": (
        DataSet("own", A.float(), Z, classes=2),
        "a DataLoader that gives them, got a DataSet; give data.batches(128, seed=0)",
    ),
    "torch data set": (TensorDataset(A, Y), "got a TensorDataset; give a DataLoader(data, batch_size=128)"),
    "loader that raises": (
        DataLoader(Raising(), batch_size=2),
        "expected batches that can be read, got OSError at batch 3: no file 4.png there",
    ),
    "mapping without targets": (wrong_later(), "got batch 2 with x; rename the entry"),
    "two names of targets": ({"x": A, "y": Y, "labels": Z}, "got batch 1 with x, y, labels"),
    "text among inputs": (
        {"x": A, "words": ["a"] * 6, "y": Y},
        "expected inputs['words'][0] as a tensor or an",
    ),
    "inputs of two lengths": (((A, B[:4]), Y), "whose tensors have one first dimension, the samples"),
    "targets of another length": (
        (A, (Y[:4], Z[:4])),
        "expected as many targets as inputs in batch 1, got 4 for 6",
    ),
    "nothing inside": (({}, Y), "got an empty structure"),
    "masked": ((np.ma.masked_array(A.numpy(), A.numpy() > 0), Y), "expected inputs without a mask"),
    "sparse": ((A.to_sparse(), Y), "expected inputs as a dense tensor, got layout sparse_coo, dtype float64"),
    "meta": ((A.to("meta"), Y), "expected inputs as a dense tensor, got no values (device meta)"),
    "structured targets": (
        (A, (Y, Z)),
        "expected targets in one tensor for this loss, got ((6, 2), (6,)); give a callable loss",
    ),
    "complex targets": ((A, Y.to(torch.complex128)), "expected real targets, got complex128"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    batches, words = REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        curvature(nn.Linear(3, 2), batches)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_data_sets_batches() -> None:
    batches = DataSet("own", A.float(), Z, classes=2).batches(3, seed=0)
    assert curvature(nn.Linear(3, 2), batches, "cross_entropy").batches == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_of_dicts_their_workers_and_samplers(workers: int) -> None:
    class Items(Dataset):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {"left": A[index], "right": B[index], "label": Y[index]}

    own = torch.Generator().manual_seed(5)
    loader = DataLoader(
        Items(), batch_size=6, num_workers=workers, sampler=RandomSampler(Items(), generator=own)
    )
    model = Joined().double()
    before = (own.get_state(), torch.get_rng_state())
    expected = eigenvalues(model, joined_formula, half_squared, "ggn")
    result = curvature(model, loader, tolerance=1e-10)
    np.testing.assert_allclose(result.eigenvalues, expected[:2], rtol=1e-8)
    assert torch.equal(own.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[::-1],
        lambda x: x.astype(">f8"),
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(np.float16),
    ],
)
def test_arrays_that_torch_does_not_share(change: Any) -> None:
    changed = change(A.numpy())
    plain = torch.from_numpy(np.array(changed, dtype=np.float64))
    values = [
        curvature(nn.Linear(3, 2).double(), (x, Y), kind="hessian").eigenvalues for x in (changed, plain)
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)


def test_tensors_made_in_inference_mode() -> None:
    with torch.inference_mode():
        x, y, model = (
            A.clone(),
            Y.clone(),
            nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(),
        )
    for p in model.parameters():
        assert p.is_inference()
    result = curvature(model, (x, y), kind="hessian", tolerance=1e-9, method="lanczos")
    assert result.status == "converged"


Pair = namedtuple("Pair", ["logits", "extra"])


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    extra: Any
    name: str = "answer"


class Structured(nn.Module):
    """The same two outputs in some structure."""

    def __init__(self, wrap: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.wrap = nn.Linear(3, 2), nn.Linear(3, 4), wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.one(x).tanh(), self.two(x).reshape(len(x), 2, 2))


STRUCTURES = {
    "tuple": (lambda a, b: (a, b), lambda o: (o[0], o[1])),
    "named tuple": (Pair, lambda o: (o.logits, o.extra)),
    "dict": (lambda a, b: {"logits": a, "rest": [b, None]}, lambda o: (o["logits"], o["rest"][0])),
    "ordered": (lambda a, b: OrderedDict(logits=a, rest=(b,)), lambda o: (o["logits"], o["rest"][0])),
    "object": (Answer, lambda o: (o.logits, o.extra)),
    "two dtypes": (lambda a, b: (a, b.float()), lambda o: (o[0], o[1].double())),
}


@pytest.mark.parametrize("kind", ["ggn", "hessian"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_structured_outputs_reach_a_callable_loss_as_they_are(name: str, kind: str) -> None:
    wrap, parts = STRUCTURES[name]
    seen = []

    def loss(outputs: Any, targets: Any) -> Tensor:
        first, second = parts(outputs)
        seen.append(type(outputs))
        value = nn.functional.cross_entropy(first, targets["labels"])
        return value + ((second - targets["values"][:, None]) ** 2 * second.exp()).mean()

    targets = {"labels": Z, "values": Y}

    def rows(p: Named) -> Tensor:
        first = (A @ p["one.weight"].T + p["one.bias"]).tanh()
        return torch.cat([first, A @ p["two.weight"].T + p["two.bias"]], 1)

    def of_rows(f: Tensor) -> Tensor:
        first, second = f[:, :2], f[:, 2:].reshape(-1, 2, 2)
        value = nn.functional.cross_entropy(first, Z)
        return value + ((second - Y[:, None]) ** 2 * second.exp()).mean()

    model = Structured(wrap).double()
    expected = eigenvalues(model, rows, of_rows, kind)
    rough = name == "two dtypes"
    for batches in ((A, targets), [(A, targets), (A, targets)]):
        result = curvature(
            model, batches, loss, kind, top=2, tolerance=1e-4 if rough else 1e-9, method="lanczos"
        )
        np.testing.assert_allclose(result.eigenvalues, expected[:2], rtol=1e-4 if rough else 1e-8)
    assert set(seen) == {type(wrap(A, A))}


def with_scalar(a: Tensor, b: Tensor) -> Any:
    return a, b.mean()


def with_labels(a: Tensor, b: Tensor) -> Any:
    return {"logits": a, "labels": a.argmax(1)}


class Opaque:
    __slots__ = ("logits",)

    def __init__(self, logits: Tensor, rest: Tensor) -> None:
        self.logits = logits


def callable_loss(outputs: Any, targets: Any) -> Tensor:
    return next(iter(outputs)).square().mean()


STRUCTURED_REFUSED = {
    "known loss": (
        lambda a, b: (a, b),
        "squared",
        "expected a model that returns one tensor, got a tuple; wrap it",
    ),
    "scalar": (with_scalar, callable_loss, "got float64 of shape () at outputs[1] for 6 samples; wrap it"),
    "integers": (with_labels, callable_loss, "got int64 of shape (6,) at outputs['labels'] for 6 samples"),
    "slots": (Opaque, callable_loss, "got a Opaque at outputs; wrap it"),
    "nothing": (lambda a, b: None, callable_loss, "got a NoneType without tensors"),
}


@pytest.mark.parametrize("name", STRUCTURED_REFUSED)
def test_structured_outputs_refused(name: str) -> None:
    wrap, loss, words = STRUCTURED_REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        curvature(Structured(wrap).double(), (A, Y), loss, "ggn")
    assert words in str(caught.value)


def test_structured_outputs_of_another_form_in_a_later_batch_are_refused() -> None:
    class Lengths(nn.Linear):
        def forward(self, input: Tensor) -> Any:
            return {"z": super().forward(input)}

    x = randn(6, 5, 3)
    with pytest.raises(InvalidInput, match="outputs of one form in every batch"):
        curvature(Lengths(3, 2).double(), [(x, Y), (x[:, :4], Y)], lambda f, y: f["z"].square().mean(), "ggn")
