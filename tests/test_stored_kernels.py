"""What is left of each kernel, and its picture, read from the file."""

import numpy as np
from artifacts import BALANCES, linear

from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence import stored_kernels
from tfdrlprune.evidence.stored_kernels import Kernel, kernels_in


def test_a_files_kernel_is_found_with_its_counts_and_its_picture(tmp_path):
    export(linear([*BALANCES[:3], 0.0]), tmp_path / "a")
    (kernel,) = kernels_in((tmp_path / "a" / "policy.tflite").read_bytes())
    assert (kernel.layer, kernel.shape, kernel.size, kernel.nonzero) == ("outputs", (2, 4), 8, 6)
    # Weights -0.1, -0.2, -1, 0 of the first output, and their opposites of the second.
    assert kernel.weights.tolist() == [[-13, -25, -127, 0], [13, 25, 127, 0]]
    assert kernel.kept.tolist() == [[255, 255, 255, 0]] * 2


def test_int8_has_the_same_picture_but_for_rounding(tmp_path):
    export(linear([*BALANCES[:3], 0.0]), tmp_path / "a", precision="int8")
    (kernel,) = kernels_in((tmp_path / "a" / "policy.tflite").read_bytes())
    assert kernel.nonzero == 6
    assert np.abs(kernel.weights[1].astype(int) - [13, 25, 127, 0]).max() <= 1


def test_a_cell_of_a_large_kernel_shows_its_largest_weight_and_the_share_that_is_left():
    values = np.zeros((192, 384))
    values[0, 0], values[1, 3], values[5, 7] = 1.0, -2.0, 1e-6
    weights, kept = stored_kernels._picture(values)
    assert weights.shape == kept.shape == (96, 96)  # of 2 x 4 weights each
    assert weights[0, 0] == -127
    assert kept[0, 0] == np.ceil(255 * 2 / 8)
    # Nearly nothing is not nothing.
    assert weights[2, 1] == 1
    assert np.count_nonzero(weights) == 2


def test_a_picture_lies_on_its_longer_side():
    tall = np.arange(12.0).reshape(6, 2)
    weights, _ = stored_kernels._picture(tall)
    assert weights.shape == (2, 6)
    assert weights[1, 5] == 127
    depthwise = np.ones((1, 3, 3, 20))
    assert stored_kernels._picture(depthwise)[0].shape == (9, 20)
    convolution = np.ones((8, 3, 3, 4))
    assert stored_kernels._picture(convolution)[0].shape == (8, 36)


def test_a_kernel_of_zeros_has_a_blank_picture():
    weights, kept = stored_kernels._picture(np.zeros((3, 5)))
    assert not weights.any()
    assert not kept.any()


def test_counts_go_through_json_and_back():
    weights, kept = stored_kernels._picture(np.eye(3))
    kernel = Kernel("dense", "FULLY_CONNECTED", (3, 3), 3, weights, kept)
    assert kernel.to_json() == {
        **{"layer": "dense", "kind": "FULLY_CONNECTED", "shape": [3, 3]},
        **{"weights": 9, "nonzero": 3},
    }
    again = Kernel.from_json(kernel.to_json(), weights, kept)
    assert again.to_json() == kernel.to_json()
