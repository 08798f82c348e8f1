"""The user's own data: pairs, .npz files, data sets and wrong things."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normfield.data import DataSet, load
from normfield.errors import DataUnavailable, InvalidInput

X = np.arange(12.0).reshape(4, 3)
Y = np.array([0, 2, 1, 2])


def test_pair_of_arrays():
    data = load((X, Y))
    assert data.inputs.dtype == torch.float32
    assert data.inputs.tolist() == X.tolist()
    assert data.targets.dtype == torch.int64
    assert (data.targets.tolist(), data.classes, data.name) == ([0, 2, 1, 2], 3, "given data")


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.float16, torch.bfloat16, torch.float64])
def test_pair_of_tensors_of_any_type(kind):
    data = load((torch.tensor(X).to(kind), torch.tensor(Y, dtype=torch.uint8)))
    assert data.inputs.tolist() == X.tolist()
    assert data.targets.tolist() == Y.tolist()


def test_arrays_in_odd_memory_layouts():
    frozen = X.astype(">f8")[::-1]
    frozen.flags.writeable = False
    assert load((frozen, Y)).inputs.tolist() == X[::-1].tolist()


def test_graphs_are_cut():
    assert not load(
        (torch.ones(2, 2, requires_grad=True), [0, 1] @ np.eye(2, dtype=int))
    ).inputs.requires_grad


def test_tables_of_floats_are_targets():
    data = load((X, X[:, :2]))
    assert (data.classes, data.outputs) == (None, 2)
    assert data.targets.dtype == torch.float32


def test_one_hot_integers_are_a_table():
    assert load((X, np.eye(4, dtype=int))).outputs == 4


def test_number_of_classes_may_be_said():
    assert load((X, Y), classes=7).outputs == 7
    with pytest.raises(
        InvalidInput, match="class labels in training targets from 0 to 1, got 2 outside, the first 2 at"
    ):
        load((X, Y), classes=2)
    with pytest.raises(InvalidInput, match="expected classes=10 for digits, got 3; leave it out"):
        load("digits", classes=3)
    with pytest.raises(InvalidInput, match="expected class labels, as classes=3 says, got float targets"):
        load((X, X), classes=3)


def test_data_set_is_returned():
    data = load((X, Y))
    assert load(data) is data
    assert load(data, samples=2).targets.tolist() == [0, 2]
    with pytest.raises(InvalidInput, match="expected classes=3, as given data has, got 4; leave it out"):
        load(data, classes=4)


def test_the_loss_of_precision_to_infinity_is_refused():
    with pytest.raises(InvalidInput, match=r"range of float32, got 1 NaN or infinite of 12 .*index \(3, 2\)"):
        load((np.where(X == 11, 1e39, X), Y))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((X[:0], Y[:0]), "at least one label, got none; give at least one sample"),
        ((X[:0], X[:0]), "at least one sample and one entry, got empty data"),
        ((X[:, 0], Y), r"inputs of shape \(samples, ...\)"),
        ((X, Y[:3]), "as many training targets as inputs, got 4 inputs and 3 targets; give one target"),
        (
            (np.where(X == 5, np.nan, X), Y),
            r"got 1 NaN or infinite of 12 values, the first at index \(1, 2\)",
        ),
        ((X, Y - 1), "class labels in training targets from 0 to 1, got 1 outside, the first -1 at index 0"),
        (
            (X, Y + 0.5),
            r"labels as integers .* got torch.float32 of shape \(4,\); make labels an integer vector",
        ),
        ((X, Y[:, None]), r"got torch.int64 of shape \(4, 1\); make labels"),
        ((X, Y * 10**9), "class labels below 100,000, got a largest label of 2,000,000,000"),
        ((X, X[:, 0]), r"got torch.float32 of shape \(4,\); make labels"),
        (
            (X, (Y, Y)),
            "targets as one tensor or array, or a dict of such, got a tuple of 2; for test data give",
        ),
        (
            ((X, Y), (X, Y)),
            "targets as one tensor or array, or a dict of such, got a tuple of 2; for test data",
        ),
        (((X, 3), Y), r"inputs\[1\] as a tensor or an array, got int"),
        (((X, X[:2]), Y), r"one first dimension, the samples, got \(\(4, 3\), \(2, 3\)\)"),
        (({}, Y), "inputs with a tensor, got an empty dict"),
        (({"a": X, "b": X * np.nan}, Y), r"finite training inputs .*, got 12 NaN or infinite"),
        ({"a": X}, "one of targets, target, labels, label, y and at least one input in a mapping"),
        (
            {"x": X, "y": Y, "test_inputs": X},
            "test_inputs and test_targets, or neither, got only one of them",
        ),
        (({"a": X}, {"y": Y[:2]}), "as many training targets as inputs, got 4 inputs and 2 targets"),
        ((X * 1j, Y), "inputs as real numbers, got an array of type complex128"),
        ((X.astype(str), Y), "inputs as real numbers, got an array of type"),
        (
            (torch.tensor(X).to_sparse(), Y),
            "inputs as dense real numbers, got a tensor of type torch.float64 and lay",
        ),
        ((X.tolist(), Y), "inputs as a tensor or an array, got list; convert it with numpy.asarray"),
        ((X, Y, Y), r"a name \(digits, mnist, fashion-mnist, cifar10\), a .npz file, .* got tuple of 3"),
        (None, "got NoneType"),
        ("minst", "got 'minst'; did you mean mnist?"),
        ("model.py", "got 'model.py'; name the function as well, model.py:function"),
    ],
)
def test_bad_data_is_one_line(source, message):
    with pytest.raises(InvalidInput, match=f"^expected [^\n]*{message}[^\n]*$"):
        load(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "expected samples as a whole number from 1 up, got 0"),
        ({"samples": True}, "expected samples as a whole number from 1 up, got True"),
        ({"samples": 5}, "expected at most 4 samples of given data, got 5; ask for fewer samples"),
        ({"seed": -1}, r"expected seed as a whole number from 0 to 2\*\*63 - 1, got -1"),
        ({"classes": 0}, "expected classes as a whole number from 1 up, got 0"),
        ({"max_bytes": 0.5}, "expected max_bytes as a whole number from 1 up, got 0.5"),
        ({"standardise": "all"}, "expected standardise as one of global, pixel, none, got 'all'"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        load((X, Y), **options)


@pytest.mark.parametrize("names", [("inputs", "targets"), ("x", "y")])
def test_npz_with_either_pair_of_names(tmp_path, names):
    path = tmp_path / "mine.npz"
    arrays: dict[str, Any] = dict(zip(names, (X, Y), strict=True))
    np.savez(path, **arrays)
    for source in (path, str(path)):
        data = load(source)
        assert (data.name, data.inputs.tolist(), data.targets.tolist()) == ("mine", X.tolist(), Y.tolist())


def test_npz_with_a_test_part(tmp_path):
    path = tmp_path / "both.npz"
    np.savez_compressed(path, x=X, y=Y, test_inputs=X[:2], test_targets=Y[:2])
    data = load(path, standardise="global")
    assert data.test_inputs is not None
    assert torch.equal(data.test_inputs, data.inputs[:2])
    np.savez(path, x=X, y=Y, test_inputs=X[:2])
    with pytest.raises(InvalidInput, match=f"expected test_inputs and test_targets in {path}, or neither"):
        load(path)


def npz_bytes(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy_bytes() -> bytes:
    file = io.BytesIO()
    np.save(file, X)
    return file.getvalue()


def with_flipped_bytes() -> bytes:
    content = bytearray(npz_bytes(x=np.arange(900.0).reshape(30, 30) ** 0.5, y=np.arange(30)))
    for i in range(300, 340):
        content[i] ^= 255
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        npz_bytes(x=X, y=Y)[:-40],
        npz_bytes(x=X, y=Y)[:100],
        npy_bytes(),
        with_flipped_bytes(),
    ],
    ids=["empty", "text", "tail cut", "head only", "npy", "flipped"],
)
def test_damaged_npz_is_named(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(
        DataUnavailable, match=f"^{path} is truncated or corrupt: expected an archive [^\n]*again$"
    ):
        load(path)


def with_a_huge_header() -> bytes:
    """An archive whose member x claims 2**55 numbers and holds none."""
    member, file = io.BytesIO(), io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**55,)}
    np.lib.format.write_array_header_1_0(member, header)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", member.getvalue())
    return file.getvalue()


def test_an_npz_that_claims_more_than_fits_in_memory_is_corrupt(tmp_path):
    path = tmp_path / "bad.npz"
    path.write_bytes(with_a_huge_header())
    with pytest.raises(DataUnavailable, match=f"^{path} is truncated or corrupt: [^\n]*again$") as caught:
        load(path)
    assert isinstance(caught.value.__cause__, MemoryError)


def test_npz_that_may_not_be_looked_at_is_one_line(tmp_path, forbidden):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    forbidden(tmp_path)
    with pytest.raises(DataUnavailable, match=f"^{path} cannot be read: Permission denied$"):
        load(path)


def test_missing_npz_is_named():
    with pytest.raises(DataUnavailable, match=r"not found: no such file; check the path$"):
        load("no\0where.npz")
    with pytest.raises(DataUnavailable, match=r"^nowhere.npz not found: no such file; check the path$"):
        load("nowhere.npz")


def test_npz_without_the_arrays_lists_what_it_has(tmp_path):
    path = tmp_path / "odd.npz"
    np.savez(path, images=X, labels=Y)
    with pytest.raises(
        InvalidInput, match="with the keys inputs and targets, or x and y, got images, labels; rename"
    ):
        load(path)


class Trap:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_never_opened(tmp_path):
    path, trace = tmp_path / "trap.npz", tmp_path / "sprung"
    np.savez(path, x=np.array([Trap(trace)], dtype=object), y=Y[:1])
    with pytest.raises(InvalidInput, match="got Python objects, which are never unpickled; save them again"):
        load(path)
    assert not trace.exists()


def test_data_set_is_what_load_gives():
    assert isinstance(load("digits", samples=1, standardise="none"), DataSet)
