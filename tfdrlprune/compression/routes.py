"""The routes, tried side by side where the recipe leaves it open, at one sparsity after another."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tfdrlprune.compression.candidates import budget_of, make, sparser
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.fine_tuning import env_steps_of, fine_tuned
from tfdrlprune.compression.narrow import least_parameters
from tfdrlprune.compression.rounding import rounded
from tfdrlprune.compression.search import Found, search
from tfdrlprune.compression.store import Store
from tfdrlprune.compression.trials import Trial, Trials
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.tried import Tried
from tfdrlprune.recipe import Recipe

# Sizes this near to one another are the same: then the return decides.
_ALIKE = 1.05

# What no candidate depends on, or not until it was taught and tried.
_NEUTRAL: dict[str, Any] = {
    "precision": "float32",
    "until": "target",
    "small_dense": False,
    "fine_tune_env_steps": 0,
}


@dataclass(frozen=True, eq=False)
class Attempt:
    """A candidate with what it came to on selection seeds.

    Attributes:
        candidate: the policy, with its steps.
        trial: None without an environment.
        seconds: that making and trying it took.
    """

    candidate: Candidate
    trial: Trial | None
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether it is shown to do what the dense policy does."""
        return self.trial is not None and self.trial.holds

    @property
    def parameters(self) -> int:
        """How many numbers it stores."""
        return self.candidate.parameters

    @property
    def value(self) -> float:
        """What attempts of one size are compared by; higher is better."""
        return self.candidate.value if self.trial is None else self.trial.mean

    def row(self, chosen: bool) -> Tried:
        """Returns the attempt as a report has it."""
        trial = self.trial
        return Tried(
            route=self.candidate.recipe.route,
            sparsity=self.candidate.recipe.sparsity,
            parameters=self.parameters,
            nonzero=self.candidate.nonzero,
            verdict=None if trial is None else trial.verdict,
            mean=None if trial is None else trial.mean,
            difference=None if trial is None else trial.difference,
            episodes=0 if trial is None else trial.episodes,
            seconds=round(self.seconds, 1),
            chosen=chosen,
            further=self.candidate.recipe.further,
            fine_tuned=bool(self.candidate.recipe.fine_tune_env_steps),
        )


