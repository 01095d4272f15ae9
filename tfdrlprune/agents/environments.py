"""Gymnasium environments as TF-Agents sees them: specs for agents, PyEnvironments for drivers.

The training loop of this package steps Gymnasium's vector environments itself; the PyEnvironments
here are for those who bring TF-Agents drivers and evaluation code.
"""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf_agents import tf_agents  # noqa: F401 (the door comes first)

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from tf_agents.environments import py_environment
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from tfdrlprune.agents import spaces
from tfdrlprune.simulation import Environment, make, make_vector

__all__ = [
    "Environment",
    "GymnasiumEnvironment",
    "GymnasiumVectorEnvironment",
    "action_spec",
    "make",
    "make_vector",
    "spaces_of",
    "time_step_spec",
]


def spaces_of(env: Environment | VectorEnv[Any, Any, Any]) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Returns the observation and the action space of one environment.

    Of a vector environment, those of a single one. An id or factory is made and closed for it.
    """
    if isinstance(env, VectorEnv):
        return env.single_observation_space, env.single_action_space
    made = make(env)
    if made is not env:
        made.close()
    return made.observation_space, made.action_space


def time_step_spec(observation_space: gym.Space[Any]) -> ts.TimeStep:
    """Returns the time step spec, of tensors, that an agent for such observations is built with."""
    nest = spaces.observation_nest(observation_space)
    return ts.time_step_spec(spaces.tensor_specs(nest))


def action_spec(action_space: gym.Space[Any]) -> Any:
    """Returns the action spec, of tensors, that an agent is built with: integers start at 0."""
    return spaces.tensor_specs(spaces.action_nest(action_space), shift_to_zero=True)


class _Gymnasium(py_environment.PyEnvironment):
    """What the single and the vector environment share: spaces, specs and seeding."""

    def __init__(self, env: Any, seed: int | None, *, handle_auto_reset: bool):
        super().__init__(handle_auto_reset=handle_auto_reset)
        self._env = env
        self._seed = seed
        self._observation_space, self._action_space = spaces_of(env)
        specs_of = tensor_spec.to_nest_array_spec
        self._observation_spec = specs_of(time_step_spec(self._observation_space).observation)
        self._action_spec = specs_of(action_spec(self._action_space))

    @property
    def gymnasium(self) -> Any:
        """The Gymnasium environment inside."""
        return self._env

    def observation_spec(self) -> Any:
        """Returns the array specs of one observation."""
        return self._observation_spec

    def action_spec(self) -> Any:
        """Returns the array specs of one action, counted from 0 where it is discrete."""
        return self._action_spec

    def seed(self, seed: int) -> None:
        """Seeds the next reset; resets after it go on in the environment's own random stream."""
        self._seed = seed

    def close(self) -> None:
        """Closes the Gymnasium environment."""
        self._env.close()

    def _first_observation(self) -> Any:
        # Seeding every reset would start every episode alike.
        seed, self._seed = self._seed, None
        return self._encode(self._env.reset(seed=seed)[0])

    def _encode(self, observation: Any) -> Any:
        return spaces.encode_observation(self._observation_space, observation)


class GymnasiumEnvironment(_Gymnasium):
    """A TF-Agents environment around one Gymnasium environment.

    An episode that terminates ends with discount 0, one that is truncated with discount 1, so that
    its last state is still bootstrapped from.

    Args:
        env: a registered id, a zero-argument factory or an environment; closed by `close`.
        seed: of the first reset.
    """

    def __init__(self, env: Environment, *, seed: int | None = None):
        # Without handle_auto_reset TF-Agents would step on beyond the end of an episode.
        super().__init__(make(env), seed, handle_auto_reset=True)

    def _reset(self) -> ts.TimeStep:
        return ts.restart(self._first_observation())

    def _step(self, action: Any) -> ts.TimeStep:
        observation, reward, terminated, truncated, _ = self._env.step(
            spaces.decode_action(self._action_space, action)
        )
        observation, reward = self._encode(observation), np.float32(reward)
        if terminated:
            return ts.termination(observation, reward)
        if truncated:
            return ts.truncation(observation, reward)
        return ts.transition(observation, reward)


class GymnasiumVectorEnvironment(_Gymnasium):
    """A batched TF-Agents environment around a Gymnasium vector environment.

    Each environment resets by itself on the step after its last, which is Gymnasium's NEXT_STEP and
    TF-Agents' own convention: that step ignores its action and is a FIRST with reward 0.

    Args:
        env: a vector environment that resets on the next step, such as `make_vector` gives.
        seed: of the first reset.

    Raises:
        ValueError: the vector environment resets in another way.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], *, seed: int | None = None):
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.NEXT_STEP:
            raise ValueError(
                "TF-Agents needs a vector environment that resets on the next step. Received: "
                f"autoreset_mode={mode}. Make it with autoreset_mode=AutoresetMode.NEXT_STEP."
            )
        super().__init__(env, seed, handle_auto_reset=False)
        self._done = np.ones(env.num_envs, bool)

    @property
    def batched(self) -> bool:
        """Always true."""
        return True

    @property
    def batch_size(self) -> int:
        """Number of environments."""
        return int(self._env.num_envs)

    def _reset(self) -> ts.TimeStep:
        observation = self._first_observation()
        self._done = np.zeros(self.batch_size, bool)
        return ts.restart(observation, batch_size=self.batch_size)

    def _step(self, action: Any) -> ts.TimeStep:
        observation, reward, terminated, truncated, _ = self._env.step(
            spaces.decode_action(self._action_space, action)
        )
        first, self._done = self._done, terminated | truncated
        step_type = np.select(
            [first, self._done], [ts.StepType.FIRST, ts.StepType.LAST], ts.StepType.MID
        )
        return ts.TimeStep(
            step_type.astype(np.int32),
            np.where(first, 0, reward).astype(np.float32),
            np.where(terminated, 0, 1).astype(np.float32),
            self._encode(observation),
        )
