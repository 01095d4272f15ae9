"""Which weights go together: worked by hand, and held against tfmot where it does the same."""

from __future__ import annotations

from tfdrlprune._tf import tf, tfmot

import numpy as np
import pytest

from tfdrlprune.pruning.granularity import blocks, units
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.selector import Selector
from tfdrlprune.recipe import Selection
from tfdrlprune.recipe.forms import parse_granularity


def masks(kernels, sparsity, previous=None, **selection):
    """Returns what `Selector` chooses for arrays or kernels."""
    made = [
        each if isinstance(each, Kernel) else Kernel(f"k{index}", np.asarray(each, float))
        for index, each in enumerate(kernels)
    ]
    values = [np.asarray(kernel.variable) for kernel in made]
    previous = previous or [np.ones(value.shape, np.float32) for value in values]
    selector = Selector(made, Selection(**{"distribution": "uniform"} | selection), None, 0)
    return selector.masks(values, sparsity, previous)


def tfmot_mask(weights, sparsity, step=0, layer=None, **options):
    """Returns the mask of tfmot's wrapper; its N:M is chosen at step 1 only."""
    keras = tfmot().sparsity.keras
    inputs = weights.shape[:1] if weights.ndim == 2 else (9, 9, weights.shape[2])
    layer = layer or tf.keras.layers.Dense(weights.shape[1], use_bias=False)
    constant = keras.ConstantSparsity(sparsity, 0, frequency=1)
    wrapper = keras.prune_low_magnitude(layer, constant, **options)
    model = tf.keras.Sequential([tf.keras.Input(inputs), wrapper])
    wrapper.layer.kernel.assign(weights)
    wrapper.pruning_step.assign(step)
    wrapper.pruning_obj.conditional_mask_update()
    assert model.count_params() > 0
    return wrapper.pruning_vars[0][1].numpy()


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# Three blocks of 2 x 2, with the mean, root mean square and maximum
#      2, 4, 8          5, 5, 5     4.5, 5.2, 9
BLOCKS = [[0.0, 0.0, 5.0, -5.0, 3.0, 3.0], [0.0, -8.0, 5.0, 5.0, 3.0, 9.0]]


@pytest.mark.parametrize(
    ("score", "one", "two"), [("mean", "011", "010"), ("l2", "011", "001"), ("max", "101", "001")]
)
def test_a_block_goes_by_the_score_of_its_weights(score, one, two):
    for sparsity, wanted in ((1 / 3, one), (2 / 3, two)):
        (mask,) = masks([BLOCKS], sparsity, granularity="block:2x2", group_score=score)
        row = np.repeat([int(bit) for bit in wanted], 2)
        np.testing.assert_array_equal(mask, [row, row])


def test_blocks_lie_along_inputs_or_outputs():
    weights = [[1, 2, 9, 9], [1, 9, 9, 9]]
    (along_outputs,) = masks([weights], 0.25, granularity="block:1x2")
    np.testing.assert_array_equal(along_outputs, [[0, 0, 1, 1], [1, 1, 1, 1]])
    (along_inputs,) = masks([weights], 0.25, granularity="block:2x1")
    np.testing.assert_array_equal(along_inputs, [[0, 1, 1, 1], [0, 1, 1, 1]])


def test_blocks_at_the_edges_are_smaller_and_compare_by_their_mean():
    # 3 x 3 in blocks of 2 x 2: means 4, 2 (two weights), 3 (two), 1 (one).
    weights = [[4, 4, 2], [4, 4, 2], [3, 3, 1]]
    (mask,) = masks([weights], 3 / 9, granularity="block:2x2")
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 1, 0], [1, 1, 0]])
    # 4 of 9 cannot go: 3 or 5 can, both as near, and then more goes.
    (mask,) = masks([weights], 4 / 9, granularity="block:2x2")
    np.testing.assert_array_equal(mask, [[1, 1, 0], [1, 1, 0], [0, 0, 0]])


def test_the_window_and_channels_of_a_convolution_are_its_inputs():
    # Matrix of 4 inputs (height 2, 2 channels) and 2 outputs.
    weights = np.array([[1, 9], [1, 9], [9, 9], [9, 9]], float).reshape(2, 1, 2, 2)
    (mask,) = masks([weights], 0.25, granularity="block:2x1")
    np.testing.assert_array_equal(mask.reshape(4, 2), [[0, 1], [0, 1], [1, 1], [1, 1]])


