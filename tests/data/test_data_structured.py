"""Inputs of several tensors, indices, labels at positions, dicts of targets, and training data with test data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from normfield.data import DataSet, load
from normfield.errors import InvalidInput
from normfield.samples import leaves

X = torch.arange(40.0).reshape(20, 2)
TOKENS = torch.arange(60).reshape(20, 3) % 7
MASK = torch.arange(60).reshape(20, 3) % 2 == 0
Y = torch.arange(20) % 4


def structured() -> DataSet:
    return load(({"tokens": TOKENS, "rest": (X.double(), MASK)}, Y))


def test_floats_become_float32_and_whole_numbers_stay():
    inputs = structured().inputs
    assert [tensor.dtype for tensor in leaves(inputs)] == [torch.int64, torch.float32, torch.bool]
    assert torch.equal(inputs["tokens"], TOKENS)
    assert isinstance(inputs["rest"], tuple)


def test_arrays_and_lists_of_them_are_structures_too():
    data = load(([np.ones((20, 2)), np.zeros((20, 3), dtype=bool), np.ones(20, dtype=np.int16)], Y.numpy()))
    assert [tensor.dtype for tensor in data.inputs] == [torch.float32, torch.bool, torch.int16]


@pytest.mark.parametrize(
    ("values", "form", "kept"),
    [
        (TOKENS, None, torch.int64),
        (TOKENS.int(), None, torch.int32),
        (TOKENS.to(torch.uint8), None, torch.float32),
        (TOKENS.numpy(), None, torch.float32),
        (MASK, None, torch.float32),
        (TOKENS.numpy(), "as given", torch.int64),
        (TOKENS.to(torch.uint8), "as given", torch.uint8),
        (X.double(), "as given", torch.float32),
        (TOKENS, "floats", torch.float32),
    ],
)
def test_one_tensor_of_whole_numbers(values, form, kept):
    data = load((values, Y), inputs=form)
    assert data.inputs.dtype == kept
    assert data.inputs.tolist() == values.tolist()


def test_a_data_set_of_indices_is_made_floats_on_request():
    data = load(load((TOKENS, Y)), inputs="floats")
    assert data.inputs.dtype == torch.float32


def test_a_line_says_the_structure():
    assert str(structured()) == (
        "given data: 20 of 20 samples, inputs {tokens: (3,), rest: ((2,), (3,))}, 4 classes, not standardised"
    )
    assert str(load((TOKENS, Y))).startswith("given data: 20 of 20 samples, shape (3,) of int64, 4 classes")


def rows_agree(inputs: Any, targets: torch.Tensor) -> bool:
    """Whether every sample still has its own parts: tokens, x, mask and label of one row."""
    row = (inputs["rest"][0][:, 0] / 2).long()
    return (
        torch.equal(inputs["tokens"], TOKENS[row])
        and torch.equal(inputs["rest"][1], MASK[row])
        and torch.equal(targets, Y[row])
    )


def test_batches_and_subsets_keep_samples_together():
    data = structured()
    batches = data.batches(6, seed=1)
    assert (len(batches), batches.dropped) == (3, 2)
    for inputs, targets in batches:
        assert inputs["tokens"].shape == (6, 3)
        assert rows_agree(inputs, targets)
    assert rows_agree(*data.batches(20, seed=2)[0])
    for subset in (data.subset(5), data.subset(5, seed=3), load(data, samples=5)):
        assert subset.samples_used == 5
        assert rows_agree(subset.inputs, subset.targets)
    with pytest.raises(InvalidInput, match="batch_size of at most 20, the number of samples, got 21"):
        data.batches(21, seed=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.input_shape, r"inputs of one tensor, its shape, got a dict, \{tokens: \(3,\)"),
        (lambda d: d.flattened(), "inputs of one tensor, its shape, got a dict"),
        (
            lambda d: d.shaped((3,)),
            "inputs of one tensor, to reshape it, got a dict, .*; give a module of your own",
        ),
        (
            lambda d: load(d, standardise="global"),
            "inputs of one tensor of floats, to standardise them, got a dict",
        ),
        (
            lambda d: load((TOKENS, Y), standardise="pixel"),
            "inputs of one tensor of floats, to standardise them, got torch.int64; standardise the parts",
        ),
    ],
)
def test_what_structures_cannot_do_is_one_line(call, message):
    with pytest.raises(InvalidInput, match=f"^expected {message}[^\n]*$"):
        call(structured())


def test_a_float_of_double_precision_in_a_data_set_is_refused():
    with pytest.raises(
        InvalidInput, match=r"training inputs of type torch.float32, got torch.float64; use load"
    ):
        DataSet("bad", {"x": X.double()}, Y, 4)
    with pytest.raises(InvalidInput, match=r"training inputs\['x'\] as a torch.Tensor, got list"):
        DataSet("bad", {"x": [1.0]}, Y, 4)


def test_labels_at_positions_are_told_from_rows_by_classes():
    tagged = load((X, TOKENS), classes=7)
    assert (tagged.targets.dtype, tagged.classes, tagged.outputs) == (torch.int64, 7, 7)
    assert "7 classes at each of (3,) positions" in str(tagged)
    assert load((X, TOKENS)).targets.dtype == torch.float32
    one_hot = tagged.squared_targets()
    assert one_hot.shape == (20, 7, 3)
    assert torch.equal(one_hot.argmax(1), TOKENS)
    with pytest.raises(InvalidInput, match=r"from 0 to 4, got 16 outside, the first 5 at index \(1, 2\)"):
        load((X, TOKENS), classes=5)


def test_masks_are_labels_and_fields_are_floats():
    masks = load((X, TOKENS.reshape(20, 3, 1).expand(20, 3, 2)))
    assert (masks.targets.dtype, masks.classes) == (torch.int64, 7)
    fields = load((X, torch.ones(20, 3, 2, dtype=torch.float64)))
    assert (fields.targets.dtype, fields.classes) == (torch.float32, None)
    with pytest.raises(InvalidInput, match=r"count a network's outputs, got targets of shape \(20, 3, 2\)"):
        _ = fields.outputs


def test_targets_may_be_a_dict():
    data = load((X, {"boxes": X.double(), "kind": Y}))
    assert data.classes is None
    assert {key: part.dtype for key, part in data.targets.items()} == {
        "boxes": torch.float32,
        "kind": torch.int64,
    }
    _, targets = data.batches(4, seed=0)[0]
    assert torch.equal(targets["kind"], (targets["boxes"][:, 0] / 2).long() % 4)
    with pytest.raises(
        InvalidInput, match=r"class labels, as classes=4 says, got float targets of .* or a dict"
    ):
        load((X, {"kind": Y}), classes=4)
    with pytest.raises(InvalidInput, match="targets of one tensor for the squared loss"):
        data.squared_targets()


class Words(Dataset):
    """Samples as dicts, as text libraries give them."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"tokens": TOKENS[i], "mask": MASK[i], "labels": Y[i]}


