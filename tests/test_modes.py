"""SavedModels of policies that sample come in as their mode, which is what GreedyPolicy gives."""

from __future__ import annotations

import logging
from operator import attrgetter

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import tfdrlprune as tp

# isort: split
import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, ppo, randomize
from tf_agents.networks import actor_distribution_network
from tf_agents.policies import gaussian_policy, policy_saver, random_tf_policy
from tf_agents.policies.greedy_policy import GreedyPolicy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies
from tfdrlprune.policies.choice_projection import projection
from tfdrlprune.policies.frozen import FrozenPolicy
from tfdrlprune.policies.modes import take_modes

BOTH = tensor_spec.BoundedTensorSpec((2,), tf.int64, 0, [2, 1], name="action")
OBSERVATIONS = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")


def chooser():
    actor = actor_distribution_network.ActorDistributionNetwork(
        VECTOR, BOTH, fc_layer_params=(16, 8), discrete_projection_net=projection
    )
    return ppo(VECTOR, BOTH, actor)


def pendulum(make):
    agent = make("Pendulum-v1", hidden=(16, 16))
    randomize(agent._actor_network.variables)
    return agent


def noisy(agent):
    return gaussian_policy.GaussianPolicy(agent.policy, clip=False)


# An agent, its policy that samples, and the operation that it samples by.
SAMPLING = {
    "epsilon-greedy": (dqn, attrgetter("collect_policy"), "RandomUniform"),
    "categorical": (lambda: ppo(VECTOR, CHOICE), attrgetter("collect_policy"), "Multinomial"),
    "categoricals": (chooser, attrgetter("collect_policy"), "Multinomial"),
    "normal": (lambda: ppo(VECTOR, FORCE), attrgetter("collect_policy"), "Normal"),
    "squashed": (lambda: pendulum(tp.agents.sac), attrgetter("policy"), "Normal"),
    "gaussian": (lambda: pendulum(tp.agents.td3), noisy, "Normal"),
}


def save(policy, folder):
    policy_saver.PolicySaver(policy).save(str(folder))
    return folder


def greedy(agent, observations):
    step = ts.restart(tf.constant(observations), batch_size=len(observations))
    return np.asarray(GreedyPolicy(agent.policy).action(step).action)


def definition_of(function, *, called=True):
    """Returns a graph that calls a function, or that has it and does not call it."""
    with tf.Graph().as_default() as made:
        tf.random.set_seed(0)  # asked for where an earlier test has made operations deterministic
        tf.function(function)()
    definition = made.as_graph_def()
    if not called:
        del definition.node[:]
    return definition


def run(definition):
    """Returns what a graph's one call gives."""
    with tf.Graph().as_default() as made, tf.compat.v1.Session(graph=made) as session:
        tf.import_graph_def(definition, name="")
        (call,) = [op for op in made.get_operations() if "PartitionedCall" in op.type]
        return session.run(call.outputs[0])


def test_noise_is_zero_in_functions_too():
    definition = definition_of(lambda: 3.0 + 2.0 * tf.random.normal([2, 5]))
    assert take_modes(definition) == ("RandomStandardNormal",)
    np.testing.assert_array_equal(run(definition), np.full((2, 5), 3.0))


def test_a_draw_is_the_likeliest_value():
    logits = tf.math.log([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]).numpy()
    definition = definition_of(lambda: tf.random.categorical(logits, 1))
    assert take_modes(definition) == ("Multinomial",)
    np.testing.assert_array_equal(run(definition), [[1], [0]])


@pytest.mark.parametrize("compared", [tf.less, tf.greater_equal])
def test_an_epsilon_greedy_choice_does_not_explore(compared):
    def act():
        drawn = compared(tf.random.uniform([4], maxval=1.0), 0.3)
        greedy_action, random_action = tf.constant([5] * 4), tf.constant([7] * 4)
        sides = (greedy_action, random_action)
        return tf.where(drawn, *(sides if compared is tf.greater_equal else sides[::-1]))

    definition = definition_of(act)
    assert take_modes(definition) == ("RandomUniform",)
    np.testing.assert_array_equal(run(definition), [5] * 4)


def test_what_a_dropout_draws_stays_noise():
    definition = definition_of(lambda: tf.nn.dropout(tf.ones([1000]), 0.5))
    assert take_modes(definition) == ()
    assert 300 < (run(definition) == 0.0).sum() < 700


def test_noise_that_is_an_action_itself_stays():
    definition = definition_of(lambda: 2.0 * tf.random.uniform([4]) - 1.0)
    assert take_modes(definition) == ()
    assert len(np.unique(run(definition))) == 4


def test_functions_that_nothing_calls_are_left_alone():
    definition = definition_of(lambda: tf.random.normal([2]), called=False)
    before = definition.SerializeToString(deterministic=True)
    assert take_modes(definition) == ()
    assert definition.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("name", SAMPLING)
def test_a_policy_that_samples_comes_in_as_its_mode(name, tmp_path, caplog):
    make, sampling, operation = SAMPLING[name]
    agent = make()
    source = sampling(agent)
    shown = OBSERVATIONS[:, : source.time_step_spec.observation.shape[0]]
    with caplog.at_level(logging.WARNING, "tfdrlprune"):
        policy = policies.load(save(source, tmp_path / "p"))
    (said,) = [each.getMessage() for each in caplog.records if each.name == "tfdrlprune"]
    assert f"{tmp_path / 'p'} samples its action (by " in said
    assert operation in said
    assert "Its mode is taken" in said
    assert policy.source == f"SavedModel {tmp_path / 'p'}, by its mode"
    wanted = greedy(agent, shown)
    np.testing.assert_allclose(policy(shown), wanted, atol=1e-5)
    assert len(np.unique(wanted, axis=0)) > 1
    # Layers as of the greedy policy, and none of what scaled the noise.
    last = policy.model.get_layer("outputs")
    assert type(last).__name__ == "Dense"
    assert [type(each).__name__ for each in policy.model.layers].count("Dense") == 3


def test_an_epsilon_greedy_policy_in_this_process_is_taken_without_its_epsilon():
    agent = dqn()
    policy = policies.from_agent(agent.collect_policy)
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))


def test_of_a_greedy_policy_no_mode_is_taken(tmp_path, caplog):
    policy = policies.load(save(dqn().policy, tmp_path / "p"))
    assert not [each for each in caplog.records if each.name == "tfdrlprune"]
    assert policy.source == f"SavedModel {tmp_path / 'p'}"


@pytest.mark.parametrize("action", [CHOICE, FORCE], ids=["choice", "force"])
def test_a_policy_that_is_all_noise_has_no_mode_and_is_refused(action, tmp_path):
    source = random_tf_policy.RandomTFPolicy(ts.time_step_spec(VECTOR), action)
    folder = save(source, tmp_path / "p")
    for load in (policies.load, policies.load_exportable):
        with pytest.raises(
            ValueError, match=r"acts at random \(by .* Random.*Save GreedyP"
        ) as error:
            load(folder)
        assert "\n" not in str(error.value)


def test_what_cannot_be_rebuilt_is_exported_by_its_mode(tmp_path):
    agent = ppo(VECTOR, CHOICE, fc_layer_params=(16, 8), activation_fn=tf.sin)
    policy = policies.load_exportable(save(agent.collect_policy, tmp_path / "p"))
    assert isinstance(policy, FrozenPolicy)
    assert policy.source.endswith(", by its mode, as it is")
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS))
