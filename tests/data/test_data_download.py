"""Downloads from a server on this machine: good ones, every way to fail, and what is left on the disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import socket
import struct
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from local_server import LocalServer, serving

from normfield.data import available, fetch, load, verify
from normfield.data import download as downloading
from normfield.data import named as named_sets
from normfield.data.archive import extract
from normfield.data.cifar_binary import CifarSet
from normfield.data.download import download
from normfield.data.download_display import shown_downloads, unseen
from normfield.data.mnist import IdxSet
from normfield.data.published import CIFAR10, FASHION_MNIST, MNIST, PublishedFile
from normfield.errors import DataUnavailable, InvalidInput

BODY = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, no data folder, downloads allowed, and no proxy between us and this machine."""
    monkeypatch.delenv("NORMFIELD_DATA", raising=False)
    monkeypatch.delenv("NORMFIELD_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "normfield"


@pytest.fixture
def server():
    with serving() as local:
        yield local


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def published(name: str, body: bytes, *urls: str) -> PublishedFile:
    return PublishedFile(name, len(body), hashlib.sha256(body).hexdigest(), urls)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_a_file_is_downloaded_whole_and_progress_is_told(server, tmp_path):
    seen: list[int] = []
    file = published("file.gz", BODY, server.serve("/file.gz", BODY))
    path = download(file, tmp_path / "new" / "folder", seen.append)
    assert path.read_bytes() == BODY
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == len(BODY)


def test_a_file_that_is_here_needs_no_network(server, tmp_path):
    file = published("file", BODY, server.serve("/file", BODY))
    download(file, tmp_path, lambda here: None)
    server.answers.clear()
    download(file, tmp_path, lambda here: None)
    assert server.asked == ["/file"]


def test_a_damaged_file_is_replaced(server, tmp_path):
    file = published("file", BODY, server.serve("/file", BODY))
    (tmp_path / "file").write_bytes(BODY[:-1])
    assert download(file, tmp_path, lambda here: None).read_bytes() == BODY


def test_a_gzip_that_is_called_compressed_in_transit_stays_as_it_is(server, tmp_path):
    body = gzip.compress(BODY)
    url = server.serve("/file.gz", body, headers={"Content-Encoding": "gzip"})
    assert download(published("file.gz", body, url), tmp_path, lambda here: None).read_bytes() == body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"body": b"x" * len(BODY)}, "what came has another SHA-256 than the published file"),
        ({"body": BODY[:1000], "promised": len(BODY)}, "the connection broke off"),
        ({"body": BODY[:1000]}, "the body ended after 1,000 of 256,000 bytes"),
        ({"body": BODY + b"more"}, "the body is longer than the 256,000 bytes of the published file"),
        (
            {"body": BODY * 2, "promised": -1},
            "the body is longer than the 256,000 bytes of the published file",
        ),
        ({"body": b"", "status": 404}, "the server answered 404 Not Found"),
        ({"body": b"", "status": 503}, "the server answered 503 Service Unavailable"),
    ],
)
def test_each_fault_is_named_with_its_mirror_and_leaves_nothing(server, tmp_path, answer, words):
    file = published("file", BODY, server.serve("/file", answer.pop("body"), **answer))
    with pytest.raises(DataUnavailable) as caught:
        download(file, tmp_path, lambda here: None)
    line = str(caught.value)
    assert line.startswith(f"file could not be downloaded: 127.0.0.1:{server.port}: {words}")
    assert "\n" not in line
    assert left_in(tmp_path) == []


def test_refused_connection_is_named(tmp_path):
    file = published("file", BODY, f"http://127.0.0.1:{closed_port()}/file")
    with pytest.raises(DataUnavailable, match=r"no connection \(Connection refused\)$"):
        download(file, tmp_path, lambda here: None)


def test_a_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(downloading, "_TIMEOUT", 0.2)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        file = published("file", BODY, f"http://127.0.0.1:{mute.getsockname()[1]}/file")
        with pytest.raises(DataUnavailable, match=r"no answer within 0\.2 s$"):
            download(file, tmp_path, lambda here: None)


