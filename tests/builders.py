"""Small policies, agents and networks that several tests build on."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import gymnasium
import numpy as np
from tf_agents.agents.dqn import dqn_agent
from tf_agents.agents.ppo import ppo_clip_agent
from tf_agents.networks import (
    actor_distribution_network,
    actor_distribution_rnn_network,
    q_network,
    q_rnn_network,
    value_network,
    value_rnn_network,
)
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents.environments import action_spec, spaces_of, time_step_spec
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

VECTOR = tensor_spec.BoundedTensorSpec((4,), tf.float32, -3.0, 3.0, name="observation")
CHOICE = tensor_spec.BoundedTensorSpec((), tf.int64, 0, 2, name="action")
FORCE = tensor_spec.BoundedTensorSpec((2,), tf.float32, [-2.0, -1.0], [2.0, 3.0], name="action")


@tf.keras.utils.register_keras_serializable(package="tests")
class Scale(tf.keras.layers.Layer):
    """Images to [0, 1], as a user's registered layer does."""

    def call(self, inputs: Any) -> Any:
        return tf.cast(inputs, tf.float32) / 255.0


def dqn(network: Any = None, observation: Any = VECTOR, action: Any = CHOICE) -> Any:
    """Returns a DqnAgent whose weights are random, biases too."""
    network = network or q_network.QNetwork(observation, action, fc_layer_params=(16, 8))
    agent = dqn_agent.DqnAgent(
        ts.time_step_spec(observation),
        action,
        network,
        tf.keras.optimizers.Adam(1e-3),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    agent.initialize()
    randomize(agent._q_network.variables)
    return agent


def ppo(
    observation: Any = VECTOR,
    action: Any = FORCE,
    actor: Any = None,
    normalize: bool = True,
    **network: Any,
) -> Any:
    """Returns a PPOClipAgent with random weights."""
    network = network or {"fc_layer_params": (16, 8)}
    actor = actor or actor_distribution_network.ActorDistributionNetwork(
        observation, action, **network
    )
    value = value_network.ValueNetwork(observation, **network)
    agent = ppo_clip_agent.PPOClipAgent(
        ts.time_step_spec(observation),
        action,
        tf.keras.optimizers.Adam(1e-3),
        actor_net=actor,
        value_net=value,
        normalize_observations=normalize,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    agent.initialize()
    randomize(agent.actor_net.variables)
    return agent


def randomize(variables: Any, seed: int = 0) -> None:
    """Gives every variable random numbers, so that no bias is zero."""
    generator = np.random.default_rng(seed)
    for variable in variables:
        size = np.sqrt(variable.shape[0]) if len(variable.shape) > 1 else 2.0
        variable.assign(generator.normal(size=variable.shape) / size)


def greedy(agent: Any, observations: Any) -> Any:
    """Returns the agent's own greedy actions for a batch of observations."""
    count = len(tf.nest.flatten(observations)[0])
    step = ts.restart(tf.nest.map_structure(tf.constant, observations), batch_size=count)
    return np.asarray(agent.policy.action(step).action)


def vectors(count: int = 200, seed: int = 5) -> Any:
    """Returns observations of `VECTOR`, [count, 4], also beyond its bounds."""
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32) * 2


def mlp(
    head: Head | None = None,
    action: ArraySpec | None = None,
    *,
    sizes: tuple[int, ...] = (4, 16, 8),
    outputs: int = 3,
    normalizer: ObservationNormalizer | None = None,
    seed: int = 0,
) -> Policy:
    """Returns a policy of Dense layers with random weights."""
    inputs = tf.keras.Input((sizes[0],), name="observation")
    tensor = inputs if normalizer is None else normalizer(inputs)
    for index, size in enumerate(sizes[1:]):
        tensor = tf.keras.layers.Dense(size, activation="relu", name=f"hidden_{index}")(tensor)
    tensor = tf.keras.layers.Dense(outputs, name="outputs")(tensor)
    model = tf.keras.Model(inputs, tensor, name="policy")
    randomize(model.trainable_variables, seed)
    head = head or Head("argmax")
    action = action or ArraySpec("action", (), "int64", 0, outputs - 1)
    observation = ArraySpec("observation", (sizes[0],), "float32", -3.0, 3.0)
    return Policy(model, head, observation, action, "test")


def forward(policy: Policy, observations: Any) -> Any:
    """Returns the outputs of `mlp` worked out in NumPy."""
    tensor = np.asarray(observations, np.float64)
    for layer in policy.model.layers:
        if isinstance(layer, ObservationNormalizer):
            mean, variance = layer.statistics()
            tensor = np.clip(
                (tensor - mean) / np.sqrt(variance + layer.epsilon), -layer.clip, layer.clip
            )
        if isinstance(layer, tf.keras.layers.Dense):
            kernel, bias = (weight.astype(np.float64) for weight in layer.get_weights())
            tensor = tensor @ kernel + bias
            tensor = np.maximum(tensor, 0) if layer.name != "outputs" else tensor
    return tensor


class Dot(gymnasium.Env[Any, Any]):
    """A dot on 8 x 8 pixels that falls, and moves aside as told; three to nine steps an episode.

    Args:
        channels: colours of a frame [8, 8, channels]; None gives [8, 8].
    """

    def __init__(self, channels: int | None = None):
        shape = (8, 8) if channels is None else (8, 8, channels)
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._row, self._column = 0, int(self.np_random.integers(8))
        self._left = int(self.np_random.integers(3, 10))
        return self._frame(), {}

    def step(self, action: Any) -> Any:
        self._row = (self._row + 1) % 8
        self._column = (self._column + 2 * int(action) - 1) % 8
        self._left -= 1
        terminated = self._left == 0 and self._column < 4
        return self._frame(), float(self._column), terminated, self._left == 0, {}

    def _frame(self) -> Any:
        frame = np.zeros(self.observation_space.shape, np.uint8)
        frame[self._row, self._column] = self.np_random.integers(
            1, 256, frame.shape[2:], dtype=np.uint8
        )
        return frame


class Reach(gymnasium.Env[Any, Any]):
    """Two numbers are to be answered by themselves, in bounds that are not symmetric."""

    observation_space = gymnasium.spaces.Dict(
        camera=gymnasium.spaces.Box(0, 255, (2, 2, 1), np.uint8),
        wanted=gymnasium.spaces.Box(-1, 1, (2,)),
    )
    action_space = gymnasium.spaces.Box(np.float32([-2, 0]), np.float32([2, 10]))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.wanted = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return {"camera": np.full((2, 2, 1), 255, np.uint8), "wanted": self.wanted}, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        off = (action - [0, 5]) / [2, 5] - self.wanted
        return self.reset()[0], -float(np.square(off).sum()), True, False, {}


class Recall(gymnasium.Env[Any, Any]):
    """A number, 1 or -1, is seen once, and to be answered at the end; without memory half is right.

    Args:
        length: steps of an episode.
    """

    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length: int = 4):
        self._length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._wanted, self._time = int(self.np_random.integers(2)), 0
        return np.float32([2 * self._wanted - 1, -1]), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        over = self._time == self._length
        reward = float(over and action == self._wanted)
        return np.float32([0, self._time == self._length - 1]), reward, over, False, {}


