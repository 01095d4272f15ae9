"""A policy is found in whatever is on disk, or the error says what was expected."""

import numpy as np
import pytest
from builders import dqn, greedy, mlp
from tf_agents.policies import policy_saver

from tfdrlprune import policies
from tfdrlprune.deployment.exporter import export


def observations():
    return np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)


def test_a_saved_policy_and_a_run_are_loaded(tmp_path):
    mlp().save(tmp_path / "run" / "policy")
    (tmp_path / "run" / "metrics.csv").write_text("step\n")
    for folder in (tmp_path / "run", tmp_path / "run" / "policy", str(tmp_path / "run")):
        np.testing.assert_array_equal(
            policies.load(folder).outputs(observations()), mlp().outputs(observations())
        )


def test_a_run_without_a_policy_is_loaded_from_its_saved_model(tmp_path):
    agent = dqn()
    policy_saver.PolicySaver(agent.policy).save(str(tmp_path / "run" / "saved_model"))
    policy = policies.load(tmp_path / "run")
    np.testing.assert_array_equal(policy(observations()), greedy(agent, observations()))


def test_nothing_and_something_else_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no policy at"):
        policies.load(tmp_path / "none")
    for source in (tmp_path, __file__):
        with pytest.raises(ValueError, match="is no policy: expected a folder of"):
            policies.load(source)
    export(mlp(), tmp_path / "a")
    for source in (tmp_path / "a", tmp_path / "a" / "policy.tflite"):
        with pytest.raises(ValueError, match="is an exported artifact"):
            policies.load(source)


def test_a_folder_above_a_policy_names_the_policy(tmp_path):
    (tmp_path / "runs" / "cartpole").mkdir(parents=True)
    (tmp_path / "runs" / "cartpole" / "dqn.keras").touch()
    with pytest.raises(ValueError, match=r"is no policy: .* Did you mean .*cartpole/dqn\.keras\?"):
        policies.load(tmp_path / "runs")
