"""What cannot be rebuilt as a policy is named, and what is not what it looks like is found out."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, ppo, vectors

# isort: split
import tensorflow_probability as tfp
from tf_agents.networks import (
    actor_distribution_network,
    normal_projection_network,
    q_network,
    sequential,
)

from tfdrlprune import policies
from tfdrlprune.policies import proof
from tfdrlprune.specs import ArraySpec


def test_an_action_spec_of_another_size_is_refused():
    with pytest.raises(ValueError, match="does not fit the agent's"):
        policies.from_agent(dqn(), action=ArraySpec("action", (), "int64", 0, 3))


def test_code_at_the_end_that_does_something_else_is_found_out():
    def backwards(outputs):
        return tfp.distributions.Categorical(logits=-outputs, dtype=tf.int64)

    layers = [tf.keras.layers.Dense(8, "tanh"), tf.keras.layers.Dense(3)]
    actor = sequential.Sequential([*layers, tf.keras.layers.Lambda(backwards)], input_spec=VECTOR)
    with pytest.raises(ValueError, match=r"acts differently: \d+ of 256 actions"):
        policies.from_agent(ppo(actor=actor, action=CHOICE, fc_layer_params=(8,)))


class Doubled(q_network.QNetwork):
    """Looks like a QNetwork, and is not."""

    def call(self, observation, step_type=None, network_state=(), training=False):
        value, state = super().call(observation, step_type, network_state, training)
        return -value, state


def test_a_network_that_is_not_what_it_looks_like_is_found_out():
    with pytest.raises(ValueError, match=r"acts differently: \d+ of 256 actions, by a score of"):
        policies.from_agent(dqn(Doubled(VECTOR, CHOICE, fc_layer_params=(8,))))


def test_the_proof_says_how_far_off_a_continuous_policy_is():
    policy = policies.from_agent(ppo(normalize=False))
    actions = policy(vectors()).astype(np.float64)
    row = np.argmin(np.abs(actions[:, 0]))  # within (-1, 1), where relative is absolute
    actions[row, 0] += 0.5
    with pytest.raises(ValueError, match=r"it acts differently: off by up to 0\.5 .* on 1 of 200"):
        proof.prove(policy, actions, [vectors()], "it")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: dqn(
                sequential.Sequential(
                    [
                        tf.keras.layers.Lambda(lambda x: x, name="mine"),
                        tf.keras.layers.Dense(3),
                    ],
                    input_spec=VECTOR,
                )
            ),
            r"'mine' \(Lambda\) cannot be rebuilt.*holds code",
        ),
        (
            lambda: dqn(
                q_network.QNetwork(
                    VECTOR,
                    CHOICE,
                    fc_layer_params=(4,),
                    dropout_layer_params=[{"rate": 0.5, "permanent": True}],
                )
            ),
            "acts at random",
        ),
        (
            lambda: dqn(
                q_network.QNetwork(
                    VECTOR, CHOICE, fc_layer_params=(4,), activation_fn=lambda x: x * 2
                )
            ),
            r"\(Dense\) cannot be rebuilt",
        ),
        (
            lambda: ppo(
                actor=actor_distribution_network.ActorDistributionNetwork(
                    VECTOR,
                    FORCE,
                    fc_layer_params=(4,),
                    continuous_projection_net=lambda spec: (
                        normal_projection_network.NormalProjectionNetwork(
                            spec, mean_transform=lambda mean, _: mean * 2
                        )
                    ),
                )
            ),
            "mean transforms",
        ),
        (tf.keras.Sequential, "Received: Sequential"),
    ],
)
def test_what_cannot_be_rebuilt_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        policies.from_agent(make())
