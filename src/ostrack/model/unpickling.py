"""Files of ``torch.save`` read without running anything they say.

A pickle is a program: it may call any function it can name. This reader knows a short list of names. Those that
describe tensors become descriptions, read from the file only when asked for (a training checkpoint is two thirds
optimiser state); the containers stay what they are; the settings and statistics that training codes leave in
their checkpoints become objects that do nothing; any other name ends the reading. It does not rest on
``torch.load(weights_only=True)``, which needs every foreign class registered beforehand and could be made to run
code before torch 2.6.
"""

from __future__ import annotations

import os
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ostrack.errors import CheckpointError

__all__ = ["StoredTensor", "naming_damage", "open_pickled"]

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# What training codes leave beside the weights: nothing of it is needed, and none of it is built.
_INERT_MODULES = ("lib.train.admin", "lib.config", "ltr.admin")
_INERT = {
    ("argparse", "Namespace"),
    ("collections", "Counter"),
    ("collections", "defaultdict"),
    ("easydict", "EasyDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
    ("torch", "Size"),
    ("torch", "device"),
    *(("torch", str(dtype).removeprefix("torch.")) for dtype in _STORAGES.values()),
    *(
        (module, name)
        for module in ("builtins", "__builtin__")
        for name in ("dict", "float", "int", "list", "set", "str")
    ),
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# Whatever a damaged or hostile pickle can make the machine stumble over.
_DAMAGE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, ArithmeticError, AttributeError, EOFError, LookupError,
    MemoryError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class StoredTensor:
    """Where in the file a tensor lies; ``read`` fetches it.

    Attributes:
        shape: Its sizes.
        dtype: Its element type.
        stride: Stored elements from one index to the next, for each dimension.
        offset: Its first element among the stored ones.
        storage: What it is a view of.
        fetch: Gets the stored bytes.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    stride: tuple[int, ...]
    offset: int
    storage: _Storage
    fetch: Callable[[_Storage], bytearray]

    def read(self) -> Tensor:
        """The tensor, contiguous, on the CPU.

        Raises:
            UnpicklingError: Its description contradicts itself.
            EOFError: The file ends before it.
        """
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        if min((self.offset, *self.stride, *self.shape)) < 0 or (0 not in self.shape and last >= self.storage.count):
            raise pickle.UnpicklingError(f"a tensor of shape {self.shape} reaches beyond its stored values")
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        values = self.fetch(self.storage)
        if len(values) < self.storage.nbytes:
            raise EOFError("it ends before its stored values do")
        flat = torch.frombuffer(values, dtype=self.dtype, count=self.storage.count)
        return flat.as_strided(self.shape, self.stride, self.offset).clone(memory_format=torch.contiguous_format)

    def __setstate__(self, state: object) -> None:
        """Descriptions take no state from a pickle."""


@dataclass(frozen=True)
class _Storage:
    dtype: torch.dtype
    key: str
    count: int

    @property
    def nbytes(self) -> int:
        return self.count * self.dtype.itemsize

    def __setstate__(self, state: object) -> None:
        """Descriptions take no state from a pickle."""


class _Inert:
    """Stands for an object that is not wanted: takes any arguments, state, items and keys, keeps none."""

    def __init__(self, *arguments: object, **more: object) -> None: ...

    def __call__(self, *arguments: object) -> _Inert:
        return _Inert()

    def __setstate__(self, state: object = None) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...

    def append(self, value: object) -> None: ...

    def extend(self, values: Iterable[object]) -> None: ...

    def add(self, value: object) -> None: ...


class _Rebuild(_Inert):
    """In the place of torch's functions that put a tensor together."""

    def __init__(self, fetch: Callable[[_Storage], bytearray], parameter: bool) -> None:
        self.fetch, self.parameter = fetch, parameter

    def __call__(self, *arguments: Any) -> Any:
        if self.parameter:
            return arguments[0]
        storage, offset, shape, stride = arguments[:4]
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor without stored values")
        sizes, steps = tuple(int(n) for n in shape), tuple(int(n) for n in stride)
        if len(sizes) != len(steps):
            raise pickle.UnpicklingError("a tensor with contradictory sizes")
        return StoredTensor(sizes, storage.dtype, steps, int(offset), storage, self.fetch)


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], path: Path, fetch: Callable[[_Storage], bytearray]) -> None:
        super().__init__(file, encoding="latin1")
        self.path, self.fetch = path, fetch
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module in ("torch", "torch.cuda") and name in _STORAGES:
            return _StorageType(_STORAGES[name])
        if module == "torch._utils" and name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
            return _Rebuild(self.fetch, parameter=False)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _Rebuild(self.fetch, parameter=True)
        if (module, name) in _INERT or any(module == m or module.startswith(m + ".") for m in _INERT_MODULES):
            return _Inert
        raise CheckpointError(
            f"{self.path}: refused, its pickle names {module}.{name}, which weights do not need and could run code"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage, key, _, count, *_ = pid
        if kind != "storage" or not isinstance(storage, _StorageType):
            raise pickle.UnpicklingError("a reference to something other than stored values")
        return self.storages.setdefault(str(key), _Storage(storage.dtype, str(key), int(count)))


class _StorageType(_Inert):
    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def open_pickled(path: Path) -> object:
    """Content of a file of ``torch.save``, in its zip or its older form.

    Args:
        path: The file; it must stay in place until the wanted tensors are read.

    Returns:
        Containers, numbers and strings, with :class:`StoredTensor` for each tensor.

    Raises:
        CheckpointError: It names anything beyond tensors, containers and known leftovers.
        Exception: Of many kinds where the file is damaged; see :func:`naming_damage`.
    """
    return _open_zip(path) if zipfile.is_zipfile(path) else _open_legacy(path)


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes the readers stumble over into one line with its name.

    Raises:
        CheckpointError: Instead of theirs.
    """
    try:
        yield
    except _DAMAGE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{path}: damaged or not a PyTorch file ({said})") from error


def _open_zip(path: Path) -> object:
    # Stays open, held by the descriptions of the tensors, until the last of them is gone.
    archive = zipfile.ZipFile(path)
    main = next((name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1), None)
    if main is None:
        raise CheckpointError(f"{path}: a zip file, but not one of torch.save (no data.pkl)")
    root = main.removesuffix("data.pkl")
    entries = {entry.filename: entry for entry in archive.infolist()}
    if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError(f"{path}: written on a big-endian machine; only little-endian files are read")

    def fetch(storage: _Storage) -> bytearray:
        name = f"{root}data/{storage.key}"
        if name not in entries:
            raise EOFError(f"{name} is missing")
        return bytearray(archive.read(name))

    with archive.open(main) as file:
        return _Reader(file, path, fetch).load()


def _open_legacy(path: Path) -> object:
    places: dict[str, int] = {}

    def fetch(storage: _Storage) -> bytearray:
        if storage.key not in places:
            raise EOFError(f"stored values {storage.key} are missing")
        with path.open("rb") as again:
            again.seek(places[storage.key])
            return bytearray(again.read(storage.nbytes))

    with path.open("rb") as file:
        if _Reader(file, path, fetch).load() != _LEGACY_MAGIC or _Reader(file, path, fetch).load() != _LEGACY_PROTOCOL:
            raise CheckpointError(f"{path}: not a PyTorch file")
        system = _Reader(file, path, fetch).load()
        if not isinstance(system, Mapping) or not system.get("little_endian", True):
            raise CheckpointError(f"{path}: written on a big-endian machine; only little-endian files are read")
        reader = _Reader(file, path, fetch)
        content = reader.load()
        keys = _Reader(file, path, fetch).load()
        if not isinstance(keys, list):
            raise CheckpointError(f"{path}: damaged, no list of stored values")
        for key in map(str, keys):
            file.seek(8, os.SEEK_CUR)
            places[key] = file.tell()
            file.seek(reader.storages[key].nbytes, os.SEEK_CUR)
        return content
