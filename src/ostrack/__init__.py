"""Follow boxed objects through video with a one-stream transformer.

The names below are loaded on first use, so that ``import ostrack`` and ``ostrack --help`` stay instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ostrack.keyframes.run import annotate
    from ostrack.network import Network
    from ostrack.tracker import Track, Tracker
    from ostrack.video.run import track

__all__ = ["Network", "Track", "Tracker", "__version__", "annotate", "track"]

__version__ = "0.1.0"

_HOMES = {
    "Network": "ostrack.network",
    "Track": "ostrack.tracker",
    "Tracker": "ostrack.tracker",
    "annotate": "ostrack.keyframes.run",
    "track": "ostrack.video.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ostrack' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
