"""Keras models with random weights, given and drawn, and batches for them."""

from __future__ import annotations

from typing import Any

from tfdrlprune._tf import tf

import numpy as np
from hypothesis import strategies as st

L = tf.keras.layers


def randomized(model: Any, seed: int = 0) -> Any:
    """Returns the model with random weights, biases and statistics."""
    generator = np.random.default_rng(seed)
    for variable in model.variables:
        if "variance" in variable.name:
            variable.assign(generator.uniform(0.5, 2, variable.shape))
        else:
            variable.assign(generator.normal(size=variable.shape) * 0.5)
    return model


def chain(inputs: Any, *layers: Any, seed: int = 0) -> Any:
    """Returns the model that applies layers one after the other, with random weights."""
    tensor = inputs
    for layer in layers:
        tensor = layer(tensor)
    return randomized(tf.keras.Model(inputs, tensor), seed)


def batch_of(model: Any, count: int = 20) -> Any:
    """Returns random samples for the model's one input; sizes that it leaves open are 6."""
    shape = [6 if size is None else size for size in model.inputs[0].shape[1:]]
    return np.random.default_rng(7).normal(size=(count, *shape)).astype(np.float32)


def masked(model: Any, name: str, unit: int, gates: int = 1) -> Any:
    """Returns a batch, and a model's outputs on it with a unit of a layer closed by hand."""
    layer = model.get_layer(name)
    before = layer.get_weights()
    after = [weight.copy() for weight in before]
    for weight in after:
        weight[..., unit :: weight.shape[-1] // gates] = 0
    layer.set_weights(after)
    batch = batch_of(model)
    outputs = model(batch).numpy()
    layer.set_weights(before)
    return batch, outputs


ACTIVATIONS = st.sampled_from(["relu", "tanh", "sigmoid", "linear", "elu", "softplus"])


def architecture(draw: Any) -> Any:
    """Returns a drawn model of images, sequences or vectors."""
    kind = draw(st.sampled_from(["image", "sequence", "vector"]))
    width = st.integers(1, 5)
    if kind == "image":
        inputs = tf.keras.Input((6, 6, 2))
        x = inputs
        for _ in range(draw(st.integers(1, 3))):
            x = image_layer(draw, x, draw(width))
        x = draw(st.sampled_from([L.Flatten, L.GlobalAveragePooling2D, L.GlobalMaxPooling2D]))()(x)
    elif kind == "sequence":
        inputs = tf.keras.Input((5, 3))
        x = inputs
        for _ in range(draw(st.integers(1, 2))):
            cell = draw(st.sampled_from([L.LSTM, L.GRU, L.SimpleRNN]))
            x = cell(draw(width), return_sequences=True, use_bias=draw(st.booleans()))(x)
        x = draw(st.sampled_from([L.Flatten, L.GlobalAveragePooling1D]))()(x)
    else:
        inputs = tf.keras.Input((4,))
        x = inputs
    parts = [
        L.Dense(draw(width), draw(ACTIVATIONS), use_bias=draw(st.booleans()))(x)
        for _ in range(draw(st.integers(1, 3)))
    ]
    if len(parts) > 1 and draw(st.booleans()):
        size = parts[0].shape[-1]
        parts = [L.Dense(size, draw(ACTIVATIONS))(part) for part in parts]
        x = draw(st.sampled_from([L.Add, L.Multiply, L.Maximum]))()(parts)
    elif len(parts) > 1:
        x = L.Concatenate()(parts)
    else:
        x = parts[0]
    if draw(st.booleans()):
        x = L.BatchNormalization()(x)
    heads = [L.Dense(2)(x) for _ in range(draw(st.integers(1, 2)))]
    return randomized(tf.keras.Model(inputs, heads), draw(st.integers(0, 99)))


def image_layer(draw: Any, x: Any, width: int) -> Any:
    """Returns the output of a drawn layer or block of images."""
    kind = draw(st.sampled_from(["conv", "separable", "depthwise", "residual", "dense"]))
    padding, activation = draw(st.sampled_from(["same", "valid"])), draw(ACTIVATIONS)
    if kind == "conv":
        x = L.Conv2D(width, 2, padding=padding, activation=activation)(x)
    elif kind == "separable":
        x = L.SeparableConv2D(width, 2, padding=padding, depth_multiplier=draw(st.integers(1, 2)))(
            x
        )
    elif kind == "depthwise":
        x = L.DepthwiseConv2D(2, padding=padding, depth_multiplier=draw(st.integers(1, 2)))(x)
    elif kind == "dense":
        x = L.Dense(width, activation)(x)
    else:
        x = L.Conv2D(width, 1)(x)
        y = L.Conv2D(width, 3, padding="same", activation=activation)(L.BatchNormalization()(x))
        x = L.Add()([x, y])
    return L.BatchNormalization()(x) if draw(st.booleans()) else x
