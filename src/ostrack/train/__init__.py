"""Training: recipes, losses, the loop."""

from __future__ import annotations

from ostrack.train.reading import load_recipe, recipe_names
from ostrack.train.recipe import Recipe

__all__ = ["Recipe", "load_recipe", "recipe_names"]
