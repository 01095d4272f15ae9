"""A policy as an artifact that was run and compared before it was written."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from tfdrlprune._tf import tf

from tfdrlprune import observations as _observations
from tfdrlprune import runtime
from tfdrlprune._version import __version__
from tfdrlprune.deployment import artifact, c_export, counting
from tfdrlprune.deployment.comparison import Comparison, check, check_finite, compare
from tfdrlprune.deployment.converter import centred, convert, weighted_layers
from tfdrlprune.deployment.float_layers import fewest_kept
from tfdrlprune.deployment.micro import Micro, for_micro
from tfdrlprune.deployment.model_file import operations, parameter_counts
from tfdrlprune.deployment.requests import check_agreement, check_formats, check_target
from tfdrlprune.deployment.unrolling import unrolled
from tfdrlprune.deployment.vectors import spread, test_vectors
from tfdrlprune.folders import check_free
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.recipe.checks import check_sparsity
from tfdrlprune.specs import Array

_log = logging.getLogger("tfdrlprune")
_COMPARED = 1000
# Where what the scores have in common would eat up the steps of a coarser number.
_CENTRED = ("dynamic", "int8", "int16x8")
_PACKAGES = ("tensorflow", "tf-keras", "numpy", "ai-edge-litert")


@dataclass(frozen=True)
class Exported:
    """What `export` wrote: the folder, its manifest, and how the file compares to the policy.

    Attributes:
        folder: the artifact.
        manifest: of it.
        comparison: of ``policy.tflite`` with the policy.
        c: the C with its own comparison; None where it was not asked for.
        micro: what tflite-micro needs, likewise.
    """

    folder: Path
    manifest: artifact.Manifest
    comparison: Comparison
    c: c_export.CExport | None = None
    micro: Micro | None = None


def export(  # noqa: PLR0913  each is a key of the manifest
    policy: Policy,
    folder: str | os.PathLike[str],
    *,
    precision: str = "float32",
    float_layers: Sequence[str] = (),
    agreement: float | None = None,
    formats: Sequence[str] = ("tflite",),
    target: str | None = None,
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
        float_layers: names of layers that keep float32 in int8.
        agreement: in int8, the share of equal actions on the observations, in (0, 1], for which
            the fewest layers are kept in float32; see `float_layers.fewest_kept`.
        formats: ``"tflite"``, and ``"c"`` for ``policy.c``, ``policy.h`` and ``policy_test.c``
            beside it.
        target: ``"micro"`` for microcontrollers: the file is run in tflite-micro too, and comes as
            a C array with the arena that it needs; int8 is the precision to take.
        observations: a batch, nested as the policy's, best from `record_observations`. None draws
            them from the specs and the normaliser, which `Comparison.recorded` then says.
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

    Example:
        >>> import tempfile
        >>> import tfdrlprune as tp
        >>> policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = export(policy, f"{folder}/cartpole")
        ...     action = tp.runtime.load(exported.folder).action([0.0, 0.1, 0.02, -0.1])
        >>> bool(action == policy.action([0.0, 0.1, 0.02, -0.1]))
        True
    """
    check_free(folder, force=force, replaces=artifact.is_artifact)
    if requested_sparsity is not None:
        check_sparsity(requested_sparsity, "requested_sparsity")
    check_agreement(agreement, precision, float_layers)
    check_formats(formats)
    check_target(target, precision)
    plain = policy.replace(model=_named(stripped(policy.model)))
    leaves = _leaves(plain, observations)
    seen = [leaf[spread(len(leaf), _COMPARED)] for leaf in leaves]
    check_finite(plain, seen, recorded=observations is not None)
    source = centred(plain, leaves) if precision in _CENTRED else plain
    base = artifact.Manifest(
        observation=plain.observation_spec,
        action=plain.action_spec,
        head=plain.head,
        precision=precision,
        sparsity=artifact.Sparsity(None, 0.0),
        parameters=artifact.Parameters(0, 0, 0),
        source=plain.source,
        recipe=recipe,
        versions=versions(),
        verdict=verdict,
        state=plain.state_spec,
    )
    if agreement is not None:
        float_layers = _kept(source, base, leaves, seen, agreement)
    form = _with_short_indices(source) if target == "micro" else source
    content = convert(unrolled(form), precision, leaves, float_layers)
    if dense_parameters is None:
        dense_parameters = counting.dense_parameters(plain)
    sparsity, parameters = _counted(
        source, content, base, prunable, dense_parameters, requested_sparsity
    )
    manifest = replace(
        base, sparsity=sparsity, parameters=parameters, float_layers=tuple(float_layers)
    )
    file = runtime.Policy(content, manifest)
    comparison = compare(plain, file, seen, recorded=observations is not None)
    check(plain, comparison, precision, seen)
    files = {
        artifact.MODEL_FILE: content,
        artifact.VECTORS_FILE: test_vectors(plain, seen, comparison),
    }
    micro = None
    if target == "micro":
        micro = for_micro(content, manifest)
        check(plain, compare(plain, micro.policy, seen, recorded=True), precision, seen)
        files |= micro.files
        needs = {"arena_bytes": micro.arena_bytes, "operations": list(micro.operations)}
        manifest = replace(manifest, micro=needs)
    c = None
    if "c" in formats:
        c = c_export.write_c(plain, content, manifest, leaves, observations is not None)
        files |= c.files
        manifest = c_export.noted(manifest, c)
    written = artifact.write(folder, files, manifest, force=force)
    return Exported(Path(folder), written, comparison, c, micro)


