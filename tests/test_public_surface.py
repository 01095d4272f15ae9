"""What users may rely on: the names at the top of the package, and what each of them is."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import tfdrlprune as tp

NAMES = [
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


def test_the_package_offers_these_names_and_no_others():
    assert tp.__all__ == NAMES
    assert dir(tp) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "__version__"])
def test_every_name_is_what_it_says(name):
    # A module that hides a function of the same name would be one of the wrong kind here.
    value = getattr(tp, name)
    assert value.__name__.split(".")[-1] == name
    modules = ("agents", "policies", "runtime", "schedules")
    assert isinstance(value, types.ModuleType) == (name in modules)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'PrunningCallback'"):
        tp.PrunningCallback  # noqa: B018


def test_importing_the_package_imports_neither_numpy_nor_tensorflow():
    code = (
        "import sys, tfdrlprune; print(sorted({'numpy', 'tensorflow', 'click'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_runtime_imports_neither_tensorflow_nor_gymnasium():
    code = (
        "import sys; from tfdrlprune import runtime;"
        "print(sorted({'tensorflow', 'gymnasium', 'scipy', 'click'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
