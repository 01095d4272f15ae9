"""What cannot go is refused by name, and a difference is never handed out."""

from __future__ import annotations

import numpy as np
import pytest
from builders import mlp

from tfdrlprune.structure.shrink import shrink


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ({"hidden_9": [0]}, "Received: 'hidden_9'"),
        ({"hidden_0": [3]}, r"whole numbers from 0 to 2\. Received: \[3\]"),
        ({"hidden_0": [-1]}, "whole numbers from 0 to 2"),
        ({"hidden_0": [0.5]}, "whole numbers from 0 to 2"),
        ({"hidden_0": 1}, "whole numbers from 0 to 2"),
        (
            {"hidden_0": [0, 1, 2]},
            "One unit of a layer stays at least. Received: all 3 of hidden_0",
        ),
        ({"outputs": [0]}, "Unit 0 of outputs cannot go: they are outputs of the model"),
    ],
)
def test_units_that_cannot_go_are_refused_by_name(remove, message):
    with pytest.raises(ValueError, match=message):
        shrink(mlp(sizes=(4, 3, 2)).model, remove)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (np.zeros((2, 5)), r"shaped \(None, 4\).*Received: \(2, 5\)"),
        (np.zeros((0, 4)), "one sample or more"),
        ({"other": np.zeros((2, 4))}, r"named as the model's inputs, \['observation'\]"),
    ],
)
def test_observations_that_do_not_fit_are_refused(observations, message):
    with pytest.raises(ValueError, match=message):
        shrink(mlp().model, {}, observations)


def test_a_difference_is_never_handed_out(monkeypatch):
    from tfdrlprune.structure import shrink as module

    def wrong(graph, uses, removed, silent):
        model = module.copied(graph.model)
        kernel, bias = model.get_layer("outputs").get_weights()
        model.get_layer("outputs").set_weights([kernel, np.add(bias, [0, 1e-3, 0])])
        return model

    monkeypatch.setattr(module, "smaller", wrong)
    with pytest.raises(ValueError, match=r"differs from what it was made of by up to 0\.001"):
        shrink(mlp().model)


def test_a_model_that_gives_nan_is_refused():
    model = mlp().model
    model.get_layer("outputs").set_weights([np.full((8, 3), np.nan), np.zeros(3)])
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        shrink(model, {"hidden_0": [0]})


def test_the_proof_is_on_the_observations_too():
    model = mlp().model
    assert shrink(model, {"hidden_0": [0]}, np.ones((1, 4))).deviation < 1e-5
    with pytest.raises(ValueError, match="gives NaN or infinity"):
        shrink(model, {"hidden_0": [0]}, np.full((1, 4), 3e38) * [1, -1, 1, -1])
