"""SavedModels of other versions, dtypes and shapes than ours."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

# isort: split
import numpy as np
import pytest
from builders import CHOICE, dqn, greedy, ppo, recurrent_ppo
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tf_agents.networks import sequential
from tf_agents.policies import policy_saver
from tf_agents.specs import tensor_spec

from tfdrlprune import policies, runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
OBSERVATIONS = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")


def save(agent, folder):
    policy_saver.PolicySaver(agent.policy).save(str(folder))
    return folder


def edit(folder, change):
    file = folder / "saved_model.pb"
    parsed = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    file.write_bytes(change(parsed).SerializeToString())


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(ppo, id="ppo"),
        pytest.param(lambda: recurrent_ppo("Acrobot-v1"), id="lstm", marks=pytest.mark.slow),
    ],
)
def test_types_that_nobody_knows_any_more_are_not_needed(tmp_path, make):
    """As in files of TF-Agents 0.5 to 0.18, whose TypeSpecs later versions renamed or dropped."""
    agent = make()
    folder = save(agent, tmp_path / "p")
    wanted = policies.load(folder)
    batch = np.resize(OBSERVATIONS, (60, *wanted.observation_spec.shape))

    def change(parsed):
        text = text_format.MessageToString(parsed)
        for known in ("tfp.distributions.Deterministic_ACTTypeSpec", "Deterministic_ACTTypeSpec"):
            text = text.replace(f'"{known}"', '"_TFPTypeSpecOfOldDays"')
        assert "_TFPTypeSpecOfOldDays" in text
        return text_format.Parse(text, saved_model_pb2.SavedModel())

    edit(folder, change)
    with pytest.raises(ValueError, match="_TFPTypeSpecOfOldDays"):
        tf.saved_model.load(str(folder))
    policy = policies.load(folder)
    np.testing.assert_array_equal(policy.batch_outputs([batch]), wanted.batch_outputs([batch]))


def test_a_saved_model_without_any_objects_is_enough(tmp_path):
    """Neither `model_variables` nor a description of the functions' arguments is there."""
    agent = dqn()
    folder = save(agent, tmp_path / "p")

    def change(parsed):
        parsed.meta_graphs[0].ClearField("object_graph_def")
        return parsed

    edit(folder, change)
    policy = policies.load(folder)
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))


def test_a_saved_model_as_text_is_read(tmp_path):
    agent = dqn()
    folder = save(agent, tmp_path / "p")
    parsed = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (folder / "saved_model.pbtxt").write_text(text_format.MessageToString(parsed))
    (folder / "saved_model.pb").unlink()
    policy = policies.load(folder)
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))


def test_specs_of_unknown_types_and_without_bounds_are_read(tmp_path):
    folder = save(dqn(), tmp_path / "p")
    file = folder / "policy_specs.pbtxt"
    text = file.read_text()
    file.write_text(text.replace('"Trajectory"', '"TrajectoryOfOldDays"') + "\nfield_of_2031: 1\n")
    assert policies.load(folder).action_spec == ArraySpec("action", (), "int64", 0, 2)
    file.write_text("fields {{{")
    with pytest.raises(ValueError, match=r"policy_specs\.pbtxt cannot be read: .*Remove it"):
        policies.load(folder)


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        (tensor_spec.TensorSpec((4,), tf.float64), []),
        (tensor_spec.BoundedTensorSpec((4,), tf.int32, -20, 20), [L.Rescaling(0.1)]),
        (tensor_spec.TensorSpec((1, 4), tf.float32), [L.Flatten()]),
        (tensor_spec.TensorSpec((2, 2), tf.float32), [L.Dense(3), L.Flatten()]),
        (tensor_spec.TensorSpec((), tf.float32), [L.Reshape((1,))]),
    ],
    ids=["float64", "int32", "one-row", "rows", "scalar"],
)
def test_observations_of_other_dtypes_and_shapes(tmp_path, spec, layers):
    network = sequential.Sequential(
        [*layers, L.Dense(8, activation="tanh"), L.Dense(3)], input_spec=spec
    )
    agent = dqn(network, spec)
    policy = policies.load(save(agent, tmp_path / "p"))
    assert policy.observation_spec.shape == tuple(spec.shape)
    assert policy.observation_spec.dtype == spec.dtype.name
    batch = np.resize(OBSERVATIONS * 5, (60, *spec.shape)).astype(spec.dtype.name)
    wanted = greedy(agent, batch)
    np.testing.assert_array_equal(policy(batch), wanted)
    export(policy, tmp_path / "a")
    np.testing.assert_array_equal(runtime.load(tmp_path / "a").action(batch), wanted)


def test_actions_of_another_dtype_or_shape(tmp_path):
    for action in (
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, 2),
        tensor_spec.BoundedTensorSpec((1,), tf.float32, -1.0, 1.0),
    ):
        agent = ppo(action=action, normalize=False)
        folder = tmp_path / str(action.shape.rank) / action.dtype.name
        policy = policies.load(save(agent, folder))
        np.testing.assert_allclose(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS), atol=1e-5)
        assert policy(OBSERVATIONS).dtype == action.dtype.as_numpy_dtype


def test_a_policy_for_a_fixed_batch_is_rebuilt_for_any(tmp_path):
    agent = dqn()
    policy_saver.PolicySaver(agent.policy, batch_size=3).save(str(tmp_path / "p"))
    policy = policies.load(tmp_path / "p")
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))
    assert policy.head == Head("argmax")
    assert policy.action_spec.high == CHOICE.maximum
