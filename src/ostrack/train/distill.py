"""Distillation: a finished network teaches another what it sees in the same pair."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from ostrack.errors import RecipeError
from ostrack.model import OSTrack, Prediction
from ostrack.model.checkpoint import load
from ostrack.train.start import file_of

if TYPE_CHECKING:
    from ostrack.config import OSTrackConfig
    from ostrack.data.pairs import PairBatch
    from ostrack.train.recipe import DistillRecipe

__all__ = ["Teacher", "feature_loss", "score_loss"]


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of token features, relative to the teacher's squares.

    Args:
        student: ``(B, N, C)``, zeros at eliminated tokens, which do not count.
        teacher: ``(B, N, C)`` of the same tokens.

    Returns:
        Scalar: the mean over the images, so that parts of a batch add up to the whole; 0 for equal features.
    """
    student, teacher = student.float(), teacher.float()
    kept = (student != 0).any(-1, keepdim=True).to(student.dtype)
    apart, size = (student - teacher).square() * kept, teacher.square() * kept
    return (apart.sum((1, 2)) / size.sum((1, 2)).clamp(min=1e-6)).mean()


def score_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of the score maps, cell by cell, less the teacher's own entropy.

    Args:
        student: ``(B, 1, S, S)`` in (0, 1).
        teacher: Likewise.

    Returns:
        Scalar, summed over cells and averaged over the batch; 0 for equal maps.
    """
    student, teacher = student.float().clamp(1e-6, 1 - 1e-6), teacher.float().clamp(1e-6, 1 - 1e-6)
    own = F.binary_cross_entropy(teacher, teacher, reduction="sum")
    return (F.binary_cross_entropy(student, teacher, reduction="sum") - own) / len(student)


class Teacher:
    """A network that does not learn, with the weights of what it teaches.

    Args:
        recipe: Which network, and how much of what.
        config: The student's architecture.
        device: Where both run.

    Raises:
        RecipeError: The two do not look at the same tokens, or have no maps or features to compare.
        CheckpointError: The file is no network.
        FileNotFoundError: It is not there.
        NetworkError: A packaged network is asked for and there is none.
    """

    def __init__(self, recipe: DistillRecipe, config: OSTrackConfig, device: torch.device) -> None:
        if recipe.network is None:
            raise RecipeError("distill: no network is named")
        self.recipe = recipe
        self.net: OSTrack = load(file_of(recipe.network)).eval().requires_grad_(False).to(device)
        own = self.net.config
        for name in ("template_size", "search_size", "template_factor", "search_factor", "patch_size"):
            if getattr(own, name) != getattr(config, name):
                raise RecipeError(
                    f"distill.network={recipe.network}: its {name} is {getattr(own, name)}, the student's is "
                    f"{getattr(config, name)}"
                )
        if recipe.features and own.embed_dim != config.embed_dim:
            raise RecipeError(f"distill.features: features of {own.embed_dim} and {config.embed_dim} do not compare")
        if recipe.score and "corner" in (own.head, config.head):
            raise RecipeError("distill.score: a corner head has no score map")

    @torch.no_grad()
    def look(self, batch: PairBatch, precision: AbstractContextManager[object]) -> Prediction:
        """What it sees in a batch, with nothing eliminated."""
        with precision:
            seen: Prediction = self.net(batch.template, batch.search, batch.template_box, 1.0)
        return seen

    def loss(self, student: Prediction, teacher: Prediction) -> Tensor:
        """Weighted sum of what the recipe asks for.

        Args:
            student: Of the network that learns.
            teacher: From :meth:`look` at the same batch.
        """
        total = torch.zeros((), device=student.features.device)
        if self.recipe.features:
            total = total + self.recipe.features * feature_loss(student.features, teacher.features)
        if self.recipe.score and student.score_map is not None and teacher.score_map is not None:
            total = total + self.recipe.score * score_loss(student.score_map, teacher.score_map)
        return total
