"""How far a model file acts from the policy that it was made of, and whether that may pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune.policies.form import Policy
from tfdrlprune.runtime import Policy as FilePolicy
from tfdrlprune.specs import Array, pack_like

# float32 against float32: the same sums in another order.
_EXACT = 1e-5
# A lower precision is meant to differ; what lies beyond these is a broken file, not a coarse one.
# Whether a coarse one is good enough is decided in the environment, not here.
_FEWEST_EQUAL = 0.5
_NOISE = 1.0
_OFF_RANGE = 0.25


@dataclass(frozen=True)
class Comparison:
    """The file beside the policy on the same observations.

    Attributes:
        count: how many observations.
        recorded: whether they were recorded; else they were drawn from the specs.
        agreement: fraction of equal actions; for a continuous head, of actions within 1 % of the
            action's range in every dimension.
        output_deviation: largest difference of an output; scores are centred first, over the
            values of each number, where the precision has centred them in the file.
        action_deviation: largest difference of an action, in the environment's units; 0 for argmax.
        noise: root mean square of the outputs' differences, divided by that of the outputs
            themselves about their mean (of scores over the values of each number, of means over
            the observations).
        outputs: of the file, [count, n].
        actions: of the file, [count, *action.shape].
    """

    count: int
    recorded: bool
    agreement: float
    output_deviation: float
    action_deviation: float
    noise: float
    outputs: Array = field(repr=False)
    actions: Array = field(repr=False)


def check_finite(policy: Policy, leaves: list[Array], *, recorded: bool) -> None:
    """Raises ValueError where the policy itself gives NaN or infinity, of which no file is right.

    Said before it is converted: ranges without an end crash TFLite's quantizer.
    """
    outputs = policy.batch_outputs(leaves)
    bad = int(np.sum(~np.isfinite(outputs).all(axis=1)))
    if bad:
        kind = "recorded" if recorded else "drawn"
        raise ValueError(
            f"The policy gives NaN or infinity on {bad} of {len(outputs)} {kind} "
            "observations, so it is not written. Give observations that it meets (--env or "
            "--observations), or train it anew."
        )


def compare(policy: Policy, file: FilePolicy, leaves: list[Array], *, recorded: bool) -> Comparison:
    """Returns how the file's outputs and actions differ from the policy's on these observations.

    Raises:
        ValueError: the file gives NaN or infinity.
    """
    batch = pack_like(policy.observation_spec, list(leaves))
    file.reset()
    outputs, actions = file.outputs(batch), file.action(batch)
    wanted = policy.batch_outputs(leaves)
    wanted_actions = policy.head.action(wanted, policy.action_spec)
    bad = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
    if bad.any() or not np.isfinite(np.asarray(actions, np.float64)).all():
        raise ValueError(
            f"The converted model gives NaN or infinity on {max(1, int(bad.sum()))} of "
            f"{len(outputs)} observations, so it is not written. Export with precision='float32'."
        )
    argmax = policy.head.kind == "argmax"
    got, want = outputs.astype(np.float64), wanted.astype(np.float64)
    about = policy.action_spec.choices().centred(want) if argmax else want - want.mean(axis=0)
    if argmax and file.manifest.precision != "float32":
        got, want = policy.action_spec.choices().centred(got), about
    signal = np.sqrt(np.mean(about**2))
    off = np.abs(np.asarray(actions, np.float64) - wanted_actions)
    equal = off == 0 if argmax else off <= 0.01 * _span(policy, wanted_actions)
    return Comparison(
        count=len(outputs),
        recorded=recorded,
        agreement=float(equal.reshape(len(outputs), -1).all(axis=1).mean()),
        output_deviation=float(np.abs(got - want).max()),
        action_deviation=0.0 if argmax else float(off.max()),
        noise=float(np.sqrt(np.mean((got - want) ** 2)) / max(signal, 1e-12)),
        outputs=outputs,
        actions=actions,
    )


def check(policy: Policy, comparison: Comparison, precision: str, leaves: list[Array]) -> None:
    """Raises ValueError, which says how far off the file is, if it may not be written."""
    wanted = policy.batch_outputs(leaves)
    if precision == "float32":
        _check_exact(policy, comparison, wanted)
        return
    if policy.head.kind == "argmax":
        wrong = comparison.agreement < _FEWEST_EQUAL or comparison.noise > _NOISE
    else:
        wanted_actions = policy.head.action(wanted, policy.action_spec)
        off = np.abs(comparison.actions.astype(np.float64) - wanted_actions)
        wrong = bool((off.mean(axis=0) > _OFF_RANGE * _span(policy, wanted_actions)).any())
    if wrong:
        raise ValueError(
            f"The {precision} model does not act as the policy does, so it is not written: equal "
            f"actions on {comparison.agreement:.1%} of {comparison.count} observations, actions "
            f"off by up to {comparison.action_deviation:.3g}, outputs by up to "
            f"{comparison.output_deviation:.3g} ({comparison.noise:.0%} of their spread). Export "
            "with precision='float32', or give observations from real roll-outs."
        )


def _check_exact(policy: Policy, comparison: Comparison, wanted: Array) -> None:
    tolerance = _EXACT * max(1.0, float(np.abs(wanted).max()))
    wanted_actions = policy.head.action(wanted, policy.action_spec)
    if policy.head.kind == "argmax":
        choices = policy.action_spec.choices()
        index = comparison.actions.reshape(len(wanted), -1).astype(int)
        chosen = choices.taken(wanted, index - np.asarray(policy.head.offset).astype(int))
        # Where two scores are equal to rounding, either action is right.
        lost = choices.rows(wanted).max(axis=-1) - chosen
        unequal = int(np.sum((lost > 2 * tolerance).any(axis=1)))
    else:
        span = np.maximum(1.0, _span(policy, wanted_actions))
        off = np.abs(comparison.actions.astype(np.float64) - wanted_actions)
        unequal = int(np.sum((off > 2 * _EXACT * span).reshape(len(wanted), -1).any(axis=1)))
    if comparison.output_deviation > tolerance or unequal:
        raise ValueError(
            "The converted model does not act as the policy does, so it is not written: outputs "
            f"off by up to {comparison.output_deviation:.3g} (tolerance {tolerance:.3g}), other "
            f"actions on {unequal} of {comparison.count} observations."
        )


def _span(policy: Policy, actions: Array) -> Array:
    """Returns the range of each action dimension: its bounds, else what the policy does."""
    low, high = (
        bound.reshape(policy.action_spec.shape)
        for bound in _observations.bounds(policy.action_spec)
    )
    done = actions.astype(np.float64)
    with np.errstate(invalid="ignore"):
        span = np.where(np.isfinite(high - low), high - low, done.max(axis=0) - done.min(axis=0))
    return np.where(span > 1e-6, span, 1.0)
