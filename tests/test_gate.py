"""The gate errs as seldom as it promises, and decides what can be decided."""

import json

import numpy as np
import pytest

from tfdrlprune.evidence import betting, gate
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.gate import judge

UNIT = (0.0, 1.0)


def table(returns, seeds=None, outcomes=None):
    count = len(returns)
    return Episodes(
        np.arange(count) if seeds is None else np.array(seeds),
        np.array(returns, float),
        np.ones(count, int),
        np.array(["terminated"] * count if outcomes is None else outcomes),
        ("",) * count,
    )


def crashes(rng, shape):
    """A baseline of 1 and a candidate that is it but for a crash in 20: the margin exactly."""
    return np.where(rng.random(shape) < 0.05, 0.0, 1.0), np.ones(shape)


def noise(rng, shape):
    """Returns alike but for a twentieth and independent noise."""
    baseline = rng.beta(8, 2, shape)
    return 0.95 * baseline + 0.04 * rng.choice([-1, 1], shape), baseline


def independent(rng, shape):
    """Returns that pairing does nothing for."""
    return 0.95 * rng.beta(4, 2, shape), rng.beta(4, 2, shape)


@pytest.mark.parametrize("simulate", [crashes, noise, independent])
def test_at_the_margin_a_wrong_decision_is_as_rare_as_promised(simulate):
    # Looked at after each of 300 episodes, 500 times: 5 % is 25, three standard deviations 39.
    rng = np.random.default_rng(0)
    ours, theirs = simulate(rng, (300, 500))
    assert ours.mean() == pytest.approx(0.95 * theirs.mean(), abs=0.004)
    # Judged exactly as `judge` does, all at once.
    columns = [gate._as_bet(a, b, 0.05, UNIT, None) for a, b in zip(ours.T, theirs.T, strict=True)]
    values, mean = np.stack([column[0] for column in columns], axis=1), columns[0][1]
    passed = betting.log_capital(values, mean).max(axis=0) >= np.log(20)
    failed = betting.log_capital(1 - values, 1 - mean).max(axis=0) >= np.log(20)
    assert passed.sum() <= 39
    assert failed.sum() <= 39
    for index in range(0, 500, 100):
        verdict = judge(table(ours[:, index]), table(theirs[:, index]), bounds=UNIT).verdict
        assert (verdict == "PASS") == (passed[index] and not failed[index])


def test_identical_policies_pass_with_enough_episodes():
    # All differences are zero: each pair at most multiplies the capital by 1 + 3/4 * 25/475, so
    # 20 takes at least 78 pairs, and a few more to learn that nothing varies.
    same = table([500.0] * 100)
    verdict = judge(same, same, bounds=(0, 500))
    assert verdict.verdict == "PASS"
    assert 78 <= verdict.decided_after <= 90
    assert (verdict.difference, verdict.margin_return) == (0, 25)
    assert -25 < verdict.ci_low < 0
    assert verdict.e_not_worse >= 20
    assert verdict.episodes_needed is None
    assert verdict.message.startswith("PASS: not worse than the baseline less a margin of 0.05")
    assert json.loads(json.dumps(verdict.to_json()))["bounds"] == [0, 500]


def test_few_episodes_are_inconclusive_and_say_how_many_are_missing():
    few = table([500.0] * 50)
    verdict = judge(few, few, bounds=(0, 500))
    assert (verdict.verdict, verdict.decided_after) == ("INCONCLUSIVE", None)
    enough = judge(table([500.0] * 200), table([500.0] * 200), bounds=(0, 500)).decided_after
    assert 50 + verdict.episodes_needed == pytest.approx(enough, abs=3)
    assert f"about {verdict.episodes_needed} more" in verdict.message
    # Noise at exactly the margin: no number of such episodes decides soon.
    rng = np.random.default_rng(1)
    at_margin = judge(*map(table, noise(rng, 400)), bounds=UNIT)
    assert at_margin.verdict == "INCONCLUSIVE"
    assert at_margin.episodes_needed is None or at_margin.episodes_needed > 500


def test_a_clearly_worse_candidate_fails_and_a_better_one_passes():
    baseline = np.random.default_rng(2).beta(8, 2, 200)
    worse = judge(table(0.7 * baseline), table(baseline), bounds=UNIT)
    assert (worse.verdict, worse.decided_after < 100) == ("FAIL", True)
    assert worse.e_worse >= 20
    assert worse.ci_low < worse.difference < -0.2
    better = judge(table(np.sqrt(baseline)), table(baseline), bounds=UNIT)
    assert (better.verdict, better.ci_low > -0.03) == ("PASS", True)


