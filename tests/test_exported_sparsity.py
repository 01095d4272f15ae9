"""What a file's sparsity and parameters are counted as."""

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest
from builders import mlp
from exports import PRECISIONS, observations, pruned

from tfdrlprune.deployment import exporter
from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.model_file import operations


@pytest.mark.parametrize("precision", PRECISIONS)
def test_zeros_in_the_file_are_those_of_the_policy(tmp_path, precision):
    policy = pruned(mlp(sizes=(4, 32, 32), outputs=4))
    result = export(
        policy,
        tmp_path / "a",
        precision=precision,
        observations=observations(),
        requested_sparsity=0.75,
        recipe={"sparsity": 0.75},
    )
    kernels = [
        op.kernel
        for op in operations((tmp_path / "a" / "policy.tflite").read_bytes())
        if op.kernel is not None
    ]
    zeros, total = sum(int((k == 0).sum()) for k in kernels), sum(k.size for k in kernels)
    assert total == 4 * 32 + 32 * 32 + 32 * 4
    if precision == "float32":
        assert zeros == 0.75 * total
    assert zeros >= 0.75 * total
    assert result.manifest.sparsity.requested == 0.75
    assert result.manifest.sparsity.achieved == pytest.approx(zeros / total)
    parameters = result.manifest.parameters
    assert parameters.dense == total + 32 + 32 + 4
    if precision == "float32":
        assert parameters.total == parameters.dense
        assert parameters.nonzero == parameters.dense - zeros


def test_sparsity_counts_over_the_kernels_that_may_be_pruned(tmp_path):
    policy = mlp(sizes=(4, 32, 32), outputs=4)
    layer = policy.model.get_layer("hidden_1")
    kernel, bias = layer.get_weights()
    kernel[:, :16] = 0
    layer.set_weights([kernel, bias])
    result = export(policy, tmp_path / "a", prunable=["hidden_1"], requested_sparsity=0.5)
    assert result.manifest.sparsity.achieved == 0.5
    with pytest.raises(ValueError, match=r"Requested sparsity 0.5000, but 512 of 1280"):
        export(policy, tmp_path / "b", requested_sparsity=0.5)
    with pytest.raises(ValueError, match=r"No kernels of those names: \['hidden_9'\]"):
        export(policy, tmp_path / "b", prunable=["hidden_9"])
    assert not (tmp_path / "b").exists()


def test_unit_sparsity_is_the_fraction_of_parameters_that_are_gone(tmp_path):
    result = export(
        mlp(sizes=(4, 16, 8)),
        tmp_path / "a",
        recipe={"granularity": "unit"},
        dense_parameters=1000,
        requested_sparsity=0.7,
    )
    count = 4 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3
    assert result.manifest.parameters.dense == 1000
    assert result.manifest.parameters.total == count
    assert result.manifest.sparsity.achieved == pytest.approx(1 - count / 1000)


def test_tfmot_wrappers_are_stripped_with_their_masks(tmp_path):
    policy = mlp(sizes=(4, 32), outputs=4)
    keras = tfmot().sparsity.keras
    wrapped = keras.prune_low_magnitude(policy.model, keras.ConstantSparsity(0.5, 0, frequency=1))
    wrapped.compile("sgd", "mse")
    wrapped.fit(observations(), np.ones((300, 4)), verbose=0, callbacks=[keras.UpdatePruningStep()])
    masks = [layer.pruning_vars[0][1].numpy() for layer in wrapped.layers[1:]]
    assert [mask.mean() for mask in masks] == [0.5, 0.5]
    # After an optimizer step tfmot leaves the kernels dense until the next forward pass.
    for layer in wrapped.layers[1:]:
        kernel = layer.layer.kernel
        kernel.assign(tf.where(kernel == 0, 7.0, kernel))
    plain = exporter.stripped(wrapped)
    assert [type(layer).__name__ for layer in plain.layers] == ["InputLayer", "Dense", "Dense"]
    policy = policy.replace(model=plain)
    result = export(policy, tmp_path / "a", requested_sparsity=0.5)
    assert result.manifest.sparsity.achieved == 0.5
