from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune.agents.internals import actor_critic, q_learning
from tfdrlprune.agents.networks import initialize_he, initialize_orthogonal
from tfdrlprune.pruning.kernels import find_kernels


class Image(gymnasium.Env):
    """A frame of 12 x 12 x 1 bytes, to be answered by one of three actions."""

    observation_space = gymnasium.spaces.Box(0, 255, (12, 12, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.wanted = int(self.np_random.integers(3))
        return self.frame(), {}

    def frame(self):
        frame = np.zeros((12, 12, 1), np.uint8)
        frame[:, 4 * self.wanted : 4 * self.wanted + 4] = 255
        return frame

    def step(self, action):
        return self.frame(), float(action == self.wanted), True, False, {}


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def test_the_weights_of_a_dqn_follow_the_seed_and_the_target_starts_equal():
    first, again, other = (
        tp.agents.dqn("CartPole-v1", hidden=(8, 8), seed=seed) for seed in (1, 1, 2)
    )
    parts = [q_learning(agent) for agent in (first, again, other)]
    for a, b, target in zip(
        kernels(parts[0].network),
        kernels(parts[1].network),
        kernels(parts[0].target),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, target)
    assert (kernels(parts[0].network)[0] != kernels(parts[2].network)[0]).any()
    # Layers of one network do not begin alike.
    square = kernels(q_learning(tp.agents.dqn("CartPole-v1", hidden=(4, 4, 4))).network)
    assert (square[0] != square[1]).any()


def test_he_initialisation_has_its_variance():
    network = q_learning(tp.agents.dqn("CartPole-v1", hidden=(200, 200))).network
    initialize_he(network, 0)
    assert kernels(network)[1].std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)


def test_orthogonal_kernels_have_their_gains():
    actor = actor_critic(tp.agents.ppo("CartPole-v1", hidden=(16, 16))).actor
    initialize_orthogonal(actor, 0, last_gain=0.01)
    first, second, last = kernels(actor)
    np.testing.assert_allclose(first @ first.T, 2 * np.eye(4), atol=1e-5)
    np.testing.assert_allclose(second.T @ second, 2 * np.eye(16), atol=1e-5)
    np.testing.assert_allclose(last.T @ last, 1e-4 * np.eye(2), atol=1e-9)


def test_every_agent_counts_its_own_steps():
    for make in (tp.agents.dqn, tp.agents.ppo):
        first, second = make("CartPole-v1", hidden=(4,)), make("CartPole-v1", hidden=(4,))
        first.train_step_counter.assign(7)
        assert int(second.train_step_counter) == 0


def test_the_parts_of_an_agent_are_what_it_was_built_with():
    agent = tp.agents.dqn("CartPole-v1", hidden=(4,), n_step=3, gamma=0.9, epsilon=0.1)
    parts = q_learning(agent)
    assert (parts.n_step, parts.gamma, parts.epsilon, parts.num_actions) == (3, 0.9, 0.1, 2)
    assert actor_critic(agent) is None
    agent = tp.agents.ppo("Pendulum-v1", hidden=(4,), gamma=0.9, gae_lambda=0.8)
    parts = actor_critic(agent)
    assert (parts.gamma, parts.gae_lambda, parts.own_epochs) == (0.9, 0.8, None)
    assert q_learning(agent) is None


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Box(0, np.inf, (2,)),
        gymnasium.spaces.Box(-(2**31), 2**31 - 1, (2,), np.int32),
        gymnasium.spaces.Box(-1, 1, (2, 2)),
        gymnasium.spaces.MultiDiscrete([2, 70_000]),
    ],
)
def test_ppo_refuses_actions_that_it_cannot_give(space):
    class Other(Image):
        action_space = space

    with pytest.raises(ValueError, match=r"PPO needs Discrete.*Received: (Multi|Box)"):
        tp.agents.ppo(Other)


def test_images_are_scaled_seen_through_convolutions_and_learnt_from():
    agent = tp.agents.dqn(Image, hidden=(16,), conv=[(4, 4, 4)], n_step=1, reward_scale=1.0)
    assert [kernel.shape for kernel in find_kernels(q_learning(agent).network)] == [
        (4, 4, 1, 4),
        (36, 16),
        (16, 3),
    ]
    settings = tp.agents.OffPolicySettings(warm_up=256, fused_steps=64, batch_size=32)
    trainer = tp.AgentTrainer(agent, Image, num_envs=8, settings=settings)
    history = trainer.fit(steps=512, verbose=0, callbacks=[tp.EvaluationCallback(episodes=30)])
    assert history.history["return"][-1] == 1.0
    white = np.full((1, 12, 12, 1), 255, np.uint8)
    scaled, _ = q_learning(agent).network(white)
    assert np.abs(scaled).max() < 5  # of bytes taken as they are it would be hundreds


def test_convolutions_see_images_of_booleans():
    class Bits(Image):
        observation_space = gymnasium.spaces.Box(0, 1, (12, 12, 1), bool)

    network = q_learning(tp.agents.dqn(Bits, hidden=(16,), conv=[(4, 4, 4)])).network
    bits = np.random.default_rng(0).integers(0, 2, (3, 12, 12, 1)).astype(np.int8)
    values, _ = network(bits)
    kernel, bias = (each.numpy() for each in network.trainable_variables[:2])
    patches = bits.reshape(3, 3, 4, 3, 4).transpose(0, 1, 3, 2, 4).reshape(3, 3, 3, 16)
    seen = np.maximum(patches @ kernel.reshape(16, 4) + bias, 0.0).reshape(3, 36)
    dense, head = network.trainable_variables[2:4], network.trainable_variables[4:6]
    hidden = np.maximum(seen @ dense[0].numpy() + dense[1].numpy(), 0.0)
    np.testing.assert_allclose(values, hidden @ head[0].numpy() + head[1].numpy(), atol=1e-5)


