"""Recurrent policies: rebuilt, remembered, exported and run, one step after another."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import recurrent_dqn, recurrent_ppo
from tf_agents.networks import q_rnn_network
from tf_agents.policies import greedy_policy
from tf_agents.trajectories import time_step as ts

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.rollouts import roll_out
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (100, 4)).astype("float32")


def stacked():
    agent = recurrent_dqn("CartPole-v1")
    return q_rnn_network.QRnnNetwork(
        agent.time_step_spec.observation,
        agent.action_spec,
        lstm_size=(5, 3),
        input_fc_layer_params=(6,),
        output_fc_layer_params=(4,),
    )


def gru():
    return tf.keras.layers.RNN(L.GRUCell(7), return_sequences=True, return_state=True)


def acted(agent, observations):
    """Returns what TF-Agents' own greedy policy does in an episode of these observations."""
    policy = greedy_policy.GreedyPolicy(agent.policy)
    state, actions = policy.get_initial_state(1), []
    for row, each in enumerate(observations):
        given = tf.constant(each[None])
        step = ts.transition(given, tf.zeros([1])) if row else ts.restart(given, 1)
        action, state, _ = policy.action(step, state)
        actions.append(action.numpy()[0])
    return np.array(actions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "sizes"),
    [
        (lambda: recurrent_dqn("CartPole-v1"), [8, 8]),
        (lambda: recurrent_dqn("CartPole-v1", cell=gru), [7]),
        (lambda: recurrent_ppo("CartPole-v1", lstm=6), [6, 6]),
        (lambda: recurrent_ppo("Pendulum-v1"), [8, 8]),
    ],
    ids=["lstm", "gru", "ppo", "continuous"],
)
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_an_agents_policy_and_its_file_remember_as_the_agent_does(make, sizes, precision, tmp_path):
    agent = make()
    policy = tp.policies.from_agent(agent)
    assert [spec.shape for spec in policy.states] == [(size,) for size in sizes]
    observations = OBSERVATIONS[:, : agent.time_step_spec.observation.shape[0]]
    wanted = acted(agent, observations)
    np.testing.assert_allclose(policy.action(observations), wanted, atol=1e-5)
    exported = export(policy, tmp_path / "a", precision=precision, observations=observations)
    file = runtime.load(tmp_path / "a")
    one_by_one = np.array([file.action(each) for each in observations])
    file.reset()
    np.testing.assert_array_equal(file.action(observations), one_by_one)
    if precision == "float32":
        np.testing.assert_allclose(one_by_one, wanted, atol=1e-5)
    assert exported.comparison.agreement > 0.5
    with np.load(tmp_path / "a" / "test_vectors.npz") as vectors:
        file.reset()
        given = vectors[f"observation/{policy.observation_spec.name}"]
        np.testing.assert_array_equal(file.action(given), vectors["actions"])
    assert [leaf.name for leaf in exported.manifest.state] == [s.name for s in policy.states]


def test_a_state_moves_by_actions_only_and_a_reset_forgets_it():
    policy = tp.policies.from_agent(recurrent_dqn("CartPole-v1"))
    first = policy.outputs(OBSERVATIONS[0])
    np.testing.assert_array_equal(policy.outputs(OBSERVATIONS[0]), first)
    policy.action(OBSERVATIONS[0])
    assert np.abs(policy.outputs(OBSERVATIONS[0]) - first).max() > 1e-4
    policy.reset()
    np.testing.assert_array_equal(policy.outputs(OBSERVATIONS[0]), first)
    # A batch is an episode, whatever was remembered before.
    policy.action(OBSERVATIONS[1])
    rows = policy.batch_outputs([OBSERVATIONS[:3]])
    np.testing.assert_allclose(rows[0], first, atol=1e-6)
    assert policy.batch_outputs([OBSERVATIONS[:0]]).shape == (0, 2)


