"""Help at once, and what to install when something is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

import ostrack

COMMANDS = ["demo", "track", "annotate", "convert", "export", "profile", "benchmark", "explain", "serve"]


def run(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; {before}\nfrom ostrack.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def seconds(program: Callable[[], subprocess.CompletedProcess[str]]) -> float:
    """Processor seconds of the best of three: what a program needs, not what else the machine is doing."""
    times = []
    for _ in range(3):
        before = os.times()
        done = program()
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert done.returncode == 0, done.stderr
    return min(times)


@pytest.fixture(scope="module")
def empty() -> float:
    """Processor seconds of a program that does nothing."""
    return seconds(lambda: subprocess.run([sys.executable, "-c", ""], capture_output=True, text=True, check=False))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not count the time of child processes")
@pytest.mark.parametrize("arguments", [("--help",), *((command, "--help") for command in COMMANDS)])
def test_help_is_there_in_half_a_second(arguments: tuple[str, ...], empty: float) -> None:
    assert run(*arguments).stdout.startswith("Usage: ostrack")
    # It takes ten times as long as Python alone; that bounds it where the machine is the slow one.
    assert seconds(lambda: run(*arguments)) < max(0.5, 25 * empty)


def test_help_imports_nothing_heavy() -> None:
    heavy = ["torch", "cv2", "av", "onnxruntime", "numpy", "rich", "matplotlib", "fastapi", "uvicorn"]
    after = f"import atexit; atexit.register(lambda: print('LOADED', [m for m in {heavy} if m in sys.modules]))"
    for arguments in (("--help",), *((command, "--help") for command in COMMANDS)):
        assert run(*arguments, before=after).stdout.endswith("LOADED []\n")


def test_the_list_of_commands() -> None:
    done = run("--help")
    for command in COMMANDS:
        assert f"  {command} " in done.stdout
    assert (nothing := run()).returncode == 2, nothing.stderr


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"ostrack {ostrack.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [("convert", "x.pth.tar", "-o", "x.safetensors"), ("export", "x", "-o", "x.onnx")]
)
def test_a_missing_extra_is_named(arguments: tuple[str, ...]) -> None:
    done = run(*arguments, before="sys.modules['torch'] = None")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: torch is not installed; run: pip install "ostrack[export]"\n'
