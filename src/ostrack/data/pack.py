"""Write a data set into an LMDB in the official key form: ``ostrack data pack``.

Keys are paths relative to the root of the set as it is downloaded, values the files' bytes. TrackingNet becomes one
database for each chunk, ``TRAIN_0_lmdb`` and so on beside a ``seq_list.json``, as the official reader wants them.

A database is filled under the name ``OUT.part`` and renamed when it is whole, so that whatever has its final name is
complete. Each batch is committed on its own: after a kill, the next run goes on behind the last one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ostrack.data.benchmarks import recognise
from ostrack.data.storage import FolderStorage, Storage, SubStorage, ZipStorage, open_storage
from ostrack.errors import DataError, OutputError
from ostrack.whole import write_whole

__all__ = ["PackReport", "pack"]

Progress = Callable[[int, int | None], None]

_BATCH = 512
_LONGEST_KEY = 511
_LEFT_OUT = (".zip", ".tar", ".gz", ".md5", ".part")
_MARK = "pack.json"


@dataclass(frozen=True)
class PackReport:
    """What was written.

    Attributes:
        path: The database, or the folder of databases.
        kind: Kind of the data set.
        keys: Number of keys.
        bytes: Size of all values.
        resumed: Keys that an earlier run had written.
    """

    path: Path
    kind: str
    keys: int
    bytes: int
    resumed: int

    def text(self) -> str:
        """One line for people."""
        again = f", {self.resumed} of them by an earlier run" if self.resumed else ""
        return f"{self.path}: {self.keys} keys, {self.bytes / 2**20:.1f} MiB ({self.kind}{again})"


def _files(storage: Storage, start: str) -> dict[str, tuple[Storage, str]]:
    """Key in the database to where its value is read; archives of TrackingNet's frames are opened."""
    files: dict[str, tuple[Storage, str]] = {}
    for key in storage.walk():
        archive = storage.local(key)
        if key.startswith("zips/") and key.endswith(".zip") and archive is not None:
            inner = ZipStorage(archive)
            name = key.removeprefix("zips/").removesuffix(".zip")
            files.update((f"frames/{name}/{member}", (inner, member)) for member in inner.walk())
        elif not key.endswith(_LEFT_OUT):
            files[start + key] = (storage, key)
    return files


def _jobs(kind: str, storage: Storage, output: Path) -> Iterator[tuple[Path, Storage, str]]:
    """Database, what goes into it, and what stands before its keys."""
    if kind == "trackingnet":
        chunks = [n for n in storage.list() if n == "TEST" or n.startswith("TRAIN_")]
        yield from ((output / f"{chunk}_lmdb", SubStorage(storage, chunk), "") for chunk in chunks)
        return
    start = ""
    if kind == "got10k" and any(name.startswith("GOT-10k_") for name in storage.list()):
        # The folder of one split was given; keys begin with the split's name.
        first = next(name for name in storage.list() if name.startswith("GOT-10k_"))
        start = first.split("_")[1].lower() + "/"
    yield output, storage, start


def _same_source(part: Path, source: str) -> None:
    """Refuse to go on with what another root began."""
    mark = part / _MARK
    if mark.is_file():
        begun = json.loads(mark.read_text(encoding="utf-8")).get("source")
        if begun != source:
            raise OutputError(f"{part}: begun from {begun}, not from {source}; remove it to start afresh")
    part.mkdir(parents=True, exist_ok=True)
    _write_mark(part, {"source": source})


def _write_mark(folder: Path, content: dict[str, object]) -> None:
    write_whole(folder / _MARK, json.dumps(content))


def _fill(output: Path, kind: str, storage: Storage, start: str, progress: Progress | None) -> PackReport:
    try:
        import lmdb
    except ImportError:
        raise OutputError(f"{output}: writing an LMDB needs the package lmdb: pip install 'ostrack[train]'") from None
    files = _files(storage, start)
    long = next((key for key in files if len(key.encode()) > _LONGEST_KEY), None)
    if long is not None:
        raise OutputError(f"{storage.where(long)}: a key of over {_LONGEST_KEY} bytes cannot be stored")
    part = output.with_name(output.name + ".part")
    _same_source(part, storage.where())
    environment = lmdb.open(str(part), map_size=2**30, subdir=True, readahead=False)
    resumed = done = size = 0
    try:
        keys = iter(files)
        with ThreadPoolExecutor(4) as readers:
            while batch := list(islice(keys, _BATCH)):
                with environment.begin() as transaction:
                    held = {key: transaction.get(key.encode()) for key in batch}
                there = {key: len(value) for key, value in held.items() if value is not None}
                fresh = [key for key in batch if key not in there]
                values = list(readers.map(lambda key: files[key][0].read(files[key][1]), fresh))
                while True:
                    try:
                        with environment.begin(write=True) as transaction:
                            for key, value in zip(fresh, values, strict=True):
                                transaction.put(key.encode(), value)
                        break
                    except lmdb.MapFullError:
                        # The map is an upper bound that costs nothing until used.
                        environment.set_mapsize(environment.info()["map_size"] * 2)
                done, resumed = done + len(batch), resumed + len(there)
                size += sum(map(len, values)) + sum(there.values())
                if progress is not None:
                    progress(done, len(files))
        entries = environment.stat()["entries"]
    except lmdb.Error as error:
        raise OutputError(f"{part}: cannot be written: {error}") from None
    finally:
        environment.close()
    if entries != len(files):
        raise OutputError(f"{part}: {entries} keys for {len(files)} files; remove it to start afresh")
    (part / "lock.mdb").unlink(missing_ok=True)
    _write_mark(part, {"source": storage.where(), "kind": kind, "keys": entries, "bytes": size})
    part.rename(output)
    return PackReport(output, kind, entries, size, resumed)


def pack(root: Path | str, output: Path | str, progress: Progress | None = None) -> PackReport:
    """Copy a data set into an LMDB.

    Args:
        root: Folder or zip archive of a kind that can be read.
        output: Folder to write, ``OUT.lmdb``.
        progress: Called with the number of files done and their total.

    Returns:
        What was written. Reading it gives what reading ``root`` gives.

    Raises:
        DataError: No kind is recognised, or a file cannot be read.
        OutputError: The output exists, was begun from another root, or cannot be written.
    """
    output = Path(output)
    found = recognise(open_storage(root))
    if found is None:
        raise DataError(f"{root}: no known layout; 'ostrack data check' tells what is there")
    kind, storage = found
    jobs = list(_jobs(kind, storage, output))
    several = kind == "trackingnet"
    if output.exists() and not several:
        raise OutputError(f"{output}: already there; remove it or choose another name")
    if isinstance(storage, FolderStorage) and output.resolve().is_relative_to(storage.root.resolve()):
        raise OutputError(f"{output}: lies inside {storage.root}, the data set to be packed")
    reports = []
    for target, part, start in jobs:
        if target.exists():
            if not (target / _MARK).is_file():
                raise OutputError(f"{target}: already there and not written by this command; remove it")
            entries = json.loads((target / _MARK).read_text(encoding="utf-8"))
            reports.append(PackReport(target, kind, entries["keys"], entries["bytes"], entries["keys"]))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            reports.append(_fill(target, kind, part, start, progress))
    if several:
        listed = [
            [int(target.name.split("_")[1]), name.removesuffix(".txt")]
            for target, part, _ in jobs
            if target.name.startswith("TRAIN_")
            for name in part.list("anno")
        ]
        write_whole(output / "seq_list.json", json.dumps(listed))
    return PackReport(
        output, kind, sum(r.keys for r in reports), sum(r.bytes for r in reports), sum(r.resumed for r in reports)
    )
