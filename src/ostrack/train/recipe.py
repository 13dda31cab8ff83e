"""A training run as one validated document; :mod:`ostrack.train.reading` gets it out of YAML."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ostrack.config import PRESETS, OSTrackConfig, TrackerKind
from ostrack.errors import RecipeError
from ostrack.train.recipe_data import AugmentRecipe, DataRecipe, Part, SetRecipe
from ostrack.train.wording import nearest

__all__ = [
    "AugmentRecipe", "DataRecipe", "DistillRecipe", "EliminationRecipe", "LossRecipe", "Milestone", "ModelRecipe",
    "OptimRecipe", "Recipe", "RunRecipe", "SetRecipe", "epochs_of",
]  # fmt: skip


def _milestone(value: object) -> object:
    share = value[:-1] if isinstance(value, str) and value.endswith("%") else None
    try:
        number = float(value if share is None else share)  # type: ignore[arg-type]  # anything else raises here
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not number >= 0 or (share is not None and number > 100):
        raise ValueError('expected a number of epochs, or a share of the run such as "80%"')
    return value if share is not None else number


Milestone = Annotated[float | str, BeforeValidator(_milestone)]
"""A time in the run: a number of epochs, or a share of all of them such as ``"80%"``."""


def epochs_of(milestone: float | str, epochs: int) -> float:
    """A milestone in epochs, of a run of so many."""
    return float(milestone[:-1]) / 100 * epochs if isinstance(milestone, str) else milestone


class ModelRecipe(Part):
    """Architecture and where its weights start.

    Attributes:
        preset: One of the named architectures; not looked at where ``network`` is given.
        config: Fields of the architecture that differ from the preset's, or from the network's to start from.
        tracker: The one-stream network, or a two-stream baseline of the same parts; where None, what ``network`` is,
            and the one-stream network where that is None too.
        backbone: File to start the backbone from (timm, DINOv2 or MAE names).
        network: File of a whole network to start from, a packaged one's name, or ``default``. Its architecture is taken
            too; where ``config`` says otherwise, positions are resized to other sizes.
        drop_path: Stochastic depth of the last block.
        freeze_blocks: Leave the patch embedding and this many first blocks as they are.
        lora_rank: Train the backbone's attention by low-rank updates of this rank only; 0 trains all of it.
    """

    preset: str = "vitb_256_ce"
    config: dict[str, Any] = Field(default_factory=dict)
    tracker: TrackerKind | None = None
    backbone: Path | None = None
    network: Path | None = None
    drop_path: float = Field(0.1, ge=0, lt=1)
    freeze_blocks: int = Field(0, ge=0)
    lora_rank: int = Field(0, ge=0)

    def resolve(self, base: OSTrackConfig | None = None) -> OSTrackConfig:
        """The architecture that preset and fields describe.

        Args:
            base: Taken in place of the preset: that of the network to start from.

        Raises:
            RecipeError: Unknown preset or field.
        """
        if base is None:
            if self.preset not in PRESETS:
                raise RecipeError(f"model.preset={self.preset}: unknown{nearest(self.preset, PRESETS)}")
            base = PRESETS[self.preset]
        for key in self.config:
            if key not in OSTrackConfig.model_fields:
                raise RecipeError(f"model.config.{key}: unknown{nearest(key, OSTrackConfig.model_fields)}")
        try:
            return OSTrackConfig(**(base.model_dump() | self.config))
        except ValueError as error:
            raise RecipeError(f"model.config: {error}") from None


class OptimRecipe(Part):
    """AdamW and its schedule; defaults are the paper's.

    Attributes:
        lr_head: Rate of the head and of what else starts from nothing.
        lr_backbone: Rate of the pretrained backbone.
        weight_decay: On every parameter, as officially.
        schedule: ``"step"`` multiplies the rates by ``decay`` at ``decay_at``; ``"cosine"`` lets them fall along a
            half cosine from there down to ``decay`` at the end.
        decay_at: When.
        decay: Factor in the end.
        warmup_steps: Steps of linear growth.
        clip_norm: Largest norm of all gradients together.
        ema: Weight of the old running average of the weights at each step; 0 keeps none.
    """

    lr_head: float = Field(4e-4, gt=0)
    lr_backbone: float = Field(4e-5, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    decay_at: Milestone = 240.0
    decay: float = Field(0.1, ge=0, le=1)
    warmup_steps: int = Field(0, ge=0)
    clip_norm: float = Field(0.1, gt=0)
    ema: float = Field(0.0, ge=0, lt=1)


class EliminationRecipe(Part):
    """Warm-up of candidate elimination; each layer goes from 1 to its own keep ratio.

    Attributes:
        start: Epoch until which everything is kept.
        warm: Epochs that the way down takes.
        every: The ratio changes with every ``"epoch"`` (official) or ``"step"``.
    """

    start: Milestone = 20.0
    warm: Milestone = 80.0
    every: Literal["epoch", "step"] = "epoch"


class LossRecipe(Part):
    """Factors of the losses, and the cells at which boxes are read for them."""

    focal: float = Field(1.0, ge=0)
    giou: float = Field(2.0, ge=0)
    l1: float = Field(5.0, ge=0)
    box_cells: Literal["peak", "target"] = "peak"


class DistillRecipe(Part):
    """A finished network that teaches this one.

    Attributes:
        network: Its file, a packaged network's name, or ``default``; of the same crops and patches as the student.
        features: Factor of the difference between the final tokens.
        score: Factor of the cross entropy between the score maps.
    """

    network: Path | None = None
    features: float = Field(0.0, ge=0)
    score: float = Field(0.0, ge=0)

    @property
    def asked(self) -> bool:
        """Whether anything is to be taught."""
        return bool(self.features or self.score)

    @model_validator(mode="after")
    def _check(self) -> DistillRecipe:
        if self.network is not None and not self.asked:
            raise ValueError(f"network={self.network} teaches nothing: features and score are both 0")
        if self.network is None and self.asked:
            raise ValueError("features or score are weighted, and no network is named")
        return self


class RunRecipe(Part):
    """Length, batch, numerics and what is written when.

    Attributes:
        epochs: Length of the run.
        pairs_per_epoch: Pairs in an epoch; the rest that fills no batch is left out.
        batch: Pairs of one optimiser step, over all processes and accumulated parts.
        accumulate: Parts that each process computes its share of a batch in.
        seed: Of weights, pairs and drop path.
        precision: Of the forward pass; losses are in float32.
        device: ``"auto"`` is a GPU where there is one; under torchrun each process takes its own.
        sharding: Under torchrun: ``"ddp"`` copies the network to each process, ``"fsdp"`` spreads it (FSDP2).
        sync_batch_norm: Head statistics over all processes; officially each has its own.
        compile: Run the network through ``torch.compile``.
        workers: Loader processes of each process; 0 loads in the training process.
        threads: Threads of torch in each process.
        log_every: Steps between lines of the log.
        checkpoint_every: Steps between saved states.
        validate_every: Epochs between validations.
        validation_pairs: Pairs of a validation.
        validation_clips: Held clips that are tracked for the success score; 0 tracks none.
        validation_frames: First frames of each of them.
        snapshot_every: Epochs between networks that are kept beside the last one; 0 keeps none.
    """

    epochs: int = Field(300, ge=1)
    pairs_per_epoch: int = Field(60_000, ge=1)
    batch: int = Field(32, ge=1)
    accumulate: int = Field(1, ge=1)
    seed: int = Field(42, ge=0)
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    device: str = "auto"
    sharding: Literal["ddp", "fsdp"] = "ddp"
    sync_batch_norm: bool = False
    compile: bool = False
    workers: int = Field(1, ge=0)
    threads: int | None = Field(None, ge=1)
    log_every: int = Field(20, ge=1)
    checkpoint_every: int = Field(200, ge=1)
    validate_every: int = Field(20, ge=1)
    validation_pairs: int = Field(256, ge=0)
    validation_clips: int = Field(0, ge=0)
    validation_frames: int = Field(100, ge=2)
    snapshot_every: int = Field(0, ge=0)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in an epoch."""
        return self.pairs_per_epoch // self.batch

    @property
    def steps(self) -> int:
        """Optimiser steps of the run."""
        return self.epochs * self.steps_per_epoch

    @model_validator(mode="after")
    def _check(self) -> RunRecipe:
        if self.pairs_per_epoch < self.batch:
            raise ValueError(f"pairs_per_epoch={self.pairs_per_epoch} fills no batch of {self.batch}")
        if self.batch % self.accumulate:
            raise ValueError(f"batch={self.batch} is not a multiple of accumulate={self.accumulate}")
        return self


class Recipe(Part):
    """Everything that determines a run."""

    name: str = "run"
    model: ModelRecipe = ModelRecipe()
    data: DataRecipe = DataRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    optim: OptimRecipe = OptimRecipe()
    elimination: EliminationRecipe = EliminationRecipe()
    loss: LossRecipe = LossRecipe()
    distill: DistillRecipe = DistillRecipe()
    run: RunRecipe = RunRecipe()

    def plain(self) -> dict[str, Any]:
        """As plain JSON values, every default written out."""
        return self.model_dump(mode="json")