def test_a_decision_stays_when_more_episodes_follow():
    rng = np.random.default_rng(3)
    baseline = rng.beta(8, 2, 400)
    candidate = np.concatenate([baseline[:200], 0.3 * baseline[200:]])
    early = judge(table(candidate[:200]), table(baseline[:200]), bounds=UNIT)
    late = judge(table(candidate), table(baseline), bounds=UNIT)
    assert early.verdict == late.verdict == "PASS"
    assert early.decided_after == late.decided_after
    assert late.difference < -0.1


def test_negative_returns_are_judged_by_their_size():
    baseline = np.full(2000, -100.0)
    for loss, expected in ((1.03, "PASS"), (1.08, "FAIL")):
        verdict = judge(table(loss * baseline), table(baseline), bounds=(-500, 0))
        assert (verdict.verdict, verdict.margin_return) == (expected, 5)
    mixed = judge(table(1.03 * baseline), table(baseline), bounds=(-500, 100))
    assert mixed.verdict == "PASS"


def test_with_a_floor_the_margin_is_a_share_of_what_was_learned():
    baseline = np.full(2000, 0.5)
    kept = [judge(table(baseline - 0.03), table(baseline), bounds=UNIT, floor=f) for f in (0, 0.4)]
    # 0.03 of the 0.5 above 0 is 6 %, of the 0.1 above 0.4 it is 30 %: both are too much.
    assert [verdict.verdict for verdict in kept] == ["FAIL", "FAIL"]
    kept = [judge(table(baseline - 0.01), table(baseline), bounds=UNIT, floor=f) for f in (0, 0.4)]
    assert [verdict.verdict for verdict in kept] == ["PASS", "FAIL"]
    assert [verdict.margin_return for verdict in kept] == pytest.approx([0.025, 0.005])
    for floor in (0.5, -0.1):
        with pytest.raises(ValueError, match=r"below the baseline's mean return 0\.5"):
            judge(table(baseline), table(baseline), bounds=UNIT, floor=floor)


def test_a_failed_episode_scores_the_lower_bound():
    returns = [-1.0] * 100
    outcomes = ["nan"] * 50 + ["terminated"] * 50
    verdict = judge(table(returns, outcomes=outcomes), table(returns), bounds=(-100, 0))
    assert verdict.verdict == "FAIL"
    assert verdict.difference == -49.5


def test_wider_confidence_and_margin_do_what_they_say():
    same = table([1.0] * 400)
    decided = {
        (margin, confidence): judge(
            same, same, bounds=UNIT, margin=margin, confidence=confidence
        ).decided_after
        for margin, confidence in ((0.05, 0.95), (0.1, 0.95), (0.05, 0.99))
    }
    assert decided[0.1, 0.95] < decided[0.05, 0.95] < decided[0.05, 0.99]
    assert decided[0.05, 0.99] / decided[0.05, 0.95] == pytest.approx(np.log(100) / np.log(20), 0.1)


def test_false_bounds_and_missing_bounds_are_errors_that_name_the_return():
    one = table([0.5, 1.5], seeds=[7, 9])
    with pytest.raises(ValueError, match=r"candidate's return 1.5 of seed 9.*0 to 1"):
        judge(one, table([0.5, 0.5], seeds=[7, 9]), bounds=UNIT)
    with pytest.raises(ValueError, match=r"baseline's return 1.5.*--return-bounds"):
        judge(table([0.5, 0.5], seeds=[7, 9]), one, bounds=UNIT)
    with pytest.raises(ValueError, match=r"Received: none\. Declare them: --return-bounds"):
        judge(one, one)
    for bounds in ((1.0, 0.0), (0.0, np.inf)):
        with pytest.raises(ValueError, match="LOW < HIGH"):
            judge(one, one, bounds=bounds)
    with pytest.raises(ValueError, match="narrower than the margin"):
        judge(table([99.5]), table([99.5]), bounds=(99.0, 100.0))


def test_seeds_must_pair_and_count_once():
    with pytest.raises(ValueError, match="same seeds"):
        judge(table([1, 1], [1, 2]), table([1, 1], [2, 1]), bounds=UNIT)
    with pytest.raises(ValueError, match="same seeds"):
        judge(table([]), table([]), bounds=UNIT)
    with pytest.raises(ValueError, match="2 episodes of 1 seeds"):
        judge(table([1, 1], [1, 1]), table([1, 1], [1, 1]), bounds=UNIT)


@pytest.mark.parametrize(("name", "value"), [("margin", 5), ("margin", 0), ("confidence", 95)])
def test_arguments_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        judge(table([1]), table([1]), bounds=UNIT, **{name: value})