class Routes:
    """Makes and tries candidates.

    Args:
        recipe: with the routes that are open.
        classroom: where they are taught.
        trials: where they are tried; None without an environment.
        store: what was made before.
        made_of: what determines a candidate beside its recipe, as JSON values; None if unknown.
    """

    def __init__(
        self,
        recipe: Recipe,
        classroom: Classroom,
        trials: Trials | None,
        store: Store,
        made_of: dict[str, Any] | None,
    ):
        self._recipe, self._classroom, self._trials = recipe, classroom, trials
        self._store, self._made_of = store, made_of
        self.attempts: list[Attempt] = []
        # Distillation first: it alone can win, at equal parameters, over zeros that are stored.
        self._order = sorted(recipe.routes())

    def search(self) -> Found[Attempt]:
        """Returns what holds, as far as the recipe goes; the best of all where nothing does."""
        recipe = self._recipe
        until = recipe.until if self._trials is not None and recipe.is_adjustable else "target"
        found = search(self._attempt, 1.0 - recipe.sparsity, until)
        best = found.best or max(found.attempts, key=lambda each: each.value, default=None)
        return Found(tuple(self.attempts), best)

    def _attempt(self, keep: float) -> Attempt | None:
        """Returns the better route's attempt that keeps so much; None where neither can."""
        made: list[Attempt] = []
        recipe = dataclasses.replace(self._recipe, sparsity=max(0.0, 1.0 - keep))
        for route in self._order:
            if made and made[-1].holds and not self._both(recipe):
                break
            made += self._along(route, recipe)
        if not made:
            return None
        winner = best_of(made)
        self._order.sort(key=lambda route: route != winner.candidate.recipe.route)
        self.attempts += made
        return winner

    def _both(self, recipe: Recipe) -> bool:
        """Tells whether the second route is tried although the first holds.

        Once, and where the second could be smaller or better: masked zeros are stored, so that
        a masked network is never smaller than a dense one of as many parameters.
        """
        return not self.attempts and recipe.granularity == "unit"

    def _along(self, route: str, recipe: Recipe) -> Iterator[Attempt]:
        """Yields what was taught along a route, and what was fine-tuned where that fails."""
        teacher = self._classroom.teacher
        # What candidates don't depend on is the same for all, so that they are found again.
        own = dataclasses.replace(recipe, route=route, **_NEUTRAL)
        if route == "distil":
            least = least_parameters(teacher, multiple=own.multiple_of)
            if least > budget_of(own, teacher):
                return
        made_of = self._made_of and self._made_of | {"recipe": own.to_dict()}
        taught = self._tried(made_of, lambda: self._taught(own))
        yield taught
        if taught.trial is None or taught.holds:
            return
        env_steps = env_steps_of(recipe, self._classroom)
        if not env_steps:
            return
        try:
            tuned = self._tried(
                made_of and made_of | {"fine_tune_env_steps": env_steps},
                lambda: fine_tuned(taught.candidate, self._classroom, env_steps),
            )
        except ValueError as error:  # a reward that is NaN, which no lesson looks at
            if recipe.fine_tune_env_steps is not None:
                raise
            self._classroom.tell(f"no fine-tuning: {error}", 1, 1)
            return
        yield tuned

    def _taught(self, recipe: Recipe) -> Candidate:
        candidate = sparser(make(recipe, self._classroom), self._classroom)
        return rounded(candidate, self._classroom)

    def _tried(self, made_of: dict[str, Any] | None, make: Callable[[], Candidate]) -> Attempt:
        """Returns a candidate with what it comes to, both found again or made now."""
        start = time.perf_counter()
        candidate, seconds = self._stored(made_of, make)
        if self._trials is None:
            return Attempt(candidate, None, seconds)
        trials = self._trials
        tried = made_of and made_of | {"trials": trials.made_of()}

        def play() -> tuple[dict[str, Any], dict[str, Any]]:
            trial = trials.hold(candidate.policy)
            took = time.perf_counter() - start
            return {}, {"trial": dataclasses.asdict(trial), "seconds": took}

        _, values = self._store.of(tried, play)
        return Attempt(candidate, Trial(**values["trial"]), values["seconds"])

    def _stored(
        self, made_of: dict[str, Any] | None, make: Callable[[], Candidate]
    ) -> tuple[Candidate, float]:
        """Returns a candidate, made before or now, and the seconds it took."""

        def made() -> tuple[dict[str, Any], dict[str, Any]]:
            start = time.perf_counter()
            candidate = make()
            return dict(candidate.stages), {
                "recipe": candidate.recipe.to_dict(),
                "pruned_layers": candidate.pruned_layers,
                "value": candidate.value,
                "coverage": candidate.coverage and candidate.coverage.to_json(),
                "seconds": time.perf_counter() - start,
            }

        policies, values = self._store.of(made_of, made)
        layers = values["pruned_layers"]
        candidate = Candidate(
            Recipe.from_dict(values["recipe"]),
            tuple(policies.items()),
            None if layers is None else tuple(layers),
            values["value"],
            values["coverage"] and Coverage(**values["coverage"]),
        )
        return candidate, values["seconds"]


def best_of(attempts: Sequence[Attempt]) -> Attempt:
    """Returns the best of attempts at one sparsity.

    One that holds goes before one that does not; of these the smaller, and of about the same size
    that with the higher return.
    """
    holding = [each for each in attempts if each.holds] or list(attempts)
    least = min(each.parameters for each in holding)
    alike = [each for each in holding if each.parameters <= _ALIKE * least]
    if not holding[0].holds:
        alike = holding
    return max(alike, key=lambda each: each.value)
