"""Runs an artifact: observation in, action out. NumPy and ai-edge-litert; no TensorFlow.

``policy = runtime.load("lander/")``, then ``action = policy.action(observation)`` in the loop.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune._console import without_notices
from tfdrlprune.deployment import artifact
from tfdrlprune.specs import Array, ArraySpec, Nest, flatten

if TYPE_CHECKING:
    from tfdrlprune.deployment.c_library import Library


class Backend(Protocol):
    """What else than LiteRT can run a policy: its compiled C, or another interpreter."""

    def bound(self) -> tuple[list[int], dict[str, int]]:
        """Returns the tensors of observation and state, in order, and of the outputs by name."""

    def set_tensor(self, index: int, value: Array) -> None:
        """Gives an input, with a batch axis of one."""

    def invoke(self) -> None:
        """Runs the policy once."""

    def get_tensor(self, index: int) -> Array:
        """Returns an output, with its batch axis."""


__all__ = ["Policy", "load"]

# Up to so many numbers Python sums them faster than NumPy starts up.
_SMALL = 64


def load(
    folder: str | os.PathLike[str],
    *,
    backend: str = "tflite",
    num_threads: int = 1,
    check_finite: bool = True,
) -> Policy:
    """Returns the policy in an artifact folder, ready to act.

    Args:
        folder: as `tfdrlprune export` wrote it.
        backend: ``"tflite"``, or ``"c"``, which compiles ``policy.c`` when it is first loaded on a
            machine, and keeps what was compiled.
        num_threads: threads of one inference. More than one pays only for networks that take
            longer than about a millisecond.
        check_finite: whether NaN and infinity in an observation are an error. Off, they go
            through the network and come out as some action.

    Raises:
        FileNotFoundError: there is no artifact, or a file of it is missing, or a compiler.
        ValueError: a file is damaged, foreign or of a newer format, or it does not fit its
            ``policy.json``; or the compiler refuses it.

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     artifact_folder = tp.export(policy, f"{folder}/cartpole").folder
        ...     robot = load(artifact_folder)
        >>> robot.action([[0.0, 0.1, 0.02, -0.1]] * 3).shape  # a batch of three
        (3,)
    """
    manifest = artifact.read(folder)
    if backend == "c":
        if num_threads != 1:
            raise ValueError(
                "backend='c' runs in the thread that calls it. Received: "
                f"num_threads={num_threads}."
            )
        return Policy(_library(folder, manifest), manifest, check_finite=check_finite)
    if backend != "tflite":
        raise ValueError(f"backend is 'tflite' or 'c'. Received: backend={backend!r}.")
    content = artifact.read_file(folder, manifest, artifact.MODEL_FILE)
    return Policy(content, manifest, num_threads=num_threads, check_finite=check_finite)


def _library(folder: str | os.PathLike[str], manifest: artifact.Manifest) -> Library:
    from tfdrlprune.deployment import c_library  # a robot that runs the .tflite needs no ctypes

    names = (c_library.SOURCE_FILE, c_library.HEADER_FILE)
    if not set(names) <= set(manifest.files):
        raise FileNotFoundError(
            f"{folder} holds no {names[0]}. Export the policy with --formats tflite,c, or load it "
            "with backend='tflite'."
        )
    files = {name: artifact.read_file(folder, manifest, name) for name in names}
    return c_library.load(files, manifest)


class Policy:
    """A policy that runs from the bytes of a ``.tflite`` file, or from its compiled C.

    Not thread-safe: the interpreter holds one set of tensors. Use one `Policy` for each thread.
    `load` makes them.

    Args:
        content: the model file, or the library of its C.
        manifest: what it takes and gives.
        num_threads: as in `load`.
        check_finite: as in `load`.

    Raises:
        ValueError: the model is damaged or does not fit the manifest.

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> trained = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     policy = load(tp.export(trained, f"{folder}/cartpole").folder)
        >>> policy.observation_spec.shape, policy.action_spec.dtype
        ((4,), 'int64')
        >>> policy.action([0.0, 0.1, 0.02, -0.1]) in (0, 1)
        True
    """

    def __init__(
        self,
        content: bytes | Backend,
        manifest: artifact.Manifest,
        *,
        num_threads: int = 1,
        check_finite: bool = True,
    ) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads is at least 1. Received: num_threads={num_threads}.")
        self.manifest = manifest
        self._check_finite = check_finite
        self._leaves = flatten(manifest.observation)
        interpreter: Any = content
        if isinstance(content, bytes):
            interpreter = _interpreter(content, num_threads)
            self._inputs, outputs = _bind(interpreter, manifest)
        else:
            self._inputs, outputs = content.bound()
        self._action, self._outputs = outputs["action"], outputs["outputs"]
        leaves = len(self._leaves)
        self._inputs, states = self._inputs[:leaves], self._inputs[leaves:]
        self._states = [
            (index, outputs[f"next_{name}"], np.zeros((1, *spec.shape), spec.dtype))
            for index, (name, spec) in zip(states, _states(manifest).items(), strict=True)
        ]
        self._memory = [zeros for *_, zeros in self._states]
        # Bound once: a name looked up on the way costs as much as the smallest network's layer.
        self._set, self._invoke, self._get = (
            interpreter.set_tensor,
            interpreter.invoke,
            interpreter.get_tensor,
        )
        self._dtype = np.dtype(manifest.action.dtype)
        self._convert = _converter(interpreter, self._action, manifest.action)
        self._fast = self._make_fast() if leaves == 1 and not self._states else None

    @property
    def observation_spec(self) -> Nest:
        """What `action` takes."""
        return self.manifest.observation

    @property
    def action_spec(self) -> ArraySpec:
        """What `action` gives, in the environment's own units."""
        return self.manifest.action

    def action(self, observation: Any) -> Any:
        """Returns the greedy action, in the environment's own units and dtype.

        Args:
            observation: arrays, or lists of numbers, nested as ``observation_spec``, with or
                without a batch axis. Floats are cast to any float, integers to any float; a
                contiguous array of the spec's dtype is the fastest. With a state, rows of a batch
                come one after another, and what is remembered moves on.

        Returns:
            One action (a NumPy scalar where the action's shape is empty), or [batch, ...].

        Raises:
            ValueError: another nesting or shape, or NaN or infinity.
            TypeError: a dtype that cannot be cast without loss of meaning.
        """
        if self._fast is not None and type(observation) is np.ndarray:
            action = self._fast(observation)
            if action is not None:
                return action
        return self._run(observation, self._action, self._convert)

    def outputs(self, observation: Any) -> Array:
        """Returns the raw scores or means: float32 [n] for one observation, [batch, n] for more.

        With a state, they are what `action` would act on next; what is remembered stays.
        """
        before = self._memory
        try:
            result: Array = self._run(observation, self._outputs, _unchanged)
        finally:
            self._memory = before
        return result

    def reset(self) -> None:
        """Forgets the episode so far. Call it when one begins; a policy without state has none."""
        self._memory = [zeros for *_, zeros in self._states]

    def _run(self, observation: Any, tensor: int, convert: Callable[[Array], Any]) -> Any:
        leaves, batched = _observations.as_batch(
            self.manifest.observation, observation, check_finite=self._check_finite
        )
        results = []
        for row in range(len(leaves[0])):
            for index, leaf in zip(self._inputs, leaves, strict=True):
                self._set(index, leaf[row : row + 1])
            for (index, _, _), value in zip(self._states, self._memory, strict=True):
                self._set(index, value)
            self._invoke()
            self._memory = [self._get(following) for _, following, _ in self._states]
            results.append(convert(self._get(tensor)[0]))
        if not batched:
            return results[0]
        return np.stack(results) if results else self._empty(tensor)

    def _empty(self, tensor: int) -> Array:
        if tensor == self._action:
            return np.empty((0, *self.manifest.action.shape), self._dtype)
        return np.empty((0, self._get(tensor).shape[1]), np.float32)

    def _make_fast(self) -> Callable[[Array], Any]:
        """Returns the short way for one array of the right shape and dtype; else it gives None."""
        spec = self._leaves[0]
        dtype, shape, index, tensor = (
            np.dtype(spec.dtype),
            spec.shape,
            self._inputs[0],
            self._action,
        )
        set_tensor, invoke, get_tensor, convert = self._set, self._invoke, self._get, self._convert
        finite = _finite_check(spec) if self._check_finite else None
        same = convert is _unchanged

        def fast(observation: Array) -> Any:
            if observation.dtype != dtype or observation.shape != shape:
                return None
            if finite is not None and not finite(observation):
                return None
            set_tensor(index, observation[None])
            invoke()
            return get_tensor(tensor)[0] if same else convert(get_tensor(tensor)[0])

        return fast


