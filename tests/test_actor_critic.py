"""What SAC and TD3 have in common: seeds, steps, masks, checkpoints, policies, that they learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import gymnasium
import numpy as np
import pytest
from builders import Reach, captured_steps
from scipy import stats
from tf_agents.policies import greedy_policy, policy_saver

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.agents.acting import time_step
from tfdrlprune.agents.internals import soft_actor_critic, twin_delayed
from tfdrlprune.deployment.exporter import export
from tfdrlprune.pruning.kernels import find_kernels


@dataclass(frozen=True)
class Family:
    """An algorithm: how its agents are made, its settings, and its networks."""

    make: Callable[..., Any]
    settings: Callable[..., Any]
    parts: Callable[..., Any]

    def trainer(self, env="Pendulum-v1", **arguments):
        """Returns a trainer of small networks."""
        fast = self.settings(batch_size=16, warm_up=100, fused_steps=16, capacity=2_000)
        agent = self.make(env, hidden=(16, 16))
        return tp.AgentTrainer(agent, env, **({"num_envs": 4, "settings": fast} | arguments))


SAC = Family(tp.agents.sac, tp.agents.SacSettings, soft_actor_critic)
TD3 = Family(tp.agents.td3, tp.agents.Td3Settings, twin_delayed)

# They are trained by the same code: twice is for the slow tests.
pytestmark = pytest.mark.parametrize(
    "family",
    [pytest.param(SAC, id="sac"), pytest.param(TD3, id="td3", marks=pytest.mark.slow)],
)


def kernels(network):
    return [kernel.variable.numpy() for kernel in find_kernels(network)]


def greedy(agent, leaves):
    policy = greedy_policy.GreedyPolicy(agent.policy)
    return policy.action(time_step(agent, leaves)).action.numpy()


def pairs_of(parts):
    """Returns the networks with their targets."""
    target = getattr(parts, "target_actor", None)
    return [*([(parts.actor, target)] if target else []), *parts.critics]


def test_weights_follow_the_seed_critics_differ_and_targets_start_equal(family):
    agents = [family.make("Pendulum-v1", hidden=(8,), seed=seed) for seed in (1, 1, 2)]
    parts, same, others = (family.parts(agent) for agent in agents)
    np.testing.assert_array_equal(kernels(parts.actor)[0], kernels(same.actor)[0])
    assert (kernels(parts.actor)[0] != kernels(others.actor)[0]).any()
    (one, _), (two, _) = parts.critics
    assert (kernels(one)[0] != kernels(two)[0]).any()
    for network, target in pairs_of(parts):
        for ours, theirs in zip(network.variables, target.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    "space",
    [
        gymnasium.spaces.Discrete(2),
        gymnasium.spaces.Box(0, np.inf, (2,)),
        gymnasium.spaces.Box(0, 5, (2,), np.int32),
        gymnasium.spaces.Box(-1, 1, (2, 2)),
        gymnasium.spaces.Dict(only=gymnasium.spaces.Box(-1, 1, (2,))),
    ],
)
def test_actions_that_they_cannot_give_are_refused(family, space):
    class Other(Reach):
        action_space = space

    message = r"(SAC|TD3) needs one Box of floats.*Received: (Box|Disc|Dict)"
    with pytest.raises(ValueError, match=message):
        family.make(Other)


def test_one_gradient_step_for_each_environment_step_after_uniform_warm_up(family):
    settings = family.settings(batch_size=4, warm_up=2_000, fused_steps=16)
    trainer = family.trainer(settings=settings)
    trainer.fit(env_steps=2_032, verbose=0)
    assert (trainer.env_step, trainer.optimizer_step()) == (2_032, 32)
    assert int(trainer.agent.train_step_counter) == 32
    drawn = trainer._learner._replay._action[: 2_000 // 4].ravel()
    assert stats.kstest(drawn, stats.uniform(-2, 4).cdf).pvalue > 0.001


def test_the_fused_steps_equal_the_agents_own_steps_one_by_one(family):
    fused, single = family.trainer(), family.trainer()
    count = 10
    inputs = captured_steps(fused, count)
    # Also by XLA, whose draws from a seed differ from TensorFlow's.
    step = tf.function(single._learner._train_once, jit_compile=True, autograph=False)
    with tf.summary.record_if(False):
        for index in range(count):  # XLA would compile anew for every index
            one = tf.nest.map_structure(lambda each, i=index: tf.constant(each[i : i + 1]), inputs)
            step(tf.constant(0), one)
    pairs = list(zip(fused.agent.variables, single.agent.variables, strict=True))
    assert len(pairs) > 30
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=2e-5)


def test_masks_hold_in_the_actor_in_both_critics_and_in_all_targets(family):
    trainer = family.trainer()
    both = tp.PruningCallback(lambda step: 0.5, frequency=16, networks=("actor", "critic"))
    seen = []

    class Watch(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            roles = self.model.prunable_networks()
            followed = roles["actor"] + roles["critic"]
            zeros = [kernel == 0 for network, _ in followed for kernel in kernels(network)]
            masks = both._engines[0].masks.numpy()
            assert len(masks) == len(zeros) == 9
            for mask, own in zip(masks, zeros, strict=True):
                np.testing.assert_array_equal(mask == 0, own)
            for network, others in followed:
                for own, following in (
                    pair
                    for other in others
                    for pair in zip(kernels(network), kernels(other), strict=True)
                ):
                    np.testing.assert_array_equal(own == 0, following == 0)
            seen.append(sum(each.sum() for each in zeros) / sum(each.size for each in zeros))

    trainer.fit(steps=48, verbose=0, callbacks=[both, Watch()])
    assert seen == pytest.approx([0.5] * 3, abs=1e-3)
    followers = [others for _, others in trainer.prunable_networks()["critic"]]
    assert [len(others) for others in followers] == [1, 1]


@pytest.mark.slow
def test_a_checkpoint_brings_back_the_whole_run(family, tmp_path):
    trainer = family.trainer()
    before = [_moments(optimizer) for optimizer in trainer._learner.optimizers]
    assert all(len(each) > 2 for each in before)
    trainer.fit(steps=33, verbose=0)  # an odd step: of TD3 the actor's turn is next
    assert [len(_moments(each)) for each in trainer._learner.optimizers] == [
        len(each) for each in before
    ]
    trainer.save_weights(str(tmp_path / "w"))
    other = family.trainer(seed=5)
    other.load_weights(str(tmp_path / "w"))
    for again in range(2):
        pairs = zip(trainer._learner.optimizers, other._learner.optimizers, strict=True)
        for optimizer, restored in pairs:
            for ours, theirs in zip(_moments(optimizer), _moments(restored), strict=True):
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        for ours, theirs in zip(trainer.agent.variables, other.agent.variables, strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        if not again:
            for each in (trainer, other):
                each.fit(steps=31, verbose=0)


def _moments(optimizer):
    variables = optimizer.variables
    return variables() if callable(variables) else variables


@pytest.mark.parametrize("env", ["Pendulum-v1", pytest.param(Reach, marks=pytest.mark.slow)])
def test_the_trained_policy_is_exported_and_acts_the_same(family, env, tmp_path):
    trainer = family.trainer(env)
    trainer.fit(steps=64, verbose=0)
    batch = trainer.observations(100)
    wanted = greedy(trainer.agent, tf.nest.flatten(batch))
    policy = trainer.policy()
    half, middle = ((2, 5), (0, 5)) if env is Reach else (2, 0)  # of the bounds
    assert policy.head.kind == "tanh"
    np.testing.assert_array_equal(policy.head.scale, half)
    np.testing.assert_array_equal(policy.head.offset, middle)
    np.testing.assert_allclose(policy.action(batch), wanted, atol=1e-5)
    for precision, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        export(policy, tmp_path / precision, precision=precision, observations=batch)
        actions = runtime.load(tmp_path / precision).action(batch)
        assert actions.shape == wanted.shape
        assert (np.abs(actions - wanted) / (2 * np.asarray(half))).max() < tolerance


@pytest.mark.slow
def test_a_saved_model_comes_back_as_the_same_greedy_policy(family, tmp_path):
    trainer = family.trainer()
    trainer.fit(steps=32, verbose=0)
    own = greedy_policy.GreedyPolicy(trainer.agent.policy)
    policy_saver.PolicySaver(own, batch_size=None).save(str(tmp_path / "saved"))
    policy = tp.policies.load(tmp_path / "saved")
    batch = trainer.observations(100)
    np.testing.assert_allclose(policy.action(batch), trainer.policy().action(batch), atol=1e-5)
    assert policy.head == trainer.policy().head
    shapes = [kernel.shape for kernel in find_kernels(policy.model)]
    assert shapes == [(3, 16), (16, 16), (16, 1)]


@pytest.mark.slow
def test_seeds_are_used(family):
    def weights(seed):
        trainer = family.trainer(seed=seed)
        trainer.fit(steps=32, verbose=0)
        return kernels(trainer.prunable_networks()["actor"][0][0])[0]

    np.testing.assert_array_equal(weights(0), weights(0))
    assert (weights(0) != weights(1)).any()


@pytest.mark.slow
def test_they_learn_from_several_observations_in_bounds_that_are_not_symmetric(family):
    agent = family.make(Reach, hidden=(32, 32), learning_rate=3e-3)
    settings = family.settings(batch_size=64, warm_up=500)
    trainer = tp.AgentTrainer(agent, Reach, num_envs=8, settings=settings)
    history = trainer.fit(
        env_steps=3_000, verbose=0, callbacks=[tp.EvaluationCallback(episodes=100)]
    )
    assert history.history["return"][-1] > -0.05  # the middle of the bounds gives -2 / 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_they_learn_pendulum(family, seed):
    agent = family.make("Pendulum-v1", hidden=(64, 64), seed=seed)
    trainer = tp.AgentTrainer(agent, "Pendulum-v1", seed=seed)
    trainer.fit(env_steps=20_000, verbose=0)
    fresh = {}
    judge = tp.EvaluationCallback(episodes=100, seed=12_345)
    judge.set_model(trainer)
    judge.on_epoch_end(0, fresh)
    assert fresh["return"] >= -200
