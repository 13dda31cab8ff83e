"""What to install when an optional dependency is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ostrack.errors import OSTrackError

__all__ = ["MissingExtraError", "needs"]


class MissingExtraError(OSTrackError):
    """A library that only an extra of the package brings is not installed."""


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Run a block that imports libraries of an extra.

    Args:
        extra: Name of the extra in the package's metadata.

    Raises:
        MissingExtraError: One of them is missing; says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").split(".")[0]
        if name in ("", "ostrack"):
            raise
        raise MissingExtraError(f'{name} is not installed; run: pip install "ostrack[{extra}]"') from error
