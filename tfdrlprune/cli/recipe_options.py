"""Options of the recipe, made from its fields, and the recipe that they ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tfdrlprune.cli.options import Command
from tfdrlprune.recipe import Recipe


def recipe(command: Command) -> Command:
    """Adds an option for each field of `Recipe` that a trained policy can be compressed by.

    One that is not given comes as None.
    """
    for each in reversed(_fields()):
        if not each.metadata.get("in_training"):
            command = _recipe_option(each, each.default)(command)
    return command


def pruning(command: Command) -> Command:
    """Adds the options of `Recipe` that say how to prune; without ``--sparsity`` nothing is."""
    for each in reversed(_fields()):
        if each.name != "precision" and not each.metadata.get("in_compress"):
            default = None if each.name == "sparsity" else each.default
            command = _recipe_option(each, default)(command)
    return command


def _fields() -> list[dataclasses.Field[Any]]:
    """Returns the fields of `Recipe` in the order of the help: how much, then the others."""
    return sorted(dataclasses.fields(Recipe), key=lambda field: field.name != "sparsity")


def _recipe_option(
    field: dataclasses.Field[Any], default: Any
) -> Callable[[Callable[..., Any]], Any]:
    text = field.metadata["help"]
    name = f"--{field.name.replace('_', '-')}"
    if isinstance(field.default, bool):
        return click.option(f"{name}/--no-{name[2:]}", field.name, default=None, help=text)
    if isinstance(field.default, tuple):
        return click.option(name, field.name, multiple=True, default=None, help=text)
    choices = field.metadata.get("choices")
    kind = click.Choice(choices) if choices else field.metadata.get("type", type(field.default))
    text += "" if default is None else f"  [default: {default}]"
    return click.option(name, field.name, type=kind, default=None, help=text)


def build_recipe(file: Path | None, flags: dict[str, Any]) -> Recipe:
    """Returns the recipe of a TOML file, or the default one, with the given flags in place.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no recipe, or a value is out of range.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = Recipe.from_toml(file.read_text(encoding="utf-8")).to_dict()
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    names = {field.name for field in dataclasses.fields(Recipe)}
    given = {name: value for name, value in flags.items() if name in names}
    values |= {name: value for name, value in given.items() if value not in (None, ())}
    return Recipe.from_dict(values)
