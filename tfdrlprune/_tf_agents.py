"""The one door to TF-Agents: it opens without gym, quietly, and with images under NumPy 2.

TF-Agents 0.19 names ``gym`` in a single place (its multiprocessing helper, for a registry that we
never use) and pins a pygame that Python 3.12 cannot install. Where no gym is installed, a module
with just that registry stands in for it.
"""

from __future__ import annotations

import importlib.util
import sys
import types
import warnings
from typing import Any

from tfdrlprune._tf import require, tf

from tfdrlprune._console import silent


def _stand_in_for_gym() -> None:
    if "gym" in sys.modules:
        return
    if importlib.util.find_spec("gym") is not None:
        # gym prints its own obituary at import, from this table.
        notices = types.ModuleType("gym_notices.notices")
        notices.notices = {}  # type: ignore[attr-defined]
        sys.modules.setdefault("gym_notices.notices", notices)
        return
    names = ("gym", "gym.envs", "gym.envs.registration")
    gym, envs, registration = (types.ModuleType(name) for name in names)
    gym.__doc__ = "Stand-in of tfdrlprune for TF-Agents; the real gym is not installed."
    gym.envs, envs.registration = envs, registration  # type: ignore[attr-defined]
    registration.EnvRegistry = dict  # type: ignore[attr-defined]
    registration.registry = {}  # type: ignore[attr-defined]
    sys.modules.update(zip(names, (gym, envs, registration), strict=True))


def _sample_small_integers_in_int32(tensor_spec: types.ModuleType) -> None:
    """Repairs sampling of 8- and 16-bit specs: under NumPy 2, ``uint8(255) + 1`` wraps to 0.

    TF-Agents samples every observation spec when an agent is built, so without this no agent with
    image observations can be constructed (seen in tf-agents 0.19.0 with numpy 2.3).
    """
    original = tensor_spec.sample_bounded_spec

    def sample_bounded_spec(spec: Any, seed: Any = None, outer_dims: Any = None) -> Any:
        dtype = tf.as_dtype(spec.dtype)
        if not dtype.is_integer or dtype.size >= 4:
            return original(spec, seed=seed, outer_dims=outer_dims)
        wide = tensor_spec.BoundedTensorSpec(
            spec.shape, tf.int32, spec.minimum.astype("int32"), spec.maximum.astype("int32")
        )
        return tf.cast(original(wide, seed=seed, outer_dims=outer_dims), dtype)

    tensor_spec.sample_bounded_spec = sample_bounded_spec  # type: ignore[attr-defined]


# What PPOPolicy passes to its observation normaliser: under the root, and in deviations.
NORMALIZER_EPSILON = 1e-3
NORMALIZER_CLIP = 5.0


def normalizer_statistics(normalizer: Any) -> list[tuple[Any, Any]]:
    """Returns mean and variance, NumPy float32, of each leaf of an observation normaliser.

    Private in 0.19.0; without TF-Agents' Kahan carry, which its own variance leaves out too.
    """
    means, variances = normalizer._get_mean_var_estimates()
    return [
        (mean.numpy(), variance.numpy())
        for mean, variance in zip(tf.nest.flatten(means), tf.nest.flatten(variances), strict=True)
    ]


def _open_door() -> types.ModuleType:
    _stand_in_for_gym()
    with silent():
        package = require("tf_agents")
    from tf_agents.specs import tensor_spec

    _sample_small_integers_in_int32(tensor_spec)
    # AutoGraph turns TF-Agents' `state is not ()` into generated files that Python warns about.
    warnings.filterwarnings("ignore", '"is( not)?" with ', SyntaxWarning)
    return package


tf_agents = _open_door()
