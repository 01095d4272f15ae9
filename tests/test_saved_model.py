"""PolicySaver SavedModels are rebuilt from their graphs and act as they did."""

import shutil

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import numpy as np
import pytest
from builders import CHOICE, VECTOR, Scale, dqn, greedy, ppo
from tf_agents.networks import q_network, sequential
from tf_agents.policies import policy_saver
from tf_agents.specs import tensor_spec

from tfdrlprune import policies
from tfdrlprune.policies import graph, signature_file
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

IMAGE = tensor_spec.BoundedTensorSpec((12, 10, 2), tf.uint8, 0, 255)


def vectors(count=200, seed=5):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32) * 2


def save(agent, folder):
    policy_saver.PolicySaver(agent.policy).save(str(folder))
    return folder


def test_a_q_network_comes_back_layer_by_layer(tmp_path):
    agent = dqn()
    policy = policies.load(save(agent, tmp_path / "p"))
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    values, _ = agent._q_network(tf.constant(vectors()))
    np.testing.assert_allclose(policy.outputs(vectors()), values, atol=1e-5)
    assert [type(layer).__name__ for layer in policy.model.layers[1:]] == ["Dense"] * 3
    assert [layer.activation.__name__ for layer in policy.model.layers[1:]] == [
        *("relu", "relu", "linear"),
    ]
    assert policy.observation_spec == ArraySpec("observation", (4,), "float32", -3.0, 3.0)
    assert policy.action_spec == ArraySpec("action", (), "int64", 0, 2)


def test_ppo_comes_back_with_normaliser_and_squash(tmp_path):
    agent = ppo()
    seen = np.random.default_rng(0).normal(size=(500, 4)) * [1e-3, 1, 30, 5] + [0, 5, -80, 1000]
    agent._observation_normalizer.update(tf.constant(seen, tf.float32))
    policy = policies.load(save(agent, tmp_path / "p"))
    batch = seen[:100].astype(np.float32)
    batch[:10] += 1e4
    np.testing.assert_allclose(policy(batch), greedy(agent, batch), atol=1e-4)
    assert policy.head == Head("tanh", 2.0, (0.0, 1.0))
    (normalizer,) = policy.normalizers
    mean, variance = normalizer.statistics()
    np.testing.assert_allclose(mean, seen.mean(0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(variance, seen.var(0) + 1e-3, rtol=1e-3)
    assert normalizer.clip == 5.0
    assert isinstance(policy.model.layers[1], ObservationNormalizer)


def test_a_convolutional_actor_comes_back(tmp_path):
    agent = ppo(
        IMAGE,
        CHOICE,
        preprocessing_layers=Scale(),
        conv_layer_params=[(4, 3, 2), (4, 2, 1)],
        fc_layer_params=(8,),
        activation_fn=tf.keras.activations.elu,
        normalize=False,
    )
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 2)).astype(np.uint8)
    policy = policies.load(save(agent, tmp_path / "p"))
    np.testing.assert_array_equal(policy(images), greedy(agent, images))
    assert [type(layer).__name__ for layer in policy.model.layers] == [
        *("InputLayer", "Rescaling", "Conv2D", "Conv2D", "Reshape", "Dense", "Dense"),
    ]


def test_several_observations_come_back_in_their_places(tmp_path):
    spec = {
        "b": tensor_spec.TensorSpec((3,), tf.float32),
        "a": (tensor_spec.TensorSpec((2,), tf.float32), tensor_spec.TensorSpec((2,), tf.float32)),
    }
    network = q_network.QNetwork(
        spec,
        CHOICE,
        preprocessing_layers={
            "b": tf.keras.layers.Dense(4, activation="tanh"),
            "a": tf.keras.layers.Concatenate(),
        },
        preprocessing_combiner=tf.keras.layers.Concatenate(),
        fc_layer_params=(8,),
    )
    agent = dqn(network, spec)
    policy = policies.load(save(agent, tmp_path / "p"))
    generator = np.random.default_rng(0)
    a, b, c = (generator.normal(size=(50, size)).astype(np.float32) for size in (2, 2, 3))
    batch = {"a": (a, b), "b": c}
    assert policy.model.input_names == ["a/0", "a/1", "b"]
    np.testing.assert_array_equal(policy(batch), greedy(agent, batch))


