"""Networks that begin as a policy: what each algorithm needs of the model of a trained one."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import tensorflow_probability as tfp
from tf_agents.agents.sac import sac_agent
from tf_agents.distributions import utils as distribution_utils

from tfdrlprune import observations as _observations
from tfdrlprune.agents.box_action import BoxAction
from tfdrlprune.policies.choice_projection import ChoiceDistribution
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.head_ops import head_in_graph
from tfdrlprune.policies.model_network import ModelNetwork
from tfdrlprune.policies.score_rows import shaped_logits
from tfdrlprune.policies.scores import ExpectedValue
from tfdrlprune.policies.tensor_specs import array_spec
from tfdrlprune.specs import ArraySpec


class DistributionalQ(ModelNetwork):
    """Logits of a C51 policy's distributions, [batch, actions, atoms].

    Attributes:
        num_atoms: returns in a distribution.
        support: what they are, ascending.
    """

    takes_states = False

    def __init__(self, input_tensor_spec: Any, policy: Policy, name: str = "DistributionalQ"):
        super().__init__(input_tensor_spec, policy, name)
        last = self.model.get_layer("outputs")
        if not isinstance(last, ExpectedValue):
            raise ValueError(
                "C51 goes on with a policy that ends in distributions of returns. Received one "
                f"that ends in a {type(last).__name__}. Use agents.dqn(env, policy=policy)."
            )
        self.support = last.support
        self.num_atoms = len(self.support)
        self._logits = tf.keras.Model(self.model.inputs, last.input)

    def outputs(self, leaves: Any, training: bool) -> Any:
        """Returns the logits, a row for each action."""
        logits = self._logits(leaves, training=training)
        return tf.reshape(logits, (-1, logits.shape[-1] // self.num_atoms, self.num_atoms))


class CategoricalActor(ModelNetwork):
    """A distribution over actions whose logits are a policy's scores."""

    def __init__(
        self,
        input_tensor_spec: Any,
        policy: Policy,
        action_spec: Any,
        name: str = "CategoricalActor",
    ):
        super().__init__(input_tensor_spec, policy, name)
        self._spec, self._choices = action_spec, policy.action_spec.choices()

    def emit(self, outputs: Any) -> Any:
        """Returns the distribution."""
        shape, dtype = self._spec.shape, self._spec.dtype
        logits = shaped_logits(outputs, self._choices, shape)
        if shape.rank == 0:
            return tfp.distributions.Categorical(logits=logits, dtype=dtype)
        return ChoiceDistribution(logits, dtype, shape.rank)


class NormalActor(ModelNetwork):
    """A normal around a policy's action, with a deviation that is trained, the same in all states.

    Args:
        input_tensor_spec: nest of the observation's specs.
        policy: that gives the mean, in the action's units.
        action_spec: of the action.
        deviation: at the beginning, in the action's units, a tuple of one for each dimension.
        name: of the network.
    """

    def __init__(
        self,
        input_tensor_spec: Any,
        policy: Policy,
        action_spec: Any,
        deviation: tuple[float, ...],
        name: str = "NormalActor",
    ):
        super().__init__(input_tensor_spec, policy, name)
        # Unclipped, as the mean of a distribution.
        shape = tuple(action_spec.shape)
        self._unbounded = ArraySpec("action", shape, action_spec.dtype.name)
        self.log_deviation = tf.Variable(
            np.log(np.asarray(deviation, np.float32)), name="log_deviation"
        )

    def emit(self, outputs: Any) -> Any:
        """Returns the distribution."""
        outer = tf.shape(outputs)[:-1]
        flat = tf.reshape(outputs, (-1, outputs.shape[-1]))
        mean = head_in_graph(self.head, flat, self._unbounded)
        mean = tf.reshape(mean, tf.concat([outer, self._unbounded.shape], axis=0))
        mean = tf.ensure_shape(mean, (*outputs.shape[:-1], *self._unbounded.shape))
        deviation = tf.ones_like(mean) * tf.exp(self.log_deviation)
        return tfp.distributions.MultivariateNormalDiag(loc=mean, scale_diag=deviation)


