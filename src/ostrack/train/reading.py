"""Recipes out of YAML: packaged ones by name, files, the official ones, and overrides by ``key=value``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ostrack.errors import RecipeError
from ostrack.train.official import is_official, translate
from ostrack.train.recipe import Recipe
from ostrack.train.wording import first_error, nearest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable  # Python 3.11

__all__ = ["load_recipe", "recipe_names"]

# Keys whose values are files, folders and names, and what says that there is none.
_TEXT = re.compile(r"name|data\.root|data\.(sets|validation)\.\w+\.path|model\.(backbone|network)|distill\.network")
_NOTHING = frozenset({"", "~", "null"})


def _packaged() -> Traversable:
    return resources.files("ostrack.train") / "recipes"


def recipe_names() -> list[str]:
    """Recipes that come with the package; those in folders as ``folder/name``."""

    def names(folder: Traversable, prefix: str) -> list[str]:
        found = []
        for entry in folder.iterdir():
            if entry.is_dir():
                found += names(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".yaml"):
                found.append(prefix + entry.name.removesuffix(".yaml"))
        return found

    return sorted(names(_packaged(), ""))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        name: Name of a packaged recipe, or path of a YAML file: ours, or one of the official six (by its sections).
        overrides: ``section.key=value``; values are read as YAML. ``data=FOLDER`` is short for ``data.root=FOLDER``.

    Raises:
        RecipeError: No such recipe, broken YAML, unknown key (with the nearest one), or a wrong value.
    """
    document = _parse(_text(name), name)
    if is_official(document):
        document = translate(document, name)
    for override in overrides:
        _set(document, override)
    _check_keys(document, Recipe, "")
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{name}: {first_error(error)}") from None


def _text(name: str) -> str:
    if name in recipe_names():
        return _packaged().joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    try:
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{name}: not a text file") from None
    except OSError as error:
        hint = nearest(name, recipe_names())
        raise RecipeError(f"{name}: neither a recipe nor a file that can be read: {error.strerror}{hint}") from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise RecipeError(f"{name}: expected sections with keys, found {type(document).__name__}")
    return document


def _set(document: dict[str, Any], override: str) -> None:
    path, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f'"{override}": expected section.key=value')
    if path == "data":
        path = "data.root"
    *sections, key = path.split(".")
    is_text = bool(_TEXT.fullmatch(path))
    for section in sections:
        inner = document.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"{override}: {section} is a value, not a section")
        document = inner
    try:
        # YAML would cut a path at " #" and take "2024-06-01" for a day; in quotes it means what it says.
        document[key] = value if is_text and value not in _NOTHING and value[0] not in "\"'" else yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"{override}: the value is not YAML") from None


def _check_keys(document: dict[str, Any], model: type[BaseModel], prefix: str) -> None:
    """Name the first unknown key with its nearest known one, which pydantic does not."""
    for key, value in document.items():
        field = model.model_fields.get(key)
        if field is None:
            raise RecipeError(f"{prefix}{key}: unknown key{nearest(str(key), model.model_fields)}")
        path = f"{prefix}{key}"
        if part := _part(field.annotation):
            _check_keys(_section(value, path), part, f"{path}.")
        elif get_origin(field.annotation) is dict and (part := _part(get_args(field.annotation)[1])):
            for name, inner in _section(value, path).items():
                _check_keys(_section(inner, f"{path}.{name}"), part, f"{path}.{name}.")


def _part(annotation: Any) -> type[BaseModel] | None:
    is_class = isinstance(annotation, type) and get_origin(annotation) is None
    return annotation if is_class and issubclass(annotation, BaseModel) else None


def _section(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RecipeError(f"{path}: expected a section with keys, found {value!r}")
    return value
