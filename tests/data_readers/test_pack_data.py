"""``ostrack data pack``: what is read back equals what was packed, also after a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import got10k_sequence, images, jpeg, lasot_sequence, rows, stored_as, write
from typer.testing import CliRunner

from ostrack.cli.data import app
from ostrack.data.benchmarks import Collection, load
from ostrack.data.pack import pack
from ostrack.data.sequence import Sequence
from ostrack.errors import DataError, OutputError

lmdb = pytest.importorskip("lmdb")


def _keys(path: Path) -> list[str]:
    environment = lmdb.open(str(path), readonly=True, lock=False)
    with environment.begin() as transaction, transaction.cursor() as cursor:
        keys = [bytes(key).decode() for key in cursor.iternext(values=False)]
    environment.close()
    return keys


def _assert_equal(before: Collection[Sequence], after: Collection[Sequence]) -> None:
    assert after.kind == before.kind
    assert after.names == before.names
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first.boxes, second.boxes)
        np.testing.assert_array_equal(first.visible, second.visible)
        assert first.attributes == second.attributes
        for index in range(len(first)):
            np.testing.assert_array_equal(first.frames[index], second.frames[index])


def test_lasot_in_official_keys(tmp_path: Path) -> None:
    root = write(tmp_path / "LaSOT", lasot_sequence("airplane/airplane-1", 5, hidden=(1,)))
    report = pack(root, tmp_path / "lasot.lmdb")
    assert (report.kind, report.keys, report.resumed) == ("lasot", 9, 0)
    assert report.bytes == sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert "airplane/airplane-1/img/00000001.jpg" in _keys(tmp_path / "lasot.lmdb")
    assert (root / "airplane/airplane-1/img/00000001.jpg").is_file()
    _assert_equal(load(root), load(tmp_path / "lasot.lmdb"))


@pytest.mark.parametrize("inner", ["", "train"])
def test_got10k_keys_begin_with_the_split(inner: str, tmp_path: Path) -> None:
    root = write(
        tmp_path / "GOT-10k",
        {**got10k_sequence("train/GOT-10k_Train_000001", 3), "train/list.txt": "GOT-10k_Train_000001"},
    )
    pack(root / inner, tmp_path / "out.lmdb")
    keys = _keys(tmp_path / "out.lmdb")
    assert "train/GOT-10k_Train_000001/00000001.jpg" in keys
    assert "train/list.txt" in keys
    _assert_equal(load(root, split="train"), load(tmp_path / "out.lmdb", split="train"))


def test_trackingnet_becomes_one_database_a_chunk(tmp_path: Path) -> None:
    stored_as("zip", write(tmp_path / "frames", {f"{i}.jpg": jpeg(i) for i in range(3)}))
    root = write(
        tmp_path / "TN",
        {
            "TRAIN_0/anno/a.txt": rows(2),
            **{f"TRAIN_0/frames/a/{i}.jpg": jpeg(i) for i in range(2)},
            "TRAIN_4/anno/b.txt": rows(3),
        },
    )
    (root / "TRAIN_4" / "zips").mkdir()
    (tmp_path / "frames.zip").rename(root / "TRAIN_4" / "zips" / "b.zip")
    out = tmp_path / "packed"
    pack(root, out)
    assert _keys(out / "TRAIN_0_lmdb") == ["anno/a.txt", "frames/a/0.jpg", "frames/a/1.jpg"]
    assert _keys(out / "TRAIN_4_lmdb") == ["anno/b.txt", *(f"frames/b/{i}.jpg" for i in range(3))]
    assert json.loads((out / "seq_list.json").read_text()) == [[0, "a"], [4, "b"]]
    _assert_equal(load(root), load(out))
    # Finished chunks are kept.
    assert pack(root, out).resumed == 7


def test_a_zip_can_be_packed(tmp_path: Path) -> None:
    root = write(tmp_path / "clips", {**images("a/img", range(3)), "a/groundtruth.txt": rows(3)})
    stored_as("zip", root)
    pack(tmp_path / "clips.zip", tmp_path / "clips.lmdb")
    _assert_equal(load(root), load(tmp_path / "clips.lmdb"))


def test_the_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = lmdb.open
    monkeypatch.setattr(lmdb, "open", lambda *args, **options: opened(*args, **{**options, "map_size": 2**16}))
    root = write(tmp_path / "clips", {**images("a/img", range(300)), "a/groundtruth.txt": rows(300)})
    assert pack(root, tmp_path / "clips.lmdb").keys == 301


_SLOW = """
import sys, time
from ostrack.data import pack
pack._BATCH = 8
def slow(done, total):
    print(done, flush=True)
    time.sleep(0.05)
pack.pack(sys.argv[1], sys.argv[2], slow)
"""


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    root = write(tmp_path / "clips", {**images("a/img", range(200)), "a/groundtruth.txt": rows(200)})
    out = tmp_path / "clips.lmdb"
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(root), str(out)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(5):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    # Nothing has the final name before it is whole.
    assert not out.exists()
    assert (tmp_path / "clips.lmdb.part" / "data.mdb").is_file()
    with pytest.raises(OutputError, match=r"clips\.lmdb\.part: begun from .*clips, not from .*other; remove it"):
        pack(write(tmp_path / "other", {**images("a/img", range(3)), "a/groundtruth.txt": rows(3)}), out)
    seen: list[int] = []
    report = pack(root, out, lambda done, total: seen.append(done))
    assert report.keys == 201
    assert 40 <= report.resumed < 201
    assert seen[-1] == 201
    assert not (tmp_path / "clips.lmdb.part").exists()
    _assert_equal(load(root), load(out))


def test_outputs_are_not_overwritten(tmp_path: Path) -> None:
    root = write(tmp_path / "clips", {**images("a/img", range(3)), "a/groundtruth.txt": rows(3)})
    pack(root, tmp_path / "out.lmdb")
    with pytest.raises(OutputError, match=r"out\.lmdb: already there"):
        pack(root, tmp_path / "out.lmdb")
    with pytest.raises(OutputError, match="lies inside"):
        pack(root, root / "out.lmdb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no known layout"):
        pack(tmp_path / "empty", tmp_path / "other.lmdb")


def test_the_command(tmp_path: Path) -> None:
    root = write(tmp_path / "clips", {**images("a/img", range(3)), "a/groundtruth.txt": rows(3)})
    result = CliRunner().invoke(app, ["pack", str(root), "-o", str(tmp_path / "x.lmdb")])
    assert result.exit_code == 0
    assert "4 keys" in result.output
