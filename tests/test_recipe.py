"""A recipe holds what it may hold, and says what is wrong with anything else."""

import pytest

from tfdrlprune.recipe import Recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('begin = "x"', "begin is a number. Received: begin='x'"),
        ("end = true", "end is a number. Received: end=True"),
        ("begin = nan", "0 <= begin < end <= 1"),
        ("frequency = 1.5", "frequency is a whole number. Received: frequency=1.5"),
        ("frequency = 0", "at least 1 step"),
        ("spare = 3", "spare is a list of kernels' names. Received: spare=3"),
        ("spare = [1]", r"Received: spare=\[1\]"),
        ('sparsity = "x"', "Received: sparsity='x'"),
        ("precision = [1]", "precision is one of 'float32'"),
        ("[recipe]", "no field 'recipe'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_toml(text)


def test_a_recipe_comes_back_from_toml_as_it_was():
    recipe = Recipe(sparsity=0.25, spare=("dense", "head"), begin=0, end=1, frequency=7)
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert recipe.spare == ("dense", "head")
