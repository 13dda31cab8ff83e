"""The machine that figures were taken on: a speed without it says nothing."""

from __future__ import annotations

import math
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["LIBRARIES", "Machine", "fewer_cores", "has_vnni", "peak_memory_mb", "this_machine", "usable_cores"]

LIBRARIES = (
    "ostrack", "numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "opencv-contrib-python-headless",
    "opencv-python", "opencv-contrib-python", "torch", "openvino",
)  # fmt: skip
"""Distributions whose version bears on speed."""

_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
# Control groups, version 2 and 1: microseconds of processor time in every so many.
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_QUOTA_1 = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


@dataclass(frozen=True)
class Machine:
    """Processor and versions.

    Attributes:
        cpu: Model of the processor, as far as the system tells.
        cores: Logical cores that this process may use.
        load: Mean number of running processes in the minute before; None where the system does not tell.
        system: Operating system and architecture.
        python: Version of Python.
        libraries: Version of each library of :data:`LIBRARIES` that is installed.
    """

    cpu: str
    cores: int
    load: float | None
    system: str
    python: str
    libraries: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def text(self) -> str:
        """One line, with a warning where others were at work."""
        busy = ""
        if self.load is not None and self.load > 0.5:
            busy = f"; not idle: load {self.load:.1f} in the minute before"
        libraries = ", ".join(f"{name} {number}" for name, number in self.libraries.items())
        return f"{self.cpu}, {self.cores} cores, {self.system}, Python {self.python}, {libraries}{busy}"


def this_machine() -> Machine:
    """Look around."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    system = f"{platform.system()} {platform.machine()}"
    return Machine(_cpu(), usable_cores(), load, system, platform.python_version(), found)


@lru_cache(maxsize=1)
def has_vnni() -> bool | None:
    """Whether the processor adds up products of int8 without overflow; None where the system does not tell."""
    flags = _told_of_cpu("flags")
    return None if flags is None else bool({"avx512_vnni", "avx_vnni"} & set(flags.split()))


def _told_of_cpu(key: str) -> str | None:
    """What Linux says of the first processor; None where it says nothing of the kind."""
    if _CPUINFO.is_file():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith(key):
                return line.partition(":")[2].strip()
    return None


def _cpu() -> str:
    told = _told_of_cpu("model name")
    if told is not None:
        return told
    return platform.processor() or platform.machine() or "unknown processor"


def usable_cores() -> int:
    """Logical cores that this process may use: those it is bound to, and no more than its container is given."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def fewer_cores() -> int | None:
    """The cores that this process may use where they are fewer than the machine's; None where it may use all.

    Libraries that start a thread for each core count the machine's. In a container with two of 64 cores their
    threads then wait for one another most of the time.
    """
    cores = usable_cores()
    return cores if cores < (os.cpu_count() or 1) else None


def _quota() -> float:
    """Cores' worth of processor time that the container is given; infinite where nothing limits it."""
    if _QUOTA.is_file():
        quota, period = _QUOTA.read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    if all(file.is_file() for file in _QUOTA_1):
        microseconds, every = (int(file.read_text()) for file in _QUOTA_1)
        return math.inf if microseconds < 0 else microseconds / every
    return math.inf


def peak_memory_mb() -> float | None:
    """The most memory that this process ever held, in MB (10^6 bytes); None where the system does not tell."""
    if _STATUS.is_file():
        # Not getrusage: on Linux a new process takes over its parent's peak there.
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
