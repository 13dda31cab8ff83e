"""The strip of pictures: written by one process, read by another while it grows."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ostrack.serve.strip import Strip, StripWriter


@given(
    pictures=st.lists(st.binary(min_size=1, max_size=40), max_size=12),
    first=st.integers(0, 14),
    count=st.integers(0, 9),
)
def test_any_run_comes_back_as_it_was_written(pictures: list[bytes], first: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with StripWriter(folder) as writer:
            for index, picture in enumerate(pictures):
                writer.write(picture, index / 25)
        strip = Strip(folder)
        assert strip.read(first, count) == pictures[first : first + count]
        assert strip.times() == [index / 25 for index in range(len(pictures))]
        assert strip.read(-1, 3) == []


def test_a_growing_strip_is_read_up_to_its_last_whole_record(tmp_path: Path) -> None:
    strip = Strip(tmp_path)
    assert (len(strip), strip.times(), strip.read(0, 4)) == (0, [], [])
    with StripWriter(tmp_path) as writer:
        for index in range(3):
            writer.write(bytes([index]) * 5, float(index))
            assert len(strip) == index + 1
        # Half a record, and pictures without one, as a killed writer leaves them.
        with (tmp_path / "strip.index").open("ab") as file:
            file.write(b"1234567")
        assert strip.times() == [0.0, 1.0, 2.0]
        assert strip.read(1, 10) == [b"\x01" * 5, b"\x02" * 5]


def test_a_new_writer_begins_anew(tmp_path: Path) -> None:
    for text in (b"first", b"second"):
        with StripWriter(tmp_path) as writer:
            writer.write(text, 0.0)
    assert Strip(tmp_path).read(0, 5) == [b"second"]