def _counted(
    source: Policy,
    content: bytes,
    manifest: artifact.Manifest,
    prunable: Collection[str] | None,
    dense_parameters: int,
    requested: float | None,
) -> tuple[artifact.Sparsity, artifact.Parameters]:
    """Returns what is counted in the converted bytes, held against the policy and the request."""
    found, recipe = operations(content), manifest.recipe or {}
    count, nonzero = parameter_counts(found)
    # A policy that was not rebuilt has no layers to count.
    dense = dense_parameters or count
    zeros, total = counting.zeros_kept(source, found, manifest.precision, prunable)
    if requested is not None and _is_exact(recipe):
        kernels = len(prunable or counting.kernels_of(source))
        counting.check_requested(zeros, total, requested, kernels)
    # Units that were only masked are all still there: then zeros are counted, as with weights.
    by_unit = recipe.get("granularity") == "unit" and count < dense
    achieved = max(0.0, 1 - count / dense) if by_unit else zeros / max(1, total)
    return artifact.Sparsity(requested, achieved), artifact.Parameters(dense, count, nonzero)


def _kept(
    source: Policy,
    manifest: artifact.Manifest,
    leaves: list[Array],
    seen: list[Array],
    agreement: float,
) -> tuple[str, ...]:
    """Returns the fewest layers to keep in float32; warns where even all are not enough."""

    def compared(layers: tuple[str, ...]) -> Comparison:
        content = convert(unrolled(source), "int8", leaves, layers)
        return compare(source, runtime.Policy(content, manifest), seen, recorded=True)

    kept = fewest_kept(weighted_layers(source), compared, agreement)
    if not kept.reached:
        _log.warning(
            "%.1f %% of actions are equal, with all layers in float32; asked for were %.1f %%",
            *(100 * kept.comparison.agreement, 100 * agreement),
        )
    return kept.layers


def _with_short_indices(policy: Policy) -> Policy:
    """Returns the policy with an index of an action in 32 bits, as tflite-micro computes them."""
    if policy.head.kind != "argmax":
        return policy
    return policy.replace(action_spec=replace(policy.action_spec, dtype="int32"))


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


def _named(model: Any) -> Any:
    """Returns the model under one name for all, since names of layers' operations begin with it.

    Keras counts models, so that the same policy would be another file in another process.
    """
    if not model.layers:  # a frozen graph, which has its names
        return model
    return tf.keras.Model(model.inputs, model.outputs, name="policy")


def versions() -> dict[str, str]:
    """Returns the versions of the packages that make an artifact."""
    found = {"tfdrlprune": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _PACKAGES}


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
