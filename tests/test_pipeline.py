import json

from tfdrlprune._tf import tf

import numpy as np
import pytest
from artifacts import BALANCES, linear
from students import QUICK, balancer

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.compression import pipeline
from tfdrlprune.compression.bench import Judging
from tfdrlprune.deployment import artifact

# One candidate, whatever it comes to: what else there is has tests of its own.
PRUNED = {"route": "prune", "until": "target"}


def compressed(**arguments):
    asked = {"sparsity": 0.8, "precision": "int8"} | PRUNED
    recipe = tp.Recipe(**(asked | arguments.pop("recipe", {})))
    return tp.compress(balancer(), "CartPole-v1", recipe, distillation=QUICK, **arguments)


@pytest.fixture(scope="module")
def result():
    return compressed(judging=Judging(episodes=30), recipe={"small_dense": True})


def test_every_stage_is_judged_on_its_artifact(result):
    assert [row.name for row in result.report.rows()] == [
        *("dense", "pruned", "float16", "int8", "small_dense"),
    ]
    assert [row.precision for row in result.report.stages] == [
        *("float32", "float32", "float16", "int8"),
    ]
    for row in result.report.rows():
        assert row.returns["episodes"] == 30
        assert row.returns["mean"] > 400


def test_the_sparsity_in_the_file_is_the_one_asked_for(result):
    pruned, _, quantized = result.report.stages[1:]
    assert pruned.sparsity == round(0.8 * 192) / 192
    assert pruned.sparsity <= quantized.sparsity < 0.95  # int8 rounds a few more to zero


def test_thirty_episodes_of_a_good_policy_are_inconclusive(result):
    assert result.report.verdict == "INCONCLUSIVE"
    assert 30 < result.report.judged.gate.episodes_needed < 300


def test_the_small_dense_network_has_no_more_parameters_than_the_pruned_one_has_left(result):
    pruned, small = result.report.stages[1], result.report.small_dense
    assert 0.6 * pruned.nonzero < small.parameters <= pruned.nonzero


def test_the_export_is_the_judged_artifact_with_its_report(result, tmp_path):
    result.export(tmp_path / "out")
    manifest = artifact.read(tmp_path / "out")
    assert manifest.precision == "int8"
    assert manifest.verdict["verdict"] == "INCONCLUSIVE"
    assert manifest.sparsity.requested == 0.8
    assert manifest.parameters.dense == 4 * 32 + 32 + 32 * 2 + 2
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["stages"][3]["size_bytes"] == (tmp_path / "out" / "policy.tflite").stat().st_size
    policy = runtime.load(tmp_path / "out")
    assert policy.action(np.array([0, 0, 0.1, 0.5], "float32")) == 1
    with pytest.raises(FileExistsError, match="force"):
        result.export(tmp_path / "out")
    result.export(tmp_path / "out", force=True)


def test_c_is_made_of_the_judged_file(result, tmp_path):
    folder = result.export(tmp_path / "a", formats=("tflite", "c"))
    manifest = artifact.verify(folder)
    assert {"policy.c", "policy.h", "policy_test.c"} <= set(manifest.files)
    assert {path.name for path in folder.iterdir()} - set(manifest.files) == {
        *("policy.json", "report.json", "report.npz", "report.md", "report.html"),
    }
    assert manifest.versions["cc"] != "none"
    compiled, interpreted = runtime.load(folder, backend="c"), runtime.load(folder)
    batch = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    # In int8 the file rounds what goes from layer to layer, and the C does not.
    assert np.mean(compiled.action(batch) == interpreted.action(batch)) > 0.9
    with pytest.raises(ValueError, match="formats are of tflite, c"):
        result.export(tmp_path / "b", formats=("tflite", "onnx"))
    assert not (tmp_path / "b").exists()


