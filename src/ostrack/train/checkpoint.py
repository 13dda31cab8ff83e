"""State of a run on disk: everything that an exact continuation needs, written atomically."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ostrack.errors import CheckpointError, OutputError, TrainingError
from ostrack.whole import draft_of

__all__ = [
    "RunState",
    "check_finite",
    "check_fit",
    "generator_states",
    "load_state",
    "save_state",
    "set_generator_states",
]


@dataclass
class RunState:
    """What a run is made of between two steps.

    Attributes:
        step: Optimiser steps done; also determines the next training pairs.
        network: State dict.
        optimiser: State dict.
        average: State dict of the weight average and its step count, or None.
        scaler: State dict of the loss scaler; empty without one.
        rng: States of torch's generators (drop path) of every rank.
        recipe: The recipe as a plain document.
    """

    step: int
    network: dict[str, Any]
    optimiser: dict[str, Any]
    average: dict[str, Any] | None
    scaler: dict[str, Any]
    rng: list[dict[str, Tensor]]
    recipe: dict[str, Any]


def save_state(path: Path, state: RunState) -> None:
    """Write beside the target, force to disk, then rename: a killed process leaves the old file whole.

    Raises:
        OutputError: The disk is full or the folder not writable; the old file stays.
    """
    try:
        with draft_of(path) as draft, draft.open("wb") as file:
            torch.save(vars(state), file)
            file.flush()
            os.fsync(file.fileno())
    except (OutputError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise OutputError(f"{path}: checkpoint not written, the previous one is kept: {reason}") from error


def load_state(path: Path) -> RunState:
    """Read a state written by :func:`save_state`; runs no code from the file.

    Raises:
        CheckpointError: The file is damaged or not one of ours.
    """
    try:
        return RunState(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path}: not a training state of ours: {str(error).splitlines()[0]}") from None


def check_fit(path: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    """Make sure that a saved network is one like ours.

    Raises:
        CheckpointError: Names the first tensor that is missing, left over or of another shape.
    """
    for key in [*own, *saved]:
        if key not in saved or key not in own:
            raise CheckpointError(f"{path}: {key} is {'missing' if key in own else 'not part of this network'}")
        if saved[key].shape != own[key].shape:
            raise CheckpointError(
                f"{path}: {key} has shape {tuple(saved[key].shape)}, expected {tuple(own[key].shape)}"
            )


def check_finite(step: int, network: dict[str, Tensor]) -> None:
    """Make sure that weights are worth keeping.

    Raises:
        TrainingError: Names the first tensor that is not finite.
    """
    for key, value in network.items():
        if not bool(value.isfinite().all()):
            raise TrainingError(f"step {step}: {key} is not finite any more; state.pt is of an earlier step")


def generator_states(device: torch.device) -> dict[str, Tensor]:
    """States of the generators that this process draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generator_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Undo of :func:`generator_states`."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
