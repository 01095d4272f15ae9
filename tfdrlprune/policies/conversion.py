"""A TF-Agents agent, policy or network as a `Policy`, proved equal before it is handed out."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.policies.proof import prove
from tfdrlprune.policies.scores import ExpectedValue
from tfdrlprune.policies.squashing import squash_head, unsquashed
from tfdrlprune.policies.tensor_specs import array_spec, observation_nest
from tfdrlprune.policies.tf_policies import (
    acted,
    acted_in_turn,
    greedy_policy,
    parts_of,
    support_of,
)
from tfdrlprune.specs import Array, ArraySpec, Head, Nest, pack_like

_PROOF_SIZE = 256
_RECURRENT_PROOF_SIZE = 64  # one step after another


def from_agent(agent: Any, *, action: ArraySpec | None = None, observations: Any = None) -> Policy:
    """Returns the greedy policy of a TF-Agents agent, with weights of its own.

    Args:
        agent: of the DQN family, PPO, SAC, TD3, or any other whose policy is a QPolicy or an
            ActorPolicy; also such a TFPolicy itself.
        action: the environment's own action spec, where TF-Agents' differs: its discrete actions
            begin at 0. None takes TF-Agents'.
        observations: a batch of observations, nested as the agent's, for the proof; None draws 256
            from the agent's spec.

    Raises:
        ValueError: a layer or head cannot be rebuilt, or the built policy acts differently from
            the agent's greedy policy; says where or how far off.

    Example:
        >>> import tfdrlprune as tp
        >>> policy = from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> policy.head.kind, policy.model.count_params()
        ('argmax', 58)
    """
    policy = greedy_policy(agent)
    inner = policy.wrapped_policy
    spec = policy.time_step_spec.observation
    nest, own = observation_nest(spec), array_spec(_single(policy.action_spec), "action")
    network, normalizer = parts_of(inner)
    normalizers = normalizers_of(normalizer)
    action = action or own
    source = type(agent).__name__
    candidates = _candidates(network, nest, action, own, normalizers, source, support_of(inner))
    leaves = _proof_observations(nest, observations, candidates[0].normalizers)
    if candidates[0].states:
        leaves = [leaf[:_RECURRENT_PROOF_SIZE] for leaf in leaves]
        expected = acted_in_turn(policy, leaves)
    else:
        expected = acted(policy, leaves)
    return _proved(candidates, expected + _shift(action, own), leaves)


def from_network(
    network: Any,
    observation: Nest,
    action: ArraySpec,
    *,
    normalizers: list[ObservationNormalizer] | None = None,
    source: str = "",
) -> Policy:
    """Returns a TF-Agents network as a greedy policy, proved on 256 random observations.

    Args:
        network: gives Q-values, logits, an action mean, or a distribution over actions.
        observation: specs of what it takes.
        action: the environment's own action spec.
        normalizers: one for each leaf of the observation, in front of the network.
        source: where it came from, for people to read.

    Raises:
        ValueError: as `from_agent`.

    Example:
        >>> import tfdrlprune as tp
        >>> from tfdrlprune.specs import ArraySpec
        >>> agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
        >>> observation = ArraySpec("observation", (4,), "float32")
        >>> action = ArraySpec("action", (), "int64", 0, 1)
        >>> from_network(agent._q_network, observation, action).model.count_params()
        58
    """
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

    own = getattr(network, "output_tensor_spec", None)
    own_spec = action if own is None else array_spec(_single(own), "action")
    name = source or type(network).__name__
    candidates = _candidates(network, observation, action, own_spec, normalizers, name)
    recurrent = bool(candidates[0].states)

    def act(leaves: list[Array]) -> Array:
        tensors = [tf.constant(leaf) for leaf in leaves]
        for index, layer in enumerate(normalizers or ()):
            tensors[index] = layer(tensors[index])
        step_type = tf.ones([len(leaves[0])], tf.int32)
        if recurrent:  # the rows are one episode
            tensors, step_type = [each[None] for each in tensors], step_type[None]
        given = network.input_tensor_spec
        packed = (
            pack_like(observation, tensors)
            if given is None
            else tf.nest.pack_sequence_as(given, tensors)
        )
        result, _ = network(packed, step_type=step_type, network_state=(), training=False)
        if hasattr(result, "mode"):
            modes = np.asarray(result.mode()) + _shift(action, own_spec)
            return modes[0] if recurrent else modes
        outputs = np.asarray(result)
        return candidates[0].head.action(outputs[0] if recurrent else outputs, action)

    leaves = _proof_observations(observation, None, candidates[0].normalizers)
    return _proved(candidates, act(leaves), leaves)


def normalizers_of(normalizer: Any) -> list[ObservationNormalizer] | None:
    """Returns TF-Agents' observation normaliser as layers."""
    if normalizer is None:
        return None
    from tfdrlprune._tf_agents import NORMALIZER_CLIP, NORMALIZER_EPSILON, normalizer_statistics

    dtypes = [spec.dtype for spec in tf.nest.flatten(normalizer._tensor_spec)]
    return [
        ObservationNormalizer(
            mean,
            variance,
            epsilon=NORMALIZER_EPSILON,
            clip=NORMALIZER_CLIP,
            keep_dtype=dtype.is_integer,
            name=f"observation_normalizer_{index}" if index else "observation_normalizer",
        )
        for index, ((mean, variance), dtype) in enumerate(
            zip(normalizer_statistics(normalizer), dtypes, strict=True)
        )
    ]