class SquashedActor(ModelNetwork):
    """A normal squashed by tanh to the action's bounds, with a deviation for each state, for SAC.

    The deviations' layer is new, reads what the policy's last layer reads, and begins with the same
    deviation in all states.

    Args:
        input_tensor_spec: nest of the observation's specs.
        policy: with a tanh head to the action's bounds.
        action_spec: of the action.
        deviation: before the squashing, at the beginning.
        name: of the network.
    """

    takes_states = False

    def __init__(
        self,
        input_tensor_spec: Any,
        policy: Policy,
        action_spec: Any,
        deviation: float,
        name: str = "SquashedActor",
    ):
        super().__init__(input_tensor_spec, policy, name)
        _check_squashed(policy, action_spec)
        self._spec = action_spec
        features = self.model.get_layer("outputs").input
        layer = tf.keras.layers.Dense(
            action_spec.shape.num_elements(),
            kernel_initializer="zeros",
            bias_initializer=tf.keras.initializers.Constant(np.log(deviation)),
            name="log_deviations",
        )
        self._both = tf.keras.Model(self.model.inputs, [self.model.output, layer(features)])

    def outputs(self, leaves: Any, training: bool) -> Any:
        """Returns means and logarithms of deviations."""
        return self._both(leaves, training=training)

    def emit(self, outputs: Any) -> Any:
        """Returns the distribution."""
        mean, raw = outputs
        normal = tfp.distributions.MultivariateNormalDiag(
            loc=mean, scale_diag=sac_agent.std_clip_transform(raw)
        )
        return distribution_utils.scale_distribution_to_spec(normal, self._spec)


class DeterministicActor(ModelNetwork):
    """A policy's action, for TD3."""

    takes_states = False

    def __init__(
        self,
        input_tensor_spec: Any,
        policy: Policy,
        action_spec: Any,
        name: str = "DeterministicActor",
    ):
        super().__init__(input_tensor_spec, policy, name)
        self._spec = array_spec(action_spec, "action")

    def emit(self, outputs: Any) -> Any:
        """Returns the action, within its bounds."""
        return head_in_graph(self.head, outputs, self._spec)


def check_choices(policy: Policy, action_spec: Any) -> None:
    """Raises ValueError unless a policy chooses among as many actions as there are."""
    spec = array_spec(action_spec, "action")
    wanted, argmax = spec.choices().counts, policy.head.kind == "argmax"
    own = policy.action_spec.choices().counts if argmax else None
    if own != wanted or policy.action_spec.shape != spec.shape:
        raise ValueError(
            f"The environment has {' x '.join(map(str, wanted))} actions to choose from. Received: "
            f"a policy with the head {policy.head.kind!r} whose actions are {policy.action_spec}."
        )


def check_box(policy: Policy, action_spec: Any) -> None:
    """Raises ValueError unless a policy gives actions of an environment's shape and bounds."""
    wanted = array_spec(action_spec, "action")
    same = policy.action_spec.shape == wanted.shape and all(
        np.allclose(*each)
        for each in zip(
            _observations.bounds(policy.action_spec), _observations.bounds(wanted), strict=True
        )
    )
    if policy.head.kind == "argmax" or not same:
        raise ValueError(
            f"The environment's actions are {wanted}. Received: a policy with the head "
            f"{policy.head.kind!r} whose actions are {policy.action_spec}."
        )


def _check_squashed(policy: Policy, action_spec: Any) -> None:
    box, head = BoxAction(action_spec), policy.head
    fits = np.allclose(head.scale, box.half.ravel()) and np.allclose(
        head.offset, box.middle.ravel()
    )
    if head.kind != "tanh" or not fits:
        raise ValueError(
            "SAC goes on with a policy that squashes its outputs by tanh to the action's bounds. "
            f"Received: {head}. Use agents.td3(env, policy=policy) or agents.ppo."
        )
