"""Where the files of a data set lie: a folder, a zip archive or an LMDB, behind one small protocol.

A key is the path relative to the data set's root with forward slashes (``train/GOT-10k_Train_000001/00000001.jpg``);
a value is the file's bytes. LMDBs have that same form: key = relative path, value = encoded image or text.

Storages are small, can be pickled, and open their file when first asked, once per process: worker processes that
inherit an open archive or database would share its file position.
"""

from __future__ import annotations

import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ostrack.errors import DataError

__all__ = ["FolderStorage", "LmdbStorage", "Storage", "SubStorage", "ZipStorage", "open_storage"]


class Storage(Protocol):
    """Files of one data set by key."""

    def __hash__(self) -> int:
        """Equal storages share what is open."""

    def read(self, key: str) -> bytes:
        """Bytes of one file.

        Raises:
            DataError: There is no such file; the message names it.
        """

    def exists(self, key: str) -> bool:
        """Whether there is a file of that key (folders do not count)."""

    def list(self, prefix: str = "") -> list[str]:
        """Sorted names of the files and folders directly below ``prefix``; empty when there is no such folder."""

    def where(self, key: str = "") -> str:
        """Full name of a key for messages."""

    def walk(self) -> Iterator[str]:
        """All keys, in a fixed order."""

    def local(self, key: str) -> Path | None:
        """The key's own file on disk, where it has one; not checked for being there."""


def _join(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name


@dataclass(frozen=True)
class FolderStorage:
    """A folder of files.

    Attributes:
        root: The folder.
    """

    root: Path

    def read(self, key: str) -> bytes:
        """Bytes of one file."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            raise DataError(f"{self.where(key)}: no such file") from None
        except OSError as error:
            raise DataError(f"{self.where(key)}: cannot be read: {error.strerror}") from None

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return (self.root / key).is_file()

    def list(self, prefix: str = "") -> list[str]:
        """Names directly below ``prefix``."""
        try:
            return sorted(entry.name for entry in os.scandir(self.root / prefix) if not entry.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def where(self, key: str = "") -> str:
        """The file's path."""
        return str(self.root / key)

    def walk(self) -> Iterator[str]:
        """All files, folder by folder, hidden ones left out."""
        for folder, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            relative = Path(folder).relative_to(self.root).as_posix()
            for name in sorted(files):
                if not name.startswith("."):
                    yield name if relative == "." else f"{relative}/{name}"

    def local(self, key: str) -> Path | None:
        """The file itself."""
        return self.root / key


@lru_cache(maxsize=16)
def _zip_of(path: Path, pid: int) -> tuple[zipfile.ZipFile, dict[str, list[str]], frozenset[str]]:
    """Archive, names directly below each folder, and its files; one per process, hence ``pid``."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a zip archive that can be read: {error}") from None
    files = frozenset(name for name in archive.namelist() if not (name.endswith("/") or _hidden(name)))
    below: dict[str, set[str]] = {}
    for name in files:
        parts = PurePosixPath(name).parts
        for depth in range(len(parts)):
            below.setdefault("/".join(parts[:depth]), set()).add(parts[depth])
    return archive, {folder: sorted(names) for folder, names in below.items()}, files


def _hidden(name: str) -> bool:
    """Whether a member is what a system keeps for itself; macOS puts a shadow of every file into ``__MACOSX``."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


@dataclass(frozen=True)
class ZipStorage:
    """A zip archive; hidden members are left out as they are of a folder.

    Attributes:
        root: The archive.
    """

    root: Path

    def read(self, key: str) -> bytes:
        """Bytes of one member."""
        try:
            return _zip_of(self.root, os.getpid())[0].read(key)
        except KeyError:
            raise DataError(f"{self.where(key)}: no such file in the archive") from None
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError) as error:
            raise DataError(f"{self.where(key)}: cannot be read: {error}") from None

    def exists(self, key: str) -> bool:
        """Whether there is such a member."""
        return key in _zip_of(self.root, os.getpid())[2]

    def list(self, prefix: str = "") -> list[str]:
        """Names directly below ``prefix``."""
        return list(_zip_of(self.root, os.getpid())[1].get(prefix.rstrip("/"), []))

    def where(self, key: str = "") -> str:
        """Archive and member."""
        return f"{self.root}!/{key}" if key else str(self.root)

    def walk(self) -> Iterator[str]:
        """All members, sorted."""
        yield from sorted(_zip_of(self.root, os.getpid())[2])

    def local(self, key: str) -> Path | None:
        """None: members have no file of their own."""
        return None


