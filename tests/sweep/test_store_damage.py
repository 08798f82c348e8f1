"""Full disks, folders that cannot be written, files that are no whole store: one clear line, nothing lost."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import small_stores
from small_stores import contents, drive, make_store, outcomes

from normfield.errors import InvalidInput, NormfieldError, StoreError
from normfield.sweep import Outcome, Store

NOBODY = 65534
FOLDER = str(Path(small_stores.__file__).parent)


def _line(error: pytest.ExceptionInfo[NormfieldError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def _left_by_a_killed_driver(path: Path, trials: int = 40) -> None:
    """A store whose results are in its log only."""
    with make_store(path, trials) as store:
        drive(store)
        copies = {name: path.with_name(path.name + name).read_bytes() for name in ("", "-wal")}
    for name, content in copies.items():
        path.with_name(path.name + name).write_bytes(content)
    assert path.with_name(path.name + "-wal").stat().st_size > 0


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("share", [0.99, 0.5, 0.1])
def test_a_truncated_store_is_named_and_left_as_it_is(tmp_path, share, write):
    path = tmp_path / "s.db"
    with make_store(path, 400) as store:
        drive(store)
    whole = path.stat().st_size
    os.truncate(path, int(share * whole))
    kept = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        Store.open(path, write=write)
    assert f"s.db is truncated: {int(share * whole):,} bytes of {whole:,} are there" in _line(caught)
    assert "restore it from a copy" in _line(caught)
    assert path.read_bytes() == kept


@pytest.mark.parametrize(
    ("size", "message"),
    [(0, r"s.db is empty: a store was truncated"), (50, r"s.db is truncated: 50 bytes are there")],
)
def test_a_store_without_a_header_is_named(tmp_path, size, message):
    path = tmp_path / "s.db"
    make_store(path).close()
    os.truncate(path, size)
    with pytest.raises(StoreError, match=message):
        Store.open(path)


def test_a_store_truncated_under_its_log_is_not_driven(tmp_path):
    path = tmp_path / "s.db"
    _left_by_a_killed_driver(path, 400)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreError, match=r"s.db is damaged"):
        Store.open(path, write=True)


def test_pages_that_were_overwritten_are_found_when_they_are_read(tmp_path):
    path = tmp_path / "s.db"
    with make_store(path, 400) as store:
        drive(store)
    with path.open("rb+") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 8 * 4096))
    with pytest.raises(StoreError, match=r"s.db is damaged or truncated"), Store.open(path) as store:
        contents(store)


def test_the_log_of_a_killed_driver_is_read_and_taken_over(tmp_path):
    path = tmp_path / "s.db"
    _left_by_a_killed_driver(path)
    with Store.open(path) as reader:
        found = contents(reader)
        assert len(found) == reader.status().finished == 40
    assert path.with_name("s.db-wal").stat().st_size > 0  # a reader leaves it to the next driver
    with Store.open(path, write=True) as store:
        assert contents(store) == found
    assert not path.with_name("s.db-wal").exists()


def test_a_store_of_a_newer_version_is_not_opened(tmp_path):
    path = tmp_path / "s.db"
    make_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    for write in (False, True):
        with pytest.raises(InvalidInput) as caught:
            Store.open(path, write=write)
        assert re.fullmatch(
            r"expected a store of version 1 or lower, which this normfield reads, got \S+s.db of version 7;"
            r" update normfield",
            _line(caught),
        )
    assert path.read_bytes() == before


def test_other_files_are_no_stores(tmp_path):
    (tmp_path / "notes.txt").write_text("not a store\n" * 20)
    with pytest.raises(InvalidInput, match=r"got \S+notes.txt, which is some other file; check the name"):
        Store.open(tmp_path / "notes.txt", write=True)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(InvalidInput, match=r"got \S+other.db, which is some other SQLite database"):
        Store.open(tmp_path / "other.db")
    with pytest.raises(
        InvalidInput, match=r"expected the file of a store, got no file \S+none.db; check the name"
    ):
        Store.open(tmp_path / "none.db")
    with pytest.raises(
        InvalidInput, match=r"expected the file of a store that can be read, got \S+ \(Is a directory\)"
    ):
        Store.open(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "other.db"]


def test_a_full_disk_undoes_one_group_and_keeps_the_rest(tmp_path):
    with make_store(tmp_path / "s.db", 400) as store:
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(
            f"PRAGMA max_page_count = {pages + 10}"
        )  # the same failure as of a full disk
        with pytest.raises(StoreError) as caught:
            drive(store)
        assert "no room on the disk for" in _line(caught)
        assert "the last write was undone, all before it is kept; free some space and go on" in _line(caught)
        found = contents(store)
        assert 0 < len(found) == store.status().finished < 400
        store._connection.execute("PRAGMA max_page_count = 100000")
        drive(store)
        assert store.status().finished == len(contents(store)) == 400
        assert contents(store)[: len(found)] == found


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from small_stores import contents, drive
from normfield.errors import StoreError
from normfield.sweep import Store
with Store.open(sys.argv[1], write=True) as store:
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    try:
        drive(store)
    except StoreError as error:
        print(error)
    print(store.status().finished, len(contents(store)))
    try:
        store.export(sys.argv[1] + ".csv")
    except StoreError as error:
        print(error)
"""