def _candidates(
    network: Any,
    nest: Nest,
    action: ArraySpec,
    own: ArraySpec,
    normalizers: list[ObservationNormalizer] | None,
    source: str,
    support: list[float] | None = None,
) -> list[Policy]:
    """Returns what the network may be as a policy: one, or a few of which one has to be proved."""
    from tfdrlprune.policies.model_network import ModelNetwork
    from tfdrlprune.policies.rebuild import functional
    from tfdrlprune.policies.steps import steps_of
    from tfdrlprune.policies.unrolling import state_spec

    _check_actions(action, own)
    if isinstance(network, ModelNetwork):
        head = network.head
        if head.kind == "argmax":
            head = Head.choosing(action)
        return [Policy(network.model_of(nest), head, nest, action, source, network.state_nest)]
    steps, squash = unsquashed(steps_of(network))
    if support is not None:
        steps = [*steps, ExpectedValue(support)]
    heads = [squash or _head(network, action, own)]
    if len(steps) > 1 and isinstance(steps[-1], tf.keras.layers.Lambda):
        # Python code that makes a distribution of the last layer's outputs. What it is about
        # cannot be read off it, but its mode can be compared.
        steps = steps[:-1]
        bounded = np.isfinite(_observations.bounds(own)).all()
        heads += [squash_head(own)] if heads[0].kind == "affine" and bounded else []
    model = functional(steps, nest, normalizers)
    state = state_spec(model)
    return [Policy(model, head, nest, action, source, state) for head in heads]


def _proved(candidates: list[Policy], expected: Array, leaves: list[Array]) -> Policy:
    """Returns the first policy that acts as expected; raises the first one's error without any."""
    errors = []
    for policy in candidates:
        try:
            prove(policy, expected, leaves, "The rebuilt policy")
        except ValueError as error:
            errors.append(error)
        else:
            return policy
    raise errors[0]


def _head(network: Any, action: ArraySpec, own: ArraySpec) -> Head:
    if np.dtype(own.dtype).kind in "iu":
        return Head.choosing(action)
    from tfdrlprune.policies.steps import has_projection, projection_of
    from tf_agents.agents.sac import tanh_normal_projection_network  # isort: skip
    from tf_agents.networks import normal_projection_network  # isort: skip

    if not has_projection(network):
        return Head("affine")
    projection = projection_of(network)
    if isinstance(projection, tanh_normal_projection_network.TanhNormalProjectionNetwork):
        return squash_head(array_spec(projection._sample_spec, "action"))
    transform = projection._mean_transform
    if projection._scale_distribution:
        if transform is None:
            return squash_head(array_spec(projection._sample_spec, "action"))
        raise ValueError(
            "NormalProjectionNetwork with scale_distribution=True and a mean_transform squashes "
            "twice and cannot be rebuilt. Give it mean_transform=None."
        )
    if transform is None:
        return Head("affine")
    if transform is not normal_projection_network.tanh_squash_to_spec:
        raise ValueError(
            "Of NormalProjectionNetwork's mean transforms, tanh_squash_to_spec and None can be "
            f"rebuilt. Received: {getattr(transform, '__name__', transform)!r}."
        )
    return squash_head(array_spec(projection._sample_spec, "action"))


def _check_actions(action: ArraySpec, own: ArraySpec) -> None:
    """Raises ValueError unless ``action`` is ``own``, shifted if it is discrete."""
    discrete = np.dtype(own.dtype).kind in "iu"

    def ends(spec: ArraySpec) -> Array:
        low, high = _observations.bounds(spec)
        return high - low if discrete else np.stack([low, high])

    if action.shape == own.shape and np.allclose(ends(action), ends(own), rtol=1e-6):
        return
    raise ValueError(
        f"The action spec that was given does not fit the agent's. Given: {action}. Agent's: {own}."
    )


def _shift(action: ArraySpec, own: ArraySpec) -> Array:
    """Returns what is added to the agent's action to make it the environment's, [*shape]."""
    if np.dtype(own.dtype).kind not in "iu":
        return np.zeros((), np.int64)
    lows = [_observations.bounds(each)[0].astype(np.int64) for each in (action, own)]
    return np.reshape(lows[0] - lows[1], action.shape)


def _single(spec: Any) -> Any:
    leaves = tf.nest.flatten(spec)
    if len(leaves) != 1:
        raise ValueError(f"A policy has one action. Received {len(leaves)}: {spec}.")
    return leaves[0]


def _proof_observations(
    nest: Nest, given: Any, normalizers: list[ObservationNormalizer] | None
) -> list[Array]:
    if given is not None:
        return _observations.as_batch(nest, given)[0]
    return draw(nest, normalizers, _PROOF_SIZE, seed=0)
