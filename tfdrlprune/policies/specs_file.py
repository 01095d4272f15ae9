"""The specs that PolicySaver writes beside a SavedModel, read as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune.policies.tensor_specs import array_spec, observation_nest
from tfdrlprune.specs import ArraySpec, Nest

SPECS_FILE = "policy_specs.pbtxt"


def read_specs(folder: Path) -> tuple[Nest, ArraySpec] | None:
    """Returns the observation and action specs beside a SavedModel, or None without the file.

    The text of TensorFlow's StructuredValue, walked field by field. TensorFlow's own decoder makes
    objects of it, for which every type in the file must be known to this version.

    Raises:
        ValueError: the file is damaged, or has other than one action.
    """
    file = folder / SPECS_FILE
    if not file.is_file():
        return None
    from google.protobuf import text_format
    from tensorflow.core.protobuf import struct_pb2

    try:
        text = file.read_text(encoding="utf-8")
        parsed = text_format.Parse(text, struct_pb2.StructuredValue(), allow_unknown_field=True)
        trajectory = _value(parsed)["collect_data_spec"]
        observation, action = trajectory["observation"], trajectory["action"]
    except (text_format.ParseError, KeyError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0][:200]
        raise ValueError(
            f"{file} cannot be read: {reason}. Remove it, and give the environment (--env), or "
            "observation=... and action=..."
        ) from error
    actions = tf.nest.flatten(action)
    if len(actions) != 1:
        raise ValueError(f"A policy has one action. {file} has {len(actions)}.")
    return observation_nest(observation), array_spec(actions[0], "action")


def _value(node: Any) -> Any:
    """Returns a StructuredValue as dicts, tuples and specs; named tuples are dicts."""
    kind = node.WhichOneof("kind")
    if kind == "dict_value":
        return {key: _value(child) for key, child in node.dict_value.fields.items()}
    if kind == "named_tuple_value":
        return {pair.key: _value(pair.value) for pair in node.named_tuple_value.values}
    if kind in ("tuple_value", "list_value"):
        return tuple(_value(child) for child in getattr(node, kind).values)
    if kind == "tensor_spec_value":
        spec = node.tensor_spec_value
        return tf.TensorSpec(tf.TensorShape(spec.shape), tf.as_dtype(spec.dtype))
    if kind == "bounded_tensor_spec_value":
        spec = node.bounded_tensor_spec_value
        return _Bounded(
            tf.TensorShape(spec.shape),
            tf.as_dtype(spec.dtype),
            tf.make_ndarray(spec.minimum),
            tf.make_ndarray(spec.maximum),
        )
    return None  # what is no spec belongs to neither observation nor action


class _Bounded:
    """A spec with bounds, in the words of TF-Agents."""

    def __init__(self, shape: Any, dtype: Any, minimum: Any, maximum: Any):
        self.shape, self.dtype = shape, dtype
        self.minimum, self.maximum = np.asarray(minimum), np.asarray(maximum)
