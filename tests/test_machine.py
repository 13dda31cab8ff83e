"""What a machine says of itself."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ostrack import machine
from ostrack.machine import Machine, fewer_cores, has_vnni, peak_memory_mb, this_machine, usable_cores
from ostrack.runtimes.onnx import _options


def test_the_machine_names_itself() -> None:
    here = this_machine()
    assert here.cores >= 1
    assert here.cpu in here.text()
    assert "not idle" not in Machine("x", 2, 0.1, "Linux", "3.12").text()
    assert "not idle: load 3.0" in Machine("x", 2, 3.0, "Linux", "3.12").text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_peak_memory_remembers_what_was_freed() -> None:
    code = (
        "from ostrack.machine import peak_memory_mb as peak; a = peak(); b = b'1' * 200_000_000; del b; "
        "print(a, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    # The child starts from nothing, whatever its parent holds.
    assert before < (peak_memory_mb() or 0)
    assert after - before == pytest.approx(200, rel=0.2)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no processes to cores")
def test_a_process_bound_to_a_core_has_one() -> None:
    code = (
        "import os; from ostrack.machine import fewer_cores, usable_cores; "
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); print(usable_cores(), fewer_cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1" if (os.cpu_count() or 1) > 1 else "None"]


@pytest.mark.parametrize(
    ("text", "cores"), [("max 100000\n", math.inf), ("150000 100000\n", 1.5), ("50000 100000\n", 0.5)]
)
def test_a_container_has_what_it_is_given(
    text: str, cores: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlimited = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(machine, "_QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == min(unlimited, 2 if cores == 1.5 else 1 if cores == 0.5 else unlimited)
    assert fewer_cores() in (None, usable_cores())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model name\t: x\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n", True),
        ("flags\t\t: fpu avx2 avx_vnni\n", True),
        ("flags\t\t: fpu avx2 fma\nflags\t\t: fpu avx2 fma\n", False),
        ("Features\t: fp asimd\n", None),
        (None, None),
    ],
)
def test_int8_is_computed_with_care_unless_the_processor_is_known_to_have_vnni(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, told: bool | None
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    has_vnni.cache_clear()
    try:
        assert has_vnni() is told
        chosen = _options(1, False).get_session_config_entry("session.x64quantprecision")
    finally:
        has_vnni.cache_clear()
    assert chosen == ("0" if told else "1")
