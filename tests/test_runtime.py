"""The runtime: right actions, clear refusals, and no TensorFlow in sight."""

import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from builders import forward, mlp

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.exporter import export
from tfdrlprune.specs import ArraySpec, Head

BOX = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
SQUASHED = Head("tanh", (2.0, 2.0), (0.0, 1.0))


def observations(count=50, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def discrete(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts") / "discrete"
    export(mlp(), folder)
    return folder


@pytest.fixture(scope="module")
def continuous(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts") / "continuous"
    export(mlp(SQUASHED, BOX, outputs=2), folder)
    return folder


def test_one_observation_gives_the_environments_action(discrete, continuous):
    batch = observations()
    policy = runtime.load(discrete)
    for row, wanted in zip(batch, forward(mlp(), batch).argmax(1), strict=True):
        action = policy.action(row)
        assert type(action) is np.int64
        assert action == wanted
    action = runtime.load(continuous).action(batch[0])
    wanted = np.tanh(forward(mlp(SQUASHED, BOX, outputs=2), batch[:1])[0]) * 2 + [0, 1]
    assert action.dtype == np.float32
    np.testing.assert_allclose(action, wanted, atol=1e-5)


def test_a_batch_gives_a_batch(discrete, continuous):
    for folder, shape in ((discrete, ()), (continuous, (2,))):
        policy = runtime.load(folder)
        batch = observations()
        actions = policy.action(batch)
        assert actions.shape == (50, *shape)
        np.testing.assert_array_equal(actions, [policy.action(row) for row in batch])
        assert policy.action(batch[:0]).shape == (0, *shape)
        assert policy.outputs(batch[:0]).shape == (0, 3 if shape == () else 2)


def test_outputs_are_the_raw_scores(discrete):
    policy = runtime.load(discrete)
    batch = observations()
    np.testing.assert_allclose(policy.outputs(batch), forward(mlp(), batch), atol=1e-5)
    np.testing.assert_allclose(policy.outputs(batch[0]), forward(mlp(), batch[:1])[0], atol=1e-5)


def test_actions_do_not_change_when_the_next_one_is_asked_for(continuous):
    policy = runtime.load(continuous)
    first = policy.action(observations()[0])
    kept = first.copy()
    policy.action(observations()[1])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "change",
    [
        list,
        tuple,
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.float16).astype(np.float32),
        lambda x: np.repeat(x, 2)[::2],
        lambda x: x.reshape(2, 2).ravel(order="C"),
        np.ma.masked_array,
    ],
)
def test_any_array_of_those_numbers_gives_the_same_action(discrete, change):
    policy = runtime.load(discrete)
    for row in observations():
        given = change(row.astype(np.float16).astype(np.float32))
        wanted = forward(mlp(), [row.astype(np.float16)]).argmax(1)[0]
        assert policy.action(given) == wanted


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 3])
def test_nan_and_infinity_are_errors(discrete, bad, position):
    observation = observations()[0]
    observation[position] = bad
    policy = runtime.load(discrete)
    for given in (observation, observation.astype(float), list(observation), observation[None]):
        with pytest.raises(ValueError, match="NaN or infinity"):
            policy.action(given)
        with pytest.raises(ValueError, match="NaN or infinity"):
            policy.outputs(given)
    assert runtime.load(discrete, check_finite=False).action(observation) in (0, 1, 2)


def test_huge_finite_numbers_are_no_error(discrete):
    observation = np.full(4, 1e30, np.float32)
    assert runtime.load(discrete).action(observation) in (0, 1, 2)
    assert runtime.load(discrete).action(np.float32(3e38) * np.sign(observation)) in (0, 1, 2)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (np.zeros(3, np.float32), ValueError),
        (np.zeros((2, 3), np.float32), ValueError),
        (np.zeros((1, 1, 4), np.float32), ValueError),
        (np.float32(1), ValueError),
        ({"observation": np.zeros(4)}, TypeError),
        (None, TypeError),
        (["a"] * 4, TypeError),
        (np.zeros(4, complex), TypeError),
    ],
)
def test_what_does_not_fit_is_refused(discrete, given, error):
    with pytest.raises(error, match="The observation 'observation' has the"):
        runtime.load(discrete).action(given)


def test_integer_observations_refuse_fractions(tmp_path):
    from tfdrlprune._tf import tf

    from tfdrlprune.policies import Policy

    inputs = tf.keras.Input((2,), dtype="int32", name="observation")
    model = tf.keras.Model(inputs, tf.keras.layers.Dense(2, name="outputs")(inputs))
    model.set_weights([np.array([[1, -1], [2, -2]], np.float32), np.zeros(2)])
    spec = ArraySpec("observation", (2,), "int32", -5, 5)
    policy = Policy(model, Head("argmax"), spec, ArraySpec("action", (), "int64", 0, 1))
    export(policy, tmp_path / "a")
    loaded = runtime.load(tmp_path / "a")
    assert loaded.action(np.array([1, 1], np.int32)) == 0
    assert loaded.action([-1, -1]) == 1
    np.testing.assert_allclose(loaded.outputs([3, 1]), [5, -5])
    with pytest.raises(TypeError, match=r"dtype int32\. Received: float64"):
        loaded.action([0.5, 0.5])


def test_specs_manifest_and_reset_are_there(discrete):
    policy = runtime.load(discrete)
    assert policy.observation_spec == mlp().observation_spec
    assert policy.action_spec == mlp().action_spec
    assert policy.manifest == artifact.read(discrete)
    assert policy.reset() is None


