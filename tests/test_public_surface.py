"""What users may rely on: the names at the top of the package, and what each of them is."""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import inspect
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import tfdrlprune as tp

SURFACE = Path(__file__).parent / "data" / "public_surface.txt"
MODULES = ("agents", "policies", "runtime", "schedules")
_KINDS = (property, functools.cached_property, staticmethod, classmethod)


def surface() -> list[str]:
    """Returns a line for each public name: what it takes, and a class's own methods below it."""
    lines = []
    for prefix, owner in [("tp", tp), *((f"tp.{name}", getattr(tp, name)) for name in MODULES)]:
        for name in sorted(owner.__all__):
            value, dotted = getattr(owner, name), f"{prefix}.{name}"
            lines.append(dotted + (parameters(value) if callable(value) else ""))
            if inspect.isclass(value) and is_ours(value):
                lines.extend(f"  {member}" for member in members(value))
    return lines


def parameters(function: Any) -> str:
    """Returns (names) with "=" where one may be left out, and * where only names are taken."""
    names, only_names = [], False
    for each in inspect.signature(function).parameters.values():
        if each.kind is each.KEYWORD_ONLY and not only_names:
            only_names = True
            names.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        if each.name != "self" and not each.name.startswith("_"):
            names.append(stars + each.name + ("" if each.default is each.empty else "="))
    return f"({', '.join(names)})"


def members(kind: type) -> list[str]:
    """Returns the public methods and properties of a class that we wrote, also inherited ones."""
    found = {}
    for base in reversed(kind.__mro__):
        if is_ours(base):
            found |= {name: value for name, value in vars(base).items() if name[0] != "_"}
    # What Keras calls is Keras's to name.
    own = {k: v for k, v in found.items() if not k.startswith("on_") and k != "set_model"}
    return [
        name + (parameters(getattr(kind, name)) if callable(getattr(kind, name)) else "")
        for name, value in sorted(own.items())
        if callable(value) or isinstance(value, _KINDS)
    ]


def is_ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("tfdrlprune")


def test_the_public_surface_is_the_one_that_was_agreed_on():
    """Whoever changes a name or a parameter on purpose changes the file as well, and the changelog.

    ``python tests/test_public_surface.py > tests/data/public_surface.txt`` writes it anew.
    """
    assert surface() == SURFACE.read_text(encoding="utf-8").splitlines()


def test_the_package_lists_its_names_in_order_and_shows_no_others():
    assert sorted(tp.__all__) == tp.__all__ == dir(tp)
    assert len(tp.__all__) <= 23


@pytest.mark.parametrize("name", [name for name in tp.__all__ if name != "__version__"])
def test_every_name_is_what_it_says(name):
    # A module that hides a function of the same name would be one of the wrong kind here.
    value = getattr(tp, name)
    assert value.__name__.split(".")[-1] == name
    assert isinstance(value, types.ModuleType) == (name in MODULES)


def public() -> list[Any]:
    """Returns pytest parameters: everything public that we wrote."""
    return [
        pytest.param(getattr(owner, name), id=name)
        for owner in (tp, *(getattr(tp, module) for module in MODULES))
        for name in owner.__all__
        if is_ours(getattr(owner, name))
    ]


@pytest.mark.parametrize("value", public())
def test_every_name_has_an_example_that_doctest_runs(value):
    text = inspect.getdoc(value) or ""
    assert doctest.DocTestParser().get_examples(text), "Example: with >>> in its docstring"
    assert "+SKIP" not in text


def test_what_type_checkers_see_is_what_the_package_gives():
    tree = ast.parse(Path(tp.__file__).read_text(encoding="utf-8"))
    block = next(each for each in tree.body if isinstance(each, ast.If))
    seen = {
        each.name: f"{line.module}.{each.name}"
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for each in line.names
    }
    assert sorted([*seen, "__version__"]) == tp.__all__
    for name, target in seen.items():
        module, _, attribute = target.rpartition(".")
        given = getattr(tp, name)
        if isinstance(given, types.ModuleType):
            assert given.__name__ == target
        elif is_ours(given):
            assert getattr(importlib.import_module(module), attribute) is given


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


if __name__ == "__main__":
    print("\n".join(surface()))
