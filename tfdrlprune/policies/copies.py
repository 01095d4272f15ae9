"""A policy of its own: the same layers and weights, shared with nothing."""

from __future__ import annotations

from tfdrlprune._tf import tf

from tfdrlprune.policies.form import Policy


def copy_of(policy: Policy) -> Policy:
    """Returns the policy with a model of its own."""
    model = tf.keras.models.clone_model(policy.model)
    model.set_weights(policy.model.get_weights())
    return policy.replace(model=model)
