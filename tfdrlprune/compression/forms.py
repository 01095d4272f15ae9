"""Forms: the precisions that a compressed policy is exported and judged in, in their order."""

from __future__ import annotations

from dataclasses import dataclass

from tfdrlprune.compression.bench import Bench
from tfdrlprune.policies.form import Policy
from tfdrlprune.recipe import AUTO

# Of actions, where only as many layers as needed stay in float32.
_AGREEMENT = 0.95


@dataclass(frozen=True)
class Form:
    """One way to store a policy.

    Attributes:
        name: of the stage.
        precision: of the artifact.
        agreement: of actions in int8, for which layers stay in float32; None for none.
    """

    name: str
    precision: str
    agreement: float | None = None


_SMALL = (
    Form("float16", "float16"),
    Form("dynamic", "dynamic"),
    Form("int8 in part", "int8", _AGREEMENT),
    Form("int8", "int8"),
)


def forms_of(precision: str, bench: Bench, policy: Policy, *, fallback: bool) -> list[Form]:
    """Returns the forms to judge after float32, what was asked for last.

    With a fallback float16 comes before every integer form, since a form is tested in its order or
    not at all. "auto" takes all small forms from the largest file to the smallest, so that the last
    one that passes is the smallest that does; those that are no smaller than one before are left
    out.

    Args:
        precision: of the recipe.
        bench: that has judged float32.
        policy: to be stored.
        fallback: whether the last form that is safe is shipped.
    """
    if precision == "float32":
        return []
    if precision != AUTO:
        between = [Form("float16", "float16")] if fallback and precision != "float16" else []
        return [*between, Form(precision, precision)]
    largest = bench.size(policy, "float32", None)
    sizes = {form: bench.size(policy, form.precision, form.agreement) for form in _SMALL}
    kept: list[Form] = []
    for form in sorted(_SMALL, key=lambda form: -sizes[form]):
        if sizes[form] < (sizes[kept[-1]] if kept else largest):
            kept.append(form)
    return kept
