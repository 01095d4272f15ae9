"""Teachers and students of lessons that are over at once."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.compression.distillation import DistillationSettings, Lesson, teach
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

QUICK = DistillationSettings(rounds=3, steps=100, states=256, num_envs=8, selection_episodes=4)
BOX = ArraySpec("action", (1,), "float32", -2.0, 2.0)
DISCRETE = ArraySpec("action", (), "int64", 0, 1)


def mlp(size, outputs, seed, hidden=32):
    tf.keras.utils.set_random_seed(seed)
    observation = tf.keras.Input((size,), name="observation")
    x = tf.keras.layers.Dense(hidden, "tanh", name="hidden")(observation)
    return tf.keras.Model(observation, tf.keras.layers.Dense(outputs, name="outputs")(x))


def balancer(seed=0):
    """A CartPole policy that works: push to where the pole falls, by angle and its speed."""
    model = mlp(4, 2, seed)
    hidden, outputs = model.get_layer("hidden"), model.get_layer("outputs")
    # No exact zeros: those would come on top of the pruned ones.
    kernel = np.random.default_rng(seed).normal(0, 0.01, (4, 32)).astype("float32")
    kernel[:, 0] = [0.02, 0.1, 1.0, 0.5]
    hidden.set_weights([kernel, np.zeros(32, "float32")])
    last = np.random.default_rng(seed + 1).normal(0, 0.01, (32, 2)).astype("float32")
    last[0] = [-1.0, 1.0]
    outputs.set_weights([last, np.zeros(2, "float32")])
    return Policy(model, Head("argmax"), ArraySpec("observation", (4,), "float32"), DISCRETE)


def continuous(head, seed):
    return Policy(mlp(3, 1, seed), head, ArraySpec("observation", (3,), "float32"), BOX)


def constant(scores):
    """A CartPole policy that always does the same."""
    policy = balancer()
    zeros = [np.zeros_like(each) for each in policy.model.get_weights()]
    policy.model.set_weights([*zeros[:-1], np.array(scores, "float32")])
    return policy


def copy(policy, seed=None):
    model = tf.keras.models.clone_model(policy.model)
    if seed is None:
        model.set_weights(policy.model.get_weights())
    return policy.replace(model=model)


def distill(teacher, student, env, *, settings, seed, **arguments):
    return teach(Lesson(teacher, student, settings, seed), env, **arguments)
