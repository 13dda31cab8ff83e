"""Small data sets in the layouts of real ones: tiny images, label files by hand."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostrack.data.storage import Storage, open_storage

Files = dict[str, bytes | str]


@lru_cache
def jpeg(value: int = 0) -> bytes:
    """A 16 x 12 image whose red channel is about ``value``."""
    image = np.zeros((12, 16, 3), np.uint8)
    image[..., 2] = value
    done, blob = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return blob.tobytes()


def write(root: Path, files: Files) -> Path:
    for key, content in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def images(folder: str, numbers: range, digits: int = 4, before: str = "", end: str = "jpg") -> Files:
    return {f"{folder}/{before}{number:0{digits}d}.{end}": jpeg(number % 200) for number in numbers}


def rows(count: int, first: int = 1, delimiter: str = ",") -> str:
    """Boxes ``first + i, first, 4, 5``, one a line."""
    return "\n".join(delimiter.join(map(str, (first + i, first, 4, 5))) for i in range(count)) + "\n"


def stored_as(form: str, root: Path) -> Storage:
    """The tree in ``root`` as ``folder``, ``zip`` or ``lmdb``."""
    if form == "folder":
        return open_storage(root)
    files = [(path.relative_to(root).as_posix(), path) for path in sorted(root.rglob("*")) if path.is_file()]
    target = root.with_name(f"{root.name}.{form}")
    if form == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for key, path in files:
                archive.write(path, key)
    else:
        lmdb = pytest.importorskip("lmdb")
        environment = lmdb.open(str(target), map_size=2**28)
        with environment.begin(write=True) as transaction:
            for key, path in files:
                transaction.put(key.encode(), path.read_bytes())
        environment.close()
    return open_storage(target)


def got10k_sequence(folder: str, count: int, absent: tuple[int, ...] = (), hidden: tuple[int, ...] = ()) -> Files:
    return {
        **{f"{folder}/{i:08d}.jpg": jpeg(i) for i in range(1, count + 1)},
        f"{folder}/groundtruth.txt": "\n".join(f"{i}.0000,2.0000,4.0000,5.0000" for i in range(count)),
        f"{folder}/absence.label": "\n".join("1" if i in absent else "0" for i in range(count)),
        f"{folder}/cover.label": "\n".join("0" if i in hidden else "8" for i in range(count)),
        f"{folder}/cut_by_image.label": "\n".join("1" if i == 0 else "0" for i in range(count)),
        f"{folder}/meta_info.ini": "[METAINFO]\nobject_class: bear\n",
    }


def lasot_sequence(folder: str, count: int, hidden: tuple[int, ...] = (), outside: tuple[int, ...] = ()) -> Files:
    return {
        **images(f"{folder}/img", range(1, count + 1), 8),
        f"{folder}/groundtruth.txt": rows(count),
        f"{folder}/full_occlusion.txt": ",".join("1" if i in hidden else "0" for i in range(count)),
        f"{folder}/out_of_view.txt": ",".join("1" if i in outside else "0" for i in range(count)),
        f"{folder}/nlp.txt": "a grey thing",
    }
