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
        ("frequency = 0", "frequency is at least 1. Received: frequency=0"),
        ("spare = 3", "spare is a list of kernels' names. Received: spare=3"),
        ("spare = [1]", r"Received: spare=\[1\]"),
        ('sparsity = "x"', "Received: sparsity='x'"),
        ("precision = [1]", "precision is one of 'float32'"),
        ("[recipe]", "no field 'recipe'"),
        ('criterion = "magnitud"', "Received: criterion='magnitud'. Did you mean 'magnitude'?"),
        ('schedule = "cube"', "schedule is one of 'cubic', 'linear', 'one_shot', 'cyclical'"),
        ("cycles = 0", "cycles is at least 1"),
        ('group_score = "l3"', "group_score is one of 'mean', 'l2', 'max'"),
        ("threshold = 0", "threshold is a finite number above 0"),
        ("threshold = nan", "threshold is a finite number above 0"),
        ('threshold = "a"', "threshold is a number"),
        ('granularity = "blok:4x4"', "Did you mean 'block:4x4'?"),
        ('granularity = "block:0x4"', "Received: granularity='block:0x4'"),
        ('granularity = "4:4"', "N:M such as '2:4', which keeps 2 of 4"),
        ("granularity = 4", "Received: granularity=4"),
        ('granularity = "2:4"', "keeps 2 of 4 weights, .* of 0.5. Received: sparsity=0.9. Write"),
        ('granularity = "1:4"\nsparsity = 0.5', "Write sparsity=0.75"),
        ('distribution = "ekr"', "Did you mean 'erk'?"),
        ('distribution = "dense=0.9,out"', "NAME=SPARSITY with commas"),
        ("[distribution]\ndense = 90", "sparsity=90 from 'dense'. For 90 % write 0.9"),
        ("distribution = {}", "distribution is one of"),
        ("cycles = 3", "schedule='cubic' rises once, and has no cycles. Received: cycles=3"),
        ("drop_fraction = 0.2", "method='prune' exchanges no weights, and has no drop_fraction"),
        ("return_margin = 0.2", "does not look at returns, and has no return_margin"),
        ('method = "rigl"\nbegin = 0.5', "trains sparsely from the beginning, and has no begin"),
        ('method = "set"\ndistribution = "global"', "Write 'erk' or 'uniform'"),
        ('method = "rig"', "method is one of 'prune', 'rigl', 'set', 'static'"),
        ('networks = "actor,critic=50"', "sparsity='50' from 'critic'"),
        ('criterion = "apoz"', "scores units. Received: granularity='element'"),
        ('route = "prun"', "route is one of .*Did you mean 'prune'"),
        ('until = "fails"', "until is one of 'target', 'holds', 'breaks'"),
        ('further = "0.5"', "further is GRANULARITY=SPARSITY .* Received: further='0.5'"),
        ('further = "unit=0.5"', "further is GRANULARITY=SPARSITY of weights"),
        ('further = "2:4=0.9"', "a sparsity of 0.5"),
        ('further = "element=50"', "sparsity='50' from further"),
        ("multiple_of = 0", "multiple_of is at least 1. Received: multiple_of=0"),
        ("small_dense = 1", "small_dense is true or false. Received: 1"),
        ("fine_tune_env_steps = -1", "fine_tune_env_steps is at least 1, or 0 for none. Received"),
        ("fine_tune_env_steps = false", "fine_tune_env_steps is a whole number"),
        ("distil_rounds = 0.5", "distil_rounds is a whole number"),
        ("distil_temperature = 0", "in mean gaps between scores, above 0"),
        ("distil_learning_rate = 2", "distil_learning_rate is a share"),
        ('distil_loss = "mse"', "distil_loss is one of 'auto'"),
        ('criterion = "movement"\ngroup_score = "l2"', "which group_score='l2' would square"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_toml(text)


def test_a_recipe_comes_back_from_toml_as_it_was():
    recipe = Recipe(sparsity=0.25, spare=("dense", "head"), begin=0, end=1, frequency=7)
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    assert recipe.spare == ("dense", "head")


def test_every_field_comes_back_from_toml():
    recipe = Recipe(
        sparsity=0.5,
        granularity="2:4",
        criterion="random",
        distribution={"dense": 0.5, "lstm_cell/recurrent_kernel": 0.5},
        threshold=0.25,
        spare=("first",),
        schedule="cyclical",
        cycles=3,
        begin=0.1,
        end=0.7,
        frequency=9,
        precision="int8",
        networks={"critic": 0.25, "actor": None},
    )
    again = Recipe.from_toml(recipe.to_toml())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    # Sparse training excludes some of these choices, and knows some of its own.
    other = Recipe(method="rigl", drop_fraction=0.5, gradient_batches=3)
    gated = Recipe(
        granularity="unit",
        group_score="max",
        schedule="return_gated",
        return_margin=0.1,
        return_stride=0.5,
        return_patience=2,
    )
    for each in (other, gated):
        assert Recipe.from_toml(each.to_toml()) == each
    taught = Recipe(
        route="distil",
        until="breaks",
        further="block:1x4=0.5",
        multiple_of=8,
        small_dense=True,
        qat=True,
        distil_rounds=3,
        fine_tune_env_steps=1_000,
        distil_steps=7,
        distil_loss="advantages",
        distil_temperature=0.5,
        distil_learning_rate=0.01,
    )
    assert Recipe.from_toml(taught.to_toml()) == taught
    # Nothing above is its default.
    default = Recipe().to_dict()
    changed = {
        name
        for each in (recipe, other, gated, taught)
        for name, value in each.to_dict().items()
        if value != default[name]
    }
    assert changed == set(default)


def test_a_dictionary_has_a_form_for_the_command_line():
    assert Recipe(distribution="a=0.9, b/c=0.5").distribution == {"a": 0.9, "b/c": 0.5}


@pytest.mark.parametrize(
    ("granularity", "sparsity"), [("2:4", 0.5), ("1:3", 0.667), ("1:8", 0.875)]
)
def test_the_sparsity_of_a_pattern_may_be_rounded(granularity, sparsity):
    assert Recipe(granularity=granularity, sparsity=sparsity).sparsity == sparsity


@pytest.mark.parametrize(
    "fields",
    [{}, {"criterion": "movement"}, {"method": "set"}, {"method": "static"}],
    ids=str,
)
def test_gradient_batches_that_nothing_takes_are_refused(fields):
    with pytest.raises(ValueError, match=r"gradient_batches=4\. Leave it out"):
        Recipe(gradient_batches=4, **fields)
    assert Recipe(gradient_batches=4, criterion="taylor").gradient_batches == 4
    assert Recipe(gradient_batches=4, method="rigl").gradient_batches == 4


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (
            {"schedule": "one_shot", "end": 0.8},
            "one_shot' ends by itself, and has no end",
        ),
        ({"schedule": "one_shot", "frequency": 7}, "has no frequency"),
        ({"schedule": "return_gated", "frequency": 7}, "has no frequency"),
        ({"method": "static", "end": 0.8}, "method='static' moves no weights, and has no end"),
        ({"method": "static", "drop_fraction": 0.5}, "has no drop_fraction"),
        ({"group_score": "max"}, "granularity='element' scores weights one by one"),
        ({"granularity": "2:4", "sparsity": 0.5, "group_score": "l2"}, "one by one"),
        ({"networks": "actor=0.5", "sparsity": 0.8}, "gives each role a sparsity of its own"),
        ({"networks": "actor,critic=0.5,actor"}, "networks names each once. Received twice: actor"),
        ({"distribution": "d=0.5,d=0.9"}, "distribution names each once. Received twice: d"),
    ],
    ids=str,
)
def test_what_a_choice_has_no_use_for_is_refused(fields, named):
    with pytest.raises(ValueError, match=named):
        Recipe(**fields)


