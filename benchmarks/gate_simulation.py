"""The gate by simulation: how often it errs at the margin, and how soon it decides.

    python benchmarks/gate_simulation.py [--games 2000]

In every game two policies return episodes of a known law, and the gate is asked after each of 1,000
pairs. With the true difference exactly at the margin a PASS is wrong, and so is a FAIL. Beside it
stands what people do: a paired t-test at 200 episodes, and the same looked at after every tenth.
Nothing is timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import write
from numpy.typing import NDArray
from scipy import stats

from tfdrlprune.evidence import betting, claims, tail
from tfdrlprune.evidence.terms import Terms

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

SEED = 0
EPISODES = 1_000
FIXED = 200
LEVEL = 0.05
MARGIN = 0.05
PEEKS = range(30, EPISODES + 1, 10)
NEEDED = -np.log(LEVEL)


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return np.asarray(stats.truncnorm.rvs(-7, 3, 0.7, 0.1, size=shape, random_state=rng))


def heavy_tailed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with 2 degrees of freedom around 0.6, what is beyond [0, 1] drawn again."""
    values = 0.6 + 0.05 * rng.standard_t(2, shape)
    while (outside := (values < 0) | (values > 1)).any():
        values[outside] = 0.6 + 0.05 * rng.standard_t(2, int(outside.sum()))
    return values


def paired(rng: np.random.Generator, shape: tuple[int, ...], loss: float) -> tuple[Floats, Floats]:
    """Most of the variance is the seed's; on top an error that is zero on average for each."""
    theirs = truncated_normal(rng, shape)
    room = np.minimum(theirs, 1 - theirs)
    return (1 - loss) * (theirs + 0.2 * room * rng.choice([-1, 1], shape)), theirs


def crashes(rng: np.random.Generator, shape: tuple[int, ...], loss: float) -> tuple[Floats, Floats]:
    """Perfect but for a rare zero."""
    return (rng.random(shape) >= loss).astype(float), np.ones(shape)


def alike(draw: Draw) -> Callable[..., tuple[Floats, Floats]]:
    """Returns a game of two independent policies whose returns differ by a factor only."""
    return lambda rng, shape, loss: ((1 - loss) * draw(rng, shape), draw(rng, shape))


def costs(rng: np.random.Generator, shape: tuple[int, ...], loss: float) -> tuple[Floats, Floats]:
    """Negative returns, skewed: -1 at the worst."""
    ours, theirs = (0.05 + 0.9 * rng.beta(2, 8, shape) for _ in range(2))
    return -(1 + loss) * ours, -theirs


# law of the returns -> the game, and the bounds.
GAMES: dict[str, tuple[Callable[..., tuple[Floats, Floats]], tuple[float, float]]] = {
    "normal": (alike(truncated_normal), (0.0, 1.0)),
    "normal, paired by seed": (paired, (0.0, 1.0)),
    "skewed to low returns": (alike(lambda rng, shape: rng.beta(8, 1, shape)), (0.0, 1.0)),
    "skewed to high returns": (alike(lambda rng, shape: rng.beta(1, 4, shape)), (0.0, 1.0)),
    "two-point: 1 or a rare 0": (crashes, (0.0, 1.0)),
    "two-point: 0 or 1, often both": (
        lambda rng, shape, loss: (
            (rng.random(shape) < 0.7 * (1 - loss)).astype(float),
            (rng.random(shape) < 0.7).astype(float),
        ),
        (0.0, 1.0),
    ),
    "heavy-tailed": (alike(heavy_tailed), (0.0, 1.0)),
    "negative, skewed": (costs, (-1.0, 0.0)),
}


def first(capital: Floats) -> Floats:
    """Returns after how many episodes each game's capital is enough; infinity if it never is."""
    reached = capital >= NEEDED
    return np.where(reached.any(axis=0), reached.argmax(axis=0) + 1.0, np.inf)