@pytest.mark.parametrize("source", [Words(), DataLoader(Words(), batch_size=6)])
def test_a_loader_of_dicts_gives_inputs_by_name(source):
    data = load(source)
    assert torch.equal(data.inputs["tokens"], TOKENS)
    assert torch.equal(data.inputs["mask"], MASK)
    assert torch.equal(data.targets, Y)


def test_bytes_of_all_parts_count():
    each = TOKENS[0].nbytes + MASK[0].nbytes + Y[0].nbytes
    data = load(Words(), max_bytes=7 * each)
    assert data.samples_used == 7
    assert torch.equal(data.inputs["mask"], MASK[:7])


def test_a_loader_of_tuples_and_of_tokens():
    pairs = [((TOKENS[i], X[i]), Y[i]) for i in range(20)]
    data = load(DataLoader(pairs, batch_size=8))  # pyright: ignore[reportArgumentType]
    assert torch.equal(data.inputs[0], TOKENS)
    assert torch.equal(data.inputs[1], X)
    assert load(TensorDataset(TOKENS, Y)).inputs.dtype == torch.int64


def test_batches_of_different_structure_are_refused():
    mixed = [({"a": X[0]}, 0), ({"b": X[0]}, 0)]
    with pytest.raises(InvalidInput, match=r"inputs of one shape and type in all batches, got a: .* and b: "):
        load(DataLoader(mixed, batch_size=1))  # pyright: ignore[reportArgumentType]


def test_a_mapping_with_test_data():
    given = {"inputs": X, "targets": Y, "test_inputs": X[:3], "test_targets": Y[:3]}
    data = load(given)
    assert torch.equal(data.inputs, X)
    assert data.test_inputs is not None
    assert torch.equal(data.test_inputs, X[:3])
    named = load({"tokens": TOKENS, "mask": MASK, "labels": Y})
    assert set(named.inputs) == {"tokens", "mask"}


@pytest.mark.parametrize("wrap", [lambda x, y: TensorDataset(x, y), lambda x, y: load((x, y)),
                                  lambda x, y: DataLoader(TensorDataset(x, y), batch_size=4)])  # fmt: skip
def test_training_data_with_test_data(wrap):
    data = load((wrap(X[:15], Y[:15] % 3), wrap(X[15:], Y[15:])), samples=10)
    assert (data.samples_used, data.classes) == (10, 4)
    assert torch.equal(data.test_inputs, X[15:])
    assert torch.equal(data.test_targets, Y[15:])


def test_training_and_test_data_are_standardised_together_or_not_at_all():
    data = load((load((X[:15], Y[:15])), TensorDataset(X[15:], Y[15:])), standardise="global")
    scale = X[:15].double()
    expected = (X[15:].double() - scale.mean()) / scale.std(correction=0)
    torch.testing.assert_close(data.test_inputs, expected.float())
    with pytest.raises(
        InvalidInput, match='that are not standardised yet, got standardise="global" and "none"'
    ):
        load((load((X, Y), standardise="global"), load((X, Y))))


def test_test_data_of_another_form_are_refused():
    with pytest.raises(InvalidInput, match=r"test inputs of \{a: \(2,\)\}, got \{b: \(2,\)\}; bring both"):
        load((load(({"a": X}, Y)), load(({"b": X}, Y))))
    with pytest.raises(InvalidInput, match="test inputs of shape"):
        load((load((X, Y)), load((TOKENS, Y))))


def test_fewer_test_samples():
    data = load((load(({"a": X}, Y)), load(({"a": X}, Y)))).with_less_test(3)
    assert data.test_inputs["a"].shape == (3, 2)
    assert len(data.test_targets) == 3
    assert structured().with_less_test(3).test_inputs is None


def test_a_target_may_return_structures(tmp_path):
    path = tmp_path / "words.py"
    path.write_text(
        "import torch\n"
        "def pairs(): return {'tokens': torch.ones(4, 3, dtype=torch.int64)}, torch.tensor([0, 1, 1, 0])\n"
        "def both(): return tuple(torch.utils.data.TensorDataset(torch.ones(n, 2), torch.arange(n)) for n in (4, 3))\n"
    )
    assert load(f"{path}:pairs").inputs["tokens"].shape == (4, 3)
    assert load(f"{path}:both").test_inputs.shape == (3, 2)
