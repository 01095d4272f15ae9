"""The last layer of a PPO actor whose action is several numbers, each chosen by itself."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts

# isort: split
import tensorflow_probability as tfp
from tf_agents.networks import categorical_projection_network, network
from tf_agents.networks import utils as network_utils
from tf_agents.specs import distribution_spec, tensor_spec

from tfdrlprune.policies.score_rows import shaped_logits
from tfdrlprune.policies.tensor_specs import array_spec


class ChoiceDistribution(tfp.distributions.Independent):
    """A categorical distribution for each number of an action, and the action as one event.

    TF-Agents' PPO wants its distributions to have the action's shape as event shape, and to be made
    anew of their tensors.

    Args:
        logits: [..., *shape of the action, values].
        dtype: of the action.
        action_rank: of the action's shape.
        name: of the distribution.
    """

    def __init__(
        self,
        logits: Any,
        dtype: Any = tf.int64,
        action_rank: int = 1,
        name: str = "ChoiceDistribution",
    ):
        parameters = {"logits": logits, "dtype": dtype, "action_rank": action_rank, "name": name}
        numbers = tfp.distributions.Categorical(logits=logits, dtype=dtype)
        super().__init__(numbers, reinterpreted_batch_ndims=action_rank, name=name)
        self._parameters = self._no_dependency(parameters)  # as TFP's own subclasses do

    def logits_parameter(self) -> Any:
        """Returns the logits."""
        return self.distribution.logits_parameter()


class ChoiceProjectionNetwork(network.DistributionNetwork):
    """Gives a `ChoiceDistribution` whose numbers may have different counts of values.

    The logits of all numbers come from one Dense layer, behind each other. What fills up the
    shorter rows of the distribution has no probability.

    Args:
        sample_spec: of the action: integers between bounds, from 0, and no scalar.
        logits_init_output_factor: scale of the kernel's initial values.
        name: of the network.

    Attributes:
        layer: the Dense layer.
    """

    def __init__(
        self,
        sample_spec: Any,
        logits_init_output_factor: float = 0.1,
        name: str = "ChoiceProjectionNetwork",
    ):
        choices, shape = array_spec(sample_spec, "action").choices(), tuple(sample_spec.shape)
        logits = tensor_spec.TensorSpec([*shape, max(choices.counts)], tf.float32, f"{name}_logits")
        output_spec = distribution_spec.DistributionSpec(
            ChoiceDistribution,
            {"logits": logits},
            sample_spec=sample_spec,
            dtype=sample_spec.dtype,
            action_rank=len(shape),
        )
        super().__init__(input_tensor_spec=None, state_spec=(), output_spec=output_spec, name=name)
        self._choices, self._action_shape = choices, shape
        self.layer = tf.keras.layers.Dense(
            choices.total,
            kernel_initializer=tf.keras.initializers.VarianceScaling(logits_init_output_factor),
            name="logits",
        )

    def call(
        self, inputs: Any, outer_rank: int, training: bool = False, mask: Any = None
    ) -> tuple[Any, Any]:
        """Returns the distribution for features [outer..., n], and no state."""
        if mask is not None:
            raise ValueError(
                "A mask of allowed actions goes with one Discrete action. Received: a mask, and "
                f"{len(self._choices.counts)} numbers."
            )
        squash = network_utils.BatchSquash(outer_rank)
        scores = self.layer(tf.cast(squash.flatten(inputs), tf.float32), training=training)
        logits = squash.unflatten(shaped_logits(scores, self._choices, self._action_shape))
        return self.output_spec.build_distribution(logits=logits), ()


def projection(sample_spec: Any) -> Any:
    """Returns TF-Agents' projection network of one Discrete action, or ours of several numbers."""
    if sample_spec.shape.rank == 0:
        return categorical_projection_network.CategoricalProjectionNetwork(sample_spec)
    return ChoiceProjectionNetwork(sample_spec)
