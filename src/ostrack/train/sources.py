"""From a recipe's data section to sources of pairs and held clips."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np

from ostrack.config import OSTrackConfig
from ostrack.data.annotations import AnnotatedImage, clips, read_folder
from ostrack.data.augment import Photometric
from ostrack.data.benchmarks import load
from ostrack.data.benchmarks.collection import Collection
from ostrack.data.composite import CompositePairs
from ostrack.data.pairs import Crops
from ostrack.data.sampling import ClipPairs, Collage, Mixture, Negatives, PairSource
from ostrack.data.sequence import Sequence
from ostrack.data.stills import ObjectPairs, StillPairs
from ostrack.errors import DataError, RecipeError
from ostrack.train.places import annotated_folders, below, refuse_others_beside
from ostrack.train.recipe import AugmentRecipe, DataRecipe, SetRecipe

__all__ = ["Sources", "build_crops", "open_sources", "require_folders"]


@dataclass(frozen=True)
class Sources:
    """What a run reads.

    Attributes:
        training: Pairs to learn from.
        validation: Pairs of held clips, or None where nothing is held.
        held_clips: Held clips, to be tracked.
        report: One line for each source.
    """

    training: PairSource
    validation: PairSource | None
    held_clips: Items[Sequence] | Collection[Sequence]
    report: tuple[str, ...]


class _InTurn(Items[Sequence]):
    """Several collections, one after the other; labels are read at access."""

    def __init__(self, parts: Items[Collection[Sequence]]) -> None:
        self.places = [(part, index) for part in parts for index in range(len(part))]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Sequence: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sequence]: ...
    def __getitem__(self, index: int | slice) -> Sequence | list[Sequence]:
        if isinstance(index, slice):
            return [part[place] for part, place in self.places[index]]
        part, place = self.places[index]
        return part[place]


class _Builder:
    def __init__(self, recipe: DataRecipe, search_factor: float) -> None:
        self.recipe, self.search_factor = recipe, search_factor
        self.sources: list[PairSource] = []
        self.weights: list[float] = []
        self.names: list[str] = []
        self.held: list[Sequence] = []
        self.held_sources: list[PairSource] = []
        self.held_weights: list[float] = []
        self.held_names: list[str] = []
        self.report: list[str] = []

    def add(self, name: str, source: PairSource, weight: float, what: str) -> None:
        self.sources.append(source)
        self.weights.append(weight)
        self.names.append(name)
        self.report.append(f"{name}: {what}")

    def hold(self, name: str, source: PairSource, weight: float, what: str) -> None:
        self.held_sources.append(source)
        self.held_weights.append(weight)
        self.held_names.append(name)
        self.report.append(f"{name}: {what}, for validation only")

    def nothing_held(self) -> None:
        """Named sets hold no clips back: that is what ``data.validation`` is for."""
        if self.recipe.held_out:
            raise RecipeError("data.held_out: holds out clips of data=FOLDER; with data.sets, name data.validation")
        if self.recipe.held_out_share and not self.recipe.validation:
            self.report.append("nothing is held out of named sets, so nothing is validated: data.validation names sets")

    def hold_clips(self) -> None:
        least, seen, asked = self.recipe.min_frames, self.recipe.min_visible, len(self.held)
        # By their share, clips are held before anyone looks into them.
        self.held = [clip for clip in self.held if len(clip) >= least and int(clip.visible.sum()) >= seen]
        short = asked - len(self.held)
        told = f"{len(self.held)} clips" + (f" ({short} more are too short)" if short else "")
        if self.held:
            self.hold("held clips", self.pairs(self.held), 1.0, told)
        elif short:
            self.report.append(f"held clips: {told}; nothing is validated")

    def pairs(self, opened: Items[Sequence] | Collection[Sequence], long_clips: bool = False) -> ClipPairs:
        recipe = self.recipe
        return ClipPairs(opened, recipe.max_gap, recipe.order, recipe.min_frames, recipe.min_visible, long_clips)

    def named_set(self, name: str, part: SetRecipe) -> tuple[PairSource, Collection[Sequence] | None, str]:
        path = part.path or (below(self.recipe.root, name) if self.recipe.root else None)
        if path is None:
            raise RecipeError(
                f"data.sets.{name}: where it lies is not said; give data=FOLDER with {name}/ in it, "
                f"or data.sets.{name}.path=FOLDER"
            )
        opened = load(path, part.kind, part.split)
        lack = _lack(opened)
        if opened.kind == "coco":
            told = f"{len(opened)} images of {opened.split}{lack}"
            return ObjectPairs(opened, self.recipe.min_object), None, told
        return self.pairs(opened), opened, f"{len(opened)} sequences{lack}"

    def annotated(self, folders: Items[Path]) -> None:
        recipe = self.recipe
        images = [image for folder in folders for image in read_folder(folder)]
        left_out = sum(image.left_out for image in images)
        drop = recipe.auto == "drop"
        every = {clip.name: clip for clip in clips(image for image in images if not (drop and image.auto))}
        self._tell_of_unknown_sources({image.source for image in images})
        held = self._held_names(list(every))
        self.held = [every[name] for name in sorted(held)]
        videos = {name.rsplit("/", 1)[0] for name in held}
        images = [i for i in images if f"{i.source}/{i.video}" not in videos]
        photos = [i for i in images if i.source in recipe.backgrounds] if recipe.backgrounds else _photos(images)
        images = [i for i in images if not (drop and i.auto)]

        def surrounded(source: PairSource) -> PairSource:
            return Collage(source, photos, recipe.collage, self.search_factor) if recipe.collage and photos else source

        made = {f"{i.source}/{i.video}/{i.track}" for i in images if i.auto and i.video is not None}
        # Another target of a held clip would show its scene and its look-alikes.
        free = [clip for name, clip in every.items() if name.rsplit("/", 1)[0] not in videos]
        by_hand = [clip for clip in free if recipe.pseudo is None or clip.name not in made]
        by_program = [clip for clip in free if recipe.pseudo is not None and clip.name in made]
        for name, share, used in (("clips", recipe.clips, by_hand), ("pseudo-labels", recipe.pseudo, by_program)):
            if share:
                self.add(name, surrounded(self.pairs(used, long_clips=True)), share, f"{len(used)} clips")
        if recipe.stills:
            stills = [i for i in images if i.video is None and not i.cutout and i.source not in recipe.exclude_stills]
            source = StillPairs(stills, parts=recipe.parts)
            self.add("stills", surrounded(source), recipe.stills, f"{len(source.items)} boxes in {len(stills)} images")
        if recipe.composites:
            objects = [i for i in images if i.source not in recipe.exclude_objects]
            pasted = CompositePairs(objects, photos, recipe.distractors, recipe.occlusion)
            count = sum(len(pasted.kinds[name]) for name in pasted.names)
            self.add("composites", pasted, recipe.composites, f"{count} objects on {len(photos)} photos")
        self.hold_clips()
        if left_out:
            self.report.append(f"{left_out} boxes left out: not finite, or less than a pixel wide or high")

    def detected(self, root: Path) -> None:
        opened = load(root)
        if opened.kind == "coco":
            found = f"{len(opened)} images of {opened.split}{_lack(opened)}"
            self.add(root.name, ObjectPairs(opened, self.recipe.min_object), 1.0, found)
            return
        held = self._held_names(list(opened.names))
        # Another target of a held clip would show its scene and its look-alikes.
        kept_away = {opened.clip_of(name) for name in held}
        names = tuple(name for name in opened.names if opened.clip_of(name) not in kept_away)
        used: Collection[Sequence] = replace(opened, names=names)
        self.add(root.name, self.pairs(used), 1.0, f"{len(used)} clips{_lack(opened)}")
        if held:
            for name in sorted(held):
                try:
                    self.held.append(opened.read(name))
                except DataError as error:
                    # As in training, one broken label file ends no run.
                    self.report.append(f"held clip left out: {error}")
            self.hold_clips()

    def _tell_of_unknown_sources(self, known: set[str]) -> None:
        recipe = self.recipe
        for key in ("backgrounds", "exclude_stills", "exclude_objects"):
            if strange := sorted(set(getattr(recipe, key)) - known):
                self.report.append(f"data.{key}: no folder named {', '.join(strange)}")

    def _held_names(self, names: list[str]) -> set[str]:
        recipe = self.recipe
        unknown = set(recipe.held_out) - set(names)
        if unknown:
            raise RecipeError(f"data.held_out: no clip named {sorted(unknown)[0]}")
        if recipe.held_out or not recipe.held_out_share or len(names) < 2:
            return set(recipe.held_out)
        count = min(max(round(recipe.held_out_share * len(names)), 1), len(names) - 1)
        return {sorted(names)[i] for i in np.linspace(0, len(names) - 1, count + 2).astype(int)[1:-1]}


def _lack(opened: Collection[Any]) -> str:
    """What a set does not bring, for its line of the report."""
    missing = f", {len(opened.missing)} of the list missing" if opened.missing else ""
    empty = f", {opened.left_out} boxes left out without area or image" if opened.left_out else ""
    return missing + empty + (f", {len(opened.unlabelled)} left out without labels" if opened.unlabelled else "")


def _photos(images: list[AnnotatedImage]) -> list[AnnotatedImage]:
    """Pictures that may lie behind pasted objects when none are named: every one but cut-outs."""
    return [image for image in images if not image.cutout]


def require_folders(recipe: DataRecipe) -> None:
    """Look whether the data are where a recipe says, before anything takes long.

    Raises:
        RecipeError: A folder is not there.
    """
    if recipe.root is not None and not recipe.root.exists() and not recipe.sets:
        raise RecipeError(f"data.root={recipe.root}: no such folder, archive or database")
    for section, sets in (("sets", recipe.sets), ("validation", recipe.validation)):
        for name, part in sets.items():
            if part.path is not None and not part.path.exists():
                raise RecipeError(f"data.{section}.{name}.path={part.path}: no such folder")


def open_sources(recipe: DataRecipe, search_factor: float) -> Sources:
    """Open everything that a recipe's data section names.

    Args:
        recipe: The section.
        search_factor: Side of the search crop over the square root of the target's area.

    Raises:
        RecipeError: Nothing to read, or a share asks for what the data do not have.
        DataError: A set is not where it is said to be, a broken annotation file, or a source that yields nothing.
    """
    require_folders(recipe)
    builder = _Builder(recipe, search_factor)
    for name, part in recipe.sets.items():
        source, _, what = builder.named_set(name, part)
        builder.add(name, source, part.share, what)
    if recipe.root is not None:
        folders = annotated_folders(recipe.root)
        if recipe.sets:
            builder.nothing_held()
        elif folders:
            refuse_others_beside(recipe.root, folders[0])
            builder.annotated(folders)
        else:
            builder.detected(recipe.root)
    if not builder.sources:
        raise RecipeError("no data: give data=FOLDER, or data.sets with at least one set")
    held: list[Collection[Sequence]] = []
    for name, part in recipe.validation.items():
        source, opened, what = builder.named_set(name, part)
        builder.hold(name, source, part.share, what)
        held += [opened] if opened is not None else []
    training: PairSource = Mixture(builder.sources, builder.weights, builder.names)
    if recipe.negatives:
        total = sum(builder.weights)
        training = Mixture(
            [training, Negatives(training)], [total, recipe.negatives], ["pairs with the target", "negatives"]
        )
    validation = None
    if builder.held_sources:
        validation = Mixture(builder.held_sources, builder.held_weights, builder.held_names)
    return Sources(training, validation, builder.held or _InTurn(held), tuple(builder.report))


def build_crops(config: OSTrackConfig, augment: AugmentRecipe) -> Crops:
    """How pairs become crops for a network.

    Raises:
        RecipeError: The jitter may move the target's centre out of the score map.
    """
    reach, side = 0.5 + augment.centre_jitter / (2 * config.search_factor), config.search_grid
    if reach * side >= side - 0.5:
        raise RecipeError(
            f"augment.centre_jitter={augment.centre_jitter:g}: moves targets out of a search region of factor "
            f"{config.search_factor:g}; expected less than {(side - 1) / side * config.search_factor:.3g}"
        )
    return Crops(
        template_size=config.template_size,
        search_size=config.search_size,
        template_factor=config.template_factor,
        search_factor=config.search_factor,
        centre_jitter=augment.centre_jitter,
        scale_jitter=augment.scale_jitter,
        template_jitter=augment.template_jitter,
        stretch=augment.stretch,
        faithful=augment.faithful,
        grey=augment.grey,
        joint_flip=augment.joint_flip,
        flip=augment.flip,
        photometric=Photometric(
            augment.brightness, augment.contrast, augment.saturation, augment.blur, augment.coarse, augment.noise
        ),
    )
