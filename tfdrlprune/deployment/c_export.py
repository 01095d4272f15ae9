"""A policy's C for its artifact: made of the converted bytes, compiled here and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, c_compiler, c_library, model_graph
from tfdrlprune.deployment.c_source import LayerForm, generate
from tfdrlprune.deployment.c_source.rules import check_known
from tfdrlprune.deployment.c_source.self_test import TEST_FILE, self_test
from tfdrlprune.deployment.c_source.source import CSource
from tfdrlprune.deployment.comparison import Comparison, check, compare
from tfdrlprune.deployment.converter import convert
from tfdrlprune.deployment.unrolling import unrolled
from tfdrlprune.deployment.vectors import spread
from tfdrlprune.policies.drawing import draw
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import Array, flatten, pack_like

_COMPARED = 10_000
# Steps of one episode of a recurrent policy, whose roundings add up.
_EPISODE = 1_000
# Images: what Keras holds of so many numbers fits into memory, and takes seconds.
_MOST_NUMBERS = 30_000_000
_VECTORS, _VECTOR_NUMBERS = 64, 100_000
# Another processor, or no fused multiplication: the same sums, rounded otherwise.
_TOLERANCE = 1e-5
# A few of the last digits of a float.
_LAST_DIGITS = 2.0**-21


@dataclass(frozen=True)
class CExport:
    """The C of an artifact, and how it compares to the policy.

    Attributes:
        files: name to content.
        layers: how those with weights are computed.
        flash_bytes: of the constants, without code.
        stack_bytes: of the numbers that one call holds.
        compiler: that compiled it here; None where there was none, so that nothing was compared.
        comparison: of the compiled C with the policy; None without a compiler.
    """

    files: Mapping[str, bytes] = field(repr=False)
    layers: tuple[LayerForm, ...]
    flash_bytes: int
    stack_bytes: int
    compiler: str | None
    comparison: Comparison | None


def write_c(
    policy: Policy, content: bytes, manifest: artifact.Manifest, leaves: list[Array], recorded: bool
) -> CExport:
    """Returns the C of a converted policy after comparing it, where there is a compiler.

    Args:
        policy: without wrappers; what the C is compared with.
        content: the model file.
        manifest: of the artifact.
        leaves: observations [count, *shape]; drawn ones are added up to 10,000.
        recorded: whether they were recorded. In lower precisions only they are then held against
            the policy: what lies beyond them lies beyond the ranges that they have set.

    Raises:
        ValueError: an operation cannot be written as C, the compiler refuses it, or the compiled C
            acts differently from the policy; says which, or how far off.
    """
    source = generate(content, manifest)
    seen = _enough(policy, leaves)
    try:
        compiler = c_compiler.find_compiler()
    except FileNotFoundError:
        # Said by whoever shows the result: C for a robot can be made where nothing is compiled.
        files = {**source.files, **_without_compiler(policy, manifest, source, seen)}
        return CExport(files, source.layers, source.flash_bytes, source.stack_bytes, None, None)
    compiled = runtime.Policy(c_library.load(source.files, manifest), manifest)
    every = compare(policy, compiled, seen, recorded=recorded)
    comparison, judged = every, seen
    if recorded and manifest.precision != "float32":
        judged = [each[: len(leaves[0])] for each in seen]  # where these stand in it
        comparison = compare(policy, compiled, judged, recorded=recorded)
    check(policy, comparison, manifest.precision, judged)
    wanted = (every.outputs, every.actions)
    steady = _steady(policy, compiled, seen, every.outputs)
    return CExport(
        {**source.files, TEST_FILE: _test(manifest, source, seen, wanted, steady)},
        source.layers,
        source.flash_bytes,
        source.stack_bytes,
        compiler.version,
        comparison,
    )


def check_c(policy: Policy) -> None:
    """Raises ValueError, which names the operation, where a policy cannot be written as C.

    For those who would train for long before they export.
    """
    leaves = draw(policy.observation_spec, policy.normalizers, 1, seed=0)
    check_known(model_graph.read(convert(unrolled(policy), "float32", leaves)))


def noted(manifest: artifact.Manifest, c: CExport) -> artifact.Manifest:
    """Returns the manifest with the compiler under "cc" of its versions: what C was tested with."""
    return dataclasses.replace(manifest, versions={**manifest.versions, "cc": c.compiler or "none"})


def _enough(policy: Policy, leaves: list[Array]) -> list[Array]:
    """Returns as many observations as are compared: the given ones, and drawn ones."""
    specs = flatten(policy.observation_spec)
    numbers = sum(int(np.prod(spec.shape, dtype=int)) for spec in specs)
    count = max(1, min(_COMPARED, _MOST_NUMBERS // max(1, numbers)))
    given = len(leaves[0])
    if policy.states:
        count = min(count, _EPISODE)
    if policy.states and given >= count:
        return [leaf[:count] for leaf in leaves]
    if given >= count:
        rows = spread(given, count)
        return [leaf[rows] for leaf in leaves]
    more = draw(policy.observation_spec, policy.normalizers, count - given, seed=1)
    return [np.concatenate(pair) for pair in zip(leaves, more, strict=True)]


def _without_compiler(
    policy: Policy, manifest: artifact.Manifest, source: CSource, seen: list[Array]
) -> dict[str, bytes]:
    """Returns the test program with what the policy itself gives.

    In lower precisions only the compiled C could tell what it gives; then there is no program.
    """
    if manifest.precision != "float32":
        return {}
    some = [leaf[:_VECTORS] for leaf in seen]
    outputs = policy.batch_outputs(some)
    actions = policy.head.action(outputs, policy.action_spec)
    everywhere = np.ones(len(outputs), bool)
    return {TEST_FILE: _test(manifest, source, some, (outputs, actions), everywhere)}


def _steady(policy: Policy, compiled: runtime.Policy, seen: list[Array], outputs: Array) -> Array:
    """Returns which outputs stay when observations change by less than any sensor could tell.

    Another processor may round a float otherwise in its last digit. Where that lies in the middle
    of two bytes, it becomes another byte, and that is no error.
    """
    steady = np.ones(len(outputs), bool)
    if compiled.manifest.precision in ("int8", "dynamic"):
        tolerance = _tolerance(outputs)
        for factor in (1 - _LAST_DIGITS, 1 + _LAST_DIGITS):
            moved = [
                leaf * np.float32(factor) if leaf.dtype == np.float32 else leaf for leaf in seen
            ]
            compiled.reset()
            made = compiled.outputs(pack_like(policy.observation_spec, moved))
            steady &= np.all(np.abs(made - outputs) <= tolerance, axis=1)
        compiled.reset()
    return steady


def _tolerance(outputs: Array) -> float:
    return _TOLERANCE * max(1.0, float(np.abs(outputs).max()))


def _test(
    manifest: artifact.Manifest,
    source: CSource,
    seen: list[Array],
    wanted: tuple[Array, Array],
    usable: Array,
) -> bytes:
    """Returns the test program for some of the observations at which it is ``usable``."""
    outputs, actions = wanted
    tolerance = _tolerance(outputs)
    action_tolerance = 0.0
    if manifest.head.kind == "argmax":
        # Where two scores are equal to rounding, another processor may choose the other one; of
        # two equal integers all choose the first.
        gaps = manifest.action.choices().gaps(outputs)
        ties = (gaps == 0) & (manifest.precision == "int8")
        usable = usable & ((gaps > 4 * tolerance) | ties).all(axis=1)
    else:
        action_tolerance = 2 * _TOLERANCE * max(1.0, float(np.abs(actions).max()))
    # An episode has no gaps: it ends before the first step that is of no use.
    rows = np.arange(np.argmin([*usable, False])) if manifest.state else np.flatnonzero(usable)
    numbers = sum(leaf[0].size for leaf in seen)
    count = min(_VECTORS, max(4, _VECTOR_NUMBERS // numbers), len(rows))
    rows = rows[:count] if manifest.state else rows[spread(len(rows), count)]
    return self_test(
        source.comment,
        source.inputs,
        [leaf[rows] for leaf in seen],
        (outputs[rows], actions[rows]),
        (tolerance, action_tolerance),
    )
