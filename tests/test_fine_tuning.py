"""PPO goes on with what was taught and does not hold: what it keeps, reaches and ships."""

import dataclasses

from tfdrlprune._tf import tf

import gymnasium as gym
import numpy as np
import pytest
from builders import recurrent_ppo
from students import QUICK, balancer, constant

import tfdrlprune as tp
from tfdrlprune.compression import fine_tuning
from tfdrlprune.compression.bench import Judging
from tfdrlprune.compression.checks import check_request
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.fine_tuning import check_fine_tuning, fine_tuned
from tfdrlprune.compression.narrow import narrowed
from tfdrlprune.evidence.reading import read
from tfdrlprune.evidence.stage import FINE_TUNED
from tfdrlprune.policies.copies import copy_of
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

ENV = "CartPole-v1"
BAD = constant([1.0, 0.0])  # always to the left: 9 steps or so


def classroom(teacher, env=ENV, tell=lambda *_: None, **more):
    return Classroom(teacher, env, None, QUICK, 0, tell, **more)


def candidate(policy, name="distilled", **recipe):
    return Candidate(tp.Recipe(**recipe), ((name, policy),), None, 0.0)


def played(policy, episodes=20):
    return tp.roll_out(policy, ENV, seeds=range(500, 500 + episodes)).returns.mean()


@pytest.fixture
def short(monkeypatch):
    """Makes roll-outs, and all that follows of them, short."""
    settings = dataclasses.replace(fine_tuning._SETTINGS, rollout_length=8, epochs=1)
    monkeypatch.setattr(fine_tuning, "_SETTINGS", settings)
    monkeypatch.setattr(fine_tuning, "_EPISODES", 2)


@pytest.mark.usefixtures("short")
def test_it_is_one_more_stage_of_the_candidate_which_stays_as_it_is():
    given = candidate(BAD)
    before = BAD.model.get_weights()
    found = fine_tuned(given, classroom(balancer()), 256)
    assert [name for name, _ in found.stages] == ["distilled", FINE_TUNED]
    assert [name for name, _ in found.offered] == [FINE_TUNED]
    assert [name for name, _ in given.offered] == ["distilled"]
    assert found.recipe.fine_tune_env_steps == 256
    assert found.policy.source.endswith("fine-tuned")
    for own, was in zip(BAD.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, was)
    changed = zip(found.policy.model.get_weights(), before, strict=True)
    assert any((own != was).any() for own, was in changed)


@pytest.mark.usefixtures("short")
def test_as_few_steps_as_one_are_taken():
    found = fine_tuned(candidate(balancer()), classroom(balancer()), 1)
    assert found.recipe.fine_tune_env_steps == 1


@pytest.mark.usefixtures("short")
def test_weights_that_are_zero_stay_zero():
    policy = copy_of(balancer())
    layer = policy.model.get_layer("hidden")
    kernel, bias = layer.get_weights()
    kernel[np.abs(kernel) < np.median(np.abs(kernel))] = 0.0
    layer.set_weights([kernel, bias])
    found = fine_tuned(candidate(policy, "pruned"), classroom(balancer()), 256)
    after = found.policy.model.get_layer("hidden").get_weights()[0]
    np.testing.assert_array_equal(after == 0.0, kernel == 0.0)
    assert (after != kernel).any()


@pytest.mark.usefixtures("short")
def test_progress_and_callbacks_hear_of_it():
    told, named = [], []
    room = classroom(
        balancer(),
        tell=lambda what, done, total: told.append((what, done, total)),
        callbacks=lambda what: named.append(what) or [],
    )
    given = candidate(BAD)
    fine_tuned(given, room, 256)
    what = f"fine-tuning {given.nonzero} of 226 parameters"
    assert named == [what]
    assert any("return" in what for what, _, _ in told)
    assert told[-1][1] == told[-1][2]


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_policy_keeps_its_own_name_of_what_it_takes():
    seen = tf.keras.Input((4,), name="joints")
    model = tf.keras.Model(seen, tf.keras.layers.Dense(2, name="outputs")(seen))
    spec = ArraySpec("joints", (4,), "float32")
    policy = Policy(model, Head("argmax"), spec, ArraySpec("action", (), "int64", 0, 1))
    found = fine_tuned(candidate(policy), classroom(policy), 256)
    assert found.policy.observation_spec == spec
    assert found.policy.model.input_names == ["joints"]
    assert (found.policy.model.get_weights()[0] != model.get_weights()[0]).any()


@pytest.mark.usefixtures("short")
def test_with_qat_the_policy_rounds_while_it_learns_and_is_plain_afterwards(monkeypatch):
    rounding = []
    end = fine_tuning.QuantizationCallback.on_train_end

    def ended(self, logs=None):
        rounding.append(self.quantized)
        end(self, logs)

    monkeypatch.setattr(fine_tuning.QuantizationCallback, "on_train_end", ended)
    given = candidate(balancer(), qat=True, precision="int8")
    found = fine_tuned(given, classroom(balancer()), 256)
    assert rounding == [True]
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    weights = [each.astype("float64") for each in found.policy.model.get_weights()]
    plain = np.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3]
    np.testing.assert_allclose(found.policy.batch_outputs([x]), plain, atol=1e-5)


class Unbounded(gym.Env):
    """Takes any number."""

    observation_space = gym.spaces.Box(-1.0, 1.0, (3,), np.float32)
    action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


def test_what_ppo_cannot_do_is_said_before_any_work():
    policy = narrowed(balancer(), 60)
    with pytest.raises(ValueError, match="PPO needs Discrete"):
        check_fine_tuning(policy, Unbounded)
    recipe = tp.Recipe(sparsity=0.5, fine_tune_env_steps=1_000)
    seen = np.zeros((8, 4), np.float32)
    with pytest.raises(ValueError, match="are of an environment, and none is given"):
        check_request(policy, None, seen, recipe, Judging())


@pytest.mark.slow
def test_a_recurrent_policy_goes_on_with_its_state():
    policy = tp.policies.from_agent(recurrent_ppo(ENV))
    found = fine_tuned(candidate(policy), classroom(policy), 4_096)
    assert found.policy.states
    assert found.policy.state_spec == policy.state_spec
    assert played(found.policy) >= 8.0  # the least that a pole takes to fall


@pytest.mark.slow
def test_a_network_that_was_hardly_taught_learns_to_balance_and_only_what_holds_is_judged(tmp_path):
    recipe = tp.Recipe(
        sparsity=0.7,
        route="distil",
        until="target",
        distil_rounds=1,
        distil_steps=1,
        fine_tune_env_steps=60_000,
    )
    result = tp.compress(balancer(), ENV, recipe, judging=Judging(episodes=200))
    taught, tuned = result.report.tried
    assert (taught.fine_tuned, tuned.fine_tuned) == (False, True)
    assert (taught.chosen, tuned.chosen) == (False, True)
    assert taught.verdict == "FAIL"
    assert taught.parameters == tuned.parameters <= 0.3 * 226
    assert [row.name for row in result.report.stages] == ["dense", FINE_TUNED]
    assert list(result.stages) == ["dense", "distilled", FINE_TUNED]
    assert result.report.verdict == "PASS"
    assert played(result.policy) > 450.0
    assert result.recipe.fine_tune_env_steps == 60_000
    assert read(result.export(tmp_path / "small")).tried == result.report.tried
