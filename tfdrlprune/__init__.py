"""Makes deep-RL policies small and fast, and proves on the exported file that they still work.

Importing this package costs milliseconds: TensorFlow is loaded when a name that needs it is first
used, and never by `tfdrlprune.runtime`.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

from tfdrlprune._version import __version__

# tfmot and TF-Agents need Keras 2. tf.keras is resolved when it is first touched, so this is in
# time for an `import tensorflow` before or after it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# name -> the module that holds it; a module may be offered under its own name.
_LAZY: dict[str, str] = {
    "AgentTrainer": "tfdrlprune.agents.trainer",
    "EvaluationCallback": "tfdrlprune.agents.evaluation",
    "PruningCallback": "tfdrlprune.pruning.callbacks",
    "QuantizationCallback": "tfdrlprune.quantization.callbacks",
    "Recipe": "tfdrlprune.recipe",
    "Result": "tfdrlprune.compression.pipeline",
    "SparseTrainingCallback": "tfdrlprune.pruning.sparse_training",
    "StructuralPruningCallback": "tfdrlprune.structure.callbacks",
    "compress": "tfdrlprune.compression.pipeline",
    "evaluate": "tfdrlprune.evidence.evaluation",
    "export": "tfdrlprune.deployment.exporter",
    "agents": "tfdrlprune.agents",
    "policies": "tfdrlprune.policies",
    "runtime": "tfdrlprune.runtime",
    "schedules": "tfdrlprune.pruning.schedules",
}

__all__ = [
    "AgentTrainer",
    "ConstantSparsity",
    "EvaluationCallback",
    "PolynomialDecay",
    "PruningCallback",
    "QuantizationCallback",
    "Recipe",
    "Result",
    "SparseTrainingCallback",
    "StructuralPruningCallback",
    "__version__",
    "agents",
    "compress",
    "evaluate",
    "export",
    "policies",
    "runtime",
    "schedules",
]


def __getattr__(name: str) -> Any:
    if name in ("PolynomialDecay", "ConstantSparsity"):
        from tfdrlprune._tf import tfmot

        return getattr(tfmot().sparsity.keras, name)
    if name not in _LAZY:
        raise AttributeError(f"module 'tfdrlprune' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    value = module if _LAZY[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
