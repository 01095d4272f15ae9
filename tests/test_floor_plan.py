"""Imports go down only: the floor plan of CONTRIBUTING.md, held against the source."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "tfdrlprune"

GROUND = {
    *("_console", "_mujoco", "_tf", "_tf_agents", "_version", "choices", "folders"),
    *("nearest", "observations", "recipe", "simulation", "specs"),
}
# room -> the rooms, or single modules, that it may import beside itself and the ground floor
ROOMS = {
    "runtime": {"deployment.artifact", "deployment.c_library"},
    "pruning": set(),
    "structure": {"pruning"},
    "quantization": {"pruning"},
    "policies": set(),
    "agents": {"pruning", "policies"},
    "deployment": {"policies", "quantization", "runtime"},
    "evidence": {
        "runtime",
        "deployment.artifact",
        "deployment.model_file",
        "deployment.model_graph",
    },
    "compression": {
        *("pruning", "structure", "quantization", "policies", "agents"),
        *("deployment", "evidence", "runtime"),
    },
}
ROOMS["cli"] = set(ROOMS)

# What must start in milliseconds on a robot, and what it must never reach.
LIGHT = (
    *("runtime", "specs", "observations", "recipe", "folders", "deployment.artifact", "cli"),
    *("deployment.model_graph", "deployment.c_library", "deployment.c_source"),
    *("evidence.diagnostics", "evidence.bounding.interval_bounds"),
)
HEAVY = {
    *("tensorflow", "tf_keras", "tf_agents", "tensorflow_model_optimization"),
    *("tensorflow_probability", "gymnasium", "scipy", "matplotlib"),
}


@dataclass(frozen=True)
class Import:
    """One import: where it stands, what it names, and whether it runs when the file is imported."""

    line: int
    target: str
    at_import: bool


def modules() -> dict[str, Path]:
    """Returns dotted name below the package -> file; the package itself is ``""``."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(name: str) -> tuple[Import, ...]:
    tree = ast.parse(modules()[name].read_text(encoding="utf-8"))
    found: list[Import] = []

    def visit(node: ast.AST, at_import: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend(Import(child.lineno, each.name, at_import) for each in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{name}: imports are absolute"
                for each in child.names:
                    found.append(Import(child.lineno, f"{child.module}.{each.name}", at_import))
            deeper = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            visit(child, at_import and not deeper and not typing_only)

    visit(tree, True)
    return tuple(found)


def ours(target: str) -> str | None:
    """Returns the module of ours that an import names, or None for another's."""
    parts = target.split(".")
    if parts[0] != "tfdrlprune":
        return None
    known = modules()
    while parts[1:] and ".".join(parts[1:]) not in known:
        parts.pop()
    return ".".join(parts[1:])


def reached(name: str) -> set[str]:
    """Returns the packages of others that importing a module of ours imports at once."""
    seen: set[str] = set()
    outside: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        # Importing a.b runs a/__init__.py first.
        pending.extend(current.rsplit(".", n)[0] for n in range(1, current.count(".") + 1))
        for each in imports_of(current):
            own = ours(each.target)
            if not each.at_import:
                continue
            if own is None:
                outside.add(each.target.split(".")[0])
            elif own:
                pending.append(own)
    return outside


def room_of(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def test_every_module_stands_in_a_room_of_the_plan():
    unknown = {room_of(name) for name in modules()} - set(ROOMS) - GROUND - {"", "__main__"}
    assert not unknown


def test_contributing_shows_the_rooms_that_there_are():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `([a-z]+)(?:/|\.py)` \|", text, flags=re.M)
    assert sorted(shown) == sorted(ROOMS) == sorted({room_of(n) for n in modules()} & set(ROOMS))


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_go_down_only(name):
    room = room_of(name)
    if room in ("", "__main__"):
        return  # the package's own door: lazy, and held by the test of what it imports
    allowed = GROUND if room in GROUND else {room, *GROUND, *ROOMS[room]}
    climbing = []
    for each in imports_of(name):
        target = ours(each.target)
        if target and not any(target == a or target.startswith(f"{a}.") for a in allowed):
            climbing.append(f"line {each.line}: {each.target}")
    assert not climbing, f"{name} may import {sorted(allowed)}"


def late_imports(packages: set[str], door: str) -> list[str]:
    """Returns imports of the packages by modules whose import of the door does not come first."""
    found = []
    for name in set(modules()) - {door}:
        doors = [e.line for e in imports_of(name) if e.target.startswith(f"tfdrlprune.{door}.")]
        for each in imports_of(name):
            # Inside a function it is enough that the module knows the door.
            first = doors and (not each.at_import or min(doors) < each.line)
            if each.target.split(".")[0] in packages and not first:
                found.append(f"{name}, line {each.line}: {each.target}")
    return found


def test_only_the_door_imports_tensorflow_and_its_keras():
    packages = {"tensorflow", "tf_keras", "tensorflow_model_optimization", "keras"}
    others = [
        name
        for name in modules()
        for each in imports_of(name)
        if each.at_import and each.target.split(".")[0] in packages
    ]
    assert others == []
    assert late_imports(packages, "_tf") == []


def test_the_door_to_tf_agents_opens_before_its_parts_are_imported():
    assert late_imports({"tf_agents", "tensorflow_probability"}, "_tf_agents") == []


@pytest.mark.parametrize("name", LIGHT)
def test_light_floors_never_reach_what_is_heavy(name):
    assert reached(name) & HEAVY == set()


@pytest.mark.parametrize("name", sorted(n for n in modules() if room_of(n) == "evidence"))
def test_evidence_never_reaches_tensorflow(name):
    assert (
        reached(name) & {"tensorflow", "tf_keras", "tf_agents", "tensorflow_probability"} == set()
    )


def test_the_reach_sees_through_two_modules():
    assert {"tensorflow", "tf_keras"} & reached("agents.trainer") == set()  # behind a function
    assert "gymnasium" in reached("agents.trainer")  # through tfdrlprune.simulation
