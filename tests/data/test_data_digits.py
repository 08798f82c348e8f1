"""The packaged digits."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest
import torch

from normfield.data import load
from normfield.data.digits import parse_digits
from normfield.errors import DataUnavailable, InvalidInput

FIRST_IMAGE = """
0 0 5 13 9 1 0 0
0 0 13 15 10 15 5 0
0 3 15 2 0 11 8 0
0 4 12 0 0 8 8 0
0 5 8 0 0 9 8 0
0 4 11 0 1 12 7 0
0 2 14 5 10 12 0 0
0 0 6 13 10 0 0 0
"""


def test_images_are_the_published_ones():
    data = load("digits", standardise="none")
    assert data.test_inputs is not None
    assert data.test_targets is not None
    assert data.inputs.shape == (1437, 1, 8, 8)
    assert data.test_inputs.shape == (360, 1, 8, 8)
    assert data.inputs[0, 0].int().tolist() == [
        [int(v) for v in row.split()] for row in FIRST_IMAGE.split("\n")[1:-1]
    ]
    assert data.targets[:10].tolist() == list(range(10))
    counts = torch.bincount(torch.cat([data.targets, data.test_targets]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert int(data.inputs.sum() + data.test_inputs.sum()) == 561718


def test_first_samples_are_standardised_among_themselves():
    data = load("digits", samples=400)
    raw = load("digits", standardise="none").inputs[:400].double().numpy()
    np.testing.assert_allclose(data.inputs, (raw - raw.mean()) / raw.std(), atol=1e-6)
    assert (
        str(data)
        == "digits: 400 of 1,797 samples, shape (1, 8, 8), 10 classes, one mean and one standard deviation"
    )


def test_credit_lies_beside_the_file():
    text = (files("normfield.data") / "digits.LICENSE.txt").read_text()
    assert "Alpaydin" in text
    assert "CC BY 4.0" in text


def test_a_changed_file_is_refused():
    content = bytearray((files("normfield.data") / "digits.npz").read_bytes())
    content[20000] ^= 1
    with pytest.raises(
        DataUnavailable, match=r"^here is corrupt: expected SHA-256 b2dab7b50172…, found .*; install"
    ):
        parse_digits(bytes(content), "here")


def test_more_than_the_training_part_is_refused():
    with pytest.raises(
        InvalidInput, match="expected at most 1,437 samples of digits for training, got 1,438; ask"
    ):
        load("digits", samples=1438)
