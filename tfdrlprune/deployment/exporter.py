"""A policy as an artifact that was run and compared before it was written."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tfdrlprune import observations as _observations
from tfdrlprune import runtime
from tfdrlprune._version import __version__
from tfdrlprune.deployment import artifact, c_export, counting
from tfdrlprune.deployment.comparison import Comparison, check, compare
from tfdrlprune.deployment.converter import centred, convert
from tfdrlprune.deployment.model_file import operations, parameter_counts
from tfdrlprune.deployment.unrolling import unrolled
from tfdrlprune.folders import check_free
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import Array, flatten

_COMPARED = 1000
_TEST_VECTORS = 64
# Where what the scores have in common would eat up the steps of a coarser number.
_CENTRED = ("dynamic", "int8", "int16x8")
FORMATS = ("tflite", "c")
_PACKAGES = ("tensorflow", "tf-keras", "numpy", "ai-edge-litert")


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: the folder, its manifest, and how the file compares to the policy.

    Attributes:
        folder: the artifact.
        manifest: of it.
        comparison: of ``policy.tflite`` with the policy.
        c: the C with its own comparison; None where it was not asked for.
    """

    folder: Path
    manifest: artifact.Manifest
    comparison: Comparison
    c: c_export.CExport | None = None


def export(  # noqa: PLR0913  each is a key of the manifest
    policy: Policy,
    folder: str | os.PathLike[str],
    *,
    precision: str = "float32",
    formats: Sequence[str] = ("tflite",),
    observations: Any = None,
    recipe: Mapping[str, Any] | None = None,
    prunable: Collection[str] | None = None,
    dense_parameters: int | None = None,
    requested_sparsity: float | None = None,
    verdict: Any = None,
    force: bool = False,
) -> Exported:
    """Converts the policy, runs the bytes, compares, counts, and only then writes the artifact.

    Args:
        policy: tfmot's wrappers are stripped; the caller's model is left as it is.
        folder: to be created.
        precision: ``float32``, ``float16``, ``dynamic``, ``int8`` or ``int16x8``. The last two
            are calibrated on ``observations``.
        formats: ``"tflite"``, and ``"c"`` for ``policy.c``, ``policy.h`` and ``policy_test.c``
            beside it.
        observations: a batch, nested as the policy's, best from real roll-outs. None draws them
            from the specs and the normaliser, which `Comparison.recorded` then says.
        recipe: the choices that made the policy, as JSON values. With ``granularity`` "unit"
            sparsity is the fraction of ``dense_parameters`` that is gone.
        prunable: names of the layers whose kernels the recipe may prune; None for all.
        dense_parameters: of the policy before compression; None for the policy's own.
        requested_sparsity: fraction of the prunable weights that must be zero in the file.
        verdict: of the gate, as JSON values.
        force: whether an artifact that is there already is replaced.

    Raises:
        FileExistsError: the folder is there and may not be replaced.
        ValueError: the policy cannot be converted, or the file acts differently from the policy,
            or has lost zeros; says how far off. Nothing is written then.
    """
    check_free(folder, force=force, replaces=artifact.is_artifact)
    _check_request(requested_sparsity)
    check_formats(formats)
    plain = policy.replace(model=stripped(policy.model))
    leaves = _leaves(plain, observations)
    source = centred(plain, leaves) if precision in _CENTRED else plain
    content = convert(unrolled(source), precision, leaves)
    found = operations(content)
    count, nonzero = parameter_counts(found)
    # A policy that was not rebuilt has no layers to count.
    dense = (
        (counting.dense_parameters(plain) or count)
        if dense_parameters is None
        else dense_parameters
    )
    zeros, total = counting.zeros_kept(source, found, precision, prunable)
    # Units that were only masked are all still there: then zeros are counted, as with weights.
    by_unit = (recipe or {}).get("granularity") == "unit" and count < dense
    if requested_sparsity is not None and _is_exact(recipe or {}):
        kernels = len(prunable or counting.kernels_of(source))
        counting.check_requested(zeros, total, requested_sparsity, kernels)
    manifest = artifact.Manifest(
        observation=plain.observation_spec,
        action=plain.action_spec,
        head=plain.head,
        precision=precision,
        sparsity=artifact.Sparsity(
            requested_sparsity, max(0.0, 1 - count / dense) if by_unit else zeros / max(1, total)
        ),
        parameters=artifact.Parameters(dense, count, nonzero),
        source=plain.source,
        recipe=recipe,
        versions=versions(),
        verdict=verdict,
        state=plain.state_spec,
    )
    seen = [leaf[_spread(len(leaf), _COMPARED)] for leaf in leaves]
    file = runtime.Policy(content, manifest)
    comparison = compare(plain, file, seen, recorded=observations is not None)
    check(plain, comparison, precision, seen)
    files = {
        artifact.MODEL_FILE: content,
        artifact.VECTORS_FILE: _test_vectors(plain, seen, comparison),
    }
    c = None
    if "c" in formats:
        c = c_export.write_c(plain, content, manifest, leaves, observations is not None)
        files |= c.files
        manifest = c_export.noted(manifest, c)
    written = artifact.write(folder, files, manifest, force=force)
    return Exported(Path(folder), written, comparison, c)