def test_a_runtimes_outputs_leave_what_is_remembered_alone(tmp_path):
    policy = tp.policies.from_agent(recurrent_dqn("CartPole-v1"))
    export(policy, tmp_path / "a", observations=OBSERVATIONS)
    file = runtime.load(tmp_path / "a")
    file.action(OBSERVATIONS[0])
    policy.action(OBSERVATIONS[0])
    for _ in range(2):
        np.testing.assert_allclose(
            file.outputs(OBSERVATIONS[:5]), policy.outputs(OBSERVATIONS[:5]), atol=1e-5
        )
    with pytest.raises(ValueError, match="NaN or infinity"):
        file.outputs(np.full((2, 4), np.nan, "float32"))
    np.testing.assert_allclose(
        file.outputs(OBSERVATIONS[1]), policy.outputs(OBSERVATIONS[1]), atol=1e-5
    )


def test_cells_behind_each_other_have_a_state_each():
    network = stacked()
    network.create_variables()
    steps = tf.ones((1, len(OBSERVATIONS)), tf.int32)
    spec = ArraySpec("observation", (4,), "float32", -1, 1)
    policy = tp.policies.from_network(network, spec, ArraySpec("action", (), "int64", 0, 1))
    assert [state.shape for state in policy.states] == [(5,), (5,), (3,), (3,)]
    given, _ = network(tf.constant(OBSERVATIONS[None]), steps)
    np.testing.assert_allclose(policy.batch_outputs([OBSERVATIONS]), given[0], atol=1e-5)


def test_it_comes_back_from_its_folder(tmp_path):
    policy = tp.policies.from_agent(recurrent_ppo("Pendulum-v1"))
    policy.save(tmp_path / "p")
    again = Policy.load(tmp_path / "p")
    assert again.state_spec == policy.state_spec
    batch = [OBSERVATIONS[:, :3]]
    np.testing.assert_array_equal(again.batch_outputs(batch), policy.batch_outputs(batch))


def test_a_model_whose_state_does_not_fit_its_spec_is_refused():
    policy = tp.policies.from_agent(recurrent_dqn("CartPole-v1"))
    with pytest.raises(ValueError, match="one input for each leaf of its observation"):
        policy.replace(state_spec=None)
    wider = (ArraySpec("state_0", (9,), "float32"), ArraySpec("state_1", (8,), "float32"))
    with pytest.raises(ValueError, match="one input for each leaf of its observation"):
        policy.replace(state_spec=wider)


def test_every_episode_of_a_roll_out_begins_with_nothing_remembered(tmp_path):
    """The environment shows 1 first and then nothing; right is to go on with what was shown."""

    class Recall(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (1,))
        action_space = gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self._shown, self._left = int(self.np_random.integers(2)), 5
            return np.float32([2 * self._shown - 1]), {}

        def step(self, action):
            self._left -= 1
            right = float(action == self._shown)
            return np.zeros(1, "float32"), right, self._left == 0, False, {}

    # One unit that adds up what it sees: its sign is what was shown.
    source, state = tf.keras.Input((1,), name="x"), tf.keras.Input((1,), name="state_0")
    layer = L.SimpleRNN(1, activation="linear", return_state=True, unroll=True)
    out, following = layer(L.Reshape((1, 1))(source), initial_state=[state])
    layer.set_weights([np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)])
    scores = L.Dense(2, name="outputs")
    model = tf.keras.Model(
        [source, state], [scores(out), L.Activation("linear", name="next_state_0")(following)]
    )
    scores.set_weights([np.float32([[-1, 1]]), np.zeros(2)])
    policy = Policy(
        model,
        Head("argmax"),
        ArraySpec("x", (1,), "float32", -1, 1),
        ArraySpec("action", (), "int64", 0, 1),
        state_spec=(ArraySpec("state_0", (1,), "float32"),),
    )
    assert roll_out(policy, Recall, range(8)).returns.tolist() == [5.0] * 8
    export(policy, tmp_path / "a", observations=np.zeros((4, 1), "float32"))
    file = runtime.load(tmp_path / "a")
    assert roll_out(file, Recall, range(8)).returns.tolist() == [5.0] * 8
