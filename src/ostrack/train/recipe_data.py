"""The parts of a recipe that say where pairs come from and how they are changed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AugmentRecipe", "DataRecipe", "Part", "SetRecipe"]


class Part(BaseModel):
    """A part of a recipe: nothing unknown in it, and not to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SetRecipe(Part):
    """One data set.

    Attributes:
        kind: Layout (``ostrack data check`` names them), or ``"auto"``.
        split: Part of the set; empty for the usual one.
        path: Where it lies; by default the folder below ``data.root`` that has the set's name in the recipe.
        share: Its share of the pairs.
    """

    kind: str = "auto"
    split: str = ""
    path: Path | None = None
    share: float = Field(1.0, ge=0)


class DataRecipe(Part):
    """Where pairs come from.

    Attributes:
        root: Folder of annotated folders (see :mod:`ostrack.data.annotations`), a data set of any known layout, or
            the folder that the named ``sets`` lie in.
        sets: Data sets by name.
        validation: Data sets that only validate.
        order: Search frames after the template (``"causal"``, official) or on either side of it.
        max_gap: Largest distance of two frames of a clip.
        min_frames: Shorter clips are refused.
        min_visible: Clips with fewer frames that show the target are refused.
        min_object: Objects of still images with a shorter side are refused; the official code means 50 and does 0.
        clips: Share of pairs from annotated clips, or from the clips in ``root``.
        pseudo: Share of pairs from annotated clips whose boxes a program made; where None, they are among ``clips``.
        stills: Share of pairs from boxes of annotated still images.
        parts: Chance that the target of a still image is a part of the annotated object.
        composites: Share of pasted pairs.
        negatives: Share of pairs whose target is absent.
        collage: Chance that a frame filled by its target is surrounded with other photos.
        distractors: Mean count of other objects in a composite.
        occlusion: Chance that a composite's target is partly covered.
        auto: What to do with boxes that a program made: ``"keep"`` them, or ``"drop"`` them as targets and objects;
            their pictures may still lie behind pasted ones.
        exclude_stills: Folders whose boxes are no targets.
        exclude_objects: Folders whose masks are no objects to paste.
        backgrounds: Folders to take backgrounds from.
        held_out: Clips by name for validation only.
        held_out_share: Share of the clips in ``root`` for validation only, where none are named.
    """

    root: Path | None = None
    sets: dict[str, SetRecipe] = Field(default_factory=dict)
    validation: dict[str, SetRecipe] = Field(default_factory=dict)
    order: Literal["causal", "any"] = "causal"
    max_gap: int = Field(200, ge=1)
    min_frames: int = Field(20, ge=2)
    min_visible: int = Field(5, ge=2)
    min_object: float = Field(0.0, ge=0)
    clips: float = Field(0.3, ge=0)
    pseudo: float | None = Field(None, ge=0)
    stills: float = Field(0.3, ge=0)
    parts: float = Field(0.0, ge=0, le=1)
    composites: float = Field(0.4, ge=0)
    negatives: float = Field(0.0, ge=0)
    collage: float = Field(0.0, ge=0, le=1)
    distractors: float = Field(2.0, ge=0)
    occlusion: float = Field(0.25, ge=0, le=1)
    auto: Literal["keep", "drop"] = "keep"
    exclude_stills: tuple[str, ...] = ()
    exclude_objects: tuple[str, ...] = ()
    backgrounds: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    held_out_share: float = Field(0.0, ge=0, lt=1)


class AugmentRecipe(Part):
    """Jitter of crops and changes of colour; defaults are the paper's at 256.

    ``faithful`` gives the official labels, off by up to half a pixel of the frame and half a pixel of the crop, and the
    official crops, which lose a row and a column at the frame's right and bottom edge.
    """

    centre_jitter: float = Field(3.0, ge=0)
    scale_jitter: float = Field(0.25, ge=0)
    template_jitter: float = Field(0.0, ge=0)
    stretch: float = Field(0.0, ge=0)
    grey: float = Field(0.05, ge=0, le=1)
    joint_flip: float = Field(0.5, ge=0, le=1)
    flip: float = Field(0.5, ge=0, le=1)
    brightness: float = Field(0.2, ge=0, lt=1)
    contrast: float = Field(0.0, ge=0, lt=1)
    saturation: float = Field(0.0, ge=0, lt=1)
    blur: float = Field(0.0, ge=0, le=1)
    coarse: float = Field(0.0, ge=0, le=1)
    noise: float = Field(0.0, ge=0, le=1)
    faithful: bool = False
