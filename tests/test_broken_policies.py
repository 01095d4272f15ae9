"""Policies broken as deployment breaks them: the gate fails each one, on the exported file.

Two controllers made by hand that do their job, each with the ways in which one is spoilt on its way
to a device. All are exported without complaint: each does exactly what it was asked to do.
"""

from __future__ import annotations

import dataclasses

from tfdrlprune._tf import tf

import numpy as np
import pytest
from artifacts import BALANCES, linear

from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.ledger import Ledger
from tfdrlprune.evidence.rollouts import record_observations, seeds_for
from tfdrlprune.policies.form import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

HILL, POLE = "MountainCarContinuous-v0", "CartPole-v1"
SEEDS = seeds_for("judging", 0, 200).tolist()


def climber(scale=1.0, *, normalized=True) -> Policy:
    """Pushes the car where it goes: velocity -> normaliser -> four units -> tanh -> force."""
    given = tf.keras.Input((2,), name="observation")
    # The velocity is about 0.02; without the normaliser hardly any force comes of it.
    values = ObservationNormalizer(np.array([-0.3, 0.0]), np.array([0.1, 4e-4]), epsilon=0.0)(given)
    hidden = tf.keras.layers.Dense(4, activation="relu", name="hidden")
    outputs = tf.keras.layers.Dense(1, name="outputs")
    model = tf.keras.Model(given, outputs(hidden(values if normalized else given)))
    hidden.set_weights([np.float32([[0, 0, 0.1, 0.1], [1, -1, 0, 0]]), np.zeros(4, np.float32)])
    outputs.set_weights([np.float32([[1.5], [-1.5], [0.0], [0.0]]), np.zeros(1, np.float32)])
    observation = ArraySpec("observation", (2,), "float32")
    action = ArraySpec("action", (1,), "float32", (-1.0,), (1.0,))
    return Policy(model, Head("tanh", scale=scale), observation, action, "by hand")


def swapped(policy: Policy) -> Policy:
    """Returns the policy with its two scores in the wrong order."""
    model = tf.keras.models.clone_model(policy.model)
    kernel, bias = policy.model.get_layer("outputs").get_weights()
    model.get_layer("outputs").set_weights([kernel[:, ::-1], bias[::-1]])
    return policy.replace(model=model)


@pytest.fixture(scope="module")
def seen():
    """Observations of each controller at work."""
    options = {"episodes": 5, "max_count": 500, "seed": 0}
    return {
        HILL: record_observations(climber(), HILL, **options),
        POLE: record_observations(linear(BALANCES), POLE, **options),
    }


@pytest.fixture(scope="module")
def judged(tmp_path_factory, seen):
    """Returns the verdict on a policy beside the controller that it was made of."""
    root = tmp_path_factory.mktemp("broken")
    good = {HILL: climber(), POLE: linear(BALANCES)}

    def verdict(name, env, policy, **export_options):
        for which, each, options in (
            ("good", good[env], {}),
            ("other", policy, export_options),
        ):
            export(each, root / name / which, **({"observations": seen[env]} | options))
        with Ledger(env, SEEDS) as ledger:
            ledger.add("good", root / name / "good")
            return ledger.add("other", root / name / "other")

    return verdict


def test_the_controllers_do_their_job_and_pass_beside_themselves(judged):
    for env, policy, least in ((HILL, climber(), 90), (POLE, linear(BALANCES), 490)):
        row = judged(f"same-{env}", env, policy)
        assert row.returns["mean"] > least
        assert row.verdict == "PASS"
    sound = judged("int8", POLE, linear(BALANCES), precision="int8")
    assert sound.verdict == "PASS"


@pytest.mark.parametrize(
    ("name", "env", "spoilt", "options"),
    [
        pytest.param("wrong scale", HILL, lambda: climber(scale=0.1), {}, marks=pytest.mark.slow),
        pytest.param("wrong sign", HILL, lambda: climber(scale=-1.0), {}, marks=pytest.mark.slow),
        ("normaliser left out", HILL, lambda: climber(normalized=False), {}),
        ("shuffled outputs", POLE, lambda: swapped(linear(BALANCES)), {}),
        (
            "int8 saturates",
            POLE,
            lambda: linear([0.05, 0.1, 2.0, 2.0]),
            # Calibrated on a system at rest: all that moves is beyond the range.
            {"precision": "int8", "observations": "at rest"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_spoils_a_policy_on_its_way_fails(judged, seen, name, env, spoilt, options):
    if options.get("observations") == "at rest":
        options = options | {"observations": 1e-4 * seen[env]}
    row = judged(name.replace(" ", "_"), env, spoilt(), **options)
    assert row.verdict == "FAIL", dataclasses.asdict(row.gate)


def test_a_policy_with_too_few_episodes_is_inconclusive_and_says_how_many_more(judged, tmp_path):
    export(linear(BALANCES), tmp_path / "a")
    few, enough = (
        [ledger.add(name, tmp_path / "a") for name in ("a", "b")][1]
        for ledger in (Ledger(POLE, SEEDS[:count]) for count in (30, 100))
    )
    assert (few.verdict, enough.verdict) == ("INCONCLUSIVE", "PASS")
    assert 30 + few.gate.episodes_needed == pytest.approx(enough.gate.decided_after, abs=3)