def test_threads_change_nothing_but_below_one_is_refused(discrete):
    batch = observations()
    np.testing.assert_array_equal(
        runtime.load(discrete, num_threads=2).action(batch), runtime.load(discrete).action(batch)
    )
    with pytest.raises(ValueError, match="num_threads is at least 1"):
        runtime.load(discrete, num_threads=0)


def test_two_policies_do_not_disturb_each_other(discrete, continuous):
    one, two = runtime.load(discrete), runtime.load(continuous)
    batch = observations()
    mixed = [(one.action(row), two.action(row)) for row in batch]
    np.testing.assert_array_equal([a for a, _ in mixed], one.action(batch))
    np.testing.assert_array_equal([b for _, b in mixed], two.action(batch))


def test_a_model_that_does_not_fit_its_manifest_is_refused(discrete, continuous):
    content = (discrete / "policy.tflite").read_bytes()
    manifest = artifact.read(discrete)
    with pytest.raises(ValueError, match=r"'observation' is \(1, 5\) float32 there"):
        runtime.Policy(content, _with(manifest, observation=_vector(5, "float32")))
    with pytest.raises(ValueError, match=r"Received: \(1, 4\) float32"):
        runtime.Policy(content, _with(manifest, observation=_vector(4, "int32")))
    spec = ArraySpec("state", (4,), "float32")
    with pytest.raises(ValueError, match=r"with the inputs \['state'\]"):
        runtime.Policy(content, _with(manifest, observation=spec))
    with pytest.raises(ValueError, match=r"'action' is \(1, 2\) there"):
        runtime.Policy(content, artifact.read(continuous))
    with pytest.raises(ValueError, match="cannot be run"):
        runtime.Policy(b"nothing of the kind", manifest)


def _vector(size, dtype):
    return ArraySpec("observation", (size,), dtype)


def _with(manifest, **changes):
    return artifact.Manifest(**{**vars(manifest), **changes})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts") / "both"
    export(mlp(), folder, formats=("tflite", "c"))
    return folder


def test_c_takes_and_refuses_what_the_model_file_does(both):
    compiled, interpreted = runtime.load(both, backend="c"), runtime.load(both)
    batch = observations()
    np.testing.assert_array_equal(compiled.action(batch), interpreted.action(batch))
    np.testing.assert_allclose(compiled.outputs(batch), interpreted.outputs(batch), atol=1e-5)
    for row in (batch[0], batch[0].tolist(), batch[0].astype(np.float64)):
        assert type(compiled.action(row)) is np.int64
        assert compiled.action(row) == interpreted.action(row)
    assert compiled.action(batch[:0]).shape == (0,)
    with pytest.raises(ValueError, match="NaN or infinity"):
        compiled.action(np.full(4, np.nan, np.float32))
    with pytest.raises(ValueError, match=r"has the shape \(4,\)"):
        compiled.action(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="dtype float32"):
        compiled.action(["a"] * 4)


def test_actions_of_c_do_not_change_when_the_next_one_is_asked_for(tmp_path):
    export(mlp(SQUASHED, BOX, outputs=2), tmp_path / "a", formats=("tflite", "c"))
    policy = runtime.load(tmp_path / "a", backend="c")
    first = policy.action(observations()[0])
    kept = first.copy()
    policy.action(observations()[1])
    np.testing.assert_array_equal(first, kept)


def test_a_backend_is_known_and_its_files_are_there(discrete, both):
    with pytest.raises(ValueError, match=r"backend is 'tflite' or 'c'\. Received: backend='C'"):
        runtime.load(both, backend="C")
    with pytest.raises(ValueError, match="num_threads=2"):
        runtime.load(both, backend="c", num_threads=2)
    with pytest.raises(FileNotFoundError, match=r"holds no policy\.c\. Export .* tflite,c"):
        runtime.load(discrete, backend="c")


def test_c_that_was_tampered_with_is_refused(both, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(both, folder)
    source = (folder / "policy.c").read_text()
    (folder / "policy.c").write_text(source.replace("+=", "-="))
    with pytest.raises(ValueError, match=r"policy\.c is not the file that was exported"):
        runtime.load(folder, backend="c")
    (folder / "policy.c").write_text(source[:100])
    with pytest.raises(ValueError, match="has 100 bytes"):
        runtime.load(folder, backend="c")


def test_loading_prints_nothing(discrete, capfd):
    runtime.load(discrete).action(observations()[0])
    assert capfd.readouterr() == ("", "")


def test_an_artifact_runs_where_there_is_no_tensorflow(discrete):
    script = textwrap.dedent("""
        import sys

        class Absent:
            names = {"tensorflow", "tf_keras", "keras", "gymnasium", "scipy", "tf_agents",
                     "tensorflow_model_optimization", "tensorflow_probability", "click", "rich"}
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in self.names:
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        sys.meta_path.insert(0, Absent())
        import tfdrlprune
        assert "numpy" not in sys.modules
        from tfdrlprune import runtime
        from tfdrlprune.deployment import artifact, model_file
        policy = runtime.load(sys.argv[1])
        content = artifact.read_file(sys.argv[1], policy.manifest, artifact.MODEL_FILE)
        total, _ = model_file.parameter_counts(model_file.operations(content))
        print(policy.action([0.1, 0.2, -0.3, 0.4]), total)
        try:
            tfdrlprune.policies
        except ImportError as error:
            print(error)
    """)
    result = subprocess.run(
        [sys.executable, "-c", script, str(discrete)], capture_output=True, text=True, check=True
    )
    action, message = result.stdout.splitlines()
    wanted = forward(mlp(), [[0.1, 0.2, -0.3, 0.4]]).argmax(1)[0]
    assert action == f"{wanted} {4 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3}"
    assert "tensorflow is not installed" in message
    assert "tfdrlprune[train]" in message
