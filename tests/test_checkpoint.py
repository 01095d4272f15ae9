"""Checkpoints of TF-Agents become policies; what does not fit is named."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

# isort: split
import numpy as np
import pytest
from builders import CHOICE, FORCE, VECTOR, dqn, greedy, ppo, randomize, recurrent_dqn
from tf_agents.networks import actor_distribution_network, q_network
from tf_agents.utils import common

from tfdrlprune import policies
from tfdrlprune.specs import ArraySpec

ACTION = ArraySpec("action", (), "int64", 0, 2)
OBSERVATIONS = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")


def network(*sizes):
    return q_network.QNetwork(VECTOR, CHOICE, fc_layer_params=sizes or (16, 8))


def write(folder, **items):
    common.Checkpointer(str(folder), **items).save(tf.constant(7))
    return folder


def test_a_network_is_found_beside_its_target(tmp_path):
    agent = dqn()
    randomize(agent._target_q_network.variables, seed=9)
    folder = write(tmp_path / "c", agent=agent, global_step=tf.Variable(3))
    wanted = greedy(agent, OBSERVATIONS)
    for path in (folder, folder / "ckpt-7", folder / "ckpt-7.index"):
        policy = policies.from_checkpoint(path, network, action=ACTION)
        values, _ = agent._q_network(tf.constant(OBSERVATIONS))
        np.testing.assert_allclose(policy.outputs(OBSERVATIONS), values, atol=1e-6)
        np.testing.assert_array_equal(policy(OBSERVATIONS), wanted)
    assert policy.observation_spec == ArraySpec("observation", (4,), "float32", -3.0, 3.0)
    assert policy.source == f"checkpoint {folder / 'ckpt-7'}"


def test_an_agent_takes_its_normaliser_too(tmp_path):
    agent = ppo(VECTOR, FORCE)
    agent._observation_normalizer.update(tf.constant(OBSERVATIONS * 5 + 2))
    folder = write(tmp_path / "c", agent=agent, policy=agent.policy)
    wanted = greedy(agent, OBSERVATIONS)
    fresh = ppo(VECTOR, FORCE)
    policy = policies.from_checkpoint(folder, fresh)
    np.testing.assert_allclose(policy(OBSERVATIONS), wanted, atol=1e-4)
    bare = actor_distribution_network.ActorDistributionNetwork(
        VECTOR, FORCE, fc_layer_params=(16, 8)
    )
    action = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
    policy = policies.from_checkpoint(folder, bare, action=action)
    np.testing.assert_allclose(policy(OBSERVATIONS), wanted, atol=1e-4)
    np.testing.assert_allclose(
        policy.normalizers[0].statistics()[0], OBSERVATIONS.mean(0) * 5 + 2, atol=1e-2
    )


@pytest.mark.slow
def test_a_recurrent_agent_comes_back(tmp_path):
    agent = recurrent_dqn("CartPole-v1")
    wanted = policies.from_agent(agent).batch_outputs([OBSERVATIONS])
    folder = write(tmp_path / "c", agent=agent)
    fresh = recurrent_dqn("CartPole-v1")
    randomize(fresh._q_network.variables, seed=4)
    policy = policies.from_checkpoint(folder, fresh)
    np.testing.assert_allclose(policy.batch_outputs([OBSERVATIONS]), wanted, atol=1e-6)


def test_what_is_missing_is_named(tmp_path):
    folder = write(tmp_path / "c", agent=dqn())
    with pytest.raises(ValueError, match=r"which is \(4, 16\) there.*as it was made for training"):
        policies.from_checkpoint(folder, network(12, 8), action=ACTION)
    with pytest.raises(ValueError, match=r"are missing: .*\(8, 8\).*Make the network as it was"):
        policies.from_checkpoint(folder, network(16, 8, 8), action=ACTION)
    with pytest.raises(ValueError, match="does not know the environment's action"):
        policies.from_checkpoint(folder, network)
    step = write(tmp_path / "s", global_step=tf.Variable(3))
    with pytest.raises(ValueError, match=r"holds nothing like a QNetwork. It has: .*global_step"):
        policies.from_checkpoint(step, network, action=ACTION)
    two = write(tmp_path / "two", first=dqn(), second=dqn())
    with pytest.raises(ValueError, match=r"several objects .*: first/_.*, second/_"):
        policies.from_checkpoint(two, network, action=ACTION)


def test_no_checkpoint_and_a_damaged_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint at"):
        policies.from_checkpoint(tmp_path, network, action=ACTION)
    folder = write(tmp_path / "c", agent=dqn())
    (folder / "ckpt-7.index").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"ckpt-7 cannot be read: ") as caught:
        policies.from_checkpoint(folder / "ckpt-7", network, action=ACTION)
    assert "\n" not in str(caught.value)
