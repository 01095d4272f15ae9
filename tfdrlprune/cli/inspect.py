"""``tfdrlprune inspect``: what is in a policy or an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfdrlprune.cli import options, output, sources


@click.command(
    "inspect",
    short_help="Say what is in a policy or an artifact.",
    epilog=options.example("tfdrlprune inspect small/"),
)
@click.argument("source", type=options.ANY)
@click.option("--env", help="Whose specs complete a Keras file or SavedModel that lacks them.")
@options.seed
@options.json_file
def command(source: Path, env: str | None, seed: int, json_file: Path | None) -> None:
    """Lists layers, parameters, non-zeros, bytes and specs of an artifact or of a policy.

    An artifact's files are checked against their hashes.
    """
    del seed  # every command has it; here nothing is left to chance
    output.check_json(json_file)
    from tfdrlprune.deployment import artifact

    is_artifact = (source / artifact.MANIFEST_FILE).exists()
    found = _artifact(source) if is_artifact else _policy(source, env)
    output.write_json(json_file, found)
    _show(source, found)


def _artifact(folder: Path) -> dict[str, Any]:
    import numpy as np

    from tfdrlprune.deployment import artifact, model_file

    manifest = artifact.verify(folder)
    content = artifact.read_file(folder, manifest, artifact.MODEL_FILE)
    layers = [
        {
            "name": operation.layer,
            "kind": operation.kind,
            "kernel": list(operation.kernel.shape),
            "dtype": operation.kernel.dtype.name,
            "nonzero": int(np.count_nonzero(operation.kernel)),
            "weights": int(operation.kernel.size),
        }
        for operation in model_file.operations(content)
        if operation.kernel is not None
    ]
    return manifest.to_json() | {"layers": layers}


def _policy(source: Path, env: str | None) -> dict[str, Any]:
    policy = sources.load_policy(source, sources.environment_of(source, env))
    import numpy as np

    from tfdrlprune.pruning.kernels import find_kernels
    from tfdrlprune.specs import nest_to_json

    layers = [
        {
            "name": kernel.name,
            "kind": "kernel",
            "kernel": list(kernel.shape),
            "dtype": kernel.variable.dtype.name,
            "nonzero": int(np.count_nonzero(kernel.variable.numpy())),
            "weights": int(np.prod(kernel.shape)),
        }
        for kernel in find_kernels(policy.model)
    ]
    weights = [np.asarray(weight) for weight in policy.model.trainable_weights]
    return {
        "observation": nest_to_json(policy.observation_spec),
        "action": policy.action_spec.to_json(),
        "head": policy.head.to_json(),
        "parameters": {
            "total": sum(weight.size for weight in weights),
            "nonzero": sum(int(np.count_nonzero(weight)) for weight in weights),
        },
        "source": policy.source,
        "layers": layers,
    }


def _show(source: Path, found: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from tfdrlprune.evidence import table

    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in _facts(found).items():
        facts.add_row(Text(name, "bold"), Text(value))
    layers = table.empty()
    for name in ("layer", "kind", "kernel", "dtype", "weights", "non-zero", "sparsity"):
        layers.add_column(name, justify="left" if name in ("layer", "kind") else "right")
    for layer in found["layers"]:
        shape = " x ".join(map(str, layer["kernel"]))
        counts = f"{layer['weights']:,}", f"{layer['nonzero']:,}"
        sparsity = f"{1 - layer['nonzero'] / max(1, layer['weights']):.1%}"
        cells = (layer["name"], layer["kind"], shape, layer["dtype"], *counts, sparsity)
        layers.add_row(*map(table.plain_cell, cells))
    output.show(str(source), facts, layers)


def _facts(found: dict[str, Any]) -> dict[str, str]:
    parameters = found["parameters"]
    facts = {
        "source": found["source"],
        "observation": _leaves(found["observation"]),
        "action": f"{_leaf(found['action'])}, by {found['head']['kind']}",
        "parameters": f"{parameters['total']:,}, of these not zero {parameters['nonzero']:,}",
    }
    if "precision" in found:
        facts["precision"] = found["precision"]
        facts["sparsity"] = f"{found['sparsity']['achieved']:.1%} of the prunable weights"
        verdict = found["verdict"]
        facts["verdict"] = verdict["message"] if verdict else "none: not judged"
        for name, entry in found["files"].items():
            facts[name] = f"{entry['size_bytes']:,} bytes, as exported"
    return facts


def _leaves(nest: Any) -> str:
    if isinstance(nest, list):
        return "; ".join(_leaves(child) for child in nest)
    if "dict" in nest:
        return "; ".join(_leaves(child) for child in nest["dict"].values())
    return _leaf(nest)


def _leaf(spec: dict[str, Any]) -> str:
    shape = " x ".join(map(str, spec["shape"])) or "one number"
    return f"{spec['name']}: {shape}, {spec['dtype']}"
