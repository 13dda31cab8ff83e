"""``ostrack train``: a recipe, what differs from it, and a folder."""

from __future__ import annotations

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
        typer.Argument(metavar="[KEY=VALUE]...", help="As in data=FOLDER, run.epochs=5, model.backbone=FILE."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run; runs/NAME of the recipe by default."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the resolved recipe and stop.")] = False,
) -> None:
    """Train a network, or go on with a run.

    The same command on the same folder continues after any interruption, exactly. Under torchrun the processes share
    each batch: torchrun --nproc-per-node 4 -m ostrack train ostrack_256_ce data=FOLDER
    """
    from ostrack.train import load_recipe, recipe_names

    if recipe == "list":
        print("\n".join(recipe_names()))
        return
    document = load_recipe(recipe, overrides or [])
    if show:
        import yaml

        print(yaml.safe_dump(document.plain(), sort_keys=False), end="")
        return
    with needs("train"):
        from ostrack.train.loop import train as run

        run(document, out or Path("runs") / document.name)
