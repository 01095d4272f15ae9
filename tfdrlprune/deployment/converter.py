"""A policy as the bytes of a ``.tflite`` file, in one of five precisions."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any

from tfdrlprune._tf import tf

import numpy as np

from tfdrlprune._console import silent
from tfdrlprune.deployment.artifact import PRECISIONS, signature_names
from tfdrlprune.deployment.saturation import limited
from tfdrlprune.deployment.trimming import trimmed
from tfdrlprune.deployment.vectors import spread
from tfdrlprune.policies.copies import copy_of
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.head_ops import head_in_graph
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.recipe.checks import did_you_mean
from tfdrlprune.specs import Array, flatten

# More observations than this change the ranges little and the time a lot.
_CALIBRATION_SIZE = 500
# What TFLite can give out; the runtime turns it into the environment's own dtype.
_OUTPUT_DTYPES = ("float32", "int32", "int64")


def convert(
    policy: Policy, precision: str, observations: list[Array], float_layers: Collection[str] = ()
) -> bytes:
    """Returns a TFLite model of the policy: observation leaves in, ``action`` and ``outputs`` out.

    A recurrent one takes its state's leaves, too, and gives ``next_`` and their names.

    Inputs and outputs stay float (or what the specs say) in every precision. In int8 only the
    network is quantized: the normaliser, whose constants span many magnitudes, and the head keep
    float32. For an argmax head the network should be `centred` before.

    Args:
        policy: without wrappers.
        precision: one of ``artifact.PRECISIONS``.
        observations: leaves [batch, *shape], in the order of the specs; they set the ranges of
            int8 and int16x8.
        float_layers: names of layers that keep float32 in int8.

    Raises:
        ValueError: an unknown precision or layer, layers to keep in another precision than int8,
            or an operation that TFLite does not have; names it.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(PRECISIONS)}. Received: precision={precision!r}."
        )
    _check_float_layers(policy, precision, float_layers)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_graph(policy)], policy.model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in ("int8", "int16x8"):
        converter.representative_dataset = _representative(policy, observations)
    if precision == "int16x8":
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
    try:
        with silent():
            if precision == "int8":
                return trimmed(_quantize_core(converter, policy, float_layers))
            return trimmed(converter.convert())
    except Exception as error:  # the converter raises several kinds of its own
        ops = sorted(set(re.findall(r"\btf\.([A-Z]\w+)", str(error))))
        reason = f"TFLite has no {', '.join(ops)}" if ops else _last_line(error)
        raise ValueError(f"The policy cannot be converted to TFLite: {reason}.") from error


def _graph(policy: Policy) -> Any:
    """Returns the policy for a batch of one as a concrete function with named inputs."""
    specs = [*flatten(policy.observation_spec), *policy.states]
    names = _input_names(policy)
    action_spec = policy.action_spec
    if action_spec.dtype not in _OUTPUT_DTYPES:
        floats = np.dtype(action_spec.dtype).kind == "f"
        action_spec = replace(action_spec, dtype="float32" if floats else "int64")

    def greedy(**leaves: Any) -> dict[str, Any]:
        inputs = [leaves[name] for name in names]
        outputs = policy.model(inputs if len(inputs) > 1 else inputs[0], training=False)
        outputs, *following = tf.nest.flatten(outputs)
        action = head_in_graph(policy.head, outputs, action_spec)
        result = {"action": action, "outputs": outputs}
        for spec, state in zip(policy.states, following, strict=True):
            result[f"next_{spec.name}"] = state
        return result

    signature = {
        name: tf.TensorSpec([1, *spec.shape], spec.dtype, name=name)
        for name, spec in zip(names, specs, strict=True)
    }
    return tf.function(greedy, autograph=False).get_concrete_function(**signature)


def _input_names(policy: Policy) -> list[str]:
    return [*signature_names(policy.observation_spec), *signature_names(tuple(policy.states))]


