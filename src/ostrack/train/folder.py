"""A run's folder: held by one run at a time, of one recipe, with the network to use in it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from ostrack.config import OSTrackConfig, TrackerKind
from ostrack.errors import CheckpointError, RecipeError, TrainingError
from ostrack.model.checkpoint import read_metadata, save
from ostrack.train.lora import ordinary
from ostrack.train.recipe import Recipe
from ostrack.whole import drop_drafts, write_whole

__all__ = ["claim", "lock", "save_network", "saved_step"]

# What may differ when a run is continued: it does not touch the parameters.
_FREE = {
    "workers", "threads", "log_every", "checkpoint_every", "validate_every", "validation_pairs", "validation_clips",
    "validation_frames", "snapshot_every",
}  # fmt: skip


_held: set[BufferedRandom] = set()


def _let_go() -> None:
    for file in _held:
        file.close()
    _held.clear()


# Loader processes outlive a killed run by some seconds; with the file open they would hold the folder as long.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder for one run; the system lets go of it when the process ends in whatever way.

    Raises:
        TrainingError: Another process holds it.
    """
    with (folder / ".lock").open("a+b") as file:
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TrainingError(f"{folder}: another run is writing here; use a new folder") from None
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def claim(recipe: Recipe, folder: Path) -> None:
    """Make sure that a folder is new or holds this very run.

    A run that ended before its measurements began, as over a data folder that is not there, leaves nothing to protect.

    Raises:
        RecipeError: It holds a run of another recipe, whose first key that differs is named, or a broken file.
    """
    document = recipe.plain()
    # The folder is locked, so nobody writes there now.
    drop_drafts(folder, r"state\.pt|model\w*\.safetensors")
    file = folder / "recipe.json"
    if not file.exists():
        write_whole(file, json.dumps(document, indent=1))
        return
    try:
        old, new = _flat(_filled(json.loads(file.read_text(encoding="utf-8")))), _flat(document)
    except (ValueError, AttributeError):
        raise RecipeError(f"{file}: not the recipe of a run; use a new folder") from None
    for key in sorted(old.keys() | new.keys()):
        if key.removeprefix("run.") not in _FREE and old.get(key) != new.get(key):
            if not (folder / "metrics.jsonl").exists():
                write_whole(file, json.dumps(document, indent=1))
                return
            raise RecipeError(
                f"{folder} holds a run with {key}={old.get(key)}, not {new.get(key)}: use a new folder or its recipe"
            )


def _filled(document: dict[str, object]) -> dict[str, object]:
    """A recipe of an earlier version with the keys that it did not know yet, at their defaults."""
    try:
        return Recipe.model_validate(document).plain()
    except ValidationError:
        return document  # of another version: compared as it stands


def _flat(document: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in document.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def saved_step(path: Path) -> int | None:
    """Optimiser steps behind a network that a run wrote; None where there is none that can be read."""
    try:
        step = read_metadata(path).get("step")
    except (CheckpointError, FileNotFoundError):
        return None
    return step if isinstance(step, int) else None


def save_network(
    path: Path, state: dict[str, Tensor], config: OSTrackConfig, kind: TrackerKind, recipe: Recipe, step: int
) -> None:
    """Write a network with its recipe beside the configuration.

    Args:
        path: Target, ``.safetensors``; appears whole or not at all.
        state: State dict of an ordinary network.
        config: Its architecture.
        kind: Which kind of network it is.
        recipe: How it was trained.
        step: Optimiser steps done.

    Raises:
        OutputError: The disk is full or the folder not writable.
    """
    # The fresh network's own initial weights must not use up numbers of the run's generator.
    with torch.random.fork_rng(devices=[]):
        net = ordinary(state, config, kind)
    extra = {"step": step, "recipe": recipe.plain()}
    save(path, net, extra)
