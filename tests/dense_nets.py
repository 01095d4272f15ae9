"""Dense networks of several kinds in every precision, and observations that fill a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from builders import randomize

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, converter, model_graph
from tfdrlprune.evidence.bounding.interval_bounds import Network
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head, flatten

INPUTS = 5
CHOICE = ArraySpec("action", (), "int64", 0, 2)
FORCE = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))


@dataclass(frozen=True)
class Kind:
    """A network: its hidden layers, their activation, its head, and whether it normalises."""

    hidden: tuple[int, ...]
    activation: str = "relu"
    discrete: bool = False
    normalises: bool = False


KINDS = {
    "linear": Kind((), discrete=True),
    "relu": Kind((16,)),
    "relu_wide": Kind((40, 40), normalises=True),
    "relu_scores": Kind((64, 64), discrete=True),
    "relu_deep": Kind((40, 40, 40), discrete=True, normalises=True),
    "relu6": Kind((40, 40), "relu6", discrete=True),
    "tanh": Kind((40, 40), "tanh", normalises=True),
    "tanh_deep": Kind((40, 40, 40), "tanh", discrete=True),
    "elu": Kind((40, 40), "elu"),
    "sigmoid": Kind((40,), "sigmoid", discrete=True, normalises=True),
    "leaky": Kind((40, 40), "leaky"),
    "swish": Kind((40, 40), "swish", discrete=True),
}


def policy_of(kind: Kind, seed: int) -> Policy:
    """Returns a policy with random weights."""
    given = tensor = tf.keras.Input((INPUTS,), name="observation")
    if kind.normalises:
        centre, spread = np.linspace(-1, 1, INPUTS), np.linspace(0.5, 4, INPUTS)
        tensor = ObservationNormalizer(centre, spread)(tensor)
    for units in kind.hidden:
        tensor = tf.keras.layers.Dense(units)(tensor)
        leaky = kind.activation == "leaky"
        tensor = (
            tf.keras.layers.LeakyReLU(0.2)(tensor)
            if leaky
            else tf.keras.layers.Activation(kind.activation)(tensor)
        )
    tensor = tf.keras.layers.Dense(3 if kind.discrete else 2, name="outputs")(tensor)
    model = tf.keras.Model(given, tensor)
    randomize(model.trainable_variables, seed)
    head = Head("argmax") if kind.discrete else Head("tanh", (2.0, 2.0), (0.0, 1.0))
    observation = ArraySpec("observation", (INPUTS,), "float32", -3.0, 3.0)
    return Policy(model, head, observation, CHOICE if kind.discrete else FORCE, "test")


def exported(
    policy: Policy, precision: str = "float32", observations: Any = None
) -> tuple[runtime.Policy, Network]:
    """Returns a policy's file as what acts and as what is bounded."""
    specs = flatten(policy.observation_spec)
    generator = np.random.default_rng(1)
    drawn = [generator.normal(size=(200, *spec.shape)).astype(np.float32) for spec in specs]
    content = converter.convert(policy, precision, observations or drawn)
    manifest = artifact.Manifest(
        observation=policy.observation_spec,
        action=policy.action_spec,
        head=policy.head,
        precision=precision,
        sparsity=artifact.Sparsity(None, 0.0),
        parameters=artifact.Parameters(1, 1, 1),
        source="",
        recipe=None,
        versions={},
    )
    return runtime.Policy(content, manifest), Network(model_graph.read(content), manifest)


@cache
def made(kind: str, precision: str) -> tuple[runtime.Policy, Network]:
    """Returns a network of `KINDS` in a precision."""
    return exported(policy_of(KINDS[kind], list(KINDS).index(kind)), precision)


def dense(
    layers: Sequence[tuple[Any, Any]],
    head: Head,
    action: ArraySpec,
    activation: str = "relu",
) -> Policy:
    """Returns a policy of kernels [inputs, outputs] and biases; the last layer is linear."""
    size = len(layers[0][0])
    given = tensor = tf.keras.Input((size,), name="observation")
    for index, (kernel, bias) in enumerate(layers, start=1):
        last = index == len(layers)
        layer = tf.keras.layers.Dense(
            len(bias), None if last else activation, name="outputs" if last else None
        )
        tensor = layer(tensor)
        layer.set_weights([np.float32(kernel), np.float32(bias)])
    model = tf.keras.Model(given, tensor)
    return Policy(model, head, ArraySpec("observation", (size,), "float32"), action, "by hand")


def filling(low: Any, high: Any, count: int, seed: int = 0) -> Any:
    """Returns observations in a box: half uniform, a quarter corners, a quarter edges and faces."""
    generator = np.random.default_rng(seed)
    size = (count, len(low))
    uniform = generator.uniform(low, high, size)
    corners = np.where(generator.random(size) < 0.5, low, high)
    edges = np.where(generator.random(size) < 0.5, corners, uniform)
    which = generator.random((count, 1))
    drawn = np.where(which < 0.5, uniform, np.where(which < 0.75, corners, edges))
    return drawn.astype(np.float32)
