"""How a student is taught."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from tfdrlprune.policies.form import Policy
from tfdrlprune.recipe import Recipe


@dataclass(frozen=True)
class DistillationSettings:
    """How students are taught.

    Attributes:
        rounds: of collecting states and training on all so far.
        steps: optimizer steps in a round.
        states: collected in a round.
        num_envs: environments stepped at once while collecting.
        batch_size: states in an optimizer step.
        learning_rate: Adam's at the start; it falls to a hundredth along a cosine.
        loss: what the student is to have of the teacher, see `objective_of`; "auto" takes
            "cross_entropy" for discrete actions and "action" for continuous ones.
        temperature: of the softmax over scores, in units of the teacher's mean gap between its best
            and its second action.
        epsilon: random actions of the student while collecting.
        selection_episodes: episodes that choose the round whose student is kept.
        patience: rounds in a row, at the full sparsity, in which a student does as well as the
            teacher on those episodes, after which the lesson ends; 0 makes all rounds.
        restarts: students with other initial weights that are taught together, the best of which is
            kept, where they have at most 2,000 parameters. Larger ones don't get stuck.
    """

    rounds: int = 10
    steps: int = 400
    states: int = 4_096
    num_envs: int = 32
    batch_size: int = 256
    learning_rate: float = 3e-3
    loss: str = "auto"
    temperature: float = 0.2
    epsilon: float = 0.05
    selection_episodes: int = 20
    patience: int = 3
    restarts: int = 3

    @staticmethod
    def of(recipe: Recipe, teacher: Policy) -> DistillationSettings:
        """Returns the settings that a recipe asks for, and for the rest what a teacher needs.

        A continuous action has to be met, where for a discrete one the order of scores is enough:
        that takes more steps. And random actions throw a body that balances into states that it
        never comes to by itself: of a Hopper of 256x256, a network of a twentieth of its parameters
        kept 76 % of the return with 5 % of random actions, and 98 % without; one seed each.
        """
        discrete = teacher.head.kind == "argmax"
        own = DistillationSettings()
        lasting = own if discrete else dataclasses.replace(own, rounds=30, steps=1_000, epsilon=0.0)
        return dataclasses.replace(
            lasting,
            rounds=recipe.distil_rounds or lasting.rounds,
            steps=recipe.distil_steps or lasting.steps,
            loss=recipe.distil_loss,
            temperature=recipe.distil_temperature,
            learning_rate=recipe.distil_learning_rate,
        )
