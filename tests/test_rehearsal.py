"""A rehearsal gives the gradients of the agent's own loss, and leaves everything as it was."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune.pruning.kernels import find_kernels

REPLAY = {"batch_size": 8, "fused_steps": 16, "warm_up": 64}
OF = {
    "dqn": ("CartPole-v1", tp.agents.OffPolicySettings(**REPLAY)),
    "c51": ("CartPole-v1", tp.agents.OffPolicySettings(**REPLAY)),
    "sac": ("Pendulum-v1", tp.agents.SacSettings(**REPLAY)),
    "td3": ("Pendulum-v1", tp.agents.Td3Settings(**REPLAY)),
    "ppo": (
        "CartPole-v1",
        tp.agents.OnPolicySettings(rollout_length=32, epochs=2, minibatch_size=32),
    ),
}
STEPS = {name: 16 for name in OF}


def trainer(algo, hidden=(16,)):
    env, settings = OF[algo]
    agent = getattr(tp.agents, algo)(env, hidden=hidden, seed=0)
    return tp.AgentTrainer(agent, env, num_envs=4, settings=settings)


class Collected:
    """Sums gradients in variables, as whatever records inside a compiled step must."""

    def __init__(self, network):
        self.variables = list(network.trainable_variables)
        self.sums = [tf.Variable(tf.zeros(each.shape)) for each in self.variables]
        self.batches = tf.Variable(0)

    def __call__(self, pairs):
        known = {
            id(variable): total for variable, total in zip(self.variables, self.sums, strict=True)
        }
        if any(id(variable) in known for _, variable in pairs):
            self.batches.assign_add(1)
        for gradient, variable in pairs:
            if id(variable) in known:
                known[id(variable)].assign_add(gradient)


@pytest.mark.slow
@pytest.mark.parametrize("algo", sorted(OF))
def test_nothing_changes_and_every_kernel_of_every_role_has_a_gradient(algo):
    made = trainer(algo)
    made.fit(steps=STEPS[algo], verbose=0)
    before = [each.numpy() for each in made.agent.variables]
    moments = [each.numpy() for each in made.state_variables()]
    for role, networks in made.prunable_networks().items():
        for network, _ in networks:
            collected = Collected(network)
            made.record_gradients(collected, 6)
            assert int(collected.batches) == (3 if (algo, role) == ("td3", "actor") else 6)
            for kernel in find_kernels(network):
                index = next(i for i, v in enumerate(collected.variables) if v is kernel.variable)
                assert np.abs(collected.sums[index].numpy()).max() > 0.0
    for old, new in zip(before, made.agent.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    for old, new in zip(moments, made.state_variables(), strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_dqns_gradients_are_those_of_a_huber_loss_worked_out_beside_it():
    made = trainer("dqn")
    made.fit(steps=16, verbose=0)
    learner = made._learner
    drawn = []
    original = learner._draw

    def draw(steps):
        drawn.append(original(steps))
        return drawn[-1]

    learner._draw = draw
    ((network, (target,)),) = made.prunable_networks()["actor"]
    collected = Collected(network)
    made.record_gradients(collected, 3)
    (inputs,) = drawn
    totals = [np.zeros(each.shape) for each in collected.variables]
    for index in range(3):
        batch = {name: inputs[name][index] for name in ("reward", "discount", "action")}
        now, after = inputs["observation"][0][index], inputs["next_observation"][0][index]
        chosen = tf.argmax(network(after)[0], axis=-1)  # double DQN
        value = tf.gather(target(after)[0], chosen, batch_dims=1)
        # Rewards and discounts are of n steps; the agent scales rewards by 0.02.
        wanted = 0.02 * batch["reward"] + 0.99 * batch["discount"] * value
        with tf.GradientTape() as tape:
            own = tf.gather(network(now)[0], batch["action"], batch_dims=1)
            off = tf.abs(wanted - own)
            loss = tf.reduce_mean(tf.where(off < 1.0, 0.5 * off**2, off - 0.5))
        gradients = tape.gradient(loss, collected.variables)
        totals = [total + each.numpy() for total, each in zip(totals, gradients, strict=True)]
    for total, ours in zip(totals, collected.sums, strict=True):
        np.testing.assert_allclose(ours.numpy(), total, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
@pytest.mark.slow
def test_gradients_are_not_clipped(algo):
    made = trainer(algo)
    made.agent._gradient_clipping = 1e-6
    made.fit(steps=16, verbose=0)
    network = made.prunable_networks()["actor"][0][0]
    collected = Collected(network)
    made.record_gradients(collected, 1)
    assert max(np.abs(each.numpy()).max() for each in collected.sums) > 1e-5
    assert made.agent._gradient_clipping == 1e-6


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_before_training_the_warm_up_or_the_first_roll_out_is_made_and_then_used(algo):
    made = trainer(algo)
    collected = Collected(made.prunable_networks()["actor"][0][0])
    made.record_gradients(collected, 2)
    first = made.env_step
    assert first == (64 if algo == "dqn" else 128)
    made.fit(steps=8 if algo == "ppo" else 16, verbose=0)
    # PPO's first update is on that roll-out; DQN goes on one environment step for each step.
    assert made.env_step == (first if algo == "ppo" else first + 16)


@pytest.mark.parametrize("algo", ["sac", "td3"])
def test_a_critic_has_no_activations_and_says_so(algo):
    pruning = tp.PruningCallback(
        lambda step: 0.5, granularity="unit", criterion="activation", networks="critic"
    )
    with pytest.raises(ValueError, match="is not called on observations alone"):
        trainer(algo).fit(steps=16, callbacks=[pruning], verbose=0)


SELECTIONS = {
    "saliency": {"criterion": "saliency"},
    "snip": {"criterion": "snip"},
    "movement": {"criterion": "movement"},
    "taylor": {"criterion": "taylor", "granularity": "unit", "group_score": "in+out"},
    "apoz": {"criterion": "apoz", "granularity": "unit"},
}
# Each agent and each criterion once; the others take as long again, four times.
QUICK = set(zip(sorted(OF), SELECTIONS, strict=True))


@pytest.mark.parametrize(
    ("algo", "name"),
    [
        pytest.param(algo, name, marks=() if (algo, name) in QUICK else pytest.mark.slow)
        for algo in sorted(OF)
        for name in SELECTIONS
    ],
)
def test_every_criterion_prunes_every_agent_as_much_as_asked(algo, name):
    made = trainer(algo, hidden=(16, 16))
    selection = SELECTIONS[name]
    unit = selection.get("granularity") == "unit"
    pruning = tp.PruningCallback(
        tp.schedules.one_shot(0.5, at=16), distribution="uniform", **selection
    )
    made.fit(steps=48, callbacks=[pruning], verbose=0)
    ((network, followers),) = made.prunable_networks()["actor"]
    for each in (network, *followers):
        zeros = [(kernel.variable.numpy() == 0).mean() for kernel in find_kernels(each)]
        assert zeros[:2] == pytest.approx([0.5, 0.5])
        assert zeros[2] < 0.1 if unit else zeros[2] == pytest.approx(0.5, abs=0.02)
