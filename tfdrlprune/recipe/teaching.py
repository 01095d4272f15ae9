"""Teaching: how a small policy comes about, and how far compression goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tfdrlprune.recipe.checks import check_choice, check_count, check_number, check_share
from tfdrlprune.recipe.forms import parse_further

ROUTES = ("auto", "prune", "distil")
UNTIL = ("target", "holds", "breaks")
DISCRETE_LOSSES = ("cross_entropy", "advantages", "values")
CONTINUOUS_LOSSES = ("action", "mean")


def _option(default: Any, help_text: str, choices: tuple[str, ...] | None = None) -> Any:
    """Returns a field that means something only once the policy is trained."""
    return field(
        default=default, metadata={"help": help_text, "choices": choices, "in_compress": True}
    )


def _count(help_text: str) -> Any:
    """Returns a field that holds a number, or None for a default that the policy decides."""
    return field(default=None, metadata={"help": help_text, "type": int, "in_compress": True})


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """How a trained policy becomes a small one.

    Attributes:
        route: "prune" removes weights or units and repairs; "distil" teaches a dense network of as
            many parameters from scratch; "auto" tries both where the recipe leaves it open, and
            takes the better one.
        until: "target" ends at the sparsity, whether the policy holds there or not; "holds" removes
            less until it does; "breaks" also removes more as long as it does.
        further: what is pruned of what is left then, such as "element=0.5" or "block:1x16=0.9"; ""
            for nothing.
        multiple_of: widths of smaller networks are rounded to multiples of it, such as 8 or 16.
        small_dense: whether a dense network of as many parameters is taught beside the result.
        distil_rounds: of collecting states and training on all of them; by default 10 for discrete
            actions and 30 for continuous ones.
        distil_steps: optimizer steps in a round; by default 400 and 1,000.
        distil_loss: see `DistillationSettings`.
        distil_temperature: of the softmax over scores, in units of the mean gap between them.
        distil_learning_rate: at the start.
        fine_tune_env_steps: environment steps of PPO with which a candidate that was taught and
            does not hold goes on, 0 for none; by default 200,000 where PPO knows the actions.

    Raises:
        ValueError: a value is out of its range; says the range and what was received.
    """

    route: str = _option("auto", "Prune and repair, distil a smaller network, or both.", ROUTES)
    until: str = _option("holds", "Where to stop: at the sparsity, or by what holds.", UNTIL)
    further: str = _option("", "Also prune what is left: element=0.5 or block:1x16=0.9.")
    multiple_of: int = _option(1, "Round widths of smaller networks to multiples of this.")
    small_dense: bool = _option(False, "Also teach a dense network of as few parameters.")
    distil_rounds: int | None = _count(
        "Rounds of collecting states and learning from all.  [default: 10; continuous actions: 30]"
    )
    distil_steps: int | None = _count(
        "Optimizer steps in a round.  [default: 400; continuous actions: 1,000]"
    )
    distil_loss: str = _option(
        "auto", "What is taught.", ("auto", *DISCRETE_LOSSES, *CONTINUOUS_LOSSES)
    )
    distil_temperature: float = _option(0.2, "Of the softmax over scores, in mean gaps.")
    distil_learning_rate: float = _option(3e-3, "Of the student, at the start.")
    fine_tune_env_steps: int | None = _count(
        "Environment steps of PPO for what does not hold; 0 for none.  [default: 200,000]"
    )

    def check_teaching(self) -> None:
        """Raises ValueError where a value is out of its range."""
        check_choice("route", self.route, ROUTES)
        check_choice("until", self.until, UNTIL)
        losses = ("auto", *DISCRETE_LOSSES, *CONTINUOUS_LOSSES)
        check_choice("distil_loss", self.distil_loss, losses)
        parse_further(self.further)
        for name in ("multiple_of", "distil_rounds", "distil_steps"):
            value = getattr(self, name)
            if value is not None or name == "multiple_of":
                check_count(name, value)
        check_number("distil_temperature", self.distil_temperature)
        if not self.distil_temperature > 0:
            raise ValueError(
                "distil_temperature is in mean gaps between scores, above 0. Received: "
                f"{self.distil_temperature!r}."
            )
        check_share("distil_learning_rate", self.distil_learning_rate)
        if self.fine_tune_env_steps is not None:
            check_number("fine_tune_env_steps", self.fine_tune_env_steps, whole=True)
            if self.fine_tune_env_steps < 0:
                raise ValueError(
                    "fine_tune_env_steps is at least 1, or 0 for none. Received: "
                    f"fine_tune_env_steps={self.fine_tune_env_steps}."
                )
        if not isinstance(self.small_dense, bool):
            raise ValueError(f"small_dense is true or false. Received: {self.small_dense!r}.")
