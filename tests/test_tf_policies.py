"""What is known of TF-Agents' policies is so; masked actions are refused."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import pytest
from builders import CHOICE, VECTOR, dqn, ppo

# isort: split
from tf_agents.agents.dqn import dqn_agent
from tf_agents.networks import (
    encoding_network,
    normal_projection_network,
    q_network,
)
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies


def test_masks_of_allowed_actions_are_refused():
    spec = {"state": VECTOR, "mask": tensor_spec.BoundedTensorSpec((3,), tf.int32, 0, 1)}
    agent = dqn_agent.DqnAgent(
        ts.time_step_spec(spec),
        CHOICE,
        q_network.QNetwork(VECTOR, CHOICE, fc_layer_params=(4,)),
        tf.keras.optimizers.Adam(1e-3),
        observation_and_action_constraint_splitter=lambda o: (o["state"], o["mask"]),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    with pytest.raises(ValueError, match="mask of allowed actions"):
        policies.from_agent(agent)


def test_the_private_names_of_tf_agents_are_where_they_were():
    agent = dqn()
    assert agent.policy.wrapped_policy._q_network is agent._q_network
    encoder = agent._q_network._encoder
    assert isinstance(encoder, encoding_network.EncodingNetwork)
    assert encoder._flat_preprocessing_layers is None
    assert encoder._preprocessing_combiner is None
    assert encoder._preprocessing_nest is None
    assert [type(layer).__name__ for layer in encoder._postprocessing_layers] == [
        "Flatten",
        "Dense",
        "Dense",
    ]
    assert agent._q_network._q_value_layer.units == 3
    actor = ppo().policy.wrapped_policy
    assert actor._observation_normalizer._get_mean_var_estimates()
    projection = actor._actor_network._projection_networks
    assert projection._mean_transform is normal_projection_network.tanh_squash_to_spec
    assert projection._scale_distribution is False
    assert projection._means_projection_layer.units == 2
