"""A policy's model as a TF-Agents network, so that it can be trained on."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
from tf_agents.networks import network
from tf_agents.networks import utils as network_utils
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common, nest_utils

from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.over_time import one_step, over_time
from tfdrlprune.policies.tensor_specs import observation_nest
from tfdrlprune.specs import Nest, flatten


class ModelNetwork(network.Network):
    """The outputs of a policy's model, by weights of its own.

    A recurrent policy's network has its state: it goes on over the steps of a sequence, and begins
    anew where an episode does.

    Args:
        input_tensor_spec: nest of the observation's specs.
        policy: whose model it is; its weights are copied.
        name: of the network.

    Attributes:
        model: functional, from observation to the policy's outputs; what is trained is part of it.
        head: how the outputs become the action.

    Raises:
        ValueError: the policy takes other observations, or is recurrent where the algorithm takes
            no state.
    """

    takes_states = True
    # For `agents.internals`: Keras's recurrent layers in it do not carry on into another episode.
    forgets_episodes = True

    def __init__(self, input_tensor_spec: Any, policy: Policy, name: str = "ModelNetwork"):
        if policy.states and not self.takes_states:
            raise ValueError(
                "DQN and PPO go on with a recurrent policy: tp.agents.dqn(env, policy=policy) or "
                f"tp.agents.ppo. Received: one with the states "
                f"{[spec.name for spec in policy.states]}."
            )
        state = tuple(tf.TensorSpec(s.shape, s.dtype, s.name) for s in policy.states)
        super().__init__(input_tensor_spec=input_tensor_spec, state_spec=state, name=name)
        self._order = _order(input_tensor_spec, policy)
        self.model = copied(policy.model)
        self.head = policy.head

    @property
    def state_nest(self) -> Nest | None:
        """The specs of the policy's state, nested as they were; None without one."""
        nest: Nest | None = self._saved_kwargs["policy"].state_spec
        return nest

    def model_of(self, nest: Nest) -> Any:
        """Returns a copy of the model that takes the leaves of ``nest``, as they are named there.

        A policy that was begun with may call its only leaf otherwise, or take several in another
        order.
        """
        copy, leaves = copied(self.model), flatten(nest)
        if copy.input_names[: len(leaves)] == [leaf.name for leaf in leaves]:
            return copy
        named = [tf.keras.Input(leaf.shape, dtype=leaf.dtype, name=leaf.name) for leaf in leaves]
        states = [
            tf.keras.Input(given.shape[1:], dtype=given.dtype, name=name)
            for given, name in zip(copy.inputs, copy.input_names, strict=True)
        ][len(leaves) :]
        inputs = [*(named[index] for index in self._order), *states]
        renamed = tf.keras.models.clone_model(copy, input_tensors=inputs)
        renamed.set_weights(copy.get_weights())
        return tf.keras.Model([*named, *states], renamed.outputs, name=copy.name)

    def copy(self, **changes: Any) -> ModelNetwork:
        """Returns a network of the same build, with the policy's weights."""
        return type(self)(**{**self._saved_kwargs, **changes})

    def call(
        self,
        observation: Any,
        step_type: Any = None,
        network_state: Any = (),
        training: bool = False,
    ) -> tuple[Any, Any]:
        """Returns what `emit` makes of the model's outputs, and the state after them."""
        outer = nest_utils.get_outer_rank(observation, self.input_tensor_spec)
        if self.state_spec:
            leaves = tf.nest.flatten(observation)
            ordered = [leaves[index] for index in self._order]
            outputs, state = self._recalled(ordered, outer, step_type, network_state, training)
            return self.emit(outputs), state
        squash = network_utils.BatchSquash(outer)
        leaves = [squash.flatten(leaf) for leaf in tf.nest.flatten(observation)]
        ordered = [leaves[index] for index in self._order]
        outputs = self.outputs(ordered if len(ordered) > 1 else ordered[0], training)
        return self.emit(tf.nest.map_structure(squash.unflatten, outputs)), network_state

    def _recalled(
        self, leaves: list[tf.Tensor], outer: int, step_type: Any, state: Any, training: bool
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Returns outputs [outer..., n] and the next state; a state that is () begins at zero."""
        tensors = [tf.convert_to_tensor(leaf) for leaf in leaves]
        outermost = tf.shape(tensors[0])[:outer]
        if not common.safe_has_state(state):
            state = self.get_initial_state(tensors[0].shape[0] or outermost[0])
        middle = tf.fill(outermost, ts.StepType.MID)
        first = tf.equal(middle if step_type is None else step_type, ts.StepType.FIRST)
        run = one_step if outer == 1 else over_time
        return run(self.model, tensors, first, tf.nest.flatten(state), training)

    def outputs(self, leaves: Any, training: bool) -> Any:
        """Returns what is trained of the model, [batch, ...], for one tensor or a list of them."""
        return self.model(leaves, training=training)

    def emit(self, outputs: Any) -> Any:
        """Returns what the network gives, of outputs [outer..., ...]."""
        return outputs


def copied(model: Any) -> Any:
    """Returns a functional model with the same weights in layers of its own."""
    copy = tf.keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _order(spec: Any, policy: Policy) -> list[int]:
    """Returns which leaf of the observation each of the model's inputs is."""
    leaves, own = flatten(observation_nest(spec)), flatten(policy.observation_spec)
    names = [leaf.name for leaf in leaves]
    if len(leaves) == len(own) == 1:
        names = [own[0].name]
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in zip(names, leaves, strict=True)}
    received = {leaf.name: (leaf.shape, leaf.dtype) for leaf in own}
    if expected != received:
        raise ValueError(
            f"The policy takes other observations than the environment gives. Environment: "
            f"{expected}. Policy: {received}."
        )
    return [names.index(leaf.name) for leaf in own]
