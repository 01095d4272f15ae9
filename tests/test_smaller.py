"""Models drawn at random: what is left of them is what was said, and does the same."""

from __future__ import annotations

from tfdrlprune._tf import tf

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras_models import architecture, batch_of

from tfdrlprune.structure.graph import groups_of
from tfdrlprune.structure.shrink import shrink


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data(), st.integers(0, 99))
def test_any_model_shrinks_to_what_was_said(data, seed):
    model = architecture(data.draw)  # here, as Keras draws seeds of its own for initialisers
    generator = np.random.default_rng(seed)
    graph = groups_of(model)
    remove = {}
    for group in graph.groups:
        free = np.flatnonzero(group.free & (generator.random(len(group.units)) < 0.5))
        remove[group.name] = free
        for units in (graph.made[name] for name in group.layers):
            if np.isin(units, group.units[free]).all():  # one of every layer stays
                remove[group.name] = []
    small = shrink(model, remove)
    gone = [group.units[small.removed.get(group.name, [])] for group in graph.groups]
    removed = np.concatenate([np.array([], int), *gone]).astype(int)
    grown = sum(
        new.weights[-1].shape.num_elements()
        for old, new in zip(model.layers, small.model.layers, strict=True)
        if len(new.weights) > len(old.weights)
    )
    assert small.parameters_after == graph.parameters(removed) + grown
    for name, indices in remove.items():
        stay_or_go = [*small.removed.get(name, []), *small.kept.get(name, [])]
        assert sorted(stay_or_go) == list(indices)
    for name, units in graph.made.items():
        width = small.widths.get(name, (len(units), len(units)))
        assert width == (len(units), int((~np.isin(units, removed)).sum()))
    # Closed by hand, layer by layer, and called: an independent look at the same sum.
    for axis in graph.axes:
        chosen = np.concatenate([g.units[np.asarray(remove[g.name], int)] for g in graph.groups])
        if axis.role != "reads" and axis.weight != "moving_variance":
            layer = model.get_layer(axis.layer)
            weights = layer.get_weights()
            moved = np.moveaxis(weights[axis.index], axis.axis, 0)
            moved[np.isin(axis.units, chosen)] = 0
            layer.set_weights(weights)
    batch = batch_of(model)
    for ours, theirs in zip(
        tf.nest.flatten(small.model(batch)), tf.nest.flatten(model(batch)), strict=True
    ):
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale, rtol=0)
    # What was closed is dead: found without being told, and what is left is left.
    again = shrink(model)
    assert again.parameters_after <= small.parameters_after


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.data(), st.integers(0, 99))
def test_any_model_with_zeros_in_it_loses_what_they_make_dead(data, seed):
    model = architecture(data.draw)
    generator = np.random.default_rng(seed)
    for axis in groups_of(model).axes:  # columns, rows, scales and biases, each on its own
        layer = model.get_layer(axis.layer)
        weights = layer.get_weights()
        zero = generator.random(len(axis.units)) < 0.4
        np.moveaxis(weights[axis.index], axis.axis, 0)[zero] = 0
        layer.set_weights(weights)
    small = shrink(model)
    batch = batch_of(model)
    for ours, theirs in zip(
        tf.nest.flatten(small.model(batch)), tf.nest.flatten(model(batch)), strict=True
    ):
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale, rtol=0)
