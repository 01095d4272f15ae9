from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.deployment import counting
from tfdrlprune.deployment.converter import convert
from tfdrlprune.deployment.counting import check_requested
from tfdrlprune.deployment.model_file import operations
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head


@pytest.mark.parametrize("zeros", [80, 79, 78, 100])
def test_the_requested_zeros_may_miss_one_a_kernel_and_may_be_exceeded(zeros):
    check_requested(zeros, total=100, requested=0.8, kernels=2)


def test_lost_zeros_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"0\.8000, but 77 of 100 weights"):
        check_requested(77, total=100, requested=0.8, kernels=2)


def normalised_policy(zeros):
    source = tf.keras.Input((6,), name="x")
    tensor = tf.keras.layers.Dense(16, name="first")(source)
    tensor = tf.keras.layers.LayerNormalization(name="norm")(tensor)
    tensor = tf.keras.layers.Dense(12, name="second")(tensor)
    tensor = tf.keras.layers.Activation("relu")(tensor)
    tensor = tf.keras.layers.BatchNormalization(name="batch")(tensor)
    model = tf.keras.Model(source, tf.keras.layers.Dense(3, name="outputs")(tensor))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        value = rng.normal(size=weight.shape)
        if weight.shape.rank == 2:
            value[rng.random(weight.shape) < zeros] = 0.0
        weight.assign(np.abs(value) if "variance" in weight.name else value)
    action = ArraySpec("action", (), "int64", 0, 2)
    return Policy(model, Head("argmax"), ArraySpec("x", (6,), "float32"), action)


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_factors_of_a_normalisation_before_a_layer_are_no_other_kernel(precision):
    policy = normalised_policy(zeros=0.5)
    x = np.random.default_rng(1).normal(size=(100, 6)).astype("float32")
    kernels = [layer.kernel.numpy() for layer in policy.model.layers if hasattr(layer, "kernel")]
    wanted = sum(int((kernel == 0).sum()) for kernel in kernels)
    stored = operations(convert(policy, precision, [x]))
    zeros, total = counting.zeros_kept(policy, stored, precision, None)
    assert total == sum(kernel.size for kernel in kernels)
    # int8 rounds small weights to further zeros.
    assert wanted <= zeros <= (wanted + total // 10 if precision == "int8" else wanted)


def test_another_kernel_of_the_same_size_is_not_taken_for_one():
    policy, other = normalised_policy(0.0), normalised_policy(0.0)
    layer = other.model.get_layer("second")
    layer.set_weights([np.random.default_rng(9).normal(size=(16, 12)), layer.bias.numpy()])
    stored = operations(convert(other, "float32", [np.zeros((4, 6), "float32")]))
    with pytest.raises(ValueError, match=r"kernel of 'second'.* is not in the converted model"):
        counting.zeros_kept(policy, stored, "float32", None)
