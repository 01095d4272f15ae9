"""Gymnasium environments from an id, a factory or an object, with errors that say what to do."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import gymnasium as gym
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from tfdrlprune import _mujoco
from tfdrlprune.recipe.checks import check_count

# What users may name an environment by: a registered id, a zero-argument factory, an object.
Environment: TypeAlias = "str | Callable[[], gym.Env[Any, Any]] | gym.Env[Any, Any]"

_EXTRAS = ("box2d", "mujoco")
# Gymnasium's own vector environments that need, and give, JAX arrays.
_JAX = ("gymnasium.envs.phys2d.", "gymnasium.envs.tabular.")


def make(env: Environment) -> gym.Env[Any, Any]:
    """Returns the environment; an object comes back as it is.

    Raises:
        ValueError: the id is unknown or malformed; names the closest registered ones.
        ImportError: the environment's simulator is not installed; names what to install.
        TypeError: ``env`` is none of the three, or the factory gave something else.
    """
    if isinstance(env, gym.Env):
        return env
    if isinstance(env, str):
        _load_simulator(env)
        with _mujoco.said_once():
            registered: gym.Env[Any, Any] = _guarded(env, lambda: gym.make(env))
            return registered
    if not callable(env) or isinstance(env, VectorEnv):
        raise TypeError(
            "An environment is given as a registered id, a function without arguments that makes "
            f"one, or a gymnasium.Env. Received: {type(env).__name__}."
        )
    with _mujoco.said_once():
        made = env()
    if not isinstance(made, gym.Env):
        raise TypeError(
            f"An environment factory returns a gymnasium.Env. Received: {type(made).__name__} "
            f"from {env!r}."
        )
    return made


def make_vector(env: Environment, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """Returns ``num_envs`` environments stepped as one, which reset themselves on the next step.

    A vector environment registered for the id is used where there is one (CartPole-v1), as it is
    many times faster, but never Gymnasium's JAX ones; else `gymnasium.vector.SyncVectorEnv`. Time
    limits are those of the id.

    Raises:
        ValueError: as `make`; ``num_envs`` is below 1; several are asked of one object.
        ImportError: as `make`.
    """
    check_count("num_envs", num_envs)
    if isinstance(env, gym.Env) and num_envs > 1:
        raise ValueError(
            f"One environment object cannot be stepped as {num_envs} at once. Received: {env}. "
            "Give its id, or a function that makes a new one: lambda: MyEnv()."
        )
    if isinstance(env, str) and _has_native_vector_env(env):
        native: VectorEnv[Any, Any, Any] = _guarded(
            env, lambda: gym.make_vec(env, num_envs, vectorization_mode="vector_entry_point")
        )
        if native.metadata.get("autoreset_mode") == AutoresetMode.NEXT_STEP:
            return native
        native.close()
    made = [make(env) for _ in range(num_envs)]
    if len({id(each.unwrapped) for each in made}) < num_envs:
        raise ValueError(
            f"A factory makes a new environment each time. Received: {env!r}, which gave the same "
            "object again. Write lambda: MyEnv()."
        )
    return SyncVectorEnv(
        [partial(_given, each) for each in made], autoreset_mode=AutoresetMode.NEXT_STEP
    )


def _load_simulator(env_id: str) -> None:
    """Loads MuJoCo where an environment needs it, so that already the first one warns quietly."""
    spec = gym.registry.get(env_id)
    if spec is not None and "mujoco" in str(spec.entry_point):
        with contextlib.suppress(ImportError):  # Gymnasium says what is missing
            import mujoco  # noqa: F401


def _given(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


def _has_native_vector_env(env_id: str) -> bool:
    spec = gym.registry.get(env_id)
    if spec is None or spec.vector_entry_point is None or spec.additional_wrappers:
        return False
    entry = spec.vector_entry_point
    return not (entry if isinstance(entry, str) else f"{entry.__module__}.").startswith(_JAX)


def _guarded(env_id: str, build: Callable[[], Any]) -> Any:
    """Returns what ``build`` makes of the id, with Gymnasium's errors turned into ours."""
    try:
        return build()
    except (gym.error.DependencyNotInstalled, ImportError) as error:
        raise ImportError(_missing_simulator(env_id, error)) from error
    except (gym.error.UnregisteredEnv, gym.error.DeprecatedEnv) as error:
        raise ValueError(_unknown_id(env_id)) from error
    except gym.error.Error as error:
        raise ValueError(f"{env_id!r} cannot be made: {_one_line(error)}") from error


def _unknown_id(env_id: str) -> str:
    known = {known.lower(): known for known in gym.registry}
    close = [known[match] for match in difflib.get_close_matches(env_id.lower(), known, n=3)]
    remedy = (
        f"Did you mean {' or '.join(close)}?"
        if close
        else "gymnasium.pprint_registry() lists the known ids."
    )
    return (
        f"No environment {env_id!r} is registered. {remedy} "
        "(One from another package: import it, or write 'package:Name-v0'.)"
    )


def _missing_simulator(env_id: str, error: Exception) -> str:
    reason = _one_line(error)
    extra = next((extra for extra in _EXTRAS if extra in reason.lower()), None)
    remedy = f" Install it: pip install 'tfdrlprune[{extra}]'" if extra else ""
    return f"{env_id!r} needs a package that is not there: {reason}{remedy}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
