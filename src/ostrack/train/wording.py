"""Messages about wrong recipes: one line that names the key and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError

__all__ = ["first_error", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message: the most similar of the known words, or all of them."""
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else f"; expected one of {', '.join(known)}"


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong with a document: where, what was expected and what was found."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], dict | list):
        return f"{place}: {message}" if place else message
    return f"{place}: {message}, found {first['input']!r}" if place else message
