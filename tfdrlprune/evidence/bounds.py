"""Bounds on returns, which the gate needs: declared by the user, or known of the environment."""

from __future__ import annotations

import math

Bounds = tuple[float, float]

# Environments of Gymnasium 1.x as registered, with what bounds their returns: the reward of a step
# (its documentation page and source) times the registered time limit. Actions lie in their space.
_KNOWN_BOUNDS: dict[str, Bounds] = {
    "CartPole-v0": (0.0, 200.0),  # +1 a step, 200 steps
    "CartPole-v1": (0.0, 500.0),  # +1 a step, 500 steps
    "Acrobot-v1": (-500.0, 0.0),  # -1 a step and 0 for the last, 500 steps
    "MountainCar-v0": (-200.0, 0.0),  # -1 a step, 200 steps
    "MountainCarContinuous-v0": (-99.9, 100.0),  # -0.1 action^2 a step, 999 steps; +100 at the goal
    # -(angle^2 + 0.1 speed^2 + 0.001 torque^2) a step, at most pi, 8 and 2; 200 steps
    "Pendulum-v1": (-200 * (math.pi**2 + 6.4 + 0.004), 0.0),
    "FrozenLake-v1": (0.0, 1.0),  # 1 at the goal
    "FrozenLake8x8-v1": (0.0, 1.0),
}


# Where returns have no bounds that hold for every policy: what is declared, and what it says.
_USUAL_BOUNDS: dict[str, tuple[Bounds, str]] = {
    # Measured: +320 at best; -100 for a crash and some hundreds of shaping; a rocket that stays
    # upright with its main engine on climbs out of sight, and returns -21,000.
    "LunarLander-v3": ((-1500.0, 400.0), "where no lander flies away for good"),
}


def declare(env: object) -> str:
    """Returns how bounds are declared, on the command line and from Python, for messages.

    Example:
        >>> declare("LunarLander-v3")[:70]
        'Declare them: --return-bounds -1500 400 (they hold where no lander fli'
    """
    usual = _USUAL_BOUNDS.get(env) if isinstance(env, str) else None
    low, high, note = "LOW", "HIGH", ""
    if usual is not None:
        (least, most), when = usual
        low, high, note = f"{least:g}", f"{most:g}", f" (they hold {when})"
    return (
        f"Declare them: --return-bounds {low} {high}{note}, or from Python "
        f"Terms(bounds=({low}, {high})), for compress Judging(terms=Terms(bounds=({low}, {high})))."
    )


def return_bounds(env: object, declared: Bounds | None = None) -> Bounds:
    """Returns bounds that no return of the environment can leave: the declared, or the known ones.

    Args:
        env: registered id; nothing is known of anything else.
        declared: the user's, which go first.

    Raises:
        ValueError: none are declared and none known.
    """
    bounds = declared or (_KNOWN_BOUNDS.get(env) if isinstance(env, str) else None)
    if bounds is None:
        known = "" if env is None else f", and none are known for {env!r}"
        raise ValueError(
            "The gate needs bounds that no return can leave, as a rare catastrophe could outweigh "
            f"all that was seen. Received: none{known}. {declare(env)}"
        )
    return bounds
