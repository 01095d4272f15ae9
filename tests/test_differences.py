"""All diagnostics together: those that apply, and why others are missing."""

from __future__ import annotations

import json

from tfdrlprune._tf import tf

import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear
from builders import mlp

from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.differences import compare
from tfdrlprune.evidence.rollouts import record_observations
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

ENV = "CartPole-v1"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("differences")
    for name, weights in {"good": BALANCES, "falls": FALLS}.items():
        export(linear(weights), root / name)
    return root


@pytest.fixture(scope="module")
def visited():
    return record_observations(linear(BALANCES), ENV, episodes=3, max_count=300, seed=0)


def test_a_policy_that_falls_goes_where_the_baseline_never_was(folders, visited):
    found = compare(folders / "falls", folders / "good", ENV, visited)
    assert found.notes == ()
    assert found.states.agreement == pytest.approx(
        np.mean((visited @ np.array(BALANCES) > 0) == (visited @ np.array(FALLS) > 0)), abs=0.01
    )
    assert found.coverage.uncovered > 0.5
    assert found.bounds.largest_gap > 0
    names = [name for name, _ in found.lines()]
    assert names == [
        *("acts alike", "cost of other choices", "own states far from the baseline's"),
        "all of the box around its states",
    ]
    assert json.loads(json.dumps(found.to_json()))["coverage"]["uncovered"] > 0.5


def test_a_policy_beside_itself_differs_nowhere(folders, visited):
    found = compare(folders / "good", folders / "good", ENV, visited)
    assert found.states.agreement == 1.0
    assert found.states.flips.share == 0.0
    assert found.coverage.uncovered < 0.05
    assert found.bounds.largest_gap == pytest.approx(0.0, abs=1e-5)


def test_without_an_environment_nothing_is_said_of_the_states_it_visits(folders, visited):
    found = compare(folders / "falls", folders / "good", None, visited)
    assert (found.coverage, found.notes) == (None, ())


def test_a_convolution_has_no_bounds_and_says_so(tmp_path):
    given = tf.keras.Input((4, 4, 1), name="observation")
    hidden = tf.keras.layers.Flatten()(tf.keras.layers.Conv2D(2, 2, name="conv")(given))
    model = tf.keras.Model(given, tf.keras.layers.Dense(2, name="outputs")(hidden))
    observation = ArraySpec("observation", (4, 4, 1), "float32")
    action = ArraySpec("action", (), "int64", 0, 1)
    export(Policy(model, Head("argmax"), observation, action, ""), tmp_path / "conv")
    seen = np.random.default_rng(0).random((20, 4, 4, 1), np.float32)
    found = compare(tmp_path / "conv", tmp_path / "conv", None, seen)
    assert found.bounds is None
    (note,) = found.notes
    assert note.startswith("bounds: ")
    assert "CONV_2D" in note


def test_continuous_actions_are_told_as_shares_of_their_range(tmp_path):
    action = ArraySpec("action", (1,), "float32", (-1.0,), (1.0,))
    policy = mlp(Head("tanh"), action, outputs=1)
    export(policy, tmp_path / "a")
    seen = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    export(policy, tmp_path / "b", precision="int8", observations=seen)
    found = compare(tmp_path / "b", tmp_path / "a", None, seen)
    lines = dict(found.lines())
    assert "99 % below" in lines["distance of actions, of their range"]
    assert found.states.deviation.fraction.largest < 0.05
    within = float(lines["all of the box around its states"].removeprefix("actions surely within "))
    assert within >= found.states.deviation.value
