"""A process of a run for the tests: ``run_recipe.py RECIPE FOLDER [UNTIL]``; ``{rank}`` in the names is its number."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ostrack.train.loop import train
from ostrack.train.reading import load_recipe

if __name__ == "__main__":
    name, folder, *until = (word.replace("{rank}", os.environ.get("RANK", "0")) for word in sys.argv[1:])
    recipe = load_recipe(name)
    train(recipe, Path(folder), lambda line: None, int(until[0]) if until else None)