def test_what_ends_by_itself_may_begin_late():
    assert Recipe(schedule="one_shot", begin=0.9).begin == 0.9
    with pytest.raises(ValueError, match="0 <= begin < end <= 1"):
        Recipe(schedule="cubic", begin=0.9)


def test_a_sparsity_in_quotes_is_refused_and_not_kept_as_text():
    with pytest.raises(ValueError, match="sparsity"):
        Recipe.from_toml('sparsity = "0.9"')


@pytest.mark.parametrize(
    ("choices", "routes"),
    [
        ({}, ("prune", "distil")),
        ({"granularity": "unit"}, ("prune", "distil")),
        ({"route": "prune"}, ("prune",)),
        ({"route": "distil", "granularity": "2:4", "sparsity": 0.5}, ("distil",)),
        # What only pruning gives.
        ({"granularity": "2:4", "sparsity": 0.5}, ("prune",)),
        ({"granularity": "block:4x4"}, ("prune",)),
        ({"spare": ["first"]}, ("prune",)),
        ({"threshold": 0.1}, ("prune",)),
        ({"distribution": {"dense": 0.5}}, ("prune",)),
        ({"sparsity": 0.0}, ("prune",)),
        # Zeros cannot be pruned once more.
        ({"further": "element=0.5"}, ("distil",)),
        ({"further": "element=0.5", "granularity": "unit"}, ("prune", "distil")),
    ],
)
def test_the_routes_that_a_recipe_leaves_open(choices, routes):
    assert Recipe(**choices).routes() == routes


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"until": "breaks", "granularity": "2:4", "sparsity": 0.5}, "one sparsity only"),
        ({"until": "breaks", "threshold": 0.1}, "one sparsity only"),
        ({"further": "element=0.5", "route": "prune"}, "what is left of a smaller network"),
        ({"further": "element=0.5", "granularity": "block:4x4"}, "of a smaller network"),
    ],
)
def test_choices_that_exclude_each_other_in_compression_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**choices).check_compress()
