"""CIFAR-10's binary records, against bytes built by hand and, where they are present, the real ones."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from normfield.data import available, load
from normfield.data.cifar_binary import read_records
from normfield.data.published import CIFAR10_MEMBER_MD5
from normfield.errors import DataUnavailable, InvalidInput

REAL = Path(os.environ.get("NORMFIELD_DATA", "nowhere"))
needs_cifar = pytest.mark.skipif(
    not (REAL / "cifar-10-batches-bin").is_dir(),
    reason="NORMFIELD_DATA names no folder with CIFAR-10 in its subfolder cifar-10-batches-bin",
)


def record(label: int, start: int) -> bytes:
    return bytes([label]) + bytes((start + i) % 253 for i in range(3072))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NORMFIELD_DATA", str(tmp_path))
    sub = tmp_path / "cifar-10-batches-bin"
    sub.mkdir()
    return sub


def test_records_split_into_labels_and_channels(tmp_path):
    path = tmp_path / "batch.bin"
    path.write_bytes(record(7, 0) + record(2, 100))
    images, labels = read_records(path)
    assert labels.tolist() == [7, 2]
    assert images.shape == (2, 3, 32, 32)
    assert images[0, 0, 0, :3].tolist() == [0, 1, 2]
    assert images[0, 1, 0, 0] == 1024 % 253
    assert images[1, 0, 1, 0] == 132


def test_batches_found_are_joined_and_missing_ones_named(folder):
    (folder / "data_batch_2.bin").write_bytes(record(3, 1))
    (folder / "data_batch_5.bin").write_bytes(record(4, 2) + record(5, 3))
    data = load("cifar10", standardise="none")
    assert data.targets.tolist() == [3, 4, 5]
    assert (data.samples_used, data.samples_total, data.test_inputs) == (3, 50000, None)
    assert data.note == (
        "of the set's 5 training batches only batches 2 and 5 (3 samples) are here, 1, 3 and 4 are missing; "
        "test_batch.bin missing, no test data; "
        "data_batch_2.bin holds 1 samples, the published one 10,000; "
        "data_batch_5.bin holds 2 samples, the published one 10,000"
    )
    assert str(data).startswith(
        "cifar10: 3 of 50,000 samples, shape (3, 32, 32), 10 classes, not standardised; of the set's"
    )
    assert available()[3].found
    assert "lacks data_batch_1.bin, data_batch_3.bin" in available()[3].where


def test_more_samples_than_found_are_refused(folder):
    (folder / "data_batch_1.bin").write_bytes(record(3, 1))
    with pytest.raises(InvalidInput, match="expected at most 1 samples of cifar10 for training, got 2"):
        load("cifar10", samples=2)


@pytest.mark.parametrize("content", [b"", record(0, 0)[:-1], record(0, 0) + b"\x00"])
def test_size_must_be_a_multiple_of_a_record(folder, content):
    path = folder / "data_batch_1.bin"
    path.write_bytes(content)
    with pytest.raises(DataUnavailable) as caught:
        load("cifar10")
    assert str(caught.value) == (
        f"{path} is truncated or corrupt: expected a multiple of 3,073 bytes, found {len(content):,}; "
        "get the file again"
    )


def test_labels_above_nine_are_refused(folder):
    path = folder / "data_batch_1.bin"
    path.write_bytes(record(10, 0))
    with pytest.raises(DataUnavailable, match=f"^{path} is corrupt: expected labels 0 to 9, found 10"):
        load("cifar10")


def test_a_folder_that_may_not_be_searched_is_one_line(folder, forbidden):
    (folder / "data_batch_1.bin").write_bytes(record(1, 0))
    forbidden(folder)
    with pytest.raises(DataUnavailable, match=r"^cifar10 not found: [^\n]*; set NORMFIELD_DATA"):
        load("cifar10")
    assert not available()[3].found


def test_nothing_found_is_one_line(folder):
    with pytest.raises(
        DataUnavailable,
        match=f"^cifar10 not found: {folder} lacks data_batch_1.bin, [^\n]*; set NORMFIELD_DATA",
    ):
        load("cifar10")
    assert not available()[3].found


@needs_cifar
def test_real_cifar10():
    data = load("cifar10", samples=100, standardise="none")
    content = (REAL / "cifar-10-batches-bin" / "data_batch_1.bin").read_bytes()
    assert data.targets.tolist() == [content[3073 * i] for i in range(100)]
    assert data.inputs[99].flatten().byte().tolist() == list(content[3073 * 99 + 1 : 3073 * 100])
    assert data.targets[:5].tolist() == [6, 9, 9, 4, 1]
    assert data.samples_total == 50000


@needs_cifar
def test_the_published_checksums_are_those_of_the_real_files():
    for name in ("data_batch_1.bin", "test_batch.bin"):
        content = (REAL / "cifar-10-batches-bin" / name).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == CIFAR10_MEMBER_MD5[name]
