"""The Ray engine on a real local cluster of two nodes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moving_sequences import toy_set

from ostrack.errors import EvaluationError
from ostrack.evaluate import TrackerSpec, run

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
HERE = (str(Path(__file__).parent),)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[str]:
    """Address of a cluster of two nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    # Half a minute for each step, as Ray has it, is little on a busy machine.
    node = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "wait": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_gcs_server_port_wait_time_s", "300")
        cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
        cluster.add_node(**node)
        cluster.wait_for_nodes(timeout=300)
        yield cluster.address
        cluster.shutdown()


def test_results_are_those_of_one_process(two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", two_nodes)
    clips, spec, seen = toy_set(4, wide="clip1"), TrackerSpec("contract_trackers:RaisesOnWide", (), HERE), []
    alone = run(clips, spec, tmp_path / "alone")

    def tell(done: int, total: int) -> None:
        seen.append((done, total))

    spread = run(clips, spec, tmp_path / "spread", engine="ray", workers=2, progress=tell)
    assert sorted(spread.done) == sorted(alone.done) == ["clip0", "clip2", "clip3"]
    assert spread.failed == alone.failed == {"clip1": "ArithmeticError: no idea where it is"}
    for name in alone.done:
        assert (spread.folder / f"{name}.txt").read_text() == (alone.folder / f"{name}.txt").read_text()
    total = sum(map(len, clips))
    assert seen[-1] == (total, total)
    assert not ray.is_initialized()


def test_both_nodes_work(two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", two_nodes)
    clips, meet = toy_set(6), tmp_path / "meet"
    meet.mkdir()
    spec = TrackerSpec("contract_trackers:TellsItsNode", (("meet", str(meet)),), HERE)
    summary = run(clips, spec, tmp_path / "out", engine="ray", workers=2)
    nodes = {(summary.folder / f"{name}.txt").read_text().splitlines()[1] for name in summary.done}
    assert len(nodes) == 2


def test_a_task_that_dies_fails_its_sequence_only(
    two_nodes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", two_nodes)
    spec = TrackerSpec("contract_trackers:DiesOnWide", (), HERE)
    summary = run(toy_set(3, wide="clip2"), spec, tmp_path, engine="ray", workers=1)
    assert list(summary.failed) == ["clip2"]
    assert sorted(summary.done) == ["clip0", "clip1"]


def test_no_cluster_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(EvaluationError, match=r"no Ray cluster answers at 127.0.0.1:1 \(RAY_ADDRESS\)"):
        run(toy_set(1), TrackerSpec("contract_trackers:Still", (), HERE), tmp_path, engine="ray")
