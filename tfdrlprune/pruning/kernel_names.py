"""Names of kernels: which a name stands for, and which kernels a selection may prune."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tfdrlprune.pruning.kernels import Kernel
from tfdrlprune.recipe import Selection
from tfdrlprune.recipe.checks import did_you_mean


def prunable(kernels: Sequence[Kernel], selection: Selection) -> list[Kernel]:
    """Returns the kernels that a selection may prune: those that it does not spare.

    With granularity "unit" or "layer" each network's last layer and its other output layers are
    left out too: their units are the network's outputs, such as one action's value each.

    Raises:
        ValueError: a name to spare is no kernel's.
    """
    chosen = without(kernels, selection.spare)
    if selection.granularity in ("unit", "layer"):
        last = {kernel.name for kernel in _end(kernels, "last")}
        chosen = [kernel for kernel in chosen if kernel.name not in last]
    return chosen


def without(kernels: Sequence[Kernel], spare: Iterable[str]) -> list[Kernel]:
    """Returns the kernels that ``spare`` does not name.

    Args:
        kernels: of one network or several.
        spare: names as `named` takes them.

    Raises:
        ValueError: a name in ``spare`` is no kernel's; says which are, and the nearest.
    """
    names = [spare] if isinstance(spare, str) else spare
    spared = {kernel.name for name in names for kernel in named(kernels, name, "to spare")}
    return [kernel for kernel in kernels if kernel.name not in spared]


def names_in(
    names: Iterable[str], kernels: Sequence[Kernel], everything: Sequence[Kernel], purpose: str
) -> list[str]:
    """Returns the names that stand for any of some kernels.

    Args:
        names: as `named` takes them.
        kernels: some of ``everything``.
        everything: among which every name must stand for some.
        purpose: what the names are for, for the message.

    Raises:
        ValueError: a name stands for none; says which names there are, and the nearest.
    """
    own = {kernel.name for kernel in kernels}
    return [
        name for name in names if own & {each.name for each in named(everything, name, purpose)}
    ]


def distribution_in(
    distribution: str | Mapping[str, float], kernels: Sequence[Kernel], everything: Sequence[Kernel]
) -> str | Mapping[str, float]:
    """Returns a distribution among some kernels, of one among everything: see `names_in`.

    Raises:
        ValueError: a name stands for none.
    """
    if isinstance(distribution, str):
        return distribution
    own = names_in(distribution, kernels, everything, "to prune")
    return {name: distribution[name] for name in own} or "erk"


def named(kernels: Sequence[Kernel], name: str, purpose: str) -> list[Kernel]:
    """Returns the kernels that a name stands for.

    Args:
        kernels: of one network or several.
        name: of a layer, for all its kernels; ``layer/attribute`` for one of them; ``"first"`` or
            ``"last"`` for the first or last layer of each network, unless a layer is called so.
        purpose: what the name is for, for the message.

    Raises:
        ValueError: it stands for none; says which names there are, and the nearest.
    """
    found = [k for k in kernels if name in (k.layer, k.name, f"{k.layer}/{k.attribute}")]
    if not found and name in ("first", "last"):
        found = _end(kernels, name)
    if not found:
        names = [kernel.name for kernel in kernels]
        raise ValueError(
            f"No kernel {purpose} is named {name!r}.{did_you_mean(name, names)} "
            f"Kernels: {', '.join(names)}."
        )
    return found


def _end(kernels: Sequence[Kernel], which: str) -> list[Kernel]:
    """Returns the kernels of each network's first layer, or of its output layers.

    Where a network's output layers are not known, the last that it made is taken for the one.
    """
    ordered = kernels if which == "last" else list(reversed(kernels))
    layers = {kernel.network: {kernel.layer} for kernel in ordered}
    if which == "last":
        outputs: dict[int, set[str]] = {}
        for kernel in kernels:
            if kernel.is_output:
                outputs.setdefault(kernel.network, set()).add(kernel.layer)
        layers |= outputs
    return [kernel for kernel in kernels if kernel.layer in layers[kernel.network]]
