"""Recipe: every choice of a compression, in one frozen dataclass, to and from TOML.

The command line's flags are made from its fields, and an artifact carries its recipe.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfdrlprune.recipe.checks import (
    check_choice,
    check_count,
    check_number,
    check_share,
    check_sparsity,
    did_you_mean,
)
from tfdrlprune.recipe.forms import parse_networks
from tfdrlprune.recipe.selection import Selection
from tfdrlprune.recipe.teaching import Teaching

__all__ = ["PRECISIONS", "SCHEDULES", "Recipe", "Selection", "Teaching", "check_sparsity"]

PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
AUTO = "auto"
SCHEDULES = ("cubic", "linear", "one_shot", "cyclical", "return_gated")
_OF_PRUNING = ("granularity", "criterion", "group_score", "threshold", "schedule", "begin")
_OF_GATES = ("return_margin", "return_stride", "return_patience")
_WITHOUT_END = ("one_shot", "return_gated")
METHODS = ("prune", "rigl", "set", "static")


def _option(
    default: Any, help_text: str, choices: tuple[str, ...] | None = None, **more: Any
) -> Any:
    return field(default=default, metadata={"help": help_text, "choices": choices} | more)


def _in_training(default: Any, help_text: str, choices: tuple[str, ...] | None = None) -> Any:
    """Returns a field that means something only while an agent trains."""
    return _option(default, help_text, choices, in_training=True)


@dataclass(frozen=True, kw_only=True)
class Recipe(Selection, Teaching):
    """What to remove, when, and in which precision to store the rest.

    See `Selection` for which weights go, and `Teaching` for how a trained policy becomes small.

    Attributes:
        sparsity: fraction of the prunable kernels' weights that are removed, in [0, 1).
        method: "prune", from dense to sparse; or sparse from the beginning: "rigl", "set" or
            "static", see `SparseTrainingCallback`.
        networks: roles that are pruned, "actor" or "actor,critic"; "actor,critic=0.5" gives the
            critic a sparsity of its own. A dictionary from roles to sparsities or None does too.
        drop_fraction: of the weights that "rigl" and "set" exchange at their first update.
        schedule: how it is reached: "cubic" (Zhu & Gupta 2017), "linear", "one_shot" at ``begin``,
            "cyclical", or "return_gated", which goes on only while the evaluated return holds.
        cycles: rises of the cyclical schedule.
        return_margin, return_stride, return_patience: of the return-gated schedule; see
            `ReturnGated`.
        begin: share of the run at which pruning begins, in [0, 1).
        end: share of the run at which the full sparsity is reached, in (begin, 1].
        frequency: optimizer steps between two mask updates.
        precision: of the artifact: "float32", "float16", "dynamic", "int8" or "int16x8"; or "auto",
            the smallest file that passes.
        qat: whether training ends quantization-aware: from ``end`` on in a run, or in one more
            lesson of a trained policy, which is for "int8" and "auto". See `QuantizationCallback`.

    Raises:
        ValueError: a value is out of its range; says the range and what was received.

    Example:
        >>> Recipe(sparsity=0.9, precision="int8").to_dict()["precision"]
        'int8'
    """

    sparsity: float = _option(0.9, "Fraction of weights to remove, in [0, 1).")
    method: str = _in_training("prune", "Dense to sparse, or sparse from the beginning.", METHODS)
    networks: str | Mapping[str, float | None] = _in_training(
        "actor", "Roles to prune: actor, or actor,critic=0.5."
    )
    drop_fraction: float = _in_training(0.3, "Share of weights that rigl and set exchange.")
    schedule: str = _option("cubic", "How the sparsity is reached.", SCHEDULES)
    cycles: int = _option(4, "Rises of the cyclical schedule.")
    return_margin: float = _in_training(0.05, "Loss of return that return_gated allows.")
    return_stride: float = _in_training(0.3, "Share of what is left that goes at each rise of it.")
    return_patience: int = _in_training(1, "Bad returns in a row before it goes back.")
    begin: float = _option(0.2, "Share of the run at which pruning begins.")
    end: float = _option(0.6, "Share of the run at which the full sparsity is reached.")
    frequency: int = _option(100, "Optimizer steps between two mask updates.")
    precision: str = _option("float32", "Precision of the artifact.", (*PRECISIONS, AUTO))
    qat: bool = _option(False, "End training quantization-aware: rounding as int8 will.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_teaching()
        check_number("sparsity", self.sparsity)
        check_sparsity(self.sparsity)
        self.pattern.check_final(self.sparsity)
        check_choice("schedule", self.schedule, SCHEDULES)
        check_choice("precision", self.precision, (*PRECISIONS, AUTO))
        object.__setattr__(self, "networks", _plain(parse_networks(self.networks)))
        check_choice("method", self.method, METHODS)
        for name in ("begin", "end"):
            check_number(name, getattr(self, name))
        for name in ("drop_fraction", "return_margin", "return_stride"):
            check_share(name, getattr(self, name))
        check_number("return_patience", self.return_patience, whole=True)
        for name in ("frequency", "cycles"):
            check_count(name, getattr(self, name))
        # What has no end of its own may begin after where others end.
        end = 1.0 if self.schedule in _WITHOUT_END else self.end
        if not 0.0 <= self.begin < end <= 1.0:
            raise ValueError(
                "Pruning begins and ends within the run: 0 <= begin < end <= 1. "
                f"Received: begin={self.begin!r}, end={self.end!r}."
            )
        if not isinstance(self.qat, bool):
            raise ValueError(f"qat is true or false. Received: {self.qat!r}.")
        self._check_method()

    def _check_method(self) -> None:
        """Raises ValueError where something is asked for that this method or schedule has not."""
        sparse = self.method != "prune"
        if not sparse:
            self.check_gradients()
        gated = self.schedule == "return_gated"
        unknown = {
            f"method={self.method!r} trains sparsely from the beginning": _OF_PRUNING * sparse,
            "method='prune' exchanges no weights": ("drop_fraction",) * (not sparse),
            f"schedule={self.schedule!r} does not look at returns": _OF_GATES * (not gated),
            f"method={self.method!r} grows by no gradient": (
                ("gradient_batches",) * (self.method in ("set", "static"))
            ),
            f"schedule={self.schedule!r} rises once": (("cycles",) * (self.schedule != "cyclical")),
            f"schedule={self.schedule!r} ends by itself": (
                ("end", "frequency") * (self.schedule in _WITHOUT_END)
            ),
            "method='static' moves no weights": (
                ("drop_fraction", "end", "frequency") * (self.method == "static")
            ),
            f"networks={self.networks!r} gives each role a sparsity of its own": (
                ("sparsity",) * (None not in parse_networks(self.networks).values())
            ),
        }
        defaults = {each.name: each.default for each in dataclasses.fields(Recipe)}
        for why, names in unknown.items():
            for name in names:
                if getattr(self, name) != defaults[name]:
                    raise ValueError(
                        f"{why}, and has no {name}. Received: {name}={getattr(self, name)!r}. "
                        "Leave it out."
                    )
        if sparse and self.distribution == "global":
            raise ValueError(
                "distribution='global' compares scores, which the first masks of sparse training "
                "do not have. Write 'erk' or 'uniform'."
            )

    def check_compress(self) -> None:
        """Raises ValueError where the recipe asks for what only happens while an agent trains."""
        asked = [
            each.name
            for each in dataclasses.fields(self)
            if each.metadata.get("in_training") and getattr(self, each.name) != each.default
        ] + ["schedule"] * (self.schedule == "return_gated")
        if asked:
            raise ValueError(
                f"{asked[0]}={getattr(self, asked[0])!r} is for training: tfdrlprune train, or "
                "AgentTrainer. A trained policy is pruned without."
            )
        if self.qat and self.precision not in ("int8", AUTO):
            raise ValueError(
                "qat teaches a policy to round as int8 does. Received: "
                f"precision={self.precision!r}. Write precision='int8' or 'auto'."
            )
        if self.further and self.granularity != "unit" and self.routes() != ("distil",):
            raise ValueError(
                "further prunes what is left of a smaller network. Received: "
                f"further={self.further!r}, granularity={self.granularity!r}. Write "
                "granularity='unit' or route='distil'."
            )
        if self.until == "breaks" and not self.is_adjustable:
            raise ValueError(
                "until='breaks' removes more and more, and this recipe has one sparsity only. "
                f"Received: granularity={self.granularity!r}, sparsity={self.sparsity!r}, "
                f"threshold={self.threshold!r}. Write until='target'."
            )

    def routes(self) -> tuple[str, ...]:
        """Returns the routes that compression tries: those that the recipe leaves open.

        Who asks for a pattern of zeros, for layers that are spared, or for nothing to be removed
        gets what only pruning gives.
        """
        if self.route != "auto":
            return (self.route,)
        if self.further and self.granularity == "element" and not self.spare:
            return ("distil",)  # what is left of a masked network is zeros
        only_pruning = (
            self.granularity not in ("element", "unit")
            or self.spare
            or self.threshold is not None
            or not isinstance(self.distribution, str)
            or self.sparsity == 0.0
        )
        return ("prune",) if only_pruning else ("prune", "distil")

    @property
    def is_adjustable(self) -> bool:
        """Whether less or more than ``sparsity`` can be removed in the same way.

        N:M has one sparsity, layers that have sparsities of their own keep them, and a threshold
        removes what it removes.
        """
        fixed = self.pattern.kind == "n:m" or not isinstance(self.distribution, str)
        return not fixed and self.threshold is None and self.sparsity > 0.0

    @property
    def prunes(self) -> bool:
        """Whether anything is to be removed."""
        own = parse_networks(self.networks).values()
        return any(self.sparsity if each is None else each for each in own)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        values = dataclasses.asdict(self)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Recipe:
        """Returns the recipe with these fields; the others keep their defaults.

        Raises:
            ValueError: a key is no field; names the nearest one.
        """
        known = [each.name for each in dataclasses.fields(Recipe)]
        for key in values:
            if key not in known:
                raise ValueError(
                    f"A recipe has no field {key!r}.{did_you_mean(key, known)} "
                    f"Fields: {', '.join(known)}."
                )
        return Recipe(**dict(values))

    def to_toml(self) -> str:
        """Returns the recipe as TOML; what is None is left out, since TOML has no such value."""
        import tomli_w

        return tomli_w.dumps({k: v for k, v in self.to_dict().items() if v is not None})

    @staticmethod
    def from_toml(text: str) -> Recipe:
        """Returns the recipe that a TOML text describes.

        Raises:
            ValueError: it is no TOML, has an unknown key, or a value is out of range.
        """
        parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        return Recipe.from_dict(parser.loads(text))


def _plain(networks: Mapping[str, float | None]) -> str:
    """Returns roles and their own sparsities in the short form, which TOML can hold."""
    return ",".join(
        role if sparsity is None else f"{role}={sparsity:g}" for role, sparsity in networks.items()
    )
