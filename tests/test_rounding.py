"""Quantization-aware distillation: what rounds, what stays, and that int8 is better for it."""

import dataclasses

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.distillation import DistillationSettings
from tfdrlprune.compression.rounding import rounded
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
X = np.random.default_rng(0).normal(size=(2_000, 6)).astype("float32")


def policy(layers=(L.Dense, L.Dense), seed=0):
    tf.keras.utils.set_random_seed(seed)
    source = tensor = tf.keras.Input((6,), name="observation")
    for kind in layers:
        tensor = kind(16, activation="relu")(tensor)
    outputs = L.Dense(2, name="outputs")(tensor)
    return Policy(
        tf.keras.Model(source, outputs),
        Head("affine"),
        ArraySpec("observation", (6,), "float32"),
        ArraySpec("action", (2,), "float32"),
    )


def harsh(made):
    """Gives a layer inputs of very different sizes, which eight bits hold badly."""
    sizes = np.array([200.0] * 4 + [1.0] * 12, "float32")
    first, second = made.model.layers[1:3]
    first.set_weights([each * sizes for each in first.get_weights()])
    kernel, bias = second.get_weights()
    second.set_weights([kernel / sizes[:, None], bias])
    return made


def made_by(teacher, student, **settings):
    chosen = dataclasses.replace(DistillationSettings(rounds=4, steps=100), **settings)
    classroom = Classroom(teacher, None, X, chosen, 0, lambda *_: None)
    recipe = tp.Recipe(precision="int8", qat=True, sparsity=0.5)
    return rounded(Candidate(recipe, (("pruned", student),), None, 0.0), classroom)


def error(small, teacher, folder):
    export(small, folder, precision="int8", observations=X)
    theirs = runtime.load(folder).outputs(X)
    return float(np.mean((theirs - teacher.batch_outputs([X])) ** 2))


def test_the_file_is_nearer_to_the_teacher_and_zeros_stay(tmp_path):
    teacher, student = harsh(policy()), harsh(policy())
    kernel = student.model.layers[2].kernel
    kernel.assign(np.where(np.abs(kernel.numpy()) < 0.002, 0.0, kernel.numpy()))
    before = student.model.get_weights()
    found = made_by(teacher, student)
    assert [name for name, _ in found.stages] == ["pruned", "quantization_aware"]
    for ours, theirs in zip(before, student.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    kept = found.policy.model.layers[2].kernel.numpy()
    assert np.mean(kept == 0) > 0.1
    np.testing.assert_array_equal(kept == 0, kernel.numpy() == 0)
    assert error(found.policy, teacher, tmp_path / "b") < 0.5 * error(
        student, teacher, tmp_path / "a"
    )


def test_what_comes_back_is_plain():
    teacher = policy()
    small = made_by(teacher, policy(seed=1), rounds=1, steps=5).policy
    assert all(kernel.variable.constraint is None for kernel in find_kernels(small.model))
    weights = small.model.get_weights()
    hidden = X
    for kernel, bias in (weights[:2], weights[2:4]):
        hidden = np.maximum(hidden @ kernel + bias, 0)
    np.testing.assert_allclose(
        small.batch_outputs([X]), hidden @ weights[4] + weights[5], atol=1e-5
    )


def test_a_policy_without_a_layer_that_rounds_is_refused():
    class Own(L.Dense):
        pass

    teacher = policy((Own,))
    last = teacher.model.get_layer("outputs")
    last.__class__ = Own
    with pytest.raises(ValueError, match=r"none of which that is known.*Write qat=False"):
        made_by(teacher, teacher)


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int16x8"])
def test_qat_is_for_int8(precision):
    with pytest.raises(ValueError, match=rf"round as int8.*precision='{precision}'"):
        tp.Recipe(precision=precision, qat=True).check_compress()