_DATABASES: dict[Path, tuple[int, Any]] = {}


def _lmdb_of(path: Path) -> Any:
    """Read-only environment, one per process."""
    pid, environment = _DATABASES.get(path, (0, None))
    if pid == os.getpid():
        return environment
    try:
        import lmdb
    except ImportError:
        raise DataError(f"{path}: reading an LMDB needs the package lmdb: pip install 'ostrack[train]'") from None
    if environment is not None:
        # Inherited by a fork; lmdb would take the path for open already.
        environment.close()
    try:
        # No lock file and no read-ahead: data sets are read at random by many processes, often from read-only disks.
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, meminit=False, create=False
        )
    except lmdb.Error as error:
        raise DataError(f"{path}: not an LMDB that can be read: {error}") from None
    _DATABASES[path] = os.getpid(), environment
    return environment


@dataclass(frozen=True)
class LmdbStorage:
    """An LMDB whose keys are relative paths.

    Attributes:
        root: Folder with ``data.mdb``, or a database file.
    """

    root: Path

    def read(self, key: str) -> bytes:
        """Value of one key."""
        with _lmdb_of(self.root).begin() as transaction:
            value = transaction.get(key.encode())
        if value is None:
            raise DataError(f"{self.where(key)}: no such key in the database")
        return bytes(value)

    def exists(self, key: str) -> bool:
        """Whether there is such a key."""
        if not key:
            return False
        with _lmdb_of(self.root).begin() as transaction, transaction.cursor() as cursor:
            return bool(cursor.set_key(key.encode()))

    def list(self, prefix: str = "") -> list[str]:
        """Names directly below ``prefix``."""
        start = prefix.rstrip("/").encode() + b"/" if prefix else b""
        names = []
        with _lmdb_of(self.root).begin() as transaction, transaction.cursor() as cursor:
            found = cursor.set_range(start) if start else cursor.first()
            while found and cursor.key().startswith(start):
                name, slash, _ = bytes(cursor.key()[len(start) :]).partition(b"/")
                names.append(name.decode())
                # Jump over everything inside that folder: a set has millions of keys but few folders.
                found = cursor.set_range(start + name + b"0") if slash else cursor.next()
        return sorted(set(names))

    def where(self, key: str = "") -> str:
        """Database and key."""
        return f"{self.root}!/{key}" if key else str(self.root)

    def walk(self) -> Iterator[str]:
        """All keys in the database's order."""
        with _lmdb_of(self.root).begin() as transaction, transaction.cursor() as cursor:
            for key in cursor.iternext(keys=True, values=False):
                yield bytes(key).decode()

    def local(self, key: str) -> Path | None:
        """None: values have no file of their own."""
        return None


@dataclass(frozen=True)
class SubStorage:
    """A folder inside another storage.

    Attributes:
        parent: The other storage.
        prefix: The folder's key.
    """

    parent: Storage
    prefix: str

    def read(self, key: str) -> bytes:
        """Bytes of one file."""
        return self.parent.read(_join(self.prefix, key))

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""
        return self.parent.exists(_join(self.prefix, key))

    def list(self, prefix: str = "") -> list[str]:
        """Names directly below ``prefix``."""
        return self.parent.list(_join(self.prefix, prefix).rstrip("/"))

    def where(self, key: str = "") -> str:
        """Full name in the other storage."""
        return self.parent.where(_join(self.prefix, key).rstrip("/"))

    def walk(self) -> Iterator[str]:
        """All keys below the folder."""
        start = f"{self.prefix}/"
        return (key[len(start) :] for key in self.parent.walk() if key.startswith(start))

    def local(self, key: str) -> Path | None:
        """What the other storage says."""
        return self.parent.local(_join(self.prefix, key))


def open_storage(root: Path | str) -> Storage:
    """The storage at a path: folder, zip archive, or LMDB (a folder with ``data.mdb``, or a file ``*.lmdb``).

    Raises:
        DataError: There is nothing there, or it is none of these.
    """
    path = Path(root)
    if path.is_dir():
        return LmdbStorage(path) if (path / "data.mdb").is_file() else FolderStorage(path)
    if not path.exists():
        raise DataError(f"{path}: no such folder or file")
    if zipfile.is_zipfile(path):
        return ZipStorage(path)
    if path.suffix in {".lmdb", ".mdb"}:
        return LmdbStorage(path)
    raise DataError(f"{path}: expected a folder, a zip archive or an LMDB")
