"""DQN's fused loop does, to the last bit, what a plain loop does that takes one step at a time."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
from tf_agents.trajectories import policy_step, time_step, trajectory

import tfdrlprune as tp
from tfdrlprune.agents.compiled import CompiledLoop

ENVS, ROWS, WARM_UP, FUSED, BATCH, STEPS = 4, 40, 48, 16, 8, 160
N_STEP, GAMMA, EXPLORATION, EPSILON = 3, 0.9, 0.5, 0.05


def make_agent():
    return tp.agents.dqn(
        *("CartPole-v1",),
        hidden=(16,),
        seed=3,
        n_step=N_STEP,
        gamma=GAMMA,
        epsilon=EPSILON,
        target_update_period=50,
    )


class PlainLoop:
    """Lists for replay, one environment step and one gradient step after the other."""

    def __init__(self, agent, seed):
        self.agent, self.rows = agent, []
        self.generator = np.random.Generator(np.random.PCG64(seed))
        self.envs = gymnasium.make_vec("CartPole-v1", ENVS, vectorization_mode="vector_entry_point")
        self.seen = self.envs.reset(seed=int(self.generator.integers(2**31)))[0]
        self.done = np.zeros(ENVS, bool)
        # A loop too, of one step: XLA fuses another program's operations otherwise, which rounds
        # otherwise in the last bit.
        self.gradient_step = CompiledLoop(self.gradient_step_at, "plain")

    def act(self, epsilon):
        action = self.generator.integers(2, size=ENVS)
        if epsilon is None:
            return action
        values = self.agent._q_network(tf.constant(self.seen))[0].numpy()
        greedy = self.generator.random(ENVS) >= epsilon
        return np.where(greedy, values.argmax(axis=-1), action)

    def env_step(self, epsilon):
        before, action, resets = self.seen.copy(), self.act(epsilon), self.done
        self.seen, reward, terminated, truncated, _ = self.envs.step(action)
        self.done = terminated | truncated
        self.rows.append((before, action, reward, terminated, self.done, resets))

    def transition(self, number, env):
        """Returns observation, action, n-step return, discount and next observation."""
        total, discount = np.float32(0.0), np.float32(1.0)
        for ahead in range(N_STEP):
            _, _, reward, terminated, done, _ = self.rows[number + ahead]
            total += np.float32(GAMMA**ahead) * np.float32(reward[env])
            if terminated[env]:
                discount = np.float32(0.0)
            if done[env]:
                break
        if discount:
            discount = np.float32(GAMMA**ahead)
        before, action = self.rows[number][0][env], self.rows[number][1][env]
        return before, action, total, discount, self.rows[number + ahead + 1][0][env]

    def draw(self, count):
        """Returns (row, environment) pairs among the whole transitions of the latest rows."""
        kept = min(len(self.rows), ROWS + N_STEP)
        latest = {number % (ROWS + N_STEP): number for number in range(len(self.rows))[-kept:]}

        def may(place):
            number, env = latest[place // ENVS], place % ENVS
            return number + N_STEP < len(self.rows) and not self.rows[number][5][env]

        places = self.generator.integers(kept * ENVS, size=count)
        while bad := [index for index, place in enumerate(places) if not may(place)]:
            places[bad] = self.generator.integers(kept * ENVS, size=len(bad))
        return [(latest[place // ENVS], place % ENVS) for place in places]

    def train(self):
        while len(self.rows) * ENVS < WARM_UP:
            self.env_step(epsilon=None)
        for done in range(0, STEPS, FUSED):
            epsilon = max(EPSILON, 1.0 - (1.0 - EPSILON) * (done / STEPS) / EXPLORATION)
            for _ in range(FUSED // ENVS):
                self.env_step(epsilon)
            drawn = self.draw(FUSED * BATCH)
            for step in range(FUSED):
                pairs = drawn[step * BATCH : (step + 1) * BATCH]
                columns = zip(*(self.transition(*pair) for pair in pairs), strict=True)
                self.learn([np.stack(column) for column in columns])

    def learn(self, columns):
        names = ("before", "action", "reward", "discount", "after")
        self.gradient_step(1, {n: x[None] for n, x in zip(names, columns, strict=True)})

    def gradient_step_at(self, index, inputs):
        row = {name: array[index] for name, array in inputs.items()}
        middle = tf.fill((BATCH,), time_step.StepType.MID)
        ones = tf.ones((BATCH,))
        experience = trajectory.Transition(
            time_step.TimeStep(middle, tf.zeros_like(ones), ones, row["before"]),
            policy_step.PolicyStep(row["action"]),
            time_step.TimeStep(middle, row["reward"], row["discount"], row["after"]),
        )
        return self.agent.train(experience).loss


def test_fused_steps_give_the_same_bits_as_a_plain_loop():
    agent = make_agent()
    settings = tp.agents.OffPolicySettings(
        batch_size=BATCH,
        capacity=ROWS * ENVS,
        warm_up=WARM_UP,
        fused_steps=FUSED,
        exploration=EXPLORATION,
        final_learning_rate=1.0,
    )
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=ENVS, settings=settings, seed=7)
    trainer.fit(steps=STEPS, verbose=0)
    plain = PlainLoop(make_agent(), seed=7)
    begin = [variable.numpy() for variable in plain.agent._q_network.variables]
    plain.train()
    # The ring went round, and episodes ended.
    assert len(plain.rows) > ROWS + N_STEP
    assert sum(row[5].sum() for row in plain.rows) > 5
    for name in ("_q_network", "_target_q_network"):
        ours, theirs = getattr(agent, name).variables, getattr(plain.agent, name).variables
        for one, other, before in zip(ours, theirs, begin, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
            assert not np.array_equal(one.numpy(), before)
