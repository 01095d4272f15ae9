"""Options made from the recipe's fields, and the recipe that they make."""

import dataclasses

import click
import pytest

from tfdrlprune.cli import recipe_options
from tfdrlprune.recipe import Recipe


@pytest.mark.parametrize("of", ["compress", "train"])
def test_every_field_of_the_recipe_is_an_option_with_its_help(of):
    @click.command()
    @(recipe_options.recipe if of == "compress" else recipe_options.pruning)
    def command(**flags):
        del flags

    by_name = {option.name: option for option in command.params}
    for field in dataclasses.fields(Recipe):
        # A policy has no precision while it trains, and no role once it is trained.
        other = "in_compress" if of == "train" else "in_training"
        if field.metadata.get(other) or (of == "train" and field.name == "precision"):
            continue
        option = by_name.pop(field.name)
        assert option.help.startswith(field.metadata["help"])
        assert option.opts == [f"--{field.name.replace('_', '-')}"]
    assert by_name == {}


def test_flags_go_before_the_recipe_file_and_that_before_the_defaults(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text('sparsity = 0.5\nprecision = "int8"\n')
    flags = {"sparsity": 0.7, "precision": None, "spare": (), "unrelated": 3}
    made = recipe_options.build_recipe(file, flags)
    assert (made.sparsity, made.precision, made.distribution) == (0.7, "int8", "erk")
    assert recipe_options.build_recipe(None, {}) == Recipe()


def test_a_recipe_with_an_unknown_key_names_the_file_and_the_nearest_key(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text("sparsty = 0.5\n")
    with pytest.raises(ValueError, match=r"recipe.toml: .*'sparsty'. Did you mean 'sparsity'"):
        recipe_options.build_recipe(file, {})
