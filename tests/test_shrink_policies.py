"""Policies of agents get smaller and stay policies."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, ppo
from keras_models import chain

from tfdrlprune.policies import from_agent
from tfdrlprune.policies.dueling import DuelingQNetwork
from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.shrink import shrink

L = tf.keras.layers


def image_dqn():
    from tf_agents.networks import q_network
    from tf_agents.specs import tensor_spec

    image = tensor_spec.BoundedTensorSpec((8, 8, 2), tf.float32, 0.0, 1.0, name="observation")
    convolutions = ((4, 3, 1), (5, 2, 2))
    return dqn(
        q_network.QNetwork(image, CHOICE, conv_layer_params=convolutions, fc_layer_params=(6,)),
        image,
    )


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(dqn, id="QNetwork"),
        pytest.param(image_dqn, id="QNetwork of images"),
        pytest.param(
            lambda: dqn(DuelingQNetwork(VECTOR, CHOICE, fc_layer_params=(6, 5))), id="dueling"
        ),
        pytest.param(lambda: ppo(VECTOR, FORCE), id="ActorDistributionNetwork, normal"),
        pytest.param(lambda: ppo(VECTOR, CHOICE), id="ActorDistributionNetwork, categorical"),
    ],
)
def test_policies_of_agents_shrink_and_stay_policies(agent):
    policy = from_agent(agent())
    graph = groups_of(policy.model)
    remove = {group.name: [0, 2] for group in graph.groups if group.free.all()}
    small = shrink(policy.model, remove)
    units = np.concatenate([graph.group(name).units[[0, 2]] for name in remove])
    assert small.parameters_after == graph.parameters(units) == small.model.count_params()
    assert small.exact
    thinner = policy.replace(model=small.model)  # its checks hold
    spec = policy.observation_spec
    batch = np.random.default_rng(0).uniform(-1, 1, (9, *spec.shape)).astype(np.float32)
    for name, indices in remove.items():
        for layer in (policy.model.get_layer(each) for each in graph.group(name).layers):
            weights = layer.get_weights()
            for weight in weights:
                weight[..., indices] = 0
            layer.set_weights(weights)
    np.testing.assert_allclose(thinner.outputs(batch), policy.outputs(batch), atol=1e-5)


def test_a_c51_policy_shrinks_before_the_layer_that_takes_means():
    from tfdrlprune.policies.scores import ExpectedValue

    model = chain(
        tf.keras.Input((3,)),
        L.Dense(6, "relu", name="hidden"),
        L.Dense(10, name="logits"),
        ExpectedValue(range(5), name="outputs"),
    )
    small = shrink(model, {"hidden": [0]})
    assert small.widths == {"hidden": (6, 5)}
    with pytest.raises(ValueError, match="Unit 3 of logits cannot go: outputs reads them, and"):
        shrink(model, {"logits": [3]})
