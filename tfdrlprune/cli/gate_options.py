"""Options of the gate and of the sweeps, and the terms and disturbances that they ask for."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tfdrlprune.cli.options import Command

if TYPE_CHECKING:
    from tfdrlprune.evidence.sweeping.sweeps import Sweep
    from tfdrlprune.evidence.terms import Terms
    from tfdrlprune.evidence.verdict import Verdict


class _Fraction(click.FloatRange):
    """A number above 0 and below 1; click's own range lets NaN through."""

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


class _FloorType(click.ParamType):
    """A number, or the word for random actions."""

    name = "floor"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | str:
        if value == _RANDOM or isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor {_RANDOM!r}.", param, ctx)


_RANDOM = "random"
_FRACTION = _Fraction(0, 1, min_open=True, max_open=True)


def _added(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    """Returns the command with options, in the order of its help."""
    for option in reversed(options):
        command = option(command)
    return command


def gate(command: Command) -> Command:
    """Adds what the gate is asked, and how episodes are played; see `build_terms`."""
    options = (
        click.option(
            *("--episodes",),
            type=click.IntRange(min=1),
            default=200,
            show_default=True,
            help="To judge on, the same seeds for all.",
        ),
        click.option(
            *("--margin",),
            type=_FRACTION,
            default=0.05,
            show_default=True,
            help="Relative loss allowed.",
        ),
        click.option("--margin-return", type=float, help="Loss allowed as a return instead."),
        click.option(
            *("--floor",),
            type=_FloorType(),
            metavar="RETURN|random",
            help="Return that a relative loss counts from; 'random' plays random actions.",
        ),
        click.option(
            *("--confidence",),
            type=_FRACTION,
            default=0.95,
            show_default=True,
            help="One minus the chance of a wrong verdict.",
        ),
        click.option(
            *("--return-bounds", "bounds"),
            type=float,
            nargs=2,
            metavar="LOW HIGH",
            callback=_ordered,
            help="Numbers that no return can leave; known for the classic tasks.",
        ),
        click.option(
            "--max-failure-rate", type=_FRACTION, help="Share of episodes that may fail, at most."
        ),
        click.option("--failure-below", type=float, help="A return below it is a failure too."),
        click.option(
            "--min-cvar", type=float, help="Mean return of the worst tenth of episodes, at least."
        ),
        click.option(
            "--until-decided",
            is_flag=True,
            help="End playing as soon as the gate has decided; --episodes at most.",
        ),
        click.option(
            *("--workers",),
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Processes that play episodes.",
        ),
    )
    return _added(command, options)


def sweeps(command: Command) -> Command:
    """Adds what is disturbed, and how long; see `build_sweeps`."""
    options = (
        click.option(
            *("--sweep", "sweep_texts"),
            metavar="NAME=LEVEL,...",
            multiple=True,
            help="Also play under a disturbance, as noise=0.1,0.2 or delay=1,2 or masspole=2; "
            "'default' takes all that the environment has.",
        ),
        click.option(
            *("--sweep-episodes",),
            type=click.IntRange(min=1),
            default=50,
            show_default=True,
            help="Of each policy at each level.",
        ),
    )
    return _added(command, options)


def build_sweeps(texts: Sequence[str], env: str, seed: int) -> tuple[Sweep, ...]:
    """Returns the sweeps that the texts say; none for none.

    Raises:
        ValueError: a text is no sweep, or the environment has no such parameter.
    """
    if not texts:
        if given(["sweep_episodes"]):
            raise click.UsageError("--sweep-episodes is of a sweep: give --sweep NAME=LEVEL,...")
        return ()
    from tfdrlprune.evidence.sweeping.sweeps import check_sweeps, default_sweeps, parse

    named = [parse(text) for text in texts if text != "default"]
    known = default_sweeps(env) if "default" in texts else ()
    # What is named has the levels that are named.
    own = {sweep.name for sweep in named}
    found = (*named, *(sweep for sweep in known if sweep.name not in own))
    check_sweeps(found, env, seed)
    return found


# Options of the gate that say what it asks; bounds are held without a baseline too.
TERMS = (
    *("margin", "margin_return", "floor", "confidence"),
    *("max_failure_rate", "failure_below", "min_cvar"),
)


def given(names: Sequence[str]) -> list[str]:
    """Returns those of the running command's options that its user gave, as they are written."""
    context = click.get_current_context()
    source = click.core.ParameterSource.COMMANDLINE
    return [
        f"--{name.replace('_', '-')}"
        for name in names
        if context.get_parameter_source(name) == source
    ]


def build_terms(flags: dict[str, Any], env: str | None, seed: int) -> Terms:
    """Returns the terms of the gate that the flags say; plays for a floor of random actions.

    Raises:
        ValueError: they make no sense together; a random floor without an environment.
    """
    from tfdrlprune.evidence.terms import Terms

    values = {field.name: flags[field.name] for field in dataclasses.fields(Terms)}
    if values["floor"] == _RANDOM:
        Terms(**values | {"floor": 0.0})  # what is wrong is told before anything is played
        if env is None:
            raise ValueError("--floor random plays in the environment: give --env.")
        from tfdrlprune.evidence.rollouts import random_return

        values["floor"] = random_return(env, seed=seed)
    return Terms(**values)


def how_to_decide(verdict: Verdict | None) -> str:
    """Returns the options that a verdict was missing; empty unless more episodes would decide.

    How many more there are to be is an estimate, so twice as many are offered; the gate may look
    after every one of them.
    """
    if verdict is None or verdict.verdict != "INCONCLUSIVE" or not verdict.episodes_needed:
        return ""
    most = 100 * math.ceil((verdict.episodes + 2 * verdict.episodes_needed) / 100)
    return f"To decide it: --until-decided --episodes {most} (it ends as soon as the gate has)."


def _ordered(
    ctx: Any, param: Any, bounds: tuple[float, float] | None
) -> tuple[float, float] | None:
    del ctx, param
    if bounds is not None and not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise click.BadParameter(f"two finite numbers, LOW < HIGH. Received: {bounds}.")
    return bounds
