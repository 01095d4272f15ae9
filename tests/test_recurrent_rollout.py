"""PPO with states: what a roll-out remembers, and that training goes on from it."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from recurrent import logits_amid_episodes, ppo_trainer, run_alone

from tfdrlprune.agents.internals import actor_critic


def test_roll_outs_act_by_the_state_of_each_environments_own_episode():
    trainer = ppo_trainer(normalize_observations=False)
    collector = trainer._learner._collector
    rollouts = [collector.collect(7) for _ in range(3)]  # episodes of 4 steps and a reset
    observation = np.concatenate([rollout.observation[0] for rollout in rollouts])
    first = np.concatenate([rollout.first for rollout in rollouts])
    assert first.sum() == 4 * 5
    logits = np.concatenate([rollout.parameters["logits"] for rollout in rollouts])
    actor = actor_critic(trainer.agent).actor
    for env in range(4):
        alone = run_alone(actor, observation[:, env], first[:, env])
        wanted = np.concatenate([each.logits_parameter() for each in alone])
        np.testing.assert_allclose(logits[:, env], wanted, atol=1e-5)
    assert np.ptp(logits, axis=(0, 1)).min() > 1e-3


def test_actions_of_a_roll_out_are_drawn_from_its_distributions():
    trainer = ppo_trainer("Pendulum-v1")
    rollout = trainer._learner._collector.collect(400)
    mean, deviation = rollout.parameters["loc"], rollout.parameters["scale"]
    standard = ((rollout.action - mean) / deviation).ravel()
    assert abs(standard.mean()) < 0.1
    assert standard.std() == pytest.approx(1.0, abs=0.1)


def test_training_begins_where_the_roll_out_began():
    trainer = ppo_trainer()
    collected, trained, forgetful = logits_amid_episodes(trainer)
    np.testing.assert_allclose(trained, collected, atol=1e-5)
    assert np.abs(forgetful - collected).max() > 1e-3
    assert "get_initial_state" not in vars(trainer.agent.collect_policy)


def test_the_critics_state_goes_on_too():
    trainer = ppo_trainer(normalize_observations=False)
    collector, critic = trainer._learner._collector, actor_critic(trainer.agent).critic
    first, second = collector.collect(7), collector.collect(7)
    experiences = [trainer._learner._update._experience(each) for each in (first, second)]
    both = np.concatenate([each.observation for each in experiences], axis=1)
    types = np.concatenate([each.step_type for each in experiences], axis=1)
    empty = critic.get_initial_state(4)
    whole, _ = critic(tf.constant(both), step_type=tf.constant(types), network_state=empty)
    state = trainer.agent.collect_policy.get_initial_value_state(4)
    packed = tf.nest.pack_sequence_as(state, second.states[1])
    later, _ = critic(experiences[1].observation, step_type=types[:, 7:], network_state=packed)
    np.testing.assert_allclose(later, whole[:, 7:], atol=1e-5)


@pytest.mark.slow
def test_a_recurrent_update_equals_the_agents_own_on_whole_episodes():
    trainer, other = ppo_trainer(), ppo_trainer()
    rollout = trainer._learner._collector.collect(14)
    experience = trainer._learner._update._experience(rollout)
    trainer._learner._update(rollout)
    # All episodes begin in this roll-out, so that TF-Agents' own empty states are right.
    with tf.summary.record_if(False):
        other.agent.train(tf.nest.map_structure(tf.constant, experience))
    assert int(other.agent.train_step_counter) == int(trainer.agent.train_step_counter) == 3
    for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