def decisions(ours: Floats, theirs: Floats, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """Returns when each game ends with PASS and when with FAIL, of which the earlier one counts."""
    values, mean = claims.as_bet(ours, theirs, Terms(margin=MARGIN), bounds)
    passed = first(betting.log_capital(values, mean))
    failed = first(betting.log_capital(1 - values, 1 - mean))
    return np.where(passed <= failed, passed, np.inf), np.where(failed < passed, failed, np.inf)


def t_test(ours: Floats, theirs: Floats, bounds: tuple[float, float], count: int) -> Any:
    """Returns which games a one-sided paired t-test passes after so many episodes."""
    weight = 1 + MARGIN if bounds[1] <= 0 else 1 - MARGIN
    excess = (ours - weight * theirs)[:count]
    mean, error = excess.mean(axis=0), excess.std(axis=0, ddof=1) / np.sqrt(count)
    # Where nothing varies, the sign decides.
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(error > 0, stats.t.sf(mean / error, count - 1), np.where(mean > 0, 0.0, 1.0))
    return p <= LEVEL


def percent(hits: Any) -> float:
    return round(100 * float(np.mean(hits)), 1)


def returns_row(name: str, games: int) -> dict[str, Any]:
    """Returns what the gate and the t-test do on one law of returns."""
    play, bounds = GAMES[name]
    rng = np.random.default_rng([SEED, list(GAMES).index(name)])
    shape = (EPISODES, games)
    at_margin = play(rng, shape, MARGIN)
    wrong_pass, wrong_fail = decisions(*at_margin, bounds)
    peeking = np.zeros(games, bool)
    for count in PEEKS:
        peeking |= t_test(*at_margin, bounds, count)
    equal = play(rng, shape, 0.0)
    passed, _ = decisions(*equal, bounds)
    return {
        "returns": name,
        "wrong_pass": percent(np.isfinite(wrong_pass)),
        "wrong_fail": percent(np.isfinite(wrong_fail)),
        "t_wrong_pass": percent(t_test(*at_margin, bounds, FIXED)),
        "t_peeking": percent(peeking),
        "power_fixed": percent(passed <= FIXED),
        "power": percent(np.isfinite(passed)),
        "episodes_median": quantile(passed, 0.5),
        "episodes_p90": quantile(passed, 0.9),
        "t_power": percent(t_test(*equal, bounds, FIXED)),
    }


def quantile(times: Floats, share: float) -> str:
    """Returns a quantile of the episodes it took; of games without a decision only a bound."""
    value = float(np.quantile(times, share, method="higher"))
    return f"{value:.0f}" if np.isfinite(value) else f"over {EPISODES:,}"


def claims_rows(games: int) -> list[dict[str, Any]]:
    """Returns how often the gate's other claims are wrongly shown or refuted, at their limits."""
    rng = np.random.default_rng([SEED, 1_000])
    rows = []
    for rate in (0.01, 0.05, 0.2):
        held = (rng.random((EPISODES, games)) >= rate).astype(float)
        rows.append(
            {"claim": "failure rate", "law": f"{rate:.0%} fail", "looks": EPISODES}
            | {"wrongly_shown": percent(np.isfinite(first(betting.log_capital(held, 1 - rate))))}
            | {"wrongly_refuted": percent(np.isfinite(first(betting.log_capital(1 - held, rate))))}
        )
    # The mean of the worst tenth, worked out by hand: half of the tenth quantile of a uniform law.
    laws: dict[str, tuple[Draw, float]] = {
        "uniform": (lambda rng, shape: rng.random(shape), 0.05),
        "one in ten bad": (
            lambda rng, shape: np.where(
                rng.random(shape) < 0.1, rng.uniform(0, 0.4, shape), rng.uniform(0.8, 1.0, shape)
            ),
            0.2,
        ),
        "one in twenty zero, else one": (
            lambda rng, shape: (rng.random(shape) >= 0.05).astype(float),
            0.5,
        ),
    }
    for name, (draw, cvar) in laws.items():
        values = draw(rng, (games, FIXED))
        shown, refuted = (
            [bet(game, cvar, 0.1)[0].max() >= NEEDED for game in values]
            for bet in (tail.against_at_most, tail.against_at_least)
        )
        rows.append(
            {"claim": "CVaR 10 %", "law": name, "looks": FIXED}
            | {"wrongly_shown": percent(shown), "wrongly_refuted": percent(refuted)}
        )
    return rows


def order_rows(games: int) -> list[dict[str, Any]]:
    """Returns how often any of several candidates, all exactly at the margin, is accepted."""
    play, bounds = GAMES["normal"]
    rows = []
    for candidates in (2, 5, 10):
        rng = np.random.default_rng([SEED, 2_000, candidates])
        passed = np.stack(
            [
                np.isfinite(decisions(*play(rng, (EPISODES, games), MARGIN), bounds)[0])
                for _ in range(candidates)
            ]
        )
        rows.append(
            {
                "candidates": candidates,
                "in_order": percent(passed[0]),
                "any": percent(passed.any(axis=0)),
            }
        )
    return rows


def main() -> None:
    """Plays all games and writes three results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=2_000)
    games = parser.parse_args().games
    more = {"games": games, "seed": SEED, "margin": MARGIN, "confidence": 1 - LEVEL}
    columns = {
        "returns": "returns",
        "wrong_pass": "wrong PASS, %",
        "wrong_fail": "wrong FAIL, %",
        "t_wrong_pass": f"wrong PASS of a t-test at {FIXED}, %",
        "t_peeking": "the same, looked at every 10, %",
        "power_fixed": f"PASS within {FIXED} when equal, %",
        "power": f"within {EPISODES:,}, %",
        "episodes_median": "episodes to PASS, median",
        "episodes_p90": "90th percentile",
        "t_power": f"PASS of a t-test at {FIXED}, %",
    }
    write("gate_simulation", columns, [returns_row(name, games) for name in GAMES], **more)
    columns = {
        "claim": "claim",
        "law": "law",
        "looks": "episodes, each looked at",
        "wrongly_shown": "wrongly shown, %",
        "wrongly_refuted": "wrongly refuted, %",
    }
    write("gate_simulation_claims", columns, claims_rows(games), **more)
    columns = {
        "candidates": "candidates",
        "in_order": "any accepted, tested in order, %",
        "any": "any PASS, without an order, %",
    }
    write("gate_simulation_order", columns, order_rows(games), **more)


if __name__ == "__main__":
    main()
