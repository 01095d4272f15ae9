"""What precisions do: normalisers stay float, scores are centred. What TFLite lacks is named."""

from tfdrlprune._tf import tf

import numpy as np
import pytest
from builders import forward, mlp
from exports import BOX, SQUASHED, observations, pruned

from tfdrlprune import runtime
from tfdrlprune.deployment import converter
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_file import operations
from tfdrlprune.policies.normalizer import ObservationNormalizer


def test_the_normaliser_stays_float_in_int8(tmp_path):
    variance = np.array([1e-6, 1.0, 1e4, 2.0])
    normalizer = ObservationNormalizer(np.array([0.0, 1, 100, 0]), variance)
    policy = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer, sizes=(4, 32, 32))
    batch = (observations() * np.sqrt(variance) + [0, 1, 100, 0]).astype(np.float32)
    result = export(policy, tmp_path / "a", precision="int8", observations=batch)
    found = operations((tmp_path / "a" / "policy.tflite").read_bytes())
    first = next(index for index, op in enumerate(found) if op.kernel is not None)
    kinds = [op.kind for op in found]
    assert kinds[:first] == ["MUL", "ADD", "MINIMUM", "MAXIMUM", "QUANTIZE"]
    assert all(set(op.input_dtypes) == {"float32"} for op in found[:first])
    layers = [op for op in found if op.kernel is not None]
    assert [op.kernel.dtype.name for op in layers] == ["int8"] * 3
    after = found[kinds.index("DEQUANTIZE") + 1 :]
    assert [op.kind for op in after][:3] == ["TANH", "MUL", "ADD"]
    assert all(set(op.input_dtypes) == {"float32"} for op in after)
    # With the normaliser in int8 the first feature, a thousandth of the third, would be lost.
    assert result.comparison.action_deviation < 0.25


def test_scores_far_from_zero_survive_int8_because_they_are_centred(tmp_path):
    policy = mlp(sizes=(4, 32, 32))
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    batch = observations()
    common = np.random.default_rng(2).normal(size=(32, 1))
    balance = (forward(policy, batch) - bias).mean(axis=0)
    high = [0.05 * kernel + 0.2 * common, 80 - 0.05 * balance]
    layer.set_weights(high)
    wanted = forward(policy, batch)
    assert np.ptp(wanted, axis=1).mean() < 0.01 * wanted.mean()
    assert min(np.bincount(wanted.argmax(1), minlength=3)) > 20
    result = export(policy, tmp_path / "a", precision="int8", observations=batch)
    assert result.comparison.agreement > 0.9
    np.testing.assert_allclose(layer.get_weights()[1], high[1])
    uncentred = converter.convert(policy, "int8", [batch])
    raw = runtime.Policy(uncentred, result.manifest)
    assert np.mean(raw.action(batch) == wanted.argmax(1)) < 0.8


def test_centring_keeps_every_action_and_every_zero():
    policy = pruned(mlp(sizes=(4, 16, 12)), 0.4)
    layer = policy.model.get_layer("outputs")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + 50])
    batch = observations()
    same = converter.centred(policy, [batch])
    np.testing.assert_array_equal(same(batch), policy(batch))
    held = same.model.get_layer("outputs").get_weights()[0]
    np.testing.assert_array_equal(held[kernel == 0], 0)
    full = (kernel != 0).all(axis=1)
    assert full.any()
    assert not full.all()
    np.testing.assert_allclose(held[full].sum(axis=1), 0, atol=1e-6)
    np.testing.assert_array_equal(held[~full], kernel[~full])
    assert abs(same.outputs(batch).mean()) < 1e-4
    squashed = mlp(SQUASHED, BOX, outputs=2)
    assert converter.centred(squashed, [batch]) is squashed


def test_what_tflite_does_not_have_is_named():
    inputs = tf.keras.Input((4,), name="observation")
    outputs = tf.keras.layers.Activation(tf.math.bessel_i0e, name="outputs")(
        tf.keras.layers.Dense(3)(inputs)
    )
    policy = mlp().replace(model=tf.keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="cannot be converted to TFLite: TFLite has no BesselI0e"):
        converter.convert(policy, "float32", [observations()])


def test_the_converter_prints_nothing(capfd):
    converter.convert(mlp(), "int8", [observations()])
    assert capfd.readouterr() == ("", "")