def test_n_m_keeps_the_highest_of_consecutive_inputs():
    weights = [[1, 8], [5, -7], [-2, 6], [4, 5], [3, 1], [2, 2], [1, 3], [0, 4]]
    (mask,) = masks([weights], 0.5, granularity="2:4")
    np.testing.assert_array_equal(
        mask, [[0, 1], [1, 1], [0, 0], [1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    )
    (mask,) = masks([weights], 0.75, granularity="1:4")
    np.testing.assert_array_equal(
        mask, [[0, 1], [1, 0], [0, 0], [0, 0], [1, 0], [0, 0], [0, 0], [0, 1]]
    )


def test_n_m_keeps_n_of_fewer_inputs_at_the_end_too():
    (mask,) = masks([[[1], [2], [3], [4], [7], [5], [6]]], 0.5, granularity="2:4")
    np.testing.assert_array_equal(mask[:, 0], [0, 0, 1, 1, 1, 0, 1])
    (mask,) = masks([[[1], [2], [3], [4], [7]]], 0.5, granularity="2:4")
    np.testing.assert_array_equal(mask[:, 0], [0, 0, 1, 1, 1])


def test_n_m_grows_by_what_its_pattern_removes_in_the_end():
    weights = normal(16, 6)
    (final,) = masks([weights], 0.5, granularity="2:4")
    last = np.ones_like(weights)
    for sparsity in (0.1, 0.3, 0.45, 0.5):
        (mask,) = masks([weights * last], sparsity, [last], granularity="2:4")
        assert (mask == 0).sum() == round(sparsity * 96)
        assert (mask >= final).all()
        assert (mask <= last).all()
        last = mask
    np.testing.assert_array_equal(last, final)
    # The lowest of those go first: not the lowest of all, of which the pattern keeps some.
    (mask,) = masks([[[1], [2], [3], [4], [9], [8], [7], [6]]], 3 / 8, granularity="2:4")
    np.testing.assert_array_equal(mask[:, 0], [0, 0, 1, 1, 1, 1, 1, 0])


def test_n_m_cannot_remove_more_than_its_pattern():
    with pytest.raises(ValueError, match=r"Received: sparsity=0.6. Write sparsity=0.5"):
        masks([normal(8, 2)], 0.6, granularity="2:4")


def test_a_unit_is_a_column():
    (mask,) = masks([[[1, -3, 2], [1, 3, 2]]], 1 / 3, granularity="unit")
    np.testing.assert_array_equal(mask, [[0, 1, 1], [0, 1, 1]])
    filters = np.array([[9, 1], [9, 1], [9, 1]], float).reshape(3, 1, 1, 2)
    (mask,) = masks([filters], 0.5, granularity="unit")
    np.testing.assert_array_equal(mask.reshape(3, 2), [[1, 0]] * 3)


def test_a_depthwise_filter_is_a_unit():
    # [height 2, width 1, channels 2, multiplier 2]: the filters' means are 4, 1, 2, 3.
    weights = np.array([[4, 1, 2, 3], [4, 1, 2, 3]], float).reshape(2, 1, 2, 2)
    kernel = Kernel("k/depthwise_kernel", weights, "k", "depthwise_kernel", output_axes=(-2, -1))
    (mask,) = masks([kernel], 0.5, granularity="unit")
    np.testing.assert_array_equal(mask.reshape(2, 4), [[1, 0, 0, 1]] * 2)


@pytest.mark.parametrize("gates", [4, 3, 1])
def test_a_recurrent_unit_is_its_column_in_every_gate_of_both_kernels(gates):
    # Of three units the second is small in all gates but one, in the recurrent kernel above all.
    inputs, recurrent = np.full((2, 3 * gates), 5.0), np.full((3, 3 * gates), 5.0)
    inputs[:, 1::3], recurrent[:, 1::3] = 4.0, 1.0
    inputs[0, 1] = 9.0
    kernels = [
        Kernel("cell", inputs, "cell", "kernel", gates),
        Kernel("cell/recurrent_kernel", recurrent, "cell", "recurrent_kernel", gates),
    ]
    for mask, rows in zip(masks(kernels, 1 / 3, granularity="unit"), (2, 3), strict=True):
        np.testing.assert_array_equal(mask, [[1, 0, 1] * gates] * rows)


def test_a_keras_lstm_without_its_removed_unit_computes_the_same():
    tf.keras.utils.set_random_seed(0)
    cell = tf.keras.layers.LSTMCell(4, use_bias=False)
    cell.build((None, 3))
    kernels = [
        Kernel("c", cell.kernel, "c", "kernel", 4),
        Kernel("c/recurrent_kernel", cell.recurrent_kernel, "c", "recurrent_kernel", 4),
    ]
    both = masks(kernels, 0.25, granularity="unit")
    for kernel, mask in zip(kernels, both, strict=True):
        kernel.variable.assign(kernel.variable * mask)
    gone = np.flatnonzero((both[0][:, :4] == 0).all(axis=0))
    assert len(gone) == 1
    # All its gates are sigmoid(0) and tanh(0): the unit's state halves from 0, so stays 0.
    state = [tf.zeros((2, 4))] * 2
    for _ in range(3):
        output, state = cell(tf.constant(normal(2, 3)), state)
    assert (output.numpy()[:, gone] == 0).all()
    assert (np.delete(output.numpy(), gone, axis=1) != 0).all()


def test_groups_cover_every_weight_once():
    assert blocks(5, 7, parse_granularity("block:2x3")).sizes.tolist() == [6, 6, 2] * 2 + [3, 3, 1]
    assert units(3, 8, gates=4).sizes.tolist() == [12, 12]


def test_elements_are_tfmots_where_no_scores_tie():
    # tfmot rounds what stays, and of equal weights keeps all that reach the threshold.
    weights = normal(8, 6)
    (mask,) = masks([weights], 0.75)
    np.testing.assert_array_equal(mask, tfmot_mask(weights, 0.75))


@pytest.mark.parametrize(("score", "pooling"), [("mean", "AVG"), ("max", "MAX")])
@pytest.mark.parametrize("block", [(4, 1), (1, 16), (4, 4), (2, 8)])
def test_blocks_are_tfmots(block, score, pooling):
    weights = normal(16, 32)
    granularity = f"block:{block[0]}x{block[1]}"
    (mask,) = masks([weights], 0.75, granularity=granularity, group_score=score)
    theirs = tfmot_mask(weights, 0.75, block_size=block, block_pooling_type=pooling)
    np.testing.assert_array_equal(mask, theirs)


def test_at_the_edges_tfmot_counts_blocks_and_we_count_weights():
    # Blocks of 4, 4 and 2 weights, in two rows; the small ones have the smallest mean.
    weights = np.array([[5, 5, 4, 4, 1]] * 4, "float32")
    theirs = tfmot_mask(weights, 1 / 3, block_size=(2, 2))
    np.testing.assert_array_equal(theirs, [[1, 1, 1, 1, 0]] * 4)  # two blocks of six: 20 %
    (mask,) = masks([weights], 0.6, granularity="block:2x2")
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0, 0]] * 4)
    np.testing.assert_array_equal(mask, tfmot_mask(weights, 2 / 3, block_size=(2, 2)))


