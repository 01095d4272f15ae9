"""Recurrent layers step by step, as a converter wants them."""

from __future__ import annotations

from typing import Any

from tfdrlprune.policies.form import Policy

_RECURRENT = ("GRU", "LSTM", "SimpleRNN", "GatedGRU", "GatedLSTM", "GatedSimpleRNN")


def unrolled(policy: Policy) -> Policy:
    """Returns the policy with its recurrent layers unrolled; itself where there are none.

    TFLite makes one operation of an LSTM layer, which keeps its state from one call to the next, so
    that an action would depend on earlier observations; of others it makes loops over graphs of
    their own, which its quantizer does not survive. Step by step they are products, sums and curves
    as all the rest, and the steps share their weights.
    """
    config = policy.model.get_config()
    if not _unroll(config):
        return policy
    model = type(policy.model).from_config(config)
    model.set_weights(policy.model.get_weights())
    return policy.replace(model=model)


def _unroll(config: Any) -> bool:
    """Sets ``unroll`` on every recurrent layer in a model's config; tells whether there are any."""
    found = False
    children: Any = config if isinstance(config, (list, tuple)) else ()
    if isinstance(config, dict):
        if config.get("class_name") in _RECURRENT:
            config["config"]["unroll"] = True
            found = True
        children = config.values()
    for child in children:
        found = _unroll(child) or found
    return found
