"""TF-Agents agents and networks become policies that act as they do."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, Scale, dqn, greedy, ppo, randomize, vectors

# isort: split
import tensorflow_probability as tfp
from tf_agents.agents.categorical_dqn import categorical_dqn_agent
from tf_agents.agents.ddpg import actor_network
from tf_agents.networks import (
    actor_distribution_network,
    categorical_q_network,
    normal_projection_network,
    q_network,
    sequential,
)
from tf_agents.policies import actor_policy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies
from tfdrlprune.specs import ArraySpec, Head

IMAGE = tensor_spec.BoundedTensorSpec((12, 10, 2), tf.uint8, 0, 255)


NESTED = {
    "camera": IMAGE,
    "body": (tensor_spec.TensorSpec((3,), tf.float32), tensor_spec.TensorSpec((), tf.float32)),
}


def nested(count=40, seed=5):
    generator = np.random.default_rng(seed)
    return {
        "camera": generator.integers(0, 256, (count, 12, 10, 2)).astype(np.uint8),
        "body": (
            generator.normal(size=(count, 3)).astype(np.float32),
            generator.normal(size=count).astype(np.float32),
        ),
    }


def test_a_q_network_becomes_its_argmax():
    agent = dqn()
    policy = policies.from_agent(agent)
    batch = vectors()
    np.testing.assert_array_equal(policy(batch), greedy(agent, batch))
    values, _ = agent._q_network(tf.constant(batch))
    np.testing.assert_allclose(policy.outputs(batch), values, atol=1e-5)
    assert len(set(policy(batch).tolist())) > 1
    assert policy.head == Head("argmax")
    assert policy.observation_spec == ArraySpec("observation", (4,), "float32", -3.0, 3.0)
    assert policy.source == "DqnAgent"


def test_layers_have_the_same_names_whatever_was_built_before():
    def names():
        layers = [tf.keras.layers.Dense(8), tf.keras.layers.Dense(8, name="mine_7")]
        agent = dqn(sequential.Sequential([*layers, tf.keras.layers.Dense(3)]))
        return [layer.name for layer in policies.from_agent(agent).model.layers]

    assert names() == names() == ["observation", "dense", "mine_7", "outputs"]


def test_a_policy_shares_no_weights_with_its_agent():
    agent = dqn()
    policy = policies.from_agent(agent)
    batch = vectors()
    before = policy.outputs(batch)
    randomize(agent._q_network.variables, seed=9)
    np.testing.assert_array_equal(policy.outputs(batch), before)


def test_a_sequential_network_with_dropout_and_norms_becomes_its_argmax():
    network = sequential.Sequential(
        [
            tf.keras.layers.Dense(12, activation="tanh", kernel_regularizer="l2"),
            tf.keras.layers.LayerNormalization(),
            tf.keras.layers.Dropout(0.5),
            sequential.Sequential([tf.keras.layers.Dense(8), tf.keras.layers.LeakyReLU(0.1)]),
            tf.keras.layers.Dense(3, kernel_initializer=tf.compat.v1.zeros_initializer()),
        ],
        input_spec=VECTOR,
    )
    agent = dqn(network)
    policy = policies.from_agent(agent)
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    assert [layer.name for layer in policy.model.layers][-1] == "outputs"


def test_the_environments_own_numbers_come_out():
    agent = dqn()
    policy = policies.from_agent(agent, action=ArraySpec("action", (), "int32", 10, 12))
    actions = policy(vectors())
    assert actions.dtype == np.int32
    np.testing.assert_array_equal(actions, greedy(agent, vectors()) + 10)


def test_ppo_with_its_normaliser_becomes_its_squashed_mean():
    agent = ppo()
    seen = np.random.default_rng(0).normal(size=(500, 4)) * [1e-3, 1, 30, 5] + [0, 5, -80, 1000]
    agent._observation_normalizer.update(tf.constant(seen, tf.float32))
    policy = policies.from_agent(agent)
    batch = seen[:100].astype(np.float32)
    batch[:10] += 1e4  # far outside, so that the clip at 5 acts
    np.testing.assert_allclose(policy(batch), greedy(agent, batch), atol=1e-5)
    assert policy.head == Head("tanh", 2.0, (0.0, 1.0))
    assert policy.action_spec == ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
    mean, variance = policy.normalizers[0].statistics()
    np.testing.assert_allclose(mean, seen.mean(0), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(variance, seen.var(0), rtol=1e-3)


def test_a_normaliser_that_has_seen_nothing_is_rebuilt_too():
    agent = ppo()
    np.testing.assert_allclose(
        policies.from_agent(agent)(vectors()), greedy(agent, vectors()), atol=1e-5
    )


def test_discrete_ppo_becomes_the_argmax_of_its_logits():
    agent = ppo(action=CHOICE, normalize=False)
    policy = policies.from_agent(agent)
    assert policy.normalizers is None
    np.testing.assert_array_equal(policy(vectors()), greedy(agent, vectors()))
    assert len(set(policy(vectors()).tolist())) > 1


def test_an_actor_without_squashing_is_clipped_to_the_bounds():
    def plain(spec):
        return normal_projection_network.NormalProjectionNetwork(spec, mean_transform=None)

    actor = actor_distribution_network.ActorDistributionNetwork(
        VECTOR, FORCE, fc_layer_params=(8,), continuous_projection_net=plain
    )
    agent = ppo(actor=actor, fc_layer_params=(8,))
    policy = policies.from_agent(agent)
    assert policy.head == Head("affine")
    actions = policy(vectors())
    assert (actions == [2, 3]).any(0).all()
    np.testing.assert_allclose(actions, greedy(agent, vectors()), atol=1e-5)


@pytest.mark.parametrize("squashed", [False, True])
def test_a_sequential_actor_that_ends_in_code_is_proved_by_its_mode(squashed):
    def normal(outputs):
        squash = normal_projection_network.tanh_squash_to_spec
        mean = squash(outputs, FORCE) if squashed else outputs
        return tfp.distributions.MultivariateNormalDiag(mean, tf.ones_like(outputs))

    layers = [tf.keras.layers.Dense(8, "tanh"), tf.keras.layers.Dense(2)]
    actor = sequential.Sequential([*layers, tf.keras.layers.Lambda(normal)], input_spec=VECTOR)
    agent = ppo(actor=actor, fc_layer_params=(8,))
    policy = policies.from_agent(agent)
    assert policy.head == (Head("tanh", 2.0, (0.0, 1.0)) if squashed else Head("affine"))
    np.testing.assert_allclose(policy(vectors()), greedy(agent, vectors()), atol=1e-5)


def test_a_categorical_q_network_becomes_the_argmax_of_its_means():
    network = categorical_q_network.CategoricalQNetwork(
        VECTOR, CHOICE, num_atoms=7, fc_layer_params=(16,)
    )
    agent = categorical_dqn_agent.CategoricalDqnAgent(
        ts.time_step_spec(VECTOR),
        CHOICE,
        network,
        tf.keras.optimizers.Adam(1e-3),
        min_q_value=-3.0,
        max_q_value=6.0,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    randomize(network.variables)
    policy = policies.from_agent(agent)
    batch = vectors()
    np.testing.assert_array_equal(policy(batch), greedy(agent, batch))
    weights = np.exp(network(tf.constant(batch))[0].numpy())
    values = weights @ np.linspace(-3, 6, 7) / weights.sum(-1)
    np.testing.assert_allclose(policy.outputs(batch), values, atol=1e-4)
    # The most likely atom, or the first one, would choose otherwise.
    assert (np.argmax(weights.max(-1), -1) != policy(batch)).any()
    assert len(set(policy(batch).tolist())) == 3


@pytest.mark.parametrize(("observation", "conv"), [(VECTOR, None), (IMAGE, [(4, 3, 2)])])
def test_a_deterministic_actor_becomes_its_squashed_outputs(observation, conv):
    actor = actor_network.ActorNetwork(
        observation, FORCE, fc_layer_params=(8,), conv_layer_params=conv
    )
    actor.create_variables()
    for index, variable in enumerate(actor.variables):
        randomize([variable], seed=index)
    actor.variables[0].assign(actor.variables[0] / (255.0 if conv else 1.0))
    policy = policies.from_agent(
        actor_policy.ActorPolicy(ts.time_step_spec(observation), FORCE, actor)
    )
    batch = nested()["camera"] if conv else vectors()
    actions = policy(batch)
    np.testing.assert_allclose(actions, actor(tf.constant(batch))[0], atol=1e-5)
    assert np.ptp(actions, axis=0).min() > 0.5
    assert policy.head == Head("tanh", 2.0, (0.0, 1.0))
    assert policy.model.get_layer("outputs").activation is tf.keras.activations.linear


def test_images_and_several_observations_go_through_their_own_layers():
    network = {
        "preprocessing_layers": {
            "camera": tf.keras.models.Sequential(
                [Scale(), tf.keras.layers.Conv2D(3, 3, 2), tf.keras.layers.Flatten()]
            ),
            "body": (tf.keras.layers.Dense(4), tf.keras.layers.Reshape((1,))),
        },
        "preprocessing_combiner": tf.keras.layers.Concatenate(),
        "fc_layer_params": (16,),
        "activation_fn": tf.nn.elu,
    }
    network = q_network.QNetwork(NESTED, CHOICE, **network)
    agent = dqn(network, NESTED)
    policy = policies.from_agent(agent)
    assert policy.model.input_names == ["body/0", "body/1", "camera"]
    np.testing.assert_array_equal(policy(nested()), greedy(agent, nested()))


def test_a_convolutional_actor_takes_uint8_images():
    agent = ppo(
        IMAGE,
        preprocessing_layers=Scale(),
        conv_layer_params=[(4, 3, 2), (4, 2, 1)],
        fc_layer_params=(8,),
        normalize=False,
    )
    policy = policies.from_agent(agent)
    images = nested()["camera"]
    np.testing.assert_allclose(policy(images), greedy(agent, images), atol=1e-5)
    assert policy.observation_spec == ArraySpec("observation", (12, 10, 2), "uint8", 0, 255)


def test_normalised_integers_are_truncated_as_tf_agents_does():
    spec = tensor_spec.BoundedTensorSpec((3,), tf.int32, 0, 200)
    agent = ppo(spec)
    seen = np.random.default_rng(0).integers(0, 200, (300, 3)).astype(np.int32)
    agent._observation_normalizer._avg[0].assign([100.0, 100, 100])
    agent._observation_normalizer._m2[0].assign([300.0, 300, 300])
    agent._observation_normalizer._count[0].assign([1.0, 1, 1])
    policy = policies.from_agent(agent)
    np.testing.assert_allclose(policy(seen), greedy(agent, seen), atol=1e-5)


def test_a_network_alone_becomes_a_policy():
    network = q_network.QNetwork(VECTOR, CHOICE, fc_layer_params=(8,))
    network.create_variables()
    policy = policies.from_network(
        network,
        ArraySpec("observation", (4,), "float32", -3.0, 3.0),
        ArraySpec("action", (), "int64", 1, 3),
    )
    values, _ = network(tf.constant(vectors()))
    np.testing.assert_array_equal(policy(vectors()), np.argmax(values, 1) + 1)
    actor = ppo(normalize=False).actor_net
    policy = policies.from_network(
        actor, ArraySpec("observation", (4,), "float32"), policies.from_agent(ppo()).action_spec
    )
    mode = actor(tf.constant(vectors()), tf.ones(200, tf.int32), ())[0].mode()
    np.testing.assert_allclose(policy(vectors()), mode, atol=1e-5)
