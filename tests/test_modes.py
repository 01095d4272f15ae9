"""SavedModels of policies that sample come in as their mode, which is what GreedyPolicy gives."""

from __future__ import annotations

import logging

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

import tfdrlprune as tp

# isort: split
import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, ppo, randomize
from tf_agents.policies import gaussian_policy, policy_saver, random_tf_policy
from tf_agents.policies.greedy_policy import GreedyPolicy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies
from tfdrlprune.policies.frozen import FrozenPolicy

BOTH = tensor_spec.BoundedTensorSpec((2,), tf.int64, 0, 2, name="action")
OBSERVATIONS = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")


def sac():
    agent = tp.agents.sac("Pendulum-v1", hidden=(16, 16))
    randomize(agent._actor_network.variables)
    return agent


def td3():
    agent = tp.agents.td3("Pendulum-v1", hidden=(16, 16))
    randomize(agent._actor_network.variables)
    return gaussian_policy.GaussianPolicy(agent.policy, clip=False)


SAMPLING = {
    "epsilon-greedy": (lambda: dqn().collect_policy, "RandomUniform"),
    "categorical": (lambda: ppo(VECTOR, CHOICE).collect_policy, "Multinomial"),
    "categoricals": (lambda: ppo(VECTOR, BOTH).collect_policy, "Multinomial"),
    "normal": (lambda: ppo(VECTOR, FORCE).collect_policy, "RandomNormal"),
    "normal without a normaliser": (
        lambda: ppo(VECTOR, FORCE, normalize=False).collect_policy,
        "RandomNormal",
    ),
    "sac": (lambda: sac().policy, "Normal"),
    "sac collects": (lambda: sac().collect_policy, "Normal"),
    "gaussian": (td3, "Normal"),
}


def save(policy, folder):
    policy_saver.PolicySaver(policy).save(str(folder))
    return folder


def greedy(policy, observations):
    inner = policy.wrapped_policy if hasattr(policy, "wrapped_policy") else policy
    step = ts.restart(tf.constant(observations), batch_size=len(observations))
    return np.asarray(GreedyPolicy(inner).action(step).action)


@pytest.mark.parametrize("name", SAMPLING)
def test_a_policy_that_samples_comes_in_as_its_mode(name, tmp_path, caplog):
    make, operation = SAMPLING[name]
    source = make()
    shown = OBSERVATIONS[:, : source.time_step_spec.observation.shape[0]]
    with caplog.at_level(logging.WARNING, "tfdrlprune"):
        policy = policies.load(save(source, tmp_path / "p"))
    (said,) = caplog.messages
    assert f"{tmp_path / 'p'} samples its action (by " in said
    assert operation.replace("Random", "") in said
    assert "Its mode is taken" in said
    assert policy.source == f"SavedModel {tmp_path / 'p'}, by its mode"
    wanted = greedy(source, shown)
    np.testing.assert_allclose(policy(shown), wanted, atol=1e-5)
    assert len(np.unique(wanted, axis=0)) > 2
    # Layers as of the greedy policy, and none of what scaled the noise.
    last = policy.model.get_layer("outputs")
    assert type(last).__name__ == "Dense"
    assert [type(each).__name__ for each in policy.model.layers].count("Dense") == 3


@pytest.mark.parametrize("name", ["epsilon-greedy", "categorical", "normal"])
def test_a_greedy_policy_says_nothing_of_modes(name, tmp_path, caplog):
    source = SAMPLING[name][0]()
    inner = source.wrapped_policy if hasattr(source, "wrapped_policy") else source
    policy = policies.load(save(GreedyPolicy(inner), tmp_path / "p"))
    assert not caplog.messages
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
    source = ppo(VECTOR, CHOICE, fc_layer_params=(16, 8), activation_fn=tf.sin).collect_policy
    policy = policies.load_exportable(save(source, tmp_path / "p"))
    assert isinstance(policy, FrozenPolicy)
    assert policy.source.endswith(", by its mode, as it is")
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(source, OBSERVATIONS))
