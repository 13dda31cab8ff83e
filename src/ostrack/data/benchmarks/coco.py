"""Still images with boxes in COCO's JSON form: COCO 2017 itself, or your own export, with masks or without.

``annotations/instances_train2017.json`` with images in ``train2017/`` or ``images/train2017/``, or any JSON of that
form in the root or in ``annotations/``, its images looked for beside it, in ``images/`` and in a folder of the file's
name. Crowd regions are left out, and so are objects without a box, area or image, which are counted. All others are
kept: the official sampler means to ask for sides above 50 pixels, but never does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ostrack.data.benchmarks.collection import ImageSet
from ostrack.data.frames import StoredFrames
from ostrack.data.labels import parse_json
from ostrack.data.sequence import LabelledImage
from ostrack.data.storage import Storage
from ostrack.errors import DataError

__all__ = ["decode_mask", "is_coco", "open_coco"]


def _files(storage: Storage) -> dict[str, str]:
    """Split (or file stem) to JSON key."""
    found = {}
    for folder in ("", "annotations"):
        for name in storage.list(folder):
            if name.endswith(".json"):
                stem = name.removesuffix(".json").removeprefix("instances_")
                found[stem] = f"{folder}/{name}" if folder else name
    return found


def is_coco(storage: Storage) -> bool:
    """Whether a JSON file of COCO's form is there."""
    files = _files(storage)
    if any(key.rpartition("/")[2].startswith("instances_") for key in files.values()):
        return True
    return any(_fits(storage, key) for key in files.values())


def _fits(storage: Storage, key: str) -> bool:
    if not storage.read(key).lstrip().startswith(b"{"):
        return False
    try:
        return _is_coco(parse_json(storage, key))
    except DataError:
        # Some other file that happens to be there; a wrong file that is asked for is reported when opened.
        return False


def _is_coco(loaded: Any) -> bool:
    return isinstance(loaded, dict) and isinstance(loaded.get("images"), list) and "annotations" in loaded


def decode_mask(segmentation: Any, height: int, width: int) -> NDArray[np.bool_]:
    """Mask of one object.

    Args:
        segmentation: Polygons ``[[x1, y1, ...], ...]``, or run lengths ``{"size", "counts"}`` in column order,
            background first, as numbers or in COCO's packed string.
        height: Image height in pixels.
        width: Image width in pixels.

    Returns:
        ``(height, width)`` bool.

    Raises:
        ValueError: The form is unknown or the runs do not fill the image.
    """
    if isinstance(segmentation, list):
        mask = np.zeros((height, width), dtype=bool)
        for polygon in segmentation:
            _fill(mask, np.asarray(polygon, dtype=np.float64).reshape(-1, 2))
        return mask
    counts = segmentation["counts"]
    runs = _unpack(counts) if isinstance(counts, str) else counts
    if sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels for an image of {width} x {height}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(flat.reshape(width, height).T)


def _fill(mask: NDArray[np.bool_], corners: NDArray[np.float64]) -> None:
    """Set the pixels whose centre lies inside a polygon ``(K, 2)``; OpenCV's filling adds those that it touches."""
    start, end = corners, np.roll(corners, -1, axis=0)
    low, high = np.clip(np.ceil(np.array([corners[:, 1].min(), corners[:, 1].max()]) - 0.5), 0, len(mask)).astype(int)
    for row in range(low, high):
        middle = row + 0.5
        crossing = (start[:, 1] <= middle) != (end[:, 1] <= middle)
        (x0, y0), (x1, y1) = start[crossing].T, end[crossing].T
        edges = np.sort(x0 + (middle - y0) * (x1 - x0) / (y1 - y0))
        for left, right in np.maximum(np.ceil(edges - 0.5), 0).astype(int).reshape(-1, 2):
            mask[row, left:right] = True


def _unpack(packed: str) -> list[int]:
    """Run lengths out of COCO's string: 5 bits a character, little end first, differences from the run before last."""
    runs: list[int] = []
    value = shift = 0
    for character in packed:
        bits = ord(character) - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs


@dataclass(frozen=True)
class _Image:
    key: str
    size: tuple[int, int]
    objects: tuple[dict[str, Any], ...]


@lru_cache(maxsize=4)
def _index(storage: Storage, key: str) -> tuple[dict[str, _Image], dict[int, str], int]:
    """Images with objects by file name, the names of the categories, and how many boxes have no area or no image."""
    loaded = parse_json(storage, key)
    if not _is_coco(loaded):
        raise DataError(f"{storage.where(key)}: expected an object with images and annotations")
    split = key.rpartition("/")[2].removesuffix(".json").removeprefix("instances_")
    places = ["", "images/", f"{split}/", f"images/{split}/", f"{key.rpartition('/')[0]}/"]
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    empty = 0
    try:
        known = {image["id"] for image in loaded["images"]}
        for entry in loaded["annotations"]:
            if entry.get("iscrowd", 0):
                continue
            # Key points and masks may come without a box.
            x, y, w, h = entry.get("bbox") or (0, 0, 0, 0)
            if math.isfinite(x + y + w + h) and w > 0 and h > 0 and entry["image_id"] in known:
                by_image[entry["image_id"]].append(entry)
            else:
                empty += 1
        images = [image for image in loaded["images"] if image["id"] in by_image]
        # Single missing images are found out when they are read.
        place = next((p for image in images for p in places if storage.exists(p + image["file_name"])), None)
        if images and place is None:
            raise DataError(
                f"{storage.where(key)}: none of its images, as {images[0]['file_name']}, is in "
                f"{', '.join(repr(p or '.') for p in dict.fromkeys(places))}"
            )
        names = {int(c["id"]): str(c["name"]) for c in loaded.get("categories", [])}
        index = {
            str(image["file_name"]): _Image(
                f"{place}{image['file_name']}",
                (int(image.get("height", 0)), int(image.get("width", 0))),
                tuple(by_image[image["id"]]),
            )
            for image in images
        }
    except DataError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{storage.where(key)}: not of COCO's form: {error!r}") from None
    return index, names, empty


def _mask(image: _Image, where: str, position: int) -> NDArray[np.bool_] | None:
    segmentation = image.objects[position].get("segmentation")
    if not segmentation:
        return None
    try:
        return decode_mask(segmentation, *image.size)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: mask of object {position} cannot be read: {error!r}") from None


def _read(storage: Storage, key: str, name: str) -> LabelledImage:
    index, names, _ = _index(storage, key)
    image = index[name]
    return LabelledImage(
        name,
        StoredFrames(storage, (image.key,)),
        np.array([entry["bbox"] for entry in image.objects], dtype=np.float64),
        tuple(names.get(entry.get("category_id", -1), "") for entry in image.objects),
        partial(_mask, image, storage.where(image.key)),
        dataset="coco",
    )


def open_coco(storage: Storage, split: str = "") -> ImageSet:
    """Images with at least one object; the split is the JSON file's name without ``instances_``.

    Where none is asked for, it is the one for training, as far as names tell, and else the first.
    """
    files = _files(storage)
    if not split:
        usual = [part for part in ("train2017", "val2017") if part in files]
        named = [part for part in files if "train" in part.lower()]
        split = next((part for part in [*usual, *named, *files] if _fits(storage, files[part])), next(iter(files), ""))
    if split not in files:
        raise DataError(f"{storage.where()}: no split {split!r}; found {', '.join(files) or 'no JSON file'}")
    index, _, empty = _index(storage, files[split])
    return ImageSet("coco", split, storage, tuple(index), partial(_read, storage, files[split]), left_out=empty)
