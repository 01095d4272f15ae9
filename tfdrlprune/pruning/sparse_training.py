"""The Keras callback that trains sparsely from the beginning: static, SET, RigL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tfdrlprune.pruning.kernel_names import distribution_in, names_in, without
from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.pruning.masking import MaskingCallback, Networks
from tfdrlprune.pruning.models import Found
from tfdrlprune.pruning.rewiring import Exchange, Rewiring
from tfdrlprune.pruning.schedules import DEFAULT_FREQUENCY, Rise
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import METHODS, Recipe, Selection, check_sparsity
from tfdrlprune.recipe.checks import check_choice, check_number, check_seed, check_share

_METHODS = tuple(method for method in METHODS if method != "prune")
_GRADIENT_BATCHES = 8
_DROP_FRACTION = 0.3


class SparseTrainingCallback(MaskingCallback):
    """Trains at one sparsity from the first step to the last, and moves weights to where they help.

    The first masks are random. Then, every ``frequency`` optimizer steps, a share of each kernel's
    smallest weights goes and as many come elsewhere: at random ("set", Mocanu et al. 2018,
    "Scalable training of artificial neural networks with adaptive sparse connectivity"), or where
    the gradient of the loss is largest ("rigl", Evci et al. 2020, "Rigging the Lottery"). The share
    falls from ``drop_fraction`` to 0 along a cosine until ``end_step``. What comes starts at zero,
    with the optimizer's moments at zero. "static" moves nothing.

    Logs are those of `PruningCallback`. Where a batch fuses several steps, masks change between
    batches.

    Args:
        sparsity: fraction of the kernels' weights that are missing, in [0, 1).
        method: "rigl", "set" or "static".
        end_step: optimizer step after which nothing moves; a good one is 75 % of the run.
        begin_step: before which nothing moves.
        frequency: steps between two exchanges.
        drop_fraction: of the weights, in (0, 1).
        gradient_batches: that RigL's gradient is averaged over.
        distribution: of the sparsity among kernels; see `Selection`. "global" is for pruning only.
        spare: names of kernels or layers that stay dense.
        networks: as for `PruningCallback`.
        seed: of the first masks, and of what grows at random.
        data: (x, y) arrays or batches, where RigL's gradient is taken on a plain Keras model.
        mask_pictures: as for `PruningCallback`.

    Raises:
        ValueError: an argument is out of range or names nothing; before training.

    Example:
        >>> import tensorflow as tf
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(8, input_shape=(4,))])
        >>> model.compile("adam", "mse")
        >>> sparse = SparseTrainingCallback(0.5, "set", end_step=10, frequency=1)
        >>> x = tf.ones((320, 4))
        >>> _ = model.fit(x, tf.ones((320, 8)), verbose=0, callbacks=[sparse])
        >>> sparse.sparsity()["sparsity"]
        0.5
    """

    def __init__(  # noqa: PLR0913 (hyper-parameters)
        self,
        sparsity: float,
        method: str = "rigl",
        *,
        end_step: int,
        begin_step: int = 0,
        frequency: int = DEFAULT_FREQUENCY,
        drop_fraction: float = _DROP_FRACTION,
        gradient_batches: int = _GRADIENT_BATCHES,
        distribution: str | Mapping[str, float] = "erk",
        spare: str | Sequence[str] = (),
        networks: Networks = "actor",
        seed: int = 0,
        data: Any = None,
        mask_pictures: str | None = None,
    ):
        super().__init__(networks, data, mask_pictures)
        check_choice("method", method, _METHODS)
        check_seed(seed)
        check_share("drop_fraction", drop_fraction)
        check_number("sparsity", sparsity)
        self._sparsity = check_sparsity(sparsity)
        selection = Selection(
            distribution=distribution,
            spare=cast(Any, spare),  # it takes a name too, and says what it does not take
            gradient_batches=gradient_batches,
        )
        if selection.distribution == "global":
            raise ValueError(
                "distribution='global' compares scores, which the first masks of sparse training "
                "do not have. Received: distribution='global'. Write 'erk' or 'uniform'."
            )
        for name, value, default, users in (
            ("gradient_batches", gradient_batches, _GRADIENT_BATCHES, ("rigl",)),
            ("drop_fraction", drop_fraction, _DROP_FRACTION, ("rigl", "set")),
        ):
            if method not in users and value != default:
                raise ValueError(
                    f"method={method!r} has no {name}. Received: {name}={value!r}. Leave it out."
                )
        self._distribution, self._spare = selection.distribution, selection.spare
        when = Rise(
            initial_sparsity=sparsity,
            final_sparsity=sparsity,
            begin_step=begin_step,
            end_step=end_step,
            frequency=frequency,
        )
        if method != "static" and end_step == begin_step:
            raise ValueError(
                f"method={method!r} moves weights from begin_step to end_step. Received: both are "
                f"{end_step!r}. Write end_step=0.75 of the run's steps, or method='static'."
            )
        self._when = Schedule(when)
        self._exchange = Exchange(method, drop_fraction, gradient_batches, seed)

    @classmethod
    def from_recipe(cls, recipe: Recipe, steps: int, seed: int = 0) -> SparseTrainingCallback:
        """Returns the callback that a recipe asks for in a run of ``steps`` optimizer steps.

        Weights move from the beginning to the recipe's ``end``.

        Raises:
            ValueError: the recipe is one of pruning.
        """
        return cls(
            recipe.sparsity,
            recipe.method,
            end_step=int(recipe.end * steps),
            frequency=recipe.frequency,
            drop_fraction=recipe.drop_fraction,
            gradient_batches=recipe.gradient_batches,
            distribution=recipe.distribution,
            spare=recipe.spare,
            networks=recipe.networks,
            seed=seed,
        )

    def _engine(
        self, found: Found, everything: Sequence[Kernel], sparsity: float | None
    ) -> Rewiring:
        spared = names_in(self._spare, found.kernels, everything, "to spare")
        chosen = without(found.kernels, spared)
        if not chosen:
            raise ValueError(
                "There is nothing to make sparse: the model has no Dense, convolution or recurrent "
                f"kernel{' that is not spared' if found.kernels else ''}."
            )
        experience = found.surroundings.experience
        if experience is None:
            raise ValueError(
                "Sparse training needs the model's optimizers, whose moments of new weights begin "
                f"anew. {type(self.model).__name__} does not tell them: see "
                "tfdrlprune.pruning.experience.Experience."
            )
        if self._exchange.method == "rigl" and not experience.has_data():
            raise ValueError(
                "method='rigl' needs data for its gradients: give SparseTrainingCallback(..., "
                "data=(x, y)), or take method='set'."
            )
        return Rewiring(
            chosen,
            self._sparsity if sparsity is None else sparsity,
            distribution_in(self._distribution, found.kernels, everything),
            self._exchange,
            self._when,
            found.followers_of(chosen),
            experience,
        )
