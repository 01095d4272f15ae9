"""Kernels of several stages side by side."""

import dataclasses

import numpy as np
from reports import DENSE, row

from tfdrlprune.evidence import layers
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.stored_kernels import Kernel


def kernel(layer, shape, nonzero):
    cells = np.ones((1, 1), np.int8)
    return Kernel(layer, "FULLY_CONNECTED", shape, nonzero, cells, cells.astype(np.uint8))


def report(*stages):
    rows = [
        row(name, DENSE, beside=DENSE if index else None, kernels=kernels)
        for index, (name, kernels) in enumerate(stages)
    ]
    return Report.of(rows, requested=stages[-1][0], env="CartPole-v1", seed=0)


FULL = (kernel("a", (10, 4), 40), kernel("b", (2, 10), 20))
HALF = (kernel("a", (10, 4), 20), kernel("b", (2, 10), 10))
THIN = (kernel("a", (5, 4), 20), kernel("b", (2, 5), 10))


def test_the_masked_stage_stands_between_the_dense_and_the_final_one():
    made = report(("dense", FULL), ("pruned", HALF), ("shrunk", THIN), ("int8", THIN))
    assert [stage.name for stage in layers.stages_of(made)] == ["dense", "pruned", "int8"]
    # What is small has no masks.
    distilled = report(("dense", FULL), ("distilled", THIN), ("int8", THIN))
    assert [stage.name for stage in layers.stages_of(distilled)] == ["dense", "int8"]
    assert [stage.name for stage in layers.stages_of(report(("dense", FULL)))] == ["dense"]


def test_what_is_left_counts_removed_units_and_zeros_alike():
    stages = layers.stages_of(report(("dense", FULL), ("pruned", HALF), ("int8", THIN)))
    first, second = layers.layers_of(stages)
    assert (first.name, second.name) == ("a", "b")
    assert [each.shape for each in first.kernels] == [(10, 4), (10, 4), (5, 4)]
    assert (first.left, second.left) == (20 / 40, 10 / 20)


def test_kernels_of_other_names_are_matched_in_order_if_there_are_as_many():
    other = tuple(dataclasses.replace(each, layer=f"{each.layer}_1") for each in THIN)
    stages = layers.stages_of(report(("dense", FULL), ("int8", other)))
    assert [layer.kernels[1] for layer in layers.layers_of(stages)] == list(other)


def test_a_layer_that_is_gone_has_nothing_left_and_two_of_a_name_are_told_apart():
    twice = (kernel("a", (4, 4), 16), kernel("a", (2, 4), 8))
    stages = layers.stages_of(report(("dense", twice), ("cut", twice[:1])))
    first, second = layers.layers_of(stages)
    assert (first.name, second.name) == ("a", "a (2)")
    assert (first.left, second.left) == (1.0, 0.0)
    assert second.kernels[1] is None
