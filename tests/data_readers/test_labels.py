"""Label files: every delimiter in use, every way to be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ostrack.data.labels import read_boxes, read_flags, read_numbers
from ostrack.data.storage import FolderStorage
from ostrack.errors import DataError


def _storage(tmp_path: Path, text: str) -> FolderStorage:
    (tmp_path / "gt.txt").write_text(text, encoding="utf-8")
    return FolderStorage(tmp_path)


@pytest.mark.parametrize("delimiter", [",", "\t", " ", "  ", ", ", ";"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters(tmp_path: Path, delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(row) for row in (("11", "21", "3", "4"), ("12.5", "22", "3", "4"))) + end
    np.testing.assert_array_equal(read_boxes(_storage(tmp_path, text), "gt.txt"), [[11, 21, 3, 4], [12.5, 22, 3, 4]])


def test_delimiters_may_change_within_a_file(tmp_path: Path) -> None:
    # OTB's BlurCar1 has one row with blanks among rows with tabs.
    boxes = read_boxes(_storage(tmp_path, "1\t2\t3\t4\n5 6 7 8\n9,10,11,12"), "gt.txt")
    np.testing.assert_array_equal(boxes, np.arange(1, 13).reshape(3, 4))


def test_byte_order_mark_and_trailing_blank_lines(tmp_path: Path) -> None:
    assert read_boxes(_storage(tmp_path, "\ufeff1,2,3,4\n\n\n"), "gt.txt").shape == (1, 4)


@given(
    st.lists(st.tuples(*[st.floats(-1e4, 1e4).map(lambda v: round(v, 3))] * 2, *[st.floats(0.01, 1e4)] * 2), min_size=1)
)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, boxes: list[tuple[float, ...]]) -> None:
    text = "\n".join(",".join(map(repr, box)) for box in boxes)
    read = read_boxes(_storage(tmp_path_factory.mktemp("labels"), text), "gt.txt")
    np.testing.assert_array_equal(read, boxes)


def test_matlab_pixels_become_zero_based(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_boxes(_storage(tmp_path, "1,1,10,20"), "gt.txt", 1), [[0, 0, 10, 20]])


@pytest.mark.parametrize("row", ["NaN,NaN,NaN,NaN", "nan,2,3,4", "0,0,0,0", "5,5,0,7", "2,2,-1,-1", "1125,730,155,-10"])
def test_no_area_means_absent(tmp_path: Path, row: str) -> None:
    boxes = read_boxes(_storage(tmp_path, f"1,2,3,4\n{row}\n"), "gt.txt")
    assert np.isfinite(boxes[0]).all()
    assert np.isnan(boxes[1]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"gt\.txt: empty"),
        ("1,2,3,4\n1|2|3|4\n", r"gt\.txt:2: expected 4 numbers, found '1\|2\|3\|4'"),
        ("1,2,3,4\n\n1,2,3,4\n", r"gt\.txt:2: expected 4 numbers, found a blank line"),
        ("1,2,3,4\n5,6,7\n", r"gt\.txt:2: expected 4 numbers, found '5,6,7'"),
        ("1,2,3\n5,6,7\n", r"gt\.txt:1: expected 4 numbers, found '1,2,3'"),
        ("1,5;2,5;3,5;4,5\n", r"gt\.txt:1: expected 4 numbers"),
        ("1,2,3,four\n", r"gt\.txt:1: expected 4 numbers, found '1,2,3,four'"),
        ("1,2,3,inf\n", r"gt\.txt:1: expected 4 numbers, found '1,2,3,inf'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_boxes(_storage(tmp_path, text), "gt.txt")


def test_other_widths_can_be_asked_for(tmp_path: Path) -> None:
    assert read_numbers(_storage(tmp_path, "1,2,3,4,5,6,7,8"), "gt.txt", (4, 8)).shape == (1, 8)


@pytest.mark.parametrize("text", ["0,1,0", "0\n1\n0\n", "0 1\n0"])
def test_flags_on_one_line_or_many(tmp_path: Path, text: str) -> None:
    np.testing.assert_array_equal(read_flags(_storage(tmp_path, text), "gt.txt", 3), [0, 1, 0])


def test_flags_are_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gt\.txt: 2 labels for 3 frames"):
        read_flags(_storage(tmp_path, "0,1"), "gt.txt", 3)
    with pytest.raises(DataError, match=r"gt\.txt: expected one number for each frame.*'x'"):
        read_flags(_storage(tmp_path, "0,x,1"), "gt.txt", 3)


def test_binary_files_are_no_labels(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match=r"gt\.txt: not a text file"):
        read_boxes(FolderStorage(tmp_path), "gt.txt")
