"""What changes over a run: learning rate and keep ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ostrack.train.recipe import Recipe, epochs_of

__all__ = ["Schedule", "keep_ratio_at", "learning_rate_factor"]


def keep_ratio_at(progress: float, start: float, warm: float, ratio: float) -> float:
    """Keep ratio during the elimination warm-up (official ``adjust_keep_rate``).

    Everything is kept before ``start``; a half cosine leads down to ``ratio`` over ``warm``.

    Args:
        progress: Epoch, counted from 1 as officially, or any other measure in the units of the next two.
        start: When elimination begins.
        warm: How long the way down takes.
        ratio: Ratio in the end.

    Returns:
        The keep ratio in ``[ratio, 1]``.
    """
    if progress < start:
        return 1.0
    if progress >= start + warm:
        return ratio
    return ratio + (1 - ratio) * (math.cos(math.pi * (progress - start) / warm) + 1) / 2


def learning_rate_factor(done: float, total: float, schedule: str, decay_at: float, decay: float = 0.1) -> float:
    """Factor on every base learning rate.

    Args:
        done: Epochs completed, with their fraction.
        total: Epochs of the run.
        schedule: ``"step"`` or ``"cosine"``, see :class:`~ostrack.train.recipe.OptimRecipe`.
        decay_at: Epochs after which the fall begins (paper: 240 of 300).
        decay: Factor in the end.

    Raises:
        ValueError: Unknown schedule.
    """
    if schedule == "step":
        return decay if done >= decay_at else 1.0
    if schedule == "cosine":
        if done < decay_at:
            return 1.0
        fall = min((done - decay_at) / max(total - decay_at, 1e-9), 1.0)
        return decay + (1 - decay) * (1 + math.cos(math.pi * fall)) / 2
    raise ValueError(f'unknown schedule "{schedule}": expected "step" or "cosine"')


class Schedule:
    """The rates and ratios of a recipe at each optimiser step.

    Args:
        recipe: The recipe.
        keep_ratios: Keep ratio of each eliminating layer in the end.
    """

    def __init__(self, recipe: Recipe, keep_ratios: Sequence[float] = ()) -> None:
        run = recipe.run
        self.steps_per_epoch, self.epochs = run.steps_per_epoch, run.epochs
        self.optim, self.elimination = recipe.optim, recipe.elimination
        self.ratios = tuple(keep_ratios)

    def epoch(self, step: int) -> int:
        """Epoch that a step (from 0) belongs to, counted from 1."""
        return step // self.steps_per_epoch + 1

    def learning_rate(self, step: int) -> float:
        """Factor on the base rates at a step, from 0."""
        optim = self.optim
        if step < optim.warmup_steps:
            return (step + 1) / optim.warmup_steps
        decay_at = epochs_of(optim.decay_at, self.epochs)
        done = step / self.steps_per_epoch
        return learning_rate_factor(done, self.epochs, optim.schedule, decay_at, optim.decay)

    def keep_ratios(self, step: int) -> list[float]:
        """Keep ratio of each eliminating layer at a step, from 0."""
        plan = self.elimination
        now = self.epoch(step) if plan.every == "epoch" else step / self.steps_per_epoch
        start, warm = (epochs_of(milestone, self.epochs) for milestone in (plan.start, plan.warm))
        return [keep_ratio_at(now, start, warm, ratio) for ratio in self.ratios]