def _states(manifest: artifact.Manifest) -> dict[str, ArraySpec]:
    """Returns the leaves of the state by their names in the model file."""
    if manifest.state is None:
        return {}
    names = artifact.signature_names(manifest.state)
    return dict(zip(names, flatten(manifest.state), strict=True))


def _finite_check(spec: ArraySpec) -> Callable[[Array], bool] | None:
    """Returns a quick test for NaN and infinity, which may err on the side of suspicion."""
    if np.dtype(spec.dtype).kind != "f":
        return None
    isfinite = math.isfinite
    if math.prod(spec.shape) <= _SMALL:
        # NaN and infinity survive in a sum. Python's own floats take a third of the time that
        # np.isfinite(...).all() does, and no warning where the sum of huge numbers overflows.
        return lambda observation: isfinite(sum(observation.ravel().tolist()))
    return lambda observation: bool(np.isfinite(observation).all())


def _unchanged(value: Array) -> Any:
    return value


def _converter(interpreter: Any, tensor: int, spec: ArraySpec) -> Callable[[Array], Any]:
    """Returns what turns one row of the model's action into the environment's dtype."""
    dtype = np.dtype(spec.dtype)
    if interpreter.get_tensor(tensor).dtype == dtype:
        return _unchanged
    return lambda row: row.astype(dtype)