_RECURRENT = {"input_fc_layer_params": (8,), "output_fc_layer_params": (8,)}


def recurrent_dqn(env: Any, *, cell: Any = None, lstm: int = 8, **arguments: Any) -> Any:
    """Returns a DdqnAgent with a QRnnNetwork, of an LSTM or of another cell."""
    observations, actions = spaces_of(env)
    steps, action = time_step_spec(observations), action_spec(actions)
    kind = {"lstm_size": (lstm,)} if cell is None else {"rnn_construction_fn": cell}
    network = q_rnn_network.QRnnNetwork(steps.observation, action, **_RECURRENT, **kind)
    agent = dqn_agent.DdqnAgent(
        steps,
        action,
        network,
        tf.keras.optimizers.Adam(arguments.pop("learning_rate", 1e-3)),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
        **({"target_update_period": 20} | arguments),
    )
    _initialize(network)
    agent.initialize()
    return agent


def recurrent_ppo(env: Any, *, lstm: int = 8, epochs: int = 3, **arguments: Any) -> Any:
    """Returns a PPOClipAgent with recurrent networks, which computes its advantages itself."""
    observations, actions = spaces_of(env)
    steps, action = time_step_spec(observations), action_spec(actions)
    actor = actor_distribution_rnn_network.ActorDistributionRnnNetwork(
        steps.observation, action, lstm_size=(lstm,), **_RECURRENT
    )
    critic = value_rnn_network.ValueRnnNetwork(steps.observation, lstm_size=(lstm,), **_RECURRENT)
    agent = ppo_clip_agent.PPOClipAgent(
        steps,
        action,
        optimizer=tf.keras.optimizers.Adam(arguments.pop("learning_rate", 1e-3)),
        actor_net=actor,
        value_net=critic,
        num_epochs=epochs,
        train_step_counter=tf.Variable(0, dtype=tf.int64),
        **arguments,
    )
    for index, network in enumerate((actor, critic)):
        _initialize(network, index)
    agent.initialize()
    return agent


def _initialize(network: Any, seed: int = 0) -> None:
    """Gives all matrices seeded orthogonal weights."""
    for index, variable in enumerate(network.trainable_variables):
        if len(variable.shape) > 1:
            initializer = tf.keras.initializers.Orthogonal(seed=100 * seed + index)
            variable.assign(initializer(variable.shape))


def captured_steps(trainer: Any, steps: int) -> Any:
    """Returns the inputs of the one compiled call that a fit of so many optimizer steps makes."""
    trainer.make_train_function()
    calls = []
    original = trainer._learner._train

    def capture(count: int, inputs: Any) -> Any:
        calls.append((count, inputs))
        return original(count, inputs)

    trainer._learner._train = capture
    trainer.fit(steps=steps, verbose=0)
    ((count, inputs),) = calls
    assert count == steps
    return inputs