@pytest.mark.parametrize(("kept", "of"), [(2, 4), (1, 4), (3, 8)])
@pytest.mark.parametrize("inputs", [16, 17, 18, 19, 21])
def test_n_m_is_tfmots_m_by_n_which_names_what_goes(kept, of, inputs):
    weights = normal(inputs, 5)
    sparsity = 1 - kept / of
    (mask,) = masks([weights], sparsity, granularity=f"{kept}:{of}")
    theirs = tfmot_mask(weights, sparsity, step=1, sparsity_m_by_n=(of - kept, of))
    np.testing.assert_array_equal(mask, theirs)


def test_n_m_of_a_convolution_is_tfmots_where_m_divides_the_channels():
    weights = normal(3, 3, 8, 6)
    (mask,) = masks([weights], 0.5, granularity="2:4")
    layer = tf.keras.layers.Conv2D(6, 3, use_bias=False)
    theirs = tfmot_mask(weights, 0.5, step=1, layer=layer, sparsity_m_by_n=(2, 4))
    np.testing.assert_array_equal(mask, theirs)


def test_of_equal_weights_tfmots_n_m_keeps_the_first_and_ours_the_last():
    weights = np.ones((4, 1), "float32")
    (mask,) = masks([weights], 0.5, granularity="2:4")
    np.testing.assert_array_equal(mask[:, 0], [0, 0, 1, 1])
    theirs = tfmot_mask(weights, 0.5, step=1, sparsity_m_by_n=(2, 4))
    np.testing.assert_array_equal(theirs[:, 0], [1, 1, 0, 0])


@pytest.mark.parametrize("granularity", ["element", "block:2x2", "2:4", "unit"])
def test_a_score_that_is_not_finite_is_refused(granularity):
    weights = np.ones((4, 4))
    weights[1, 2] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        masks([weights], 0.5, granularity=granularity)
