"""Makes deep-RL policies small and fast, and proves on the exported file that they still work.

Importing this package costs milliseconds: TensorFlow is loaded when a name that needs it is first
used, and never by `tfdrlprune.runtime`.

Example:
    tfmot's two schedules are offered beside ours, as they are:

    >>> import tfdrlprune as tp
    >>> rising = tp.PolynomialDecay(0.0, 0.9, begin_step=0, end_step=100, frequency=10)
    >>> due, sparsity = rising(100)
    >>> round(float(sparsity), 6)
    0.9
    >>> constant = tp.ConstantSparsity(0.5, begin_step=0)
    >>> float(constant(0)[1])
    0.5
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from tfdrlprune._version import __version__

if TYPE_CHECKING:  # what `__getattr__` gives, for type checkers, which don't run it
    from tensorflow_model_optimization.sparsity.keras import ConstantSparsity, PolynomialDecay

    from tfdrlprune import agents, policies, runtime
    from tfdrlprune.agents.evaluation import EvaluationCallback
    from tfdrlprune.agents.trainer import AgentTrainer
    from tfdrlprune.compression.bench import Judging
    from tfdrlprune.compression.pipeline import Result, compress
    from tfdrlprune.deployment.exporter import export
    from tfdrlprune.evidence.evaluation import evaluate
    from tfdrlprune.evidence.gate import judge
    from tfdrlprune.evidence.rollouts import record_observations, roll_out
    from tfdrlprune.evidence.terms import Terms
    from tfdrlprune.pruning import schedules
    from tfdrlprune.pruning.callbacks import PruningCallback
    from tfdrlprune.pruning.sparse_training import SparseTrainingCallback
    from tfdrlprune.quantization.callbacks import QuantizationCallback
    from tfdrlprune.recipe import Recipe
    from tfdrlprune.structure.callbacks import StructuralPruningCallback

# tfmot and TF-Agents need Keras 2. tf.keras is resolved when it is first touched, so this is in
# time for an `import tensorflow` before or after it.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# name -> the module that holds it; a module may be offered under its own name.
_LAZY: dict[str, str] = {
    "AgentTrainer": "tfdrlprune.agents.trainer",
    "EvaluationCallback": "tfdrlprune.agents.evaluation",
    "Judging": "tfdrlprune.compression.bench",
    "PruningCallback": "tfdrlprune.pruning.callbacks",
    "QuantizationCallback": "tfdrlprune.quantization.callbacks",
    "Recipe": "tfdrlprune.recipe",
    "Result": "tfdrlprune.compression.pipeline",
    "SparseTrainingCallback": "tfdrlprune.pruning.sparse_training",
    "StructuralPruningCallback": "tfdrlprune.structure.callbacks",
    "Terms": "tfdrlprune.evidence.terms",
    "agents": "tfdrlprune.agents",
    "compress": "tfdrlprune.compression.pipeline",
    "evaluate": "tfdrlprune.evidence.evaluation",
    "export": "tfdrlprune.deployment.exporter",
    "judge": "tfdrlprune.evidence.gate",
    "policies": "tfdrlprune.policies",
    "record_observations": "tfdrlprune.evidence.rollouts",
    "roll_out": "tfdrlprune.evidence.rollouts",
    "runtime": "tfdrlprune.runtime",
    "schedules": "tfdrlprune.pruning.schedules",
}

__all__ = [
    "AgentTrainer",
    "ConstantSparsity",
    "EvaluationCallback",
    "Judging",
    "PolynomialDecay",
    "PruningCallback",
    "QuantizationCallback",
    "Recipe",
    "Result",
    "SparseTrainingCallback",
    "StructuralPruningCallback",
    "Terms",
    "__version__",
    "agents",
    "compress",
    "evaluate",
    "export",
    "judge",
    "policies",
    "record_observations",
    "roll_out",
    "runtime",
    "schedules",
]


def _found(name: str) -> Any:
    if name in ("PolynomialDecay", "ConstantSparsity"):
        from tfdrlprune._tf import tfmot

        return getattr(tfmot().sparsity.keras, name)
    if name not in _LAZY:
        raise AttributeError(f"module 'tfdrlprune' has no attribute {name!r}")
    try:
        module = importlib.import_module(_LAZY[name])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "tfdrlprune":
            raise
        raise ImportError(
            f"tfdrlprune.{name} needs {error.name}, which is not installed. Install the training "
            "extra: pip install 'tfdrlprune[train]'"
        ) from error
    value = module if _LAZY[name].endswith(f".{name}") else getattr(module, name)
    globals()[name] = value
    return value


if not TYPE_CHECKING:  # to a checker, a name that is not imported above is an error
    __getattr__ = _found


def __dir__() -> list[str]:
    return sorted(__all__)
