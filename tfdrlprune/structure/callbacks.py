"""The Keras callback that closes gates: in the fit loop around an agent and in any ``fit``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from tfdrlprune._tf import read, tf, write

import numpy as np

from tfdrlprune.pruning.masking import Networks
from tfdrlprune.pruning.models import HasNetworks, find, networks_of, step_of
from tfdrlprune.pruning.schedules import DEFAULT_FREQUENCY, linear
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe.checks import check_choice, check_count
from tfdrlprune.recipe.forms import parse_networks
from tfdrlprune.structure import scores
from tfdrlprune.structure.closing import CRITERIA, Closing, Gates, functional_with_gates
from tfdrlprune.structure.selection import COUNTS, SHARES

_log = logging.getLogger("tfdrlprune")


class StructuralPruningCallback(tf.keras.callbacks.Callback):
    """Closes gates while the model trains; `shrink` takes the closed units out afterwards.

    Gates are put in by `structure.gating.gated`. Fixed ones are closed, and opened again, as the
    schedule and the scores say. Trained ones close by themselves; what they have closed at a due
    step stays closed, and the schedule closes more where it asks for more.

    Every batch adds ``unit_sparsity``, the share of gated units that put out nothing;
    ``open_units/<group>``; and ``parameter_sparsity``, the share of parameters that `shrink` takes
    out for them. Steps are optimizer steps, as with `PruningCallback`; where a batch fuses several,
    gates change between batches.

    Args:
        schedule: how many units (or parameters) go at which step: one of ``tp.schedules``, of
            tfmot's, or a function step -> sparsity. None for trained gates alone.
        criterion: which go first: "l1", "l2" or "mean_magnitude" of their weights, "taylor" of the
            loss, "activation", or "gate", what a trained gate multiplies by. None is "l1", or
            "gate" where gates are trained.
        aggregate: of a unit's slices in several kernels: "mean", "max" or "sum".
        share: "layer" takes the same fraction of every group, "global" the lowest of all, "latency"
            those with the lowest score for the multiply-adds that they save.
        of: what the schedule's sparsity is a fraction of: "units" or "parameters".
        multiple: what stays open of a group is rounded up to a multiple of it.
        least: units of each layer that stay open, 1 or more.
        networks: roles whose gates are closed: "actor", "critic" or both, with sparsities of their
            own as in `PruningCallback`.
        frequency: steps between updates, where ``schedule`` is a function or None.
        end_step: with ``schedule=None``, the step from which trained gates are shrunk no more; with
            a schedule it is the schedule's own. None for never.
        gradient_batches: that "taylor" is taken on.
        data: (x, y) arrays or batches, where the model is a plain Keras one, for "taylor" and
            "activation"; an agent has its replay or roll-outs.

    Raises:
        ValueError, TypeError: an argument is out of range, or the model has no gates; before
            training.

    Example:
        >>> import tensorflow as tf
        >>> from tfdrlprune.structure.gating import gated
        >>> from tfdrlprune.structure.shrink import shrink
        >>> given = tf.keras.Input((4,))
        >>> hidden = tf.keras.layers.Dense(8, activation="relu", name="hidden")(given)
        >>> model = gated(tf.keras.Model(given, tf.keras.layers.Dense(2)(hidden))).model
        >>> model.compile("adam", "mse")
        >>> x, y = tf.random.normal((64, 4)), tf.zeros((64, 2))
        >>> closing = StructuralPruningCallback(lambda step: 0.5, frequency=1)
        >>> _ = model.fit(x, y, verbose=0, callbacks=[closing])
        >>> shrink(model).widths
        {'hidden': (8, 4)}
    """

    def __init__(  # noqa: PLR0913 (those of a selection, spelled out)
        self,
        schedule: Any,
        *,
        criterion: str | None = None,
        aggregate: str = "mean",
        share: str = "layer",
        of: str = "units",
        multiple: int = 1,
        least: int = 1,
        networks: Networks = "actor",
        frequency: int = DEFAULT_FREQUENCY,
        end_step: int | None = None,
        gradient_batches: int = 8,
        data: Any = None,
    ):
        super().__init__()
        if criterion is not None:
            check_choice("criterion", criterion, CRITERIA)
        check_choice("aggregate", aggregate, scores.AGGREGATES)
        check_choice("share", share, SHARES)
        check_choice("of", of, COUNTS)
        for name, value in (
            ("multiple", multiple),
            ("least", least),
            ("frequency", frequency),
            ("gradient_batches", gradient_batches),
        ):
            check_count(name, value)
        if end_step is not None:
            check_count("end_step", end_step)
            if schedule is not None:
                raise ValueError(
                    "end_step goes with schedule=None; a schedule has an end of its own. Received: "
                    f"end_step={end_step} and a schedule."
                )
        self._roles = parse_networks(networks)
        self._source = schedule
        if schedule is None:
            self._source = _nothing
            if end_step is not None:
                self._source = linear(0.0, 0, end_step, frequency=frequency)
        self._penalty_alone, self._frequency, self._data = schedule is None, frequency, data
        # All roles' own are checked now, and not when training begins.
        self._schedules = {
            role: Schedule(self._source, frequency, own) for role, own in self._roles.items()
        }
        self._closing = Closing(
            criterion or "", aggregate, share, of, multiple, least, gradient_batches
        )
        self._gates: dict[str, list[Gates]] = {}
        self._batches = 0
        self._logged: dict[str, float] = {}
        # In the checkpoint: a resumed run must not repeat the update that was due last.
        self._last_due = tf.Variable(-1, dtype=tf.int64, trainable=False, name="last_due")

    def set_model(self, model: tf.keras.Model) -> None:
        """Finds the gates; a further fit of the same model goes on with what is known."""
        again = bool(self._gates) and self.model is model
        super().set_model(model)
        self._batches = 0
        if again:
            return
        if not isinstance(model, HasNetworks) and not model.built:
            raise ValueError(
                "Gates stand in a functional model. Received: a model that has not been built. "
                "Give its first layer an input shape, and put gates in by structure.gating.gated."
            )
        self._gates = dict(self._found(model))
        write(self._last_due, np.int64(-1))
        # Not as a tf.Module: Keras would count it among the model's weights.
        state = tf.train.Checkpoint(last_due=self._last_due)
        setattr(model, f"structural_pruning_state_of_{'_'.join(self._roles)}", state)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Applies what is due at the step from which training starts or resumes."""
        self._claim()
        self._update()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Closes and opens gates if that is due, and logs how many are open."""
        self._batches += 1
        # Counting takes as long as a small batch, so only where gates may have changed much; the
        # first batch may follow a restored checkpoint.
        if self._update() or batch == 0:
            self._logged = self.sparsity()
        if logs is not None:
            logs.update(self._logged)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Logs how many gates are open."""
        if logs is not None:
            logs.update(self.sparsity())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Says so if training ended before the schedule."""
        step = self._step()
        for schedule in self._schedules.values():
            if schedule.end_step is not None and step < schedule.end_step:
                _log.warning(
                    "the schedule is not done: it runs from step %d to %d, and training ended at "
                    "step %d with a unit sparsity of %.3f",
                    *(schedule.begin_step, schedule.end_step, step),
                    self.sparsity()["unit_sparsity"],
                )
                return

    def sparsity(self) -> dict[str, float]:
        """Returns what is logged; with several roles ``unit_sparsity/<role>`` for each too."""
        found: dict[str, float] = {}
        total = np.zeros(4)
        for role, several in self._gates.items():
            own = np.zeros(4)
            for gates in several:
                counts = gates.open_units()
                # Two networks of a role, such as twin critics, may have layers of one name.
                for name, (left, _) in counts.items():
                    key = _unused(f"open_units/{name}", found)
                    found[key] = float(left)
                units = np.sum(list(counts.values()), axis=0)
                own += np.array([*units, *gates.parameters()])
            total += own
            if len(self._gates) > 1:
                found[f"unit_sparsity/{role}"] = float(1 - own[0] / own[1])
        return {
            "unit_sparsity": float(1 - total[0] / total[1]),
            "parameter_sparsity": float(1 - total[2] / total[3]),
        } | found

    def _found(self, model: tf.keras.Model) -> Iterator[tuple[str, list[Gates]]]:
        """Yields the gates of each role."""
        available = networks_of(model)
        for role in self._roles:
            check_choice("networks", role, available)
            (found,) = find(model, [[role]], self._data)
            experience = found.surroundings.experience
            gates = []
            for network, followed_by in available[role]:
                followers = [functional_with_gates(each) for each in followed_by]
                for index, inner in enumerate(functional_with_gates(network)):
                    copies = [each[index] for each in followers]
                    gates.append(Gates(inner, network, copies, experience))
            self._check(role, gates)
            yield role, gates

    def _check(self, role: str, gates: list[Gates]) -> None:
        if not any(each.groups for each in gates):
            raise ValueError(
                f"There are no gates to close in the {role} network. Put them in first: "
                "structure.gating.gated(model).model, and for an agent "
                "tp.agents.dqn(env, policy=policy.replace(model=...)), or c51, ppo, sac or td3."
            )
        if self._penalty_alone or self._closing.criterion == "gate":
            fixed = not all(each.trained for each in gates)
            if fixed:
                raise ValueError(
                    "Fixed gates are closed by a schedule and a criterion of weights, gradients or "
                    "activations. Received: "
                    f"{'schedule=None' if self._penalty_alone else repr('gate')}. Or train them: "
                    "gated(model, penalty='l1')."
                )

    def _claim(self) -> None:
        """Raises ValueError if another callback of this fit closes one of the gates, too."""
        if self.params is None:  # driven by hand
            return
        # Keras gives all callbacks of one fit the same dictionary.
        claimed = self.params.setdefault("closed_gates", {})
        for gates in (each for several in self._gates.values() for each in several):
            for _, gate in gates.groups.values():
                if claimed.setdefault(id(gate), self) is not self:
                    raise ValueError(
                        f"One callback closes a gate. Received: two for {gate.name}. Give one "
                        "callback all of them."
                    )

    def _step(self) -> int:
        return step_of(self.model, self._batches)

    def _update(self) -> bool:
        step = self._step()
        dues = [schedule.last_due(step) for schedule in self._schedules.values()]
        due = max((each for each in dues if each is not None), default=None)
        if due is None or due == int(read(self._last_due)):
            return False
        write(self._last_due, np.int64(due))
        for role, several in self._gates.items():
            schedule = self._schedules[role]
            for gates in several:
                over = schedule.end_step is not None and due >= schedule.end_step
                gates.shrink(0.0 if over else 1.0)
                gates.close(schedule.sparsity(due), self._closing)
        return True


def _nothing(step: int) -> float:
    """Returns what a schedule without an end asks for that leaves closing to the penalty."""
    return 0.0


def _unused(name: str, taken: dict[str, float]) -> str:
    number = 2
    key = name
    while key in taken:
        key, number = f"{name}~{number}", number + 1
    return key