def test_depthwise_convolutions_pools_and_merges_come_back(tmp_path):
    spec = {
        "image": tensor_spec.BoundedTensorSpec((9, 9, 2), tf.float32, 0.0, 1.0),
        "state": tensor_spec.TensorSpec((4,), tf.float32),
    }
    network = q_network.QNetwork(
        spec,
        CHOICE,
        preprocessing_layers={
            "image": tf.keras.Sequential(
                [
                    tf.keras.layers.DepthwiseConv2D(3, activation="relu6", use_bias=False),
                    tf.keras.layers.MaxPool2D(2),
                    tf.keras.layers.Conv2D(3, 2, padding="same", activation="sigmoid"),
                    tf.keras.layers.AveragePooling2D(2, 1, padding="same"),
                    tf.keras.layers.Flatten(),
                    tf.keras.layers.Dense(4),
                ]
            ),
            "state": tf.keras.layers.Dense(4, use_bias=False, activation="softplus"),
        },
        preprocessing_combiner=tf.keras.layers.Add(),
        fc_layer_params=(8,),
    )
    agent = dqn(network, spec)
    policy = policies.load(save(agent, tmp_path / "p"))
    generator = np.random.default_rng(0)
    batch = {
        "image": generator.uniform(size=(50, 9, 9, 2)).astype(np.float32),
        "state": generator.normal(size=(50, 4)).astype(np.float32),
    }
    np.testing.assert_array_equal(policy(batch), greedy(agent, batch))


def test_the_environments_own_numbers_come_out(tmp_path):
    agent = dqn()
    folder = save(agent, tmp_path / "p")
    policy = policies.load(folder, action=ArraySpec("action", (), "int64", 5, 7))
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()) + 5)
    with pytest.raises(ValueError, match=r"outputs of the shape \(batch, 2\)"):
        policies.load(folder, action=ArraySpec("action", (), "int64", 0, 1))


def test_another_environments_observation_is_refused_before_anything_is_built(tmp_path):
    folder = save(dqn(), tmp_path / "p")
    other = ArraySpec("observation", (3,), "float32")
    with pytest.raises(ValueError, match=r"of the shape \(4,\), and its spec says \(3,\)"):
        policies.load(folder, observation=other)


def test_a_rebuilt_policy_goes_on_to_an_artifact(tmp_path):
    from tfdrlprune import runtime
    from tfdrlprune.deployment.exporter import export

    agent = ppo()
    export(policies.load(save(agent, tmp_path / "p")), tmp_path / "a")
    np.testing.assert_allclose(
        runtime.load(tmp_path / "a").action(vectors()), greedy(agent, vectors()), atol=1e-4
    )


def test_without_its_specs_they_are_asked_for_and_taken(tmp_path):
    agent = dqn()
    folder = save(agent, tmp_path / "p")
    (folder / "policy_specs.pbtxt").unlink()
    with pytest.raises(ValueError, match=r"policy_specs\.pbtxt is missing"):
        policies.load(folder)
    policy = policies.load(
        folder,
        observation=ArraySpec("observation", (4,), "float32"),
        action=ArraySpec("action", (), "int64", 0, 2),
    )
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    with pytest.raises(ValueError, match="takes the observation"):
        policies.load(
            folder,
            observation={"x": ArraySpec("x", (4,), "float32")},
            action=ArraySpec("action", (), "int64", 0, 2),
        )


def test_operations_without_a_rule_are_named(tmp_path):
    network = sequential.Sequential(
        [tf.keras.layers.Activation(tf.sin), tf.keras.layers.Dense(3)], input_spec=VECTOR
    )
    with pytest.raises(ValueError, match=r"The operation Sin \(.*\) of the SavedModel cannot be"):
        policies.load(save(dqn(network), tmp_path / "p"))


def test_a_wrong_rule_is_found_by_the_proof(tmp_path, monkeypatch):
    folder = save(dqn(), tmp_path / "p")
    monkeypatch.setitem(graph.ACTIVATIONS, "Relu", "elu")
    with pytest.raises(ValueError, match=r"acts differently: \d+ of 1000 actions"):
        policies.load(folder)


def test_a_damaged_saved_model_says_so_in_one_line(tmp_path):
    folder = save(dqn(), tmp_path / "p")
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "saved_model.pb").write_bytes(b"\x00\x01garbage")
    with pytest.raises(ValueError, match="cannot be loaded") as caught:
        policies.load(broken)
    assert "\n" not in str(caught.value)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ValueError, match="cannot be loaded"):
        policies.load(folder)


def test_a_saved_model_of_something_else_is_refused(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "m"))
    with pytest.raises(ValueError, match="no signature 'action'"):
        policies.load(tmp_path / "m")


@pytest.mark.slow
def test_loading_needs_no_python_objects_of_the_saved_model(tmp_path):
    """The types that PolicySaver writes are unknown to a process without TF-Agents."""
    import subprocess
    import sys

    folder = save(ppo(), tmp_path / "p")
    script = (
        "import sys; from tfdrlprune import policies; p = policies.load(sys.argv[1]);"
        "print(p([0.1, 0.2, 0.3, 0.4]).shape)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "(2,)\n"


def test_the_frozen_signature_keeps_its_keys(tmp_path):
    signature = signature_file.read_signature(save(dqn(), tmp_path / "p"))
    assert signature.keys == ("0/discount", "0/observation", "0/reward", "0/step_type")
    assert signature.leaves() == ["0/observation"]