@pytest.mark.parametrize("first", ["absent", "wrong", "unreachable"])
def test_the_second_mirror_is_used_when_the_first_fails(server, tmp_path, first):
    server.serve("/wrong", b"y" * len(BODY))
    bad = f"http://127.0.0.1:{closed_port()}/f" if first == "unreachable" else server.url(f"/{first}")
    file = published("file", BODY, bad, server.serve("/file", BODY))
    assert download(file, tmp_path, lambda here: None).read_bytes() == BODY
    assert server.asked[-1] == "/file"


def test_all_mirrors_are_named(server, tmp_path):
    file = published("file", BODY, server.url("/a"), f"http://127.0.0.1:{closed_port()}/b")
    with pytest.raises(DataUnavailable, match=r"404 Not Found; 127.0.0.1:[0-9]+: no connection"):
        download(file, tmp_path, lambda here: None)


def test_ctrl_c_leaves_nothing_half_written(server, tmp_path):
    def interrupt(here: int) -> None:
        raise KeyboardInterrupt

    file = published("file", BODY, server.serve("/file", BODY))
    with pytest.raises(KeyboardInterrupt):
        download(file, tmp_path, interrupt)
    assert left_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_one_line(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    file = published("file", BODY, server.serve("/file", BODY))
    with pytest.raises(DataUnavailable, match=r"^[^\n]*taken cannot be written to: [^\n]*$"):
        download(file, tmp_path / "taken", lambda here: None)


def test_pooch_says_nothing_itself(server, tmp_path, capfd):
    download(published("file", BODY, server.serve("/file", BODY)), tmp_path, lambda here: None)
    assert capfd.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_only(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with shown_downloads() as begin:
        begin("file.gz", 1000)(1000)
    assert "file.gz" in screen.getvalue()
    assert "1.0/1.0 kB" in screen.getvalue()
    with shown_downloads(quiet=True) as begin:
        assert begin is unseen
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with shown_downloads() as begin:
        assert begin is unseen


def archive_of(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, body in members.items():
            row = tarfile.TarInfo(name)
            row.size = len(body)
            tar.addfile(row, io.BytesIO(body))
        for name, target in (links or {}).items():
            row = tarfile.TarInfo(name)
            row.type, row.linkname = tarfile.SYMTYPE, target
            tar.addfile(row)
    return content.getvalue()


def test_only_expected_members_are_unpacked(tmp_path):
    archive = tmp_path / "set.tar.gz"
    members = {"set/a": b"A", "set/b": b"B", "../evil": b"E", "/evil": b"E", "set/more": b"M", "a": b"no"}
    archive.write_bytes(archive_of(members))
    extract(archive, ("a", "b"), tmp_path / "set")
    assert left_in(tmp_path) == ["a", "b", "set.tar.gz"]
    assert (tmp_path / "set" / "a").read_bytes() == b"A"


def test_a_link_in_place_of_a_member_is_not_followed(tmp_path):
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(archive_of({"set/a": b"A"}, links={"set/b": "/etc/hostname"}))
    with pytest.raises(DataUnavailable, match=r"^[^\n]*set.tar.gz lacks set/b; get it again$"):
        extract(archive, ("a", "b"), tmp_path / "set")
    assert left_in(tmp_path) == ["set.tar.gz"]


@pytest.mark.parametrize("damage", ["truncated", "noise"])
def test_a_damaged_archive_leaves_nothing(tmp_path, damage):
    body = archive_of({"set/a": np.random.default_rng(0).bytes(100_000)})
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(body[:-5000] if damage == "truncated" else b"noise")
    with pytest.raises(
        DataUnavailable, match=r"^[^\n]*set.tar.gz is truncated or corrupt: [^\n]*; get it again$"
    ):
        extract(archive, ("a",), tmp_path / "set")
    assert left_in(tmp_path) == ["set.tar.gz"]


def test_ctrl_c_while_unpacking_leaves_nothing_but_the_archive(tmp_path, monkeypatch):
    archive = tmp_path / "set.tar.gz"
    archive.write_bytes(archive_of({"set/a": b"A", "set/b": b"B"}))
    copied: list[str] = []

    def interrupted(content, into) -> None:
        copied.append(into.name)
        into.write(b"half")
        if len(copied) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(archive, ("a", "b"), tmp_path / "set")
    assert len(copied) == 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("set", ".set"))] == [
        "set.tar.gz"
    ]


def idx(shape: tuple[int, ...], values: bytes) -> bytes:
    header = bytes([0, 0, 8, len(shape)]) + b"".join(struct.pack(">I", size) for size in shape)
    return gzip.compress(header + values, mtime=0)


def small_idx_set(server: LocalServer, real: IdxSet) -> IdxSet:
    """The set with eight training and four test images in the place of the published ones, served here."""
    files = []
    for part, count in (("train", 8), ("t10k", 4)):
        images = np.random.default_rng(count).bytes(count * 784)
        for name, body in (
            (f"{part}-images-idx3-ubyte.gz", idx((count, 28, 28), images)),
            (f"{part}-labels-idx1-ubyte.gz", idx((count,), bytes(range(count)))),
        ):
            files.append(published(name, body, server.serve(f"/{name}", body)))
    return replace(real, files=tuple(files), content_md5={})


def small_cifar_set(server: LocalServer) -> CifarSet:
    names = CifarSet.names
    bodies = {name: (bytes([i]) + bytes([10 * i]) * 3072) * 2 for i, name in enumerate(names)}
    body = archive_of({f"cifar-10-batches-bin/{name}": content for name, content in bodies.items()})
    archive = published("cifar-10-binary.tar.gz", body, server.serve("/cifar.tar.gz", body))
    return CifarSet(archive, {name: hashlib.md5(content).hexdigest() for name, content in bodies.items()})


@pytest.fixture
def served(server, monkeypatch) -> LocalServer:
    """The named sets in small, at addresses on this machine."""
    for name in ("mnist", "fashion-mnist"):
        row = named_sets.NAMED[name]
        monkeypatch.setitem(named_sets.NAMED, name, replace(row, files=small_idx_set(server, row.files)))
    row = named_sets.NAMED["cifar10"]
    monkeypatch.setitem(named_sets.NAMED, "cifar10", replace(row, files=small_cifar_set(server)))
    return server


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_a_set_by_name_is_downloaded_once(served, own_cache, name):
    data = load(name, standardise="none")
    assert data.inputs.shape == (8, 1, 28, 28)
    assert data.inputs.flatten().byte().numpy().tobytes() == np.random.default_rng(8).bytes(8 * 784)
    assert data.test_inputs is not None
    assert len(data.test_inputs) == 4
    assert (data.targets.tolist(), data.note) == (list(range(8)), "")
    assert len(left_in(own_cache / name)) == 4
    served.answers.clear()
    asked = len(served.asked)
    assert load(name).standardise == "global"
    assert len(served.asked) == asked == 4


def test_cifar10_is_unpacked_and_its_archive_removed(served, own_cache):
    data = load("cifar10", standardise="none")
    assert data.targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert data.inputs[2].unique().tolist() == [10]
    assert left_in(own_cache) == sorted(CifarSet.names)
    load("cifar10")
    assert served.asked == ["/cifar.tar.gz"]


def test_the_data_folder_comes_before_the_cache(served, own_cache, tmp_path, monkeypatch):
    load("cifar10")
    given = tmp_path / "given" / "cifar-10-batches-bin"
    given.mkdir(parents=True)
    (given / "data_batch_3.bin").write_bytes(bytes([9]) + bytes(3072))
    monkeypatch.setenv("NORMFIELD_DATA", str(given.parent))
    assert len(load("cifar10", standardise="none").inputs) == 10, "all files before some of them"
    for name in CifarSet.names:
        (given / name).write_bytes(bytes([9]) + bytes(3072))
    assert load("cifar10", standardise="none").targets.tolist() == [9] * 5


def test_some_files_in_the_data_folder_are_enough_without_a_download(served, tmp_path, monkeypatch):
    given = tmp_path / "given" / "cifar-10-batches-bin"
    given.mkdir(parents=True)
    (given / "data_batch_3.bin").write_bytes(bytes([9]) + bytes(3072))
    monkeypatch.setenv("NORMFIELD_DATA", str(given.parent))
    assert load("cifar10", standardise="none").targets.tolist() == [9]
    assert served.asked == []


def test_a_half_filled_cache_is_completed(served, own_cache):
    load("mnist")
    (own_cache / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    assert load("mnist").test_inputs is not None
    assert served.asked[4:] == ["/t10k-images-idx3-ubyte.gz"]


def test_a_corrupt_cache_says_how_to_mend_it_and_fetch_does(served, own_cache):
    load("mnist")
    (own_cache / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b\x08 no")
    with pytest.raises(DataUnavailable, match=r"; get the file again with normfield data fetch mnist$"):
        load("mnist")
    assert fetch("mnist").found
    assert load("mnist").note == ""
    assert served.asked[4:] == ["/train-labels-idx1-ubyte.gz"]


def test_fetch_downloads_cifar10_again_only_where_a_member_is_wrong(served, own_cache):
    fetch("cifar10")
    fetch("cifar10")
    assert len(served.asked) == 1
    (own_cache / "cifar-10-batches-bin" / "data_batch_2.bin").write_bytes(b"short")
    fetch("cifar10")
    assert len(served.asked) == 2
    assert {row.status for row in verify("cifar10")} == {"right"}


def test_fetch_leaves_a_data_folder_that_has_all_files_alone(served, own_cache, monkeypatch):
    fetch("mnist")
    monkeypatch.setenv("NORMFIELD_DATA", str(own_cache))
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_cache / "other"))
    assert fetch("mnist").where == str(own_cache / "mnist")
    assert len(served.asked) == 4


def test_a_failed_download_is_one_line_with_what_to_do(served, own_cache):
    served.answers.clear()
    with pytest.raises(DataUnavailable) as caught:
        load("fashion-mnist")
    assert str(caught.value) == (
        "fashion-mnist not found: NORMFIELD_DATA is not set; train-images-idx3-ubyte.gz could not be downloaded: "
        f"127.0.0.1:{served.port}: the server answered 404 Not Found; try again, or set NORMFIELD_DATA to a folder "
        "that has its files in the subfolder fashion-mnist (normfield data verify fashion-mnist checks it)"
    )
    assert left_in(own_cache) == []


def test_offline_forbids_downloads(served, monkeypatch):
    monkeypatch.setenv("NORMFIELD_OFFLINE", "1")
    for get in (load, fetch):
        with pytest.raises(
            DataUnavailable, match="and NORMFIELD_OFFLINE forbids to download it; set NORMFIELD_DATA"
        ):
            get("mnist")
    assert served.asked == []
    monkeypatch.setenv("NORMFIELD_OFFLINE", "0")
    assert fetch("mnist").found


def test_nothing_is_asked_of_the_network_for_other_data(served):
    load("digits")
    available()
    verify("mnist")
    load((np.ones((4, 2)), np.arange(4)))
    assert served.asked == []


def test_verify_names_every_fault(served, own_cache):
    load("mnist")
    folder = own_cache / "mnist"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(idx((8, 28, 28), bytes(8 * 784)))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(b"noise")
    (folder / "t10k-images-idx3-ubyte.gz").unlink()
    plain = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(plain)
    rows = verify("mnist")
    assert [(row.status, row.is_wrong) for row in rows] == [
        ("different", True),
        ("corrupt", True),
        ("missing", True),
        ("unknown", False),
    ]
    assert rows[0].words == f"{folder}: train-images-idx3-ubyte.gz differs from the published file (SHA-256)"
    assert "is no IDX file" in rows[1].words
    assert rows[2].words == f"{folder / 't10k-images-idx3-ubyte'} is missing"


def test_verify_of_a_set_that_is_not_here(served):
    (row,) = verify("cifar10")
    assert (row.status, row.is_wrong) == ("missing", True)
    assert "download with normfield data fetch cifar10" in row.words
    assert verify("digits")[0].status == "right"
    with pytest.raises(InvalidInput, match=r"expected a named data set .*, got 'minst'"):
        verify("minst")


@pytest.mark.parametrize("file", [*MNIST, *FASHION_MNIST, CIFAR10], ids=lambda file: file.urls[0])
def test_published_files_have_two_addresses_and_full_checksums(file):
    assert len(file.urls) >= 2
    assert all(url.endswith(f"/{file.name}") for url in file.urls)
    assert len(bytes.fromhex(file.sha256)) == 32
