"""Layers that keep float32 in an int8 file: which are chosen, and that they keep it."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.deployment import artifact
from tfdrlprune.deployment.comparison import Comparison
from tfdrlprune.deployment.converter import convert, weighted_layers
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.float_layers import fewest_kept
from tfdrlprune.deployment.model_file import operations
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (200, 6)).astype("float32")


def compared(agreement, noise):
    def found(kept):
        empty = np.zeros((1, 1))
        return Comparison(
            1, True, agreement[kept], 0.0, 0.0, noise.get(kept, 1.0), outputs=empty, actions=empty
        )

    return found


def test_the_layer_that_helps_the_most_joins_until_it_is_enough():
    layers = ("a", "b", "c")
    agreement = {
        (): 0.5,
        **{("a",): 0.6, ("b",): 0.7, ("c",): 0.9},
        **{("a", "b"): 0.92, ("b", "c"): 0.97},
    }
    # By the error of the outputs, not by the share of equal actions, which has few steps.
    noise = {("b",): 0.2, ("c",): 0.3, ("b", "c"): 0.1}
    kept = fewest_kept(layers, compared(agreement, noise), 0.95)
    assert (kept.layers, kept.reached) == (("b", "c"), True)
    assert fewest_kept(layers, compared(agreement, noise), 0.5).layers == ()


def test_what_is_not_reached_is_said():
    agreement = {(): 0.1, ("a",): 0.2, ("b",): 0.3, ("a", "b"): 0.4}
    kept = fewest_kept(("a", "b"), compared(agreement, {("b",): 0.5}), 0.9)
    assert (kept.layers, kept.reached) == (("a", "b"), False)


def policy(actions=3):
    tf.keras.utils.set_random_seed(1)
    source = tf.keras.Input((6,), name="x")
    tensor = ObservationNormalizer(np.ones(6), np.ones(6), name="norm")(source)
    tensor = tf.keras.layers.Dense(40, "relu", name="first")(tensor)
    tensor = tf.keras.layers.Dense(40, "relu", name="second")(tensor)
    model = tf.keras.Model(source, tf.keras.layers.Dense(actions, name="outputs")(tensor))
    action = ArraySpec("action", (), "int64", 0, actions - 1)
    return Policy(model, Head("argmax"), ArraySpec("x", (6,), "float32"), action)


@pytest.mark.parametrize("kept", [(), ("first",), ("second", "outputs"), ("outputs",)], ids=str)
def test_kept_layers_hold_float32_and_the_others_int8(kept):
    made = policy()
    assert weighted_layers(made) == ["first", "second", "outputs"]
    file = operations(convert(made, "int8", [OBSERVATIONS], kept))
    kernels = [str(each.kernel.dtype) for each in file if each.kernel is not None]
    wanted = ["float32" if name in kept else "int8" for name in weighted_layers(made)]
    assert kernels == wanted


@pytest.mark.parametrize(
    ("precision", "kept", "message"),
    [
        ("int8", ("frist",), r"No layer to keep in float is named 'frist'\. Did you mean 'first'"),
        ("int8", ("norm",), "No layer to keep in float is named 'norm'"),
        ("float16", ("first",), "float_layers are for precision='int8'. Received: first"),
    ],
)
def test_what_cannot_be_kept_is_refused(precision, kept, message):
    with pytest.raises(ValueError, match=message):
        convert(policy(), precision, [OBSERVATIONS], kept)


@pytest.mark.slow
def test_an_agreement_is_reached_by_as_few_layers_as_needed(tmp_path):
    made = policy(actions=64)  # so many that some are near a tie
    plain = export(made, tmp_path / "int8", precision="int8", observations=OBSERVATIONS)
    assert plain.manifest.float_layers == ()
    better = export(
        made, tmp_path / "kept", precision="int8", agreement=1.0, observations=OBSERVATIONS
    )
    assert plain.comparison.agreement < better.comparison.agreement == 1.0
    kept = artifact.read(tmp_path / "kept").float_layers
    assert kept == better.manifest.float_layers
    assert 0 < len(kept) <= 3
    fewer = plain.comparison.agreement
    same = export(
        made, tmp_path / "same", precision="int8", agreement=fewer, observations=OBSERVATIONS
    )
    assert same.manifest.float_layers == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agreement": 0.9}, "precision='int8' alone"),
        ({"agreement": 1.5, "precision": "int8"}, r"agreement is a share in \(0, 1\]"),
        ({"agreement": "much", "precision": "int8"}, "agreement is a number"),
        ({"agreement": 0.9, "precision": "int8", "float_layers": ["first"]}, "int8' alone"),
        ({"float_layers": ["first"]}, "float_layers are for precision='int8'"),
    ],
)
def test_an_agreement_that_cannot_be_is_refused_and_nothing_is_written(
    arguments, message, tmp_path
):
    with pytest.raises(ValueError, match=message):
        export(policy(), tmp_path / "a", observations=OBSERVATIONS, **arguments)
    assert list(tmp_path.iterdir()) == []