def _is_exact(recipe: Mapping[str, Any]) -> bool:
    """Tells whether a recipe removes just as much as it asks for.

    Groups of weights may not, nor does what stops at a threshold or where the return falls.
    """
    single = recipe.get("granularity", "element") == "element"
    gated = recipe.get("schedule") == "return_gated"
    return single and recipe.get("threshold") is None and not gated


def _leaves(policy: Policy, observations: Any) -> list[Array]:
    """Returns the observations to calibrate and compare on, as leaves."""
    if observations is None:
        return draw(policy.observation_spec, policy.normalizers, _COMPARED, seed=0)
    leaves, batched = _observations.as_batch(policy.observation_spec, observations)
    if not batched or not len(leaves[0]):
        raise ValueError(
            "The observations to compare on are a batch of at least one. Received: "
            f"{'an empty batch' if batched else 'one observation without a batch axis'}."
        )
    return leaves


def stripped(model: Any) -> Any:
    """Returns the model without tfmot's pruning wrappers, its masks applied; else itself."""
    from tfdrlprune.policies.wrappers import is_wrapped, unwrapped

    return unwrapped(model) if is_wrapped(model) else model


def versions() -> dict[str, str]:
    """Returns the versions of the packages that make an artifact."""
    found = {"tfdrlprune": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _PACKAGES}


def _check_request(sparsity: float | None) -> None:
    if sparsity is not None and not 0 <= sparsity < 1:
        raise ValueError(
            "sparsity is the fraction of weights removed, in [0, 1). Received: "
            f"requested_sparsity={sparsity}."
        )


def with_c(
    policy: Policy, content: bytes, manifest: artifact.Manifest, observations: Any = None
) -> tuple[c_export.CExport, artifact.Manifest]:
    """Returns the C of an artifact that is there already, and its manifest with the compiler.

    Args:
        policy: that it was exported from.
        content: of its model file.
        manifest: of the artifact.
        observations: as in `export`.

    Raises:
        ValueError: as `export` does.
    """
    plain = policy.replace(model=stripped(policy.model))
    leaves = _leaves(plain, observations)
    c = c_export.write_c(plain, content, manifest, leaves, observations is not None)
    return c, c_export.noted(manifest, c)


def check_formats(formats: Sequence[str]) -> None:
    """Raises ValueError unless the formats are known and ``"tflite"`` is among them."""
    unknown = [each for each in formats if each not in FORMATS]
    if unknown or isinstance(formats, str):
        raise ValueError(
            f"formats are of {', '.join(FORMATS)}. Received: {formats!r}. For both write "
            "('tflite', 'c'), or tflite,c on the command line."
        )
    if "tflite" not in formats:
        raise ValueError(
            f"tflite is always among the formats, since everything else is made of it. Received: "
            f"{', '.join(formats)}. Write tflite,{','.join(formats)}."
        )


def _spread(count: int, wanted: int) -> Array:
    """Returns the indices of ``wanted`` rows, or all, evenly over ``count``."""
    return np.linspace(0, count - 1, min(count, wanted)).astype(int)


def _test_vectors(policy: Policy, leaves: list[Array], comparison: Comparison) -> bytes:
    """Returns an .npz of observations and what the file made of them, for tests on the target."""
    rows = _spread(comparison.count, _TEST_VECTORS)
    if policy.states:  # an episode has no gaps
        rows = np.arange(len(rows))
    arrays = {"outputs": comparison.outputs[rows], "actions": comparison.actions[rows]}
    for spec, leaf in zip(flatten(policy.observation_spec), leaves, strict=True):
        arrays[f"observation/{spec.name}"] = leaf[rows]
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
