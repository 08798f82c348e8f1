"""IDX files and MNIST, against bytes built by hand and, where it is present, the real set."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from normfield.data import available, load
from normfield.data.idx import parse_idx, read_content
from normfield.data.published import MNIST
from normfield.errors import DataUnavailable

REAL = Path(os.environ.get("NORMFIELD_DATA", "nowhere"))
needs_mnist = pytest.mark.skipif(
    not (REAL / "mnist").is_dir(), reason="NORMFIELD_DATA names no folder with MNIST in its subfolder mnist"
)


def idx_bytes(shape: tuple[int, ...], values: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape) + values


def pixels(count: int, start: int) -> bytes:
    return bytes((start + i) % 251 for i in range(count * 784))


def write_mnist(folder: Path, compress: bool = True, train: int = 6, test: int = 3) -> Path:
    sub = folder / "mnist"
    sub.mkdir()
    for part, count in (("train", train), ("t10k", test)):
        images = idx_bytes((count, 28, 28), pixels(count, count))
        labels = idx_bytes((count,), bytes(i % 10 for i in range(count)))
        for name, content in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            path = sub / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(content) if compress else content)
    return sub


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NORMFIELD_DATA", str(tmp_path))
    return tmp_path


def test_idx_gives_the_array_of_the_header(tmp_path):
    array = parse_idx(idx_bytes((2, 3), bytes([1, 2, 3, 4, 5, 255])), tmp_path)
    assert array.tolist() == [[1, 2, 3], [4, 5, 255]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no IDX file of unsigned bytes: .* found nothing"),
        (b"\x00\x00\x0d\x01", "is no IDX file of unsigned bytes: .* found 00 00 0d 01"),
        (b"PK\x03\x04....", "is no IDX file of unsigned bytes: .* found 50 4b 03 04"),
        (b"\x00\x00\x08\x02\x00\x00", "is truncated: expected a header of 12 bytes, found 6"),
        (idx_bytes((2, 3), b"12345"), r"is truncated: expected 18 bytes for shape \(2, 3\), found 17"),
        (idx_bytes((2, 3), b"1234567"), r"is corrupt: expected 18 bytes for shape \(2, 3\), found 19"),
        (idx_bytes((2**32 - 1,) * 3, b""), "is truncated: expected 79,228,"),
    ],
)
def test_bad_idx_is_named_with_bytes_expected_and_found(content, message):
    with pytest.raises(DataUnavailable, match=f"^some/file {message}"):
        parse_idx(content, Path("some/file"))


@pytest.mark.parametrize("compress", [True, False])
def test_mnist_is_read_plain_and_compressed(root, compress):
    write_mnist(root, compress)
    data = load("mnist", standardise="none")
    assert data.test_inputs is not None
    assert data.inputs.shape == (6, 1, 28, 28)
    assert bytes(data.inputs.flatten().byte().tolist()) == pixels(6, 6)
    assert bytes(data.test_inputs.flatten().byte().tolist()) == pixels(3, 3)
    assert data.targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert (data.classes, data.samples_total) == (10, 6)


def test_a_set_that_is_not_the_published_one_says_so(root):
    write_mnist(root)
    note = load("mnist").note
    assert "train-images-idx3-ubyte differs from the published file (MD5)" in note
    assert note.count("differs") == 4


def test_missing_test_files_are_named(root):
    (write_mnist(root) / "t10k-labels-idx1-ubyte.gz").unlink()
    data = load("mnist")
    assert data.test_inputs is None
    assert data.note.startswith("test data not used, t10k-labels-idx1-ubyte missing")


def test_missing_training_file_says_what_where_and_what_to_set(root):
    (write_mnist(root) / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataUnavailable) as caught:
        load("mnist")
    assert str(caught.value) == (
        f"mnist not found: {root / 'mnist'} lacks train-labels-idx1-ubyte, and NORMFIELD_OFFLINE forbids to download "
        "it; set NORMFIELD_DATA to a folder that has its files in the subfolder mnist"
    )
    assert available()[1][1] is False


def test_unset_folder_is_said(monkeypatch):
    monkeypatch.delenv("NORMFIELD_DATA", raising=False)
    with pytest.raises(
        DataUnavailable,
        match=r"^mnist not found: NORMFIELD_DATA is not set, and NORMFIELD_OFFLINE [^\n]*; set",
    ):
        load("mnist")
    assert {row.name: row.found for row in available()} == {
        "digits": True,
        "mnist": False,
        "fashion-mnist": False,
        "cifar10": False,
    }
    assert available()[1].where == (
        "not here (NORMFIELD_DATA is not set): download with normfield data fetch mnist"
    )


def test_a_folder_that_may_not_be_searched_is_one_line(root, forbidden):
    write_mnist(root)
    forbidden(root / "mnist")
    with pytest.raises(DataUnavailable, match=r"^mnist not found: [^\n]*; set NORMFIELD_DATA"):
        load("mnist")
    assert not available()[1].found


def test_absent_subfolder_is_said(root):
    assert available()[1].where.startswith(f"not here ({root / 'mnist'}: no such folder): download with")


def damaged(how: str, content: bytes) -> bytes:
    middle = len(content) // 2
    flipped = bytes(byte ^ 255 for byte in content[middle : middle + 40])
    return content[:middle] if how == "truncated" else content[:middle] + flipped + content[middle + 40 :]


@pytest.mark.parametrize("how", ["truncated", "corrupt"])
def test_damaged_gzip_is_one_line(root, how):
    path = write_mnist(root) / "train-images-idx3-ubyte.gz"
    path.write_bytes(damaged(how, path.read_bytes()))
    with pytest.raises(DataUnavailable, match=f"^{path} is {how}: [^\n]*; get the file again$"):
        load("mnist")


def test_unreadable_file_is_one_line(tmp_path):
    with pytest.raises(DataUnavailable, match=f"^{tmp_path} cannot be read: Is a directory$"):
        read_content(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "train-images-idx3-ubyte",
            idx_bytes((6, 2, 2), bytes(24)),
            r"is not MNIST: expected images of 28×28, found",
        ),
        (
            "train-labels-idx1-ubyte",
            idx_bytes((5,), bytes(5)),
            r"does not fit its images: expected 6 labels, found",
        ),
        (
            "t10k-labels-idx1-ubyte",
            idx_bytes((3,), b"\x01\x0a\x02"),
            "is corrupt: expected labels 0 to 9, found 10",
        ),
    ],
)
def test_well_formed_files_that_are_not_mnist_are_refused(root, name, content, message):
    path = write_mnist(root) / f"{name}.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataUnavailable, match=f"^{path} {message}"):
        load("mnist")


@needs_mnist
def test_real_mnist():
    data = load("mnist", standardise="none")
    assert data.test_inputs is not None
    assert data.test_targets is not None
    assert data.inputs.shape == (60000, 1, 28, 28)
    assert data.test_inputs.shape == (10000, 1, 28, 28)
    assert data.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test_targets[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.note == ""
    with gzip.open(REAL / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        assert struct.unpack(">IIII", file.read(16)) == (2051, 10000, 28, 28)
        total = int(np.frombuffer(file.read(), np.uint8).sum(dtype=np.int64))
    assert int(data.test_inputs.double().sum()) == total


@needs_mnist
def test_the_published_sizes_and_checksums_are_those_of_the_real_files():
    for file in MNIST:
        content = (REAL / "mnist" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


@needs_mnist
def test_real_mnist_standardised_as_in_the_tables():
    data = load("mnist", samples=400)
    assert (data.samples_used, data.samples_total, data.standardise) == (400, 60000, "global")
    assert data.inputs.double().flatten(1).square().sum(1).mean().item() == pytest.approx(784, rel=1e-6)
