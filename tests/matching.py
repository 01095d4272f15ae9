"""An environment with a MultiDiscrete action that a small network learns in seconds."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Matching(gym.Env):
    """Shows some digits, and rewards the share of them that the action repeats.

    Args:
        nvec: how many values each digit has.
        start: the smallest of each; None for 0.
        steps: of an episode, which shows new digits at every step.
    """

    def __init__(self, nvec=(3, 2, 4), start=None, steps=10):
        self.action_space = spaces.MultiDiscrete(list(nvec), start=start)
        self.observation_space = spaces.Box(0.0, 1.0, (int(sum(nvec)),), np.float32)
        self._nvec, self._steps, self._left = np.array(nvec), steps, steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._left = self._steps
        return self._show(), {}

    def step(self, action):
        shown = self._digits + self.action_space.start
        reward = float((np.asarray(action) == shown).mean())
        self._left -= 1
        return self._show(), reward, False, self._left == 0, {}

    def _show(self):
        """Returns new digits, one-hot and behind each other."""
        self._digits = self.np_random.integers(self._nvec)
        return np.concatenate(
            [np.arange(n) == d for n, d in zip(self._nvec, self._digits, strict=True)]
        ).astype(np.float32)