def test_the_policy_that_was_given_is_left_as_it_is():
    policy = balancer()
    before = policy.model.get_weights()
    recipe = tp.Recipe(**PRUNED)
    tp.compress(policy, "CartPole-v1", recipe, distillation=QUICK, judging=Judging(episodes=2))
    for ours, theirs in zip(before, policy.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert policy.model.get_layer("hidden").kernel.constraint is None


def test_observations_alone_are_enough_and_then_nothing_is_judged():
    generator = np.random.default_rng(0)
    observations = generator.normal(0, [0.5, 0.5, 0.1, 0.5], size=(500, 4)).astype("float32")
    recipe = tp.Recipe(**PRUNED)
    result = tp.compress(balancer(), None, recipe, observations=observations, distillation=QUICK)
    assert result.report.verdict is None
    assert result.report.stages[1].returns is None
    assert result.report.stages[1].agreement > 0.8
    assert "No environment" in result.report.gate["message"]
    assert result.report.command.startswith("tp.compress(policy, None, tp.Recipe(")


@pytest.mark.parametrize(
    "recipe",
    [
        {"criterion": "saliency"},
        {"criterion": "snip"},
        {"criterion": "movement"},
        {"criterion": "taylor", "granularity": "unit", "group_score": "in+out"},
        {"criterion": "activation", "granularity": "unit"},
    ],
    ids=lambda recipe: recipe["criterion"],
)
def test_criteria_look_at_the_lesson_and_its_states(recipe):
    generator = np.random.default_rng(0)
    seen = generator.normal(0, [0.5, 0.5, 0.1, 0.5], size=(500, 4)).astype("float32")
    recipe = tp.Recipe(sparsity=0.5, distribution="uniform", **PRUNED, **recipe)
    result = tp.compress(balancer(), None, recipe, observations=seen, distillation=QUICK)
    hidden, outputs = (result.policy.model.get_layer(name) for name in ("hidden", "outputs"))
    if recipe.granularity == "unit":
        assert hidden.units == 16
    else:
        gone = [int((layer.kernel.numpy() == 0).sum()) for layer in (hidden, outputs)]
        assert gone == [64, 32]
    # The first hidden unit balances alone: every criterion that looks sees that.
    assert hidden.kernel.numpy()[:, 0].any()
    assert result.report.stages[1].agreement > 0.7


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"method": "rigl"}, "method='rigl' is for training"),
        ({"networks": "actor,critic"}, "networks='actor,critic' is for training"),
        ({"schedule": "return_gated"}, "schedule='return_gated' is for training"),
    ],
)
def test_what_only_happens_in_training_is_refused(recipe, message):
    with pytest.raises(ValueError, match=message):
        compressed(recipe=recipe)


@pytest.mark.slow
def test_a_small_dense_network_that_cannot_be_is_left_out_and_the_rest_is_kept():
    # Without hidden layers there is nothing to make thinner: 4 * 2 + 2 parameters, of which the
    # pruned policy has 4 + 2 left.
    told = []
    result = tp.compress(
        linear(BALANCES),
        "CartPole-v1",
        tp.Recipe(sparsity=0.5, precision="float32", small_dense=True, **PRUNED),
        distillation=QUICK,
        judging=Judging(episodes=2),
        progress=lambda what, done, total: told.append(what),
    )
    assert result.report.small_dense is None
    assert result.report.stages[1].nonzero == 6
    assert "small dense: one unit a layer has 10 parameters already" in told


def test_a_small_dense_network_is_found_again_too(tmp_path, monkeypatch):
    recipe = tp.Recipe(sparsity=0.8, small_dense=True, **PRUNED)
    teacher, judging = balancer(), Judging(episodes=2, selection_episodes=2)

    def small_dense():
        made = tp.compress(
            *(teacher, "CartPole-v1", recipe),
            distillation=QUICK,
            judging=judging,
            work=tmp_path / "work",
        )
        return made.report.small_dense

    first = small_dense()
    monkeypatch.setattr(pipeline, "distilled", lambda *_, **__: pytest.fail("made again"))
    assert small_dense().returns == first.returns


def test_closed_units_are_taken_out_and_the_smaller_network_is_judged_and_shipped(tmp_path):
    recipe = {"granularity": "unit", "sparsity": 0.75, "precision": "float32", "small_dense": True}
    result = compressed(recipe=recipe, judging=Judging(episodes=5))
    dense, pruned, shrunk = result.report.stages
    assert (shrunk.name, result.report.final) == ("shrunk", "shrunk")
    # 8 of 32 units are left, of 4 + 1 + 2 weights each, and two biases of the outputs.
    assert (shrunk.parameters, pruned.parameters) == (8 * 7 + 2, 32 * 7 + 2)
    assert shrunk.size_bytes < pruned.size_bytes
    assert shrunk.episodes.to_json() == pruned.episodes.to_json()
    assert result.report.small_dense.parameters <= shrunk.nonzero
    manifest = artifact.read(result.export(tmp_path / "out"))
    assert manifest.parameters.total == 58
    assert manifest.sparsity.achieved == pytest.approx(1 - 58 / manifest.parameters.dense)
    assert dense.parameters >= 192


