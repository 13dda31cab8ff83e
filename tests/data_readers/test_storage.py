"""Folders, zip archives and LMDBs give the same bytes and the same listings."""

from __future__ import annotations

import multiprocessing
import pickle
import zipfile
from pathlib import Path

import pytest
from dataset_trees import stored_as, write

from ostrack.data.storage import Storage, SubStorage, open_storage
from ostrack.errors import DataError

FILES = {
    "train/list.txt": "a\nb\n",
    "train/a/1.jpg": b"\x00one",
    "train/a/10.jpg": b"ten",
    "train/a-1/2.jpg": b"two",
    "train/ab/3.jpg": b"three",
    "zebra.txt": "z",
}
FORMS = pytest.mark.parametrize("form", ["folder", "zip", "lmdb"])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write(tmp_path / "set", FILES)


@FORMS
def test_every_form_reads_and_lists_the_same(form: str, tree: Path) -> None:
    storage = stored_as(form, tree)
    assert storage.list() == ["train", "zebra.txt"]
    # "a", "a-1" and "ab" share a prefix, and '-' sorts before '/'.
    assert storage.list("train") == ["a", "a-1", "ab", "list.txt"]
    assert storage.list("train/a") == ["1.jpg", "10.jpg"]
    assert storage.list("nowhere") == []
    assert storage.read("train/a/1.jpg") == b"\x00one"
    assert storage.exists("train/a/1.jpg")
    assert not storage.exists("train/a")
    assert not storage.exists("train/a/2.jpg")
    assert sorted(storage.walk()) == sorted(FILES)


@FORMS
def test_a_folder_inside_is_a_storage_of_its_own(form: str, tree: Path) -> None:
    inner = SubStorage(stored_as(form, tree), "train")
    assert inner.list() == ["a", "a-1", "ab", "list.txt"]
    assert inner.read("ab/3.jpg") == b"three"
    assert sorted(inner.walk()) == ["a-1/2.jpg", "a/1.jpg", "a/10.jpg", "ab/3.jpg", "list.txt"]


@FORMS
def test_a_missing_file_is_named(form: str, tree: Path) -> None:
    with pytest.raises(DataError, match=r"set.*train/a/7\.jpg: no such"):
        stored_as(form, tree).read("train/a/7.jpg")


def _read(storage: Storage) -> bytes:
    return storage.read("train/ab/3.jpg")


@FORMS
def test_other_processes_open_their_own(form: str, tree: Path) -> None:
    storage = stored_as(form, tree)
    assert _read(storage) == b"three"
    assert _read(pickle.loads(pickle.dumps(storage))) == b"three"  # noqa: S301 - our own bytes
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_read, [storage] * 8) == [b"three"] * 8


def test_reading_an_lmdb_leaves_no_lock_behind(tree: Path) -> None:
    stored_as("lmdb", tree)
    target = tree.with_name("set.lmdb")
    (target / "lock.mdb").unlink()
    assert _read(open_storage(target)) == b"three"
    assert not (target / "lock.mdb").exists()


def test_what_is_no_storage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone: no such folder or file"):
        open_storage(tmp_path / "gone")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt: expected a folder, a zip archive or an LMDB"):
        open_storage(text)
    broken = tmp_path / "broken.lmdb"
    broken.mkdir()
    (broken / "data.mdb").write_bytes(b"nonsense" * 100)
    with pytest.raises(DataError, match=r"broken\.lmdb: not an LMDB that can be read"):
        open_storage(broken).list()


def test_hidden_members_of_an_archive_are_left_out_as_in_a_folder(tmp_path: Path) -> None:
    # As macOS packs a folder: a shadow of every file beside it, and its own notes inside.
    names = ["set/a/1.jpg", "set/.DS_Store", "set/a/._1.jpg", "__MACOSX/set/a/._1.jpg", "__MACOSX/._set"]
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    storage = open_storage(tmp_path / "set.zip")
    assert list(storage.walk()) == ["set/a/1.jpg"]
    assert storage.list() == ["set"]
    assert storage.list("set/a") == ["1.jpg"]


def test_a_damaged_member_of_an_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(range(256)) * 40)
    blob = bytearray(path.read_bytes())
    # Behind the header of 30 bytes and the name: the mark of a block of a kind that does not exist.
    blob[30 + len("a.txt")] |= 0b111
    path.write_bytes(blob)
    with pytest.raises(DataError, match=r"set\.zip!/a\.txt: cannot be read"):
        open_storage(path).read("a.txt")
