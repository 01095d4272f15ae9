"""Recurrent SavedModels: cells are found in their graphs, and remember as they did."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

# isort: split
import numpy as np
import pytest
from builders import VECTOR, dqn, recurrent_dqn, recurrent_ppo
from tf_agents.networks import q_rnn_network
from tf_agents.policies import policy_saver
from tf_agents.policies.greedy_policy import GreedyPolicy
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies, runtime
from tfdrlprune.deployment.exporter import export

L = tf.keras.layers
OBSERVATIONS = np.random.default_rng(3).normal(size=(60, 4)).astype("float32")


def cell_of(kind, **options):
    return lambda: L.RNN(kind(5, **options), return_sequences=True, return_state=True)


def stacked():
    network = q_rnn_network.QRnnNetwork(
        VECTOR,
        recurrent_dqn("CartPole-v1").action_spec,
        lstm_size=(5, 3),
        input_fc_layer_params=(6,),
        output_fc_layer_params=None,
    )
    return dqn(network, action=recurrent_dqn("CartPole-v1").action_spec)


def save(agent, folder, **options):
    policy = GreedyPolicy(agent.policy)
    generator = np.random.default_rng(4)
    scales = {"kernel": 1.5, "recurrent_kernel": 0.7, "bias": 0.02}
    for variable in policy.variables():
        name = variable.name.split(":")[0].split("/")[-1]
        if name in scales:  # and not the normaliser's variances
            size = np.sqrt(variable.shape[0]) if variable.shape.rank > 1 else 1.0
            variable.assign(scales[name] / size * generator.normal(size=variable.shape))
    policy_saver.PolicySaver(policy, **options).save(str(folder))
    return policy


def acted(policy, observations):
    """Returns what TF-Agents does in two episodes of these observations, one after the other."""
    actions = []
    for half in np.split(observations, 2):
        state = policy.get_initial_state(1)
        for row, each in enumerate(half):
            given = tf.constant(each[None])
            step = ts.transition(given, tf.zeros([1])) if row else ts.restart(given, 1)
            action, state, _ = policy.action(step, state)
            actions.append(action.numpy()[0])
    return np.array(actions)


def replayed(policy, observations):
    actions = []
    for half in np.split(observations, 2):
        policy.reset()
        actions += [policy.action(each) for each in half]
    return np.array(actions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "layers", "states"),
    [
        (lambda: recurrent_dqn("CartPole-v1"), ["lstm_cell"], [8, 8]),
        (lambda: recurrent_dqn("CartPole-v1", cell=cell_of(L.GRUCell)), ["gru_cell"], [5]),
        (
            lambda: recurrent_dqn("CartPole-v1", cell=cell_of(L.SimpleRNNCell, use_bias=False)),
            ["simple_rnn_cell"],
            [5],
        ),
        (stacked, ["lstm_cell", "lstm_cell_1"], [5, 5, 3, 3]),
        (lambda: recurrent_ppo("Pendulum-v1"), ["lstm_cell"], [8, 8]),
        (lambda: recurrent_ppo("CartPole-v1"), ["lstm_cell"], [8, 8]),
    ],
    ids=["lstm", "gru", "simple", "stacked", "continuous", "categorical"],
)
def test_a_saved_recurrent_policy_remembers_as_it_did(make, layers, states, tmp_path):
    original = save(make(), tmp_path / "p")
    policy = policies.load(tmp_path / "p")
    recurrent = [
        layer.name
        for layer in policy.model.layers
        if isinstance(layer, (L.LSTM, L.GRU, L.SimpleRNN))
    ]
    assert recurrent == layers
    assert [state.shape for state in policy.states] == [(size,) for size in states]
    given = OBSERVATIONS[:, : policy.observation_spec.shape[0]]
    wanted = acted(original, given)
    assert len(np.unique(wanted)) > 1
    np.testing.assert_allclose(replayed(policy, given), wanted, atol=1e-4)
    export(policy, tmp_path / "a", observations=given)
    np.testing.assert_allclose(replayed(runtime.load(tmp_path / "a"), given), wanted, atol=1e-4)


@pytest.mark.slow
def test_a_policy_saved_for_a_batch_of_one_is_rebuilt(tmp_path):
    original = save(recurrent_dqn("CartPole-v1"), tmp_path / "p", batch_size=1)
    policy = policies.load(tmp_path / "p")
    np.testing.assert_array_equal(replayed(policy, OBSERVATIONS), acted(original, OBSERVATIONS))


def test_a_wrong_cell_is_found_by_the_proof(tmp_path, monkeypatch):
    from tfdrlprune.policies import cells

    save(recurrent_ppo("Pendulum-v1"), tmp_path / "p")
    monkeypatch.setitem(cells.ACTIVATIONS, "Sigmoid", "hard_sigmoid")
    with pytest.raises(ValueError, match="acts differently: off by up to"):
        policies.load(tmp_path / "p")


def test_a_cell_of_another_build_is_named(tmp_path):
    cell = cell_of(L.GRUCell, reset_after=False)
    save(recurrent_dqn("CartPole-v1", cell=cell), tmp_path / "p")
    with pytest.raises(ValueError, match=r"The operation AddV2 \(.*gru_cell.*\) .* makes a state"):
        policies.load(tmp_path / "p")