def _representative(
    policy: Policy, observations: list[Array]
) -> Callable[[], Iterator[dict[str, Array]]]:
    names = _input_names(policy)
    rows = spread(len(observations[0]), _CALIBRATION_SIZE)
    # A state is what the observation before has left.
    _, states = policy.sequence(observations)
    before = [np.concatenate([np.zeros_like(each[:1]), each[:-1]]) for each in states]
    observations = [*observations, *before]

    def samples() -> Iterator[dict[str, Array]]:
        for row in rows:
            yield {
                name: leaf[row : row + 1] for name, leaf in zip(names, observations, strict=True)
            }

    return samples


def weighted_layers(policy: Policy) -> list[str]:
    """Returns the names of the layers that have weights to quantize, in the model's order."""
    return [
        layer.name
        for layer in policy.model.layers
        if layer.weights and not isinstance(layer, ObservationNormalizer)
    ]


def _check_float_layers(policy: Policy, precision: str, names: Collection[str]) -> None:
    if names and precision != "int8":
        raise ValueError(
            f"float_layers are for precision='int8'. Received: {', '.join(names)} with "
            f"precision={precision!r}."
        )
    known = weighted_layers(policy)
    for name in names:
        if name not in known:
            raise ValueError(
                f"No layer to keep in float is named {name!r}.{did_you_mean(name, known)} "
                f"Layers: {', '.join(known)}."
            )


def _quantize_core(converter: Any, policy: Policy, float_layers: Collection[str]) -> bytes:
    """Returns the int8 model in which only what stands between normaliser and head is quantized."""
    # Private in TensorFlow 2.21: the public QuantizationDebugger takes the same two steps, but
    # refuses a network in which nothing is left to debug.
    from tensorflow.lite.python.convert import mlir_quantize

    converter._experimental_calibrate_only = True
    calibrated = converter.convert()
    outside = _outside_core(calibrated, policy, float_layers)
    result: bytes = mlir_quantize(limited(calibrated), denylisted_nodes=outside)
    return result


def _outside_core(model: bytes, policy: Policy, float_layers: Collection[str]) -> list[str]:
    """Returns the tensors that normalisers and some layers make, and those behind the outputs."""
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    graph = parsed.subgraphs[0]
    signature = {item.name.decode(): item.tensorIndex for item in parsed.signatureDefs[0].outputs}
    core, pending = set(), [signature["outputs"]]
    makers = {index: op for op in graph.operators for index in op.outputs}
    while pending:
        index = pending.pop()
        if index in makers and index not in core:
            core.add(index)
            pending.extend(makers[index].inputs)
    normalizers = [
        layer.name for layer in policy.model.layers if isinstance(layer, ObservationNormalizer)
    ]
    kept = [f"/{name}/" for name in (*normalizers, *float_layers)]
    names = {index: graph.tensors[index].name.decode() for index in makers}
    # What makes the outputs bears the name of the signature's output, not of its layer.
    last = signature["outputs"] if "outputs" in float_layers else None
    return [
        name
        for index, name in names.items()
        if index not in core or index == last or any(part in f"/{name}" for part in kept)
    ]


def centred(policy: Policy, observations: list[Array]) -> Policy:
    """Returns a policy with the same argmax whose scores spread around zero, for quantization.

    Q-values near 100 that differ by 0.3 between actions are one and the same number in int8. What
    all actions have in common decides nothing, so it is taken out of the last layer: the mean
    over actions of every kernel row without zeros (a row with pruned weights keeps them), and
    from the bias what is then left on average over the observations. Of an action of several
    numbers, each for itself.

    Returns:
        The policy itself where the head is no argmax or the last layer is not a linear Dense.
    """
    last = policy.model.get_layer("outputs")
    linear = isinstance(last, tf.keras.layers.Dense) and last.use_bias
    if policy.head.kind != "argmax" or not linear or last.activation.__name__ != "linear":
        return policy
    result = copy_of(policy)
    layer = result.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    choices = policy.action_spec.choices()
    full = choices.means(kernel != 0) == 1
    kernel = kernel - np.where(full, choices.means(kernel), 0)
    layer.set_weights([kernel.astype(np.float32), bias])
    left = choices.means(result.batch_outputs(observations).mean(axis=0))
    layer.set_weights([kernel.astype(np.float32), (bias - left).astype(np.float32)])
    return result


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200].rstrip(".")
