"""Crops and their labels, and the same pairs whatever the number of loader processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ostrack.crop import IMAGENET_MEAN, IMAGENET_STD, box_in_crop
from ostrack.data.augment import Photometric
from ostrack.data.pairs import Crops, PairDataset, PairSample, _centred, collate
from ostrack.data.sampling import FramePair, NothingUsableError
from ostrack.errors import DataError
from ostrack.train.loading import Part, held_loader, training_loader

PLAIN = Crops(grey=0, joint_flip=0, flip=0, photometric=Photometric(brightness=0))


def _pair(rng: np.random.Generator) -> FramePair:
    """A white rectangle, its left half red, somewhere in each of two grey frames."""
    frames, boxes = [], []
    for _ in range(2):
        frame = np.full((240, 320, 3), 60, np.uint8)
        w, h = (int(v) for v in rng.integers(24, 60, 2))
        x, y = int(rng.integers(0, 320 - w)), int(rng.integers(0, 240 - h))
        frame[y : y + h, x : x + w] = 255
        frame[y : y + h, x : x + w // 2, 1:] = 0
        frames.append(frame)
        boxes.append((float(x), float(y), float(w), float(h)))
    return FramePair(frames[0], boxes[0], frames[1], boxes[1])


class _Rectangles:
    def draw(self, rng: np.random.Generator) -> FramePair:
        return _pair(rng)


def _extent(image: np.ndarray, limit: int = 157) -> np.ndarray:
    """Normalised xyxy of the pixels at least half rectangle, by their red channel."""
    solid = image[..., 0] > limit
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / image.shape[0]


def _xyxy(box: np.ndarray) -> np.ndarray:
    return np.concatenate([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])


@given(seed=st.integers(0, 2**32 - 1), flips=st.booleans())
def test_labels_are_where_the_target_is_in_the_crop(seed: int, flips: bool) -> None:
    rng = np.random.default_rng(seed)
    crops = replace(PLAIN, joint_flip=0.5, flip=0.5) if flips else PLAIN
    sample = crops.make(_pair(rng), rng)
    for image, box in ((sample.template, sample.template_box), (sample.search, sample.search_box)):
        expected = _xyxy(box).clip(0, 1)
        if (expected[2:] - expected[:2]).min() * image.shape[0] < 4:
            continue  # cut off by the crop but for a sliver
        # Bilinear edges: one pixel of the crop, or of the frame where that is larger.
        np.testing.assert_allclose(_extent(image), expected, atol=1.6 / min(image.shape[0], 64))


@given(seed=st.integers(0, 2**32 - 1))
def test_the_template_is_centred_and_the_search_centre_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = Crops().make(_pair(rng), rng)
    # Rounding to whole frame pixels moves the centre by at most half of one.
    np.testing.assert_allclose(sample.template_box[:2], 0.5, atol=0.5 / 48 + 1e-9)
    assert np.sqrt(sample.template_box[2:].prod()) == pytest.approx(0.5, abs=0.02)
    assert (sample.search_box[:2] > 0.1).all()
    assert (sample.search_box[:2] < 0.9).all()


def test_flips_are_joint_and_independent_as_in_the_paper() -> None:
    crops = replace(PLAIN, joint_flip=0.5, flip=0.5, centre_jitter=0, scale_jitter=0)
    outcomes = np.zeros((2, 2))
    for seed in range(600):
        rng = np.random.default_rng(seed)
        sample = crops.make(_pair(rng), rng)
        mirrored = [int(_red_is_right(image)) for image in (sample.template, sample.search)]
        outcomes[mirrored[0], mirrored[1]] += 1
    # A joint flip and one of each make all four outcomes equally likely.
    np.testing.assert_allclose(outcomes / 600, 0.25, atol=0.06)
    only_joint = replace(crops, flip=0.0)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        sample = only_joint.make(_pair(rng), rng)
        assert _red_is_right(sample.template) == _red_is_right(sample.search)


def _red_is_right(image: np.ndarray) -> bool:
    red = (image[..., 0] > 200) & (image[..., 1] < 100)
    white = image[..., 1] > 200
    return bool(np.nonzero(red)[1].mean() > np.nonzero(white)[1].mean())


def test_grey_is_joint_and_brightness_independent() -> None:
    crops = replace(PLAIN, grey=0.5, photometric=Photometric(0.2))
    both, factors = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        sample = crops.make(_pair(rng), rng)
        grey = [bool((image.max(-1) == image.min(-1)).all()) for image in (sample.template, sample.search)]
        assert grey[0] == grey[1]
        both.append(grey[0])
        factors.append([image[2, 2, 0] for image in (sample.template, sample.search)])
    assert 30 < sum(both) < 70
    template, search = np.array(factors, dtype=float).T
    seen = (template > 0) & (search > 0)
    assert abs(np.corrcoef(template[seen], search[seen])[0, 1]) < 0.4


def test_faithful_crops_and_labels_are_the_official_ones(primitives: dict[str, np.ndarray]) -> None:
    crops = replace(PLAIN, centre_jitter=0, scale_jitter=0, faithful=True)
    frame = primitives["crop.image"]
    patches = primitives["crop.f2_s128.patches"], primitives["crop.f4_s256.patches_first3"]
    for box, *expected in zip(primitives["crop.boxes_xywh"], *patches, strict=False):
        pair = FramePair(frame, tuple(map(float, box)), frame, tuple(map(float, box)))
        sample = crops.make(pair, np.random.default_rng(0))
        for image, label, patch in zip(
            (sample.template, sample.search), (sample.template_box, sample.search_box), expected, strict=True
        ):
            # One level, for other builds of OpenCV round bilinear sums differently.
            assert np.abs(image.astype(int) - patch).max() <= 1
            # The crop was cut round this very box: its middle is (size - 1) / 2, whatever the rounding of the corner.
            assert label[:2] == pytest.approx([0.5 - 0.5 / len(image)] * 2)
    # Off the middle, with the official code's numbers: 256 pixels over a side of 196.
    extract = tuple(map(float, primitives["tocrop.box_extract"]))
    for box, official in zip(primitives["tocrop.box_in"], primitives["tocrop.out_normalised"], strict=True):
        label = _centred(box_in_crop(box, extract, 4.0, 256))
        scale = float(primitives["tocrop.resize_factor"][0]) / (256 / 196)
        middle = 255 / 512
        assert (label[:2] - middle) * scale == pytest.approx(official[:2] + official[2:] / 2 - middle, abs=1e-6)
        assert label[2:] * scale == pytest.approx(official[2:], abs=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_faithful_labels_are_at_most_half_a_pixel_off(seed: int) -> None:
    exact, official = (
        replace(PLAIN, faithful=faithful).make(_pair(np.random.default_rng(seed)), np.random.default_rng(seed))
        for faithful in (False, True)
    )
    off = np.abs(exact.search_box - official.search_box)
    # Half a pixel of the crop, and of the frame: the smallest crop of these is 4 * 24 * exp(-0.25 * 4) pixels wide.
    assert off[:2].max() <= 0.5 / 256 + 0.5 / 35
    assert off[:2].min() > 0
    assert off[2:].max() < 1e-12


class _Broken:
    def draw(self, rng: np.random.Generator) -> FramePair:
        raise ValueError("a mistake of the program's")


def test_only_errors_of_the_data_are_drawn_again() -> None:
    with pytest.raises(ValueError, match="a mistake of the program's"):
        PairDataset(_Broken(), Crops(), 1)[0]


def test_a_crop_of_padding_alone_is_refused() -> None:
    frame = np.zeros((50, 50, 3), np.uint8)
    here, beyond = (10, 10, 20, 20), (900, 900, 20, 20)
    with pytest.raises(DataError, match="clip: the search crop lies outside its frame"):
        PLAIN.make(FramePair(frame, here, frame, beyond, target="clip"), np.random.default_rng(0))
    with pytest.raises(DataError, match="the template crop lies outside its frame"):
        PLAIN.make(FramePair(frame, beyond, frame, here), np.random.default_rng(0))


def _equal(a: PairSample, b: PairSample) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("template", "search", "search_box"))


def test_a_pair_is_a_function_of_seed_and_number() -> None:
    data = PairDataset(_Rectangles(), Crops(), 100, seed=5)
    assert _equal(data[17], data[17])
    assert not _equal(data[17], data[18])
    assert not _equal(data[17], PairDataset(_Rectangles(), Crops(), 100, seed=6)[17])


def test_batches_do_not_depend_on_workers_or_where_one_begins() -> None:
    data = PairDataset(_Rectangles(), Crops(template_size=32, search_size=64), 24, seed=1)
    runs = [list(training_loader(data, Part(0, 6, 4), workers)) for workers in (0, 1, 3)]
    for run in runs[1:]:
        assert len(run) == 6
        for one, two in zip(runs[0], run, strict=True):
            assert torch.equal(one.search, two.search)
            assert torch.equal(one.search_box, two.search_box)
    (late,) = training_loader(data, Part(5, 6, 4), 0)
    assert torch.equal(late.template, runs[0][5].template)


@pytest.mark.parametrize(("parts", "world"), [(1, 1), (2, 1), (1, 2), (3, 2), (2, 3)])
def test_processes_and_parts_share_a_batch_without_gap_or_overlap(parts: int, world: int) -> None:
    shares = [list(Part(2, 4, 12, parts, rank, world)) for rank in range(world)]
    for step in range(2):
        numbers = [n for share in shares for part in share[step * parts : (step + 1) * parts] for n in part]
        assert sorted(numbers) == list(range((2 + step) * 12, (3 + step) * 12))


def test_every_process_validates_equally_many_batches() -> None:
    data = PairDataset(_Rectangles(), Crops(template_size=32, search_size=64), 10, seed=1)
    sizes = [[len(batch) for batch in held_loader(data, 2, rank, 3, 0)] for rank in range(3)]
    assert sizes == [[2, 1]] * 3


class _Half:
    def draw(self, rng: np.random.Generator) -> FramePair:
        if rng.random() < 0.5:
            raise DataError("frame 3 of clip 9 is broken")
        return _pair(rng)


def test_skips_are_counted_in_the_batch() -> None:
    data = PairDataset(_Half(), Crops(template_size=32, search_size=64), 40)
    batch = collate([data[i] for i in range(40)])
    assert 20 < batch.skipped < 70
    assert batch.reason == "frame 3 of clip 9 is broken"


def test_nothing_usable_ends_with_the_last_reason() -> None:
    class Nothing:
        def draw(self, rng: np.random.Generator) -> FramePair:
            raise DataError("no such frame")

    with pytest.raises(NothingUsableError, match="no usable pair in 200 draws; the last one failed by: no such frame"):
        PairDataset(Nothing(), Crops(), 1)[0]


def test_normalising_on_the_device_equals_the_trackers() -> None:
    data = PairDataset(_Rectangles(), Crops(template_size=32, search_size=64), 3)
    batch = collate([data[i] for i in range(3)])
    ready = batch.to(torch.device("cpu"))
    assert batch.search.dtype == torch.uint8
    image = batch.search.permute(0, 2, 3, 1).numpy() / 255.0
    np.testing.assert_allclose(ready.search.permute(0, 2, 3, 1), (image - IMAGENET_MEAN) / IMAGENET_STD, atol=1e-5)