def _interpreter(content: bytes, num_threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    try:
        with without_notices():
            interpreter = Interpreter(model_content=content, num_threads=num_threads)
            interpreter.allocate_tensors()
            # The first invocation packs weights; better now than at the first observation.
            interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or ["unknown"])[0].rstrip(".")
        raise ValueError(
            f"{artifact.MODEL_FILE} cannot be run: {reason}. Export the policy again."
        ) from error
    return interpreter


def _bind(interpreter: Any, manifest: artifact.Manifest) -> tuple[list[int], dict[str, int]]:
    """Returns the tensors of the inputs and outputs; raises ValueError unless all fit."""
    signatures = interpreter.get_signature_list()
    states = _states(manifest)
    names = [*artifact.signature_names(manifest.observation), *states]
    wanted = ["action", "outputs", *(f"next_{name}" for name in states)]
    found = [
        key
        for key, value in signatures.items()
        if set(value["inputs"]) == set(names) and set(wanted) <= set(value["outputs"])
    ]
    if len(found) != 1:
        raise ValueError(
            f"{artifact.MODEL_FILE} does not fit {artifact.MANIFEST_FILE}: expected one signature "
            f"with the inputs {names} and the outputs {wanted}. Received: {signatures}."
        )
    runner = interpreter.get_signature_runner(found[0])
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    specs = [*flatten(manifest.observation), *states.values()]
    for name, spec in zip(names, specs, strict=True):
        _fits(name, inputs[name], spec.shape, spec.dtype)
    _fits("action", outputs["action"], manifest.action.shape, None)
    for name, spec in states.items():
        _fits(f"next_{name}", outputs[f"next_{name}"], spec.shape, spec.dtype)
    indices = {name: int(outputs[name]["index"]) for name in wanted}
    return [int(inputs[name]["index"]) for name in names], indices


def _fits(name: str, details: Any, shape: tuple[int, ...], dtype: str | None) -> None:
    received, kind = tuple(int(size) for size in details["shape"]), np.dtype(details["dtype"]).name
    if received != (1, *shape) or (dtype is not None and kind != dtype):
        expected = f"{(1, *shape)} {dtype}" if dtype else f"{(1, *shape)}"
        raise ValueError(
            f"{artifact.MODEL_FILE} does not fit {artifact.MANIFEST_FILE}: {name!r} is "
            f"{expected} there. Received: {received} {kind}. Export the policy again."
        )