def test_a_disk_that_takes_no_more_bytes_keeps_what_it_has(tmp_path):
    path = tmp_path / "s.db"
    make_store(path, 2000).close()
    driver = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), FOLDER], check=True, capture_output=True, text=True
    )
    told, counted, *exported = driver.stdout.splitlines()
    assert re.search(r"(no room on the disk for|could not be read or written).*all before it is kept", told)
    finished, there = map(int, counted.split())
    assert 0 < finished == there < 2000
    assert exported == []  # so few trials fit a file
    with Store.open(path, write=True) as store:
        assert store.status().finished == finished
        drive(store)
        whole = contents(store)
    with make_store(tmp_path / "whole.db", 2000) as store:
        drive(store)
        assert contents(store) == whole


@contextmanager
def _as_anybody() -> Iterator[None]:
    """Root may write anywhere, and becomes nobody for a while."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


def _told(call: Callable[[], object]) -> str:
    """What a user without rights is told, in one line."""
    with _as_anybody(), pytest.raises(InvalidInput) as caught:
        call()
    return _line(caught)


def _read(path: Path) -> tuple[int, int]:
    with _as_anybody(), Store.open(path) as store:
        return store.status().finished, len(contents(store))


@pytest.fixture
def open_folder(tmp_path):
    """A folder that others can walk to; pytest's own are closed to them."""
    if os.geteuid() == 0:
        for folder in tmp_path.parents:
            folder.chmod(folder.stat().st_mode | 0o111)
    tmp_path.chmod(0o755)
    yield tmp_path
    tmp_path.chmod(0o755)


def test_a_read_only_folder_is_read_and_refused_for_writing(open_folder):
    path = open_folder / "s.db"
    with make_store(path, 8) as store:
        drive(store)
    (open_folder / "s.db.lock").unlink()
    open_folder.chmod(0o555)
    assert _read(path) == (8, 8)
    refusal = r"expected a folder in which a store can be written, got \S+ \(unable to open .*\); create it, change its"
    assert re.search(refusal, _told(lambda: Store.open(path, write=True)))
    assert re.search(refusal, _told(lambda: make_store(open_folder / "new.db")))
    assert sorted(each.name for each in open_folder.iterdir()) == ["s.db"]


def test_a_read_only_file_is_refused_for_writing(open_folder):
    path = open_folder / "s.db"
    with make_store(path, 8) as store:
        drive(store)
    open_folder.chmod(0o777)
    path.chmod(0o444)
    (open_folder / "s.db.lock").chmod(0o666)
    assert _read(path) == (8, 8)
    refusal = _told(lambda: Store.open(path, write=True))
    assert re.search(
        r"expected a store that can be written, in a folder that can be written, got \S+s.db", refusal
    )


def test_a_log_in_a_read_only_folder_is_not_passed_over(open_folder):
    path = open_folder / "s.db"
    _left_by_a_killed_driver(path, 8)
    (open_folder / "s.db-shm").unlink(missing_ok=True)
    open_folder.chmod(0o555)
    refusal = _told(lambda: Store.open(path))
    assert re.search(
        r"to read the log of a store whose driver was killed, .* copy s.db and s.db-wal to an", refusal
    )


def test_a_store_that_may_not_be_read_is_named(open_folder):
    path = open_folder / "s.db"
    make_store(path).close()
    path.chmod(0)
    assert re.search(
        r"store that can be read, got \S+s.db \(Permission denied\)", _told(lambda: Store.open(path))
    )


def test_a_copy_taken_between_drivers_is_a_store(tmp_path):
    with make_store(tmp_path / "s.db") as store:
        drive(store)
        found = contents(store)
    shutil.copy(tmp_path / "s.db", tmp_path / "copy.db")
    with Store.open(tmp_path / "copy.db") as copy:
        assert contents(copy) == found


def test_a_refused_group_leaves_no_column_behind_and_can_be_committed_then(tmp_path):
    with make_store(tmp_path / "s.db", 8) as store:
        first, second = store.pending()
        good, bad = Outcome({"late": 1.0}, {"curve": [1.0]}), Outcome({"bad": object()})  # type: ignore[dict-item]
        with pytest.raises(InvalidInput):
            store.commit(first.number, [good, good, good, bad])
        store.commit(second.number, outcomes(second))
        assert "late" not in store.to_frame().columns
        assert store.status().finished == 4
        store.commit(first.number, [good] * 4)
        with Store.open(tmp_path / "s.db") as reader:
            assert reader.result("key-0") == Outcome({"late": 1.0}, {"curve": (1.0,)})
            assert list(reader.to_frame()["late"].dropna()) == [1.0] * 4
