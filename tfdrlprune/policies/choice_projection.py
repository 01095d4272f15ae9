"""The last layer of a PPO actor whose action is several numbers with unequal counts of values."""

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


class ChoiceProjectionNetwork(network.DistributionNetwork):
    """A categorical distribution for each number of an action, whose counts may differ.

    TF-Agents' CategoricalProjectionNetwork has the same count for all. Here the logits of all
    numbers come from one Dense layer, behind each other; what fills up the shorter rows of the
    distribution has no probability.

    Args:
        sample_spec: of the action: integers between bounds, from 0.
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
        choices = array_spec(sample_spec, "action").choices()
        shape = [*sample_spec.shape, max(choices.counts)]
        logits = tensor_spec.TensorSpec(shape, tf.float32, name=f"{name}_logits")
        output_spec = distribution_spec.DistributionSpec(
            tfp.distributions.Categorical,
            {"logits": logits},
            sample_spec=sample_spec,
            dtype=sample_spec.dtype,
        )
        super().__init__(input_tensor_spec=None, state_spec=(), output_spec=output_spec, name=name)
        self._choices, self._action_shape = choices, tuple(sample_spec.shape)
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
    """Returns TF-Agents' projection network of a discrete action, or ours where counts differ."""
    if array_spec(sample_spec, "action").choices().equal:
        return categorical_projection_network.CategoricalProjectionNetwork(sample_spec)
    return ChoiceProjectionNetwork(sample_spec)