@pytest.mark.slow
def test_a_ppo_with_convolutions_learns_from_images_too():
    agent = tp.agents.ppo(Image, hidden=(16,), conv=[(4, 4, 4)], normalize_observations=False)
    settings = tp.agents.OnPolicySettings(rollout_length=32, minibatch_size=64)
    trainer = tp.AgentTrainer(agent, Image, num_envs=8, settings=settings)
    history = trainer.fit(
        env_steps=4_096, verbose=0, callbacks=[tp.EvaluationCallback(episodes=30)]
    )
    assert history.history["return"][-1] == 1.0


class Parts(Image):
    """The same answer to be read from two numbers beside an image that says nothing."""

    observation_space = gymnasium.spaces.Dict(
        camera=gymnasium.spaces.Box(0, 255, (2, 2, 1), np.uint8),
        number=gymnasium.spaces.Discrete(2),
        rest=gymnasium.spaces.Box(-1, 1, (2,)),
    )

    def frame(self):
        return {
            "camera": np.zeros((2, 2, 1), np.uint8),
            "number": np.int64(self.wanted == 0),
            "rest": np.float32([self.wanted == 1, 0]),
        }


@pytest.mark.parametrize(
    "make", [tp.agents.dqn, pytest.param(tp.agents.ppo, marks=pytest.mark.slow)]
)
def test_agents_learn_from_several_observations(make):
    agent = make(Parts, hidden=(16,))
    trainer = tp.AgentTrainer(agent, Parts, num_envs=8)
    history = trainer.fit(
        env_steps=10_240, verbose=0, callbacks=[tp.EvaluationCallback(episodes=30)]
    )
    assert history.history["return"][-1] == 1.0
    policy = tp.policies.from_agent(agent)
    env = Parts()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        assert policy(observation) == env.wanted


def test_convolutions_over_several_observations_are_refused():
    with pytest.raises(ValueError, match=r"Received 3 parts: camera \(2, 2, 1\), number"):
        tp.agents.dqn(Parts, conv=[(4, 2, 1)])


def test_a_ppo_takes_a_number_for_an_observation_as_it_is():
    agent = tp.agents.ppo("FrozenLake-v1", hidden=(8,))
    trainer = tp.AgentTrainer(agent, "FrozenLake-v1", num_envs=8)
    assert np.isfinite(trainer.fit(env_steps=1_024, verbose=0).history["loss"][-1])


def test_dqn_refuses_one_action_in_a_dict():
    class Other(Image):
        action_space = gymnasium.spaces.Dict(only=gymnasium.spaces.Discrete(3))

    with pytest.raises(ValueError, match="DQN needs one Discrete action"):
        tp.agents.dqn(Other)


def test_evaluation_repeats_its_seeds_and_keeps_the_best_policy():
    agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4)
    callback = tp.EvaluationCallback(episodes=5, keep_best=True)
    callback.set_model(trainer)
    callback.on_train_begin()
    first, second = {}, {}
    callback.on_epoch_end(0, first)
    callback.on_epoch_end(1, second)
    assert first["return"] == second["return"]
    network = q_learning(agent).network
    best = [variable.numpy() for variable in network.variables]
    for kernel in find_kernels(network):
        kernel.variable.assign(kernel.variable * 1e-6)
    network.variables[-1].assign([1.0, 0.0])  # now it pushes left always
    worse = {}
    callback.on_epoch_end(2, worse)
    assert worse["return"] < 12
    assert first["return"] > worse["return"]
    callback.on_train_end()
    for kept, variable in zip(best, network.variables, strict=True):
        np.testing.assert_array_equal(kept, variable)


def greedy_action(agent, observation):
    step = ts.restart(tf.constant(observation), batch_size=len(observation))
    return agent.policy.action(step).action.numpy()


def evaluate(env, **arguments):
    agent = tp.agents.dqn(env, hidden=(8,), seed=0)
    trainer = tp.AgentTrainer(agent, env, num_envs=4)
    callback = tp.EvaluationCallback(episodes=6, seed=40, **arguments)
    callback.set_model(trainer)
    logs = {}
    callback.on_epoch_end(0, logs)
    return agent, trainer, logs["return"]


def test_evaluation_agrees_with_an_independent_roll_out():
    # A factory has no native vector environment.
    agent, _, found = evaluate(lambda: gymnasium.make("CartPole-v1"))
    env, total = gymnasium.make("CartPole-v1"), 0.0
    for seed in range(40, 46):
        observation, _ = env.reset(seed=seed)
        done = False
        while not done:
            action = int(greedy_action(agent, observation[None])[0])
            observation, reward, terminated, truncated, _ = env.step(action)
            total, done = total + reward, terminated or truncated
    assert found == pytest.approx(total / 6)


def test_evaluation_in_a_native_vector_environment_counts_first_episodes_only():
    agent, _, found = evaluate("CartPole-v1")
    envs = gymnasium.make_vec("CartPole-v1", 6, vectorization_mode="vector_entry_point")
    observation, _ = envs.reset(seed=40)
    lengths, steps = {}, 0
    while len(lengths) < 6:
        observation, _, terminated, _, _ = envs.step(greedy_action(agent, observation))
        steps += 1
        for index in np.flatnonzero(terminated):
            lengths.setdefault(index, steps)
    assert len(set(lengths.values())) > 1
    assert found == pytest.approx(np.mean(list(lengths.values())))


@pytest.mark.parametrize(("stop_at", "stops"), [(1.0, True), (501.0, False)])
def test_training_stops_at_the_return_that_is_asked_for(stop_at, stops):
    _, trainer, _ = evaluate("CartPole-v1", stop_at=stop_at)
    assert trainer.stop_training is stops
