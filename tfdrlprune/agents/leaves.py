"""How replay keeps one leaf of the observations: as it comes, or as frames that stacks share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfdrlprune.specs import Array

LeafSpec = tuple[tuple[int, ...], Any]


class Whole:
    """A ring of observations as they come.

    Args:
        rows: vector steps kept.
        num_envs: environments that are stepped together.
        spec: (shape, dtype) of an observation.
    """

    def __init__(self, rows: int, num_envs: int, spec: LeafSpec):
        shape, dtype = spec
        self._ring = np.zeros((rows, num_envs, *shape), dtype)
        self._flat = self._ring.reshape((rows * num_envs, *shape))

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._ring.nbytes

    def check(self, step: int, leaf: Array, begins: Array) -> Array:
        """Returns what `put` takes; see `Stacked.check`."""
        return leaf

    def put(self, step: int, checked: Array) -> None:
        """Stores what `check` gave for the same step."""
        self._ring[step % len(self._ring)] = checked

    def take(self, index: Array) -> Array:
        """Returns observations, [*index.shape, ...], by row * num_envs + environment."""
        return np.take(self._flat, index, axis=0)

    def arrays(self) -> dict[str, Array]:
        """Returns what a checkpoint holds; every array starts with rows."""
        return {"observation": self._ring}


class Stacked:
    """A ring of stacked observations that stores every frame once.

    A step holds numbers of frames, oldest first. What pads the stack where an episode begins is its
    first frame, or a frame of zeros, so it takes no room.

    Args:
        rows: vector steps kept.
        num_envs: environments that are stepped together.
        spec: (shape, dtype) of a stack.
        frames: frames in a stack, two or more.
        axis: of the shape, along which they are stacked, the newest last; its size is a multiple of
            ``frames``.

    Raises:
        ValueError: the axis cannot be split into so many frames.
    """

    def __init__(self, rows: int, num_envs: int, spec: LeafSpec, frames: int, axis: int):
        shape, dtype = spec
        if not -len(shape) <= axis < len(shape) or shape[axis] % frames:
            raise ValueError(
                f"A stack has its frames along one axis, whose size is a multiple of their number. "
                f"Received: stacked_frames={frames}, stack_axis={axis}, an observation of shape "
                f"{shape}."
            )
        axis %= len(shape)
        self._shape = shape
        self._split = (math.prod(shape[:axis]), frames, math.prod(shape[axis:]) // frames)
        # The oldest row's stack reaches back to frames that came before it.
        kept = rows + frames - 1
        self._zeros = kept * num_envs  # the number of a frame that stays zero
        self._frames = np.zeros((self._zeros + 1, self._split[0], self._split[2]), dtype)
        self._ring = self._frames[:-1].reshape((kept, num_envs, *self._frames.shape[1:]))
        self._numbers = np.zeros((rows, num_envs, frames), np.intp)

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._frames.nbytes + self._numbers.nbytes

    def check(self, step: int, leaf: Array, begins: Array) -> tuple[Array, Array]:
        """Returns what `put` takes.

        Args:
            step: number of the vector step: 0, 1, 2 and so on.
            leaf: [num_envs, ...].
            begins: bool, [num_envs]: where it is the first observation of an episode.

        Raises:
            ValueError: one is neither the stack before it, shifted by a new frame, nor, where an
                episode begins, a frame repeated or preceded by zeros.
        """
        count = len(begins)
        stacks = np.asarray(leaf, self._frames.dtype).reshape((count, *self._split)).swapaxes(1, 2)
        earlier, newest = stacks[:, :-1], stacks[:, -1]
        numbers = np.empty_like(self._numbers[0])
        numbers[:, :-1] = self._numbers[(step - 1) % len(self._numbers), :, 1:]
        numbers[:, -1] = step % len(self._ring) * count + np.arange(count)
        numbers[begins, :-1] = self._zeros
        fits = (np.take(self._frames, numbers[:, :-1], axis=0) == earlier).all(axis=(1, 2, 3))
        for env in np.flatnonzero(begins & ~fits):
            fits[env] = (earlier[env] == newest[env]).all()
            numbers[env, :-1] = numbers[env, -1]
        if not fits.all():
            self._refuse(int(np.argmin(fits)), begins)
        return newest, numbers

    def put(self, step: int, checked: tuple[Array, Array]) -> None:
        """Stores what `check` gave for the same step."""
        newest, numbers = checked
        self._ring[step % len(self._ring)] = newest
        self._numbers[step % len(self._numbers)] = numbers

    def take(self, index: Array) -> Array:
        """Returns observations, [*index.shape, ...], by row * num_envs + environment."""
        before, frames, _ = self._split
        numbers = np.take(self._numbers.reshape((-1, frames)), index.ravel(), axis=0)
        if before == 1:
            stacks = np.take(self._frames, numbers, axis=0)
        else:
            stacks = np.empty((len(numbers), *self._split), self._frames.dtype)
            # One frame of all stacks at a time: three times as fast as swapping the axes.
            for place in range(frames):
                stacks[:, :, place] = np.take(self._frames, numbers[:, place], axis=0)
        return stacks.reshape((*index.shape, *self._shape))

    def arrays(self) -> dict[str, Array]:
        """Returns what a checkpoint holds; every array starts with rows."""
        return {"frames": self._ring, "frame_numbers": self._numbers}

    def _refuse(self, env: int, begins: Array) -> None:
        told = (
            "the first of an episode, which is neither one frame repeated nor one after zeros"
            if begins[env]
            else "which is not the one before it, shifted by one new frame"
        )
        raise ValueError(
            f"stacked_frames={self._split[1]} stores single frames, so it needs observations that "
            f"are stacks of them, as FrameStackObservation gives. Received from environment {env}: "
            f"an observation {told}. Change nothing after stacking, or leave stacked_frames at 1."
        )


def build_leaves(
    rows: int,
    num_envs: int,
    specs: Sequence[LeafSpec],
    stacked_frames: int | Sequence[int],
    stack_axis: int | None,
) -> list[Whole | Stacked]:
    """Returns empty rings for the leaves of an observation; see `Replay`.

    Raises:
        ValueError: the frames of a stack cannot be found in the shapes.
    """
    counts = _frames_of(specs, stacked_frames)
    return [
        Whole(rows, num_envs, spec)
        if count == 1
        else Stacked(rows, num_envs, spec, count, _axis_of(spec[0], count, stack_axis))
        for spec, count in zip(specs, counts, strict=True)
    ]


def _frames_of(specs: Sequence[LeafSpec], stacked_frames: int | Sequence[int]) -> list[int]:
    """Returns how many frames each leaf is a stack of."""
    if isinstance(stacked_frames, Sequence):
        counts = list(stacked_frames)
        fit = len(counts) == len(specs)
    else:
        images = [np.dtype(dtype) == np.uint8 and len(shape) >= 3 for shape, dtype in specs]
        counts = [stacked_frames if image else 1 for image in images]
        fit = stacked_frames == 1 or any(images)
    if not fit or min(counts) < 1:
        parts = ", ".join(f"{np.dtype(dtype).name} {shape}" for shape, dtype in specs)
        raise ValueError(
            "stacked_frames is the number of frames, 1 or more, in every uint8 observation of "
            "three axes or more, or one number for each part of the observation. Received: "
            f"stacked_frames={stacked_frames} for {parts}."
        )
    return counts


def _axis_of(shape: tuple[int, ...], frames: int, stack_axis: int | None) -> int:
    if stack_axis is not None:
        return stack_axis
    found = [axis for axis in {0, len(shape) - 1} if shape and shape[axis] == frames]
    if len(found) != 1:
        where = "both the first and the last axis have" if found else "neither end has"
        raise ValueError(
            f"Say along which axis the {frames} frames of an observation are stacked: {where} this "
            f"size. Received: stack_axis=None, an observation of shape {shape}. Set stack_axis=0 "
            "or -1, or stacked_frames=1 where it is no stack."
        )
    return found[0]