@pytest.mark.slow
def test_a_spared_layer_stays_dense():
    result = compressed(
        recipe={"spare": ["outputs"], "precision": "float32"}, judging=Judging(episodes=2)
    )
    assert np.count_nonzero(result.policy.model.get_layer("outputs").kernel) == 64
    hidden = result.policy.model.get_layer("hidden").kernel.numpy()
    assert (hidden == 0).sum() == round(0.8 * 128)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": {"spare": ["ouputs"]}}, "Did you mean 'outputs'"),
        ({"recipe": {"spare": ["outputs", "hidden"]}}, "nothing to prune"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_any_work(arguments, message):
    with pytest.raises(ValueError, match=message):
        compressed(**arguments)


@pytest.mark.slow
def test_a_policy_wrapped_by_tfmot_is_stripped_on_the_way_in():
    from tfdrlprune._tf import tfmot

    policy = balancer()
    schedule = tfmot().sparsity.keras.ConstantSparsity(0.5, 0)
    wrapped = tf.keras.models.clone_model(
        policy.model,
        clone_function=lambda layer: (
            tfmot().sparsity.keras.prune_low_magnitude(layer, schedule)
            if layer.name == "hidden"
            else layer
        ),
    )
    result = tp.compress(
        policy.replace(model=wrapped),
        "CartPole-v1",
        tp.Recipe(**PRUNED),
        distillation=QUICK,
        judging=Judging(episodes=2),
    )
    assert [layer.name for layer in result.policy.model.layers][1] == "hidden"


def test_neither_environment_nor_observations_is_refused():
    with pytest.raises(ValueError, match="needs an environment, or observations"):
        tp.compress(balancer(), None)


@pytest.mark.parametrize(
    ("recipe", "removed"),
    [
        # The layer of outputs stays; 16 of 32 columns of 4 weights go.
        pytest.param({"granularity": "unit", "sparsity": 0.5}, (64, 0), marks=pytest.mark.slow),
        # 115 of 192 stay, shared as 36 : 34, so 68.9 and 8.1 go: in blocks of 4, 68 and 8.
        pytest.param(
            {"granularity": "block:4x1", "sparsity": 0.4}, (68, 8), marks=pytest.mark.slow
        ),
        ({"granularity": "2:4", "sparsity": 0.5}, (64, 32)),
        ({"threshold": 1e-9, "sparsity": 0.5}, (0, 0)),
    ],
)
def test_what_was_achieved_is_in_the_file_also_where_groups_go(recipe, removed):
    result = compressed(recipe={"precision": "float32"} | recipe, judging=Judging(episodes=2))
    if recipe.get("granularity") != "unit":  # whose units are taken out
        kernels = [result.policy.model.get_layer(name).kernel for name in ("hidden", "outputs")]
        assert tuple(int(np.sum(kernel.numpy() == 0)) for kernel in kernels) == removed
    total = 128 if recipe.get("granularity") == "unit" else 192
    assert result.report.stages[1].sparsity == sum(removed) / total


def residual():
    """Returns a policy in which two layers' units are added, and so go together."""
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(0)
    source = tf.keras.Input((4,), name="observation")
    first = layers.Dense(32, "relu", name="first")(source)
    second = layers.Dense(32, "relu", name="second")(first)
    outputs = layers.Dense(2, name="outputs")(layers.Add()([first, second]))
    return balancer().replace(model=tf.keras.Model(source, outputs))


@pytest.mark.parametrize(("multiple", "units"), [(1, 22), (8, 24)])
def test_units_that_are_added_go_together_and_in_multiples(multiple, units, tmp_path):
    recipe = tp.Recipe(sparsity=0.5, granularity="unit", multiple_of=multiple, **PRUNED)
    seen = np.random.default_rng(0).normal(size=(2_000, 4)).astype("float32")
    result = tp.compress(residual(), None, recipe, observations=seen, distillation=QUICK)
    assert list(result.stages) == ["dense", "shrunk"]
    small = result.policy.model
    assert [small.get_layer(name).units for name in ("first", "second")] == [units, units]
    file = runtime.load(result.export(tmp_path / "a"))
    np.testing.assert_allclose(file.outputs(seen), result.policy.batch_outputs([seen]), atol=1e-5)
