"""The gate errs as seldom as it promises, and decides what can be decided."""

import json

import numpy as np
import pytest

from tfdrlprune.evidence import betting, claims, gate
from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.verdict import accepted_in_order

UNIT = (0.0, 1.0)


def judge(candidate, baseline, **terms):
    return gate.judge(candidate, baseline, Terms(**terms))


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
    columns = [claims.as_bet(a, b, Terms(), UNIT) for a, b in zip(ours.T, theirs.T, strict=True)]
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
    (ruling,) = verdict.rulings
    assert (ruling.name, ruling.verdict, ruling.limit) == ("return", "PASS", -25)
    assert ruling.e_pro >= 20
    assert ruling.e_contra == 1  # nothing was ever bet on its being worse
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
    assert worse.rulings[0].e_contra >= 20
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
    assert "a margin of 0.05 of what is above 0.4;" in kept[1].message
    with pytest.raises(ValueError, match=r"below the baseline's mean return 0\.5"):
        judge(table(baseline), table(baseline), bounds=UNIT, floor=0.5)
    with pytest.raises(ValueError, match=r"within the bounds 0 to 1.*floor=-0\.1"):
        judge(table(baseline), table(baseline), bounds=UNIT, floor=-0.1)


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


def test_a_margin_in_units_of_the_return_is_held_against_the_plain_difference():
    baseline = np.full(400, 100.0)
    lost = {
        loss: judge(table(baseline - loss), table(baseline), bounds=(0, 200), margin_return=20)
        for loss in (15, 25)
    }
    assert [verdict.verdict for verdict in lost.values()] == ["PASS", "FAIL"]
    assert (lost[15].margin, lost[15].margin_return, lost[15].rulings[0].limit) == (None, 20, -20)
    assert "a margin of 20 in return" in lost[15].message
    # By hand: the difference of -15 lies in [-200, 200], so the value is 185/400, the mean at the
    # margin 180/400; the largest bet is 0.75 / 0.45 and wins log(1 + 0.75 / 0.45 / 80) each.
    fewest = np.log(20) / np.log1p(0.75 / 0.45 / 80)
    assert fewest < lost[15].decided_after < fewest + 15


def test_failures_are_counted_against_the_rate_that_is_allowed():
    same = [500.0] * 400
    clean, one_in_ten = ["terminated"] * 400, (["nan"] + ["terminated"] * 9) * 40
    terms = {"bounds": (0, 500), "margin": 0.3, "max_failure_rate": 0.05}
    passed = judge(table(same, outcomes=clean), table(same), **terms)
    assert passed.verdict == "PASS"
    rate = passed.rulings[1]
    assert (rate.name, rate.observed, rate.limit) == ("failure rate", 0, 0.05)
    # Each episode without a failure multiplies the capital by at most 1 + 0.75 / 0.95 * 0.05.
    assert 76 < rate.decided_after < 95
    assert passed.decided_after == max(each.decided_after for each in passed.rulings)
    failed = judge(table(same, outcomes=one_in_ten), table(same), **terms)
    assert failed.verdict == "FAIL"
    assert failed.rulings[1].observed == pytest.approx(0.1)
    assert failed.message.startswith("FAIL: failing in more than 0.05 of all episodes;")
    # A low return is a failure where one says so, and the baseline's failures are not counted.
    low = [500.0] * 9 + [100.0]
    verdicts = [
        judge(table(low * 40), table(same), failure_below=below, **terms).verdict
        for below in (100, 101)
    ]
    assert verdicts == ["PASS", "FAIL"]


def test_the_worst_tenth_is_held_against_the_return_that_is_asked_for():
    rng = np.random.default_rng(5)
    # Nine in ten return 400 to 500, one in ten 100 to 200: a CVaR 10 % of 150.
    returns = np.where(rng.random(4000) < 0.1, rng.uniform(100, 200, 4000), rng.uniform(400, 500))
    both = {
        limit: judge(
            table(returns), table(returns), bounds=(0, 500), margin=0.2, min_cvar=limit
        ).rulings[1]
        for limit in (110.0, 150.0, 190.0)
    }
    assert [ruling.verdict for ruling in both.values()] == ["PASS", "INCONCLUSIVE", "FAIL"]
    assert both[150.0].observed == pytest.approx(150, abs=5)
    with pytest.raises(ValueError, match=r"within the bounds 0 to 500. Received: min_cvar=500"):
        judge(table(returns), table(returns), bounds=(0, 500), min_cvar=500)


def test_fail_takes_one_claim_and_pass_takes_all():
    rng = np.random.default_rng(6)
    returns = rng.uniform(400, 500, 600)
    verdict = judge(table(returns), table(returns), bounds=(0, 500), min_cvar=480.0)
    assert [ruling.verdict for ruling in verdict.rulings] == ["PASS", "FAIL"]
    assert verdict.verdict == "FAIL"
    few = judge(table(returns[:120]), table(returns[:120]), bounds=(0, 500), min_cvar=300.0)
    assert [ruling.verdict for ruling in few.rulings] == ["PASS", "INCONCLUSIVE"]
    assert few.verdict == "INCONCLUSIVE"
    assert "above 300 in the mean of its worst tenth" in few.message
    # About how many more it names is about how many more it takes.
    enough = judge(table(returns), table(returns), bounds=(0, 500), min_cvar=300.0)
    assert enough.verdict == "PASS"
    assert 120 + few.episodes_needed == pytest.approx(enough.decided_after, rel=0.2)


def test_only_what_passes_with_all_before_it_is_accepted():
    assert accepted_in_order({"a": "PASS", "b": "INCONCLUSIVE", "c": "PASS"}) == ["a"]
    assert accepted_in_order({"a": "FAIL", "b": "PASS"}) == []
    assert accepted_in_order({"a": "PASS", "b": "PASS"}) == ["a", "b"]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"margin_return": 0.0}, "margin_return is the loss of return allowed, above 0"),
        ({"margin_return": np.nan}, "margin_return is a finite return"),
        ({"margin_return": 1.0, "floor": 0.0}, "Leave one out"),
        ({"max_failure_rate": 1}, "max_failure_rate=1. For 1% write 0.01"),
        ({"failure_below": 10.0}, "Give max_failure_rate"),
        ({"min_cvar": np.inf}, "min_cvar is a finite return"),
    ],
)
def test_terms_that_make_no_sense_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        Terms(**terms)
