"""``ostrack train``: a recipe, what differs from it, and a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ostrack.cli.extras import needs

__all__ = ["train"]


def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="Name of a packaged recipe, or a YAML file; 'list' names the packaged."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="As in data=FOLDER, run.epochs=5, model.backbone=FILE. Without =, one more recipe, trained next.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder of the run; runs/NAME of the recipe by default. Of several recipes, FOLDER/NAME.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the resolved recipe and stop.")] = False,
) -> None:
    """Train a network, or go on with a run.

    The same command on the same folder continues after any interruption, exactly. Under torchrun the processes share
    each batch: torchrun --nproc-per-node 4 -m ostrack train ostrack_256_ce data=FOLDER
    """
    from ostrack.errors import RecipeError
    from ostrack.train import load_recipe, recipe_names

    if recipe == "list":
        print("\n".join(recipe_names()))
        return
    given = overrides or []
    recipes = [recipe, *(text for text in given if "=" not in text)]
    for text in recipes[1:]:
        if text not in recipe_names() and not Path(text).is_file():
            raise RecipeError(f"{text}: expected section.key=value, or one more recipe")
    documents = [load_recipe(name, [text for text in given if "=" in text]) for name in recipes]
    folders = [Path("runs") / document.name for document in documents]
    if out is not None:
        folders = [out / document.name for document in documents] if len(documents) > 1 else [out]
    if len(documents) > 1 and "TORCHELASTIC_RUN_ID" in os.environ:
        raise RecipeError("several recipes under torchrun: give each a command of its own")
    if len(set(folders)) < len(folders):
        raise RecipeError("two of the recipes have one name, and so one folder")
    if show:
        import yaml

        print(yaml.safe_dump_all([document.plain() for document in documents], sort_keys=False), end="")
        return
    with needs("train"):
        from ostrack.train.loop import train as run

        for document, folder in zip(documents, folders, strict=True):
            run(document, folder)
