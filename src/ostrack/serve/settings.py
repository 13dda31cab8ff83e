"""What a server may do: where it keeps things, who may talk to it, and how much of everything it allows."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Limits", "Settings", "default_data_folder"]

_MB = 2**20
_GB = 2**30


@dataclass(frozen=True)
class Limits:
    """How much of everything.

    Attributes:
        upload_bytes: One uploaded file.
        frames: Frames of one video; about 11 minutes at 30 a second.
        jobs: Jobs kept.
        queued: Tasks waiting at any time.
        targets: Targets of one job.
        disk_bytes: The whole data folder.
        spare_bytes: Free space left to the rest of the machine.
        keep_days: Jobs that nobody opened for so long are deleted.
        memory_bytes: Address space of one working process.
        stall_s: A working process that reports nothing for so long is ended.
        cpu_s: Processor time of one working process.
        cameras: Browser cameras followed at a time.
    """

    upload_bytes: int = 2 * _GB
    frames: int = 20_000
    jobs: int = 200
    queued: int = 100
    targets: int = 32
    disk_bytes: int = 20 * _GB
    spare_bytes: int = 512 * _MB
    keep_days: float = 30.0
    memory_bytes: int = 6 * _GB
    stall_s: float = 180.0
    cpu_s: int = 12 * 3600
    cameras: int = 2


@dataclass(frozen=True)
class Settings:
    """One server.

    Attributes:
        data: Folder of the jobs; nothing outside it and ``folders`` is ever read for a visitor.
        folders: Folders whose videos visitors may choose.
        network: Packaged name or file; the packaged default where None.
        threads: CPU threads of each tracking process.
        workers: Tracking processes at a time.
        token: What visitors must bring; None where only this machine can reach the server.
        hosts: Host names, lower case, that requests may be addressed to besides this machine's own.
        any_address: Whether requests may be addressed to any numeric address (a server open to the network).
        limits: How much of everything.
    """

    data: Path
    folders: tuple[Path, ...] = ()
    network: str | None = None
    threads: int = 1
    workers: int = 1
    token: str | None = None
    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    limits: Limits = field(default_factory=Limits)


def default_data_folder() -> Path:
    """Where programs keep a user's data on this system."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "ostrack" / "serve"
