"""Policies that cannot be rebuilt are exported as they are, and refused everything else."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

# isort: split
import json

import numpy as np
import pytest
from builders import FORCE, VECTOR, dqn, greedy, ppo, recurrent_dqn
from tf_agents.networks import sequential
from tf_agents.policies import policy_saver
from tf_agents.policies.greedy_policy import GreedyPolicy
from tf_agents.trajectories import time_step as ts

from tfdrlprune import policies, runtime
from tfdrlprune.cli.app import run
from tfdrlprune.compression.pipeline import compress
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.frozen import FrozenPolicy
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
OBSERVATIONS = np.random.default_rng(5).normal(size=(60, 4)).astype("float32")


class Sine(L.Layer):
    """An operation without a rule, which TFLite has."""

    def call(self, inputs):
        return tf.sin(inputs)


class Digamma(L.Layer):
    """An operation that TFLite lacks."""

    def call(self, inputs):
        return tf.math.digamma(tf.abs(inputs) + 1.0)


def network(layer):
    layers = [L.Dense(8, activation="relu"), layer, L.Dense(3)]
    return sequential.Sequential(layers, input_spec=VECTOR)


def save(policy, folder, **options):
    policy_saver.PolicySaver(policy, **options).save(str(folder))
    return folder


def test_scores_and_head_of_a_frozen_policy_are_the_graphs(tmp_path):
    agent = dqn(network(Sine()))
    folder = save(agent.policy, tmp_path / "p")
    with pytest.raises(ValueError, match=r"The operation Sin \(.*as it is: `tfdrlprune export`"):
        policies.load(folder)
    action = ArraySpec("action", (), "int64", 5, 7)
    policy = policies.load_exportable(folder, action=action)
    assert isinstance(policy, FrozenPolicy)
    assert "The operation Sin" in policy.reason
    assert policy.head == Head("argmax", offset=5.0)
    values, _ = agent._q_network(tf.constant(OBSERVATIONS))
    np.testing.assert_allclose(policy.outputs(OBSERVATIONS), values, atol=1e-5)
    np.testing.assert_array_equal(policy(OBSERVATIONS), greedy(agent, OBSERVATIONS) + 5)
    exported = export(policy, tmp_path / "a", observations=OBSERVATIONS)
    file = runtime.load(tmp_path / "a")
    np.testing.assert_array_equal(file.action(OBSERVATIONS), greedy(agent, OBSERVATIONS) + 5)
    assert exported.comparison.agreement == 1
    assert (
        exported.manifest.parameters.dense == exported.manifest.parameters.total == 4 * 8 + 8 + 27
    )
    for precision in ("dynamic", "int8"):
        made = export(policy, tmp_path / precision, precision=precision, observations=OBSERVATIONS)
        assert made.comparison.agreement > 0.8


@pytest.mark.slow
def test_a_state_stays_with_a_frozen_policy(tmp_path):
    def cell():
        return L.RNN(L.GRUCell(5, reset_after=False), return_sequences=True, return_state=True)

    original = GreedyPolicy(recurrent_dqn("CartPole-v1", cell=cell).policy)
    policy = policies.load_exportable(save(original, tmp_path / "p"))
    assert isinstance(policy, FrozenPolicy)
    assert [spec.shape for spec in policy.states] == [(5,)]
    export(policy, tmp_path / "a", observations=OBSERVATIONS)
    state, wanted = original.get_initial_state(1), []
    for row, each in enumerate(OBSERVATIONS):
        given = tf.constant(each[None])
        step = ts.transition(given, tf.zeros([1])) if row else ts.restart(given, 1)
        action, state, _ = original.action(step, state)
        wanted.append(action.numpy()[0])
    assert len(set(wanted)) == 2
    np.testing.assert_array_equal(runtime.load(tmp_path / "a").action(OBSERVATIONS), wanted)
    np.testing.assert_array_equal(policy.action(OBSERVATIONS), wanted)


def test_a_squashed_action_comes_out_in_its_bounds(tmp_path):
    agent = ppo(VECTOR, FORCE, fc_layer_params=(8,), activation_fn=tf.sin)
    policy = policies.load_exportable(save(agent.policy, tmp_path / "p"))
    assert isinstance(policy, FrozenPolicy)
    assert policy.head == Head("tanh", 2.0, (0.0, 1.0))
    export(policy, tmp_path / "a", observations=OBSERVATIONS)
    np.testing.assert_allclose(
        runtime.load(tmp_path / "a").action(OBSERVATIONS), greedy(agent, OBSERVATIONS), atol=1e-5
    )


def test_an_operation_that_tflite_lacks_is_named(tmp_path):
    policy = policies.load_exportable(save(dqn(network(Digamma())).policy, tmp_path / "p"))
    with pytest.raises(ValueError, match="cannot be converted to TFLite: TFLite has no Digamma"):
        export(policy, tmp_path / "a", observations=OBSERVATIONS)
    assert not (tmp_path / "a").exists()


def test_what_needs_layers_is_refused_in_one_line(tmp_path, capsys):
    folder = save(dqn(network(Sine())).policy, tmp_path / "p")
    policy = policies.load_exportable(folder)
    with pytest.raises(
        ValueError, match=r"was not rebuilt cannot be compressed\. The operation Sin"
    ):
        compress(policy, None, observations=OBSERVATIONS)
    with pytest.raises(ValueError, match=r"is not saved; export it\. The operation"):
        policy.save(tmp_path / "form")
    np.savez(tmp_path / "seen.npz", OBSERVATIONS)
    seen = ["--observations", str(tmp_path / "seen.npz")]
    assert run(["compress", str(folder), *seen, "--out", str(tmp_path / "c")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "The operation Sin" in said
    assert "`tfdrlprune export`" in said
    written = tmp_path / "a.json"
    arguments = ["--out", str(tmp_path / "a"), "--json", str(written)]
    assert run(["export", str(folder), *seen, *arguments]) == 0
    assert "Warning: The operation Sin" in capsys.readouterr().err
    assert json.loads(written.read_text())["rebuilt"] is False
    runtime.load(tmp_path / "a").action(OBSERVATIONS[0])
