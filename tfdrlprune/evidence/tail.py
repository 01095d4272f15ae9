r"""Tests of a conditional value at risk by betting: is the mean of the worst episodes good enough?

The mean of the worst share ``a`` of values X is the largest over all c of the mean of
``Y(c) = c - max(c - X, 0) / a`` (Rockafellar & Uryasev, "Optimization of conditional
value-at-risk", J. of Risk 2, 2000), so

- if it is at most t, the mean of Y(c) is at most t for every c, also for one that is chosen anew
  before each episode from those before it: a single bet, on the c that looks best;
- if it is at least t, the mean of Y(c) is at least t for one c that nobody knows: a bet for every c
  of a grid, of which the poorest counts. Between two points of the grid Y is at most the left one's
  plus their distance, which is what those bets allow for.
"""

from __future__ import annotations

import numpy as np

from tfdrlprune.evidence import betting
from tfdrlprune.evidence.betting import Floats

_GRID = 100


def against_at_most(values: Floats, threshold: float, share: float) -> tuple[Floats, float]:
    """Returns the log capital, [n], of a bet against "the CVaR is at most ``threshold``".

    Args:
        values: [n], in [0, 1].
        threshold: in (0, 1).
        share: of worst values that the CVaR is the mean of, in (0, 1).

    Returns:
        It, and its growth for each further value like those seen.
    """
    capital = np.zeros(len(values))
    for seen in range(len(values)):
        c, mean = _choice(values[:seen], threshold, share)
        bet = betting.bets(_scaled(values[:seen], c, share), mean)[-1]
        value = _scaled(values[seen], c, share)
        capital[seen] = np.log1p(bet * (value - mean))
    # As if the last choice had been made from the start: what further values would bring.
    c, mean = _choice(values, threshold, share)
    return np.cumsum(capital), betting.growth(_scaled(values, c, share), mean)


def against_at_least(values: Floats, threshold: float, share: float) -> tuple[Floats, float]:
    """Returns the log capital, [n], of a bet against "the CVaR is at least ``threshold``".

    Args and returns are those of `against_at_most`.
    """
    step = 1.0 / _GRID
    points: Floats = np.arange(_GRID, dtype=float) * step
    points = points[points + step > threshold]  # below these Y never reaches the threshold
    low, upper = points - points / share + step, points + step
    # Off 0 and 1, where there is nothing to bet on; where the threshold is no more than the
    # smallest Y, the hypothesis is true and nothing is won.
    means = np.clip((threshold - low) / (upper - low), 1e-6, 1 - 1e-6)
    scaled = (_y(values[:, None], points, share) + step - low) / (upper - low)
    losses = 1 - np.clip(scaled, 0.0, 1.0)
    capital = np.maximum.accumulate(betting.log_capital(losses, 1 - means), axis=0)
    capital = np.where(low < threshold, capital, 0.0)
    # The slowest of those that have not won yet would be waited for.
    growth = np.log1p(betting.bets(losses, 1 - means)[-1] * (losses - (1 - means))).mean(axis=0)
    poorest = int(np.argmin(capital[-1]))
    return capital.min(axis=1), float(growth[poorest])


def _choice(seen: Floats, threshold: float, share: float) -> tuple[float, float]:
    """Returns the c that looks best by the values seen, and the threshold as mean of the scaled Y.

    The mean of Y(c) is largest at the quantile. Above the threshold, or there is nothing to win.
    """
    quantile = float(np.quantile(seen, share)) if len(seen) else 1.0
    c = max(quantile, threshold + 0.01 * (1 - threshold))
    low = c - c / share
    return c, (threshold - low) / (c - low)


def _scaled(values: Floats | float, c: Floats | float, share: float) -> Floats:
    """Returns Y(c) of values in [0, 1], mapped from its range to [0, 1]."""
    low = c - c / share
    scaled: Floats = np.clip((_y(values, c, share) - low) / (c - low), 0.0, 1.0)
    return scaled


def _y(values: Floats | float, c: Floats | float, share: float) -> Floats:
    result: Floats = c - np.maximum(c - values, 0.0) / share
    return result
