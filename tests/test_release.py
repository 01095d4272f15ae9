"""The package as it is built and installed: on a robot, and where policies are made."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tfdrlprune._tf import tf

import pytest

import tfdrlprune as tp

ROOT = Path(__file__).parents[1]
# The aim was 300,000 bytes, when there was less to hold. 1.5 MB of source in 280 files pack to
# 554,000 (by LZMA 562,000), and to 382,000 without a docstring or comment.
LARGEST_WHEEL = 700_000

pytestmark = pytest.mark.slow

# What a user writes, and what a type checker has to know of it.
PROGRAM = """\
import tfdrlprune as tp
from tfdrlprune import runtime

recipe = tp.Recipe(sparsity=0.9, precision="int8")
policy = tp.policies.load("runs/cartpole")
result = tp.compress(policy, "CartPole-v1", recipe, judging=tp.Judging(episodes=100))
episodes = tp.roll_out(runtime.load("small"), "CartPole-v1", range(100))
verdict = tp.judge(episodes, episodes, tp.Terms(margin=0.02))
reveal_type(policy)  # tfdrlprune.policies.form.Policy
reveal_type(result)  # tfdrlprune.compression.pipeline.Result
reveal_type(result.export("small"))  # pathlib.Path
reveal_type(recipe.sparsity)  # float
reveal_type(verdict.verdict)  # str
reveal_type(episodes.returns.mean())  # Any
reveal_type(tp.schedules.cubic(0.9, 0, 100)(50))  # float
reveal_type(tp.agents.OffPolicySettings().batch_size)  # int
reveal_type(tp.export(policy, "dense").folder)  # pathlib.Path
tp.Recipe(sparsty=0.9)  # error: call-arg
tp.compress(policy)  # error: call-arg
tp.PrunningCallback  # error: attr-defined
tp.roll_out(3, "CartPole-v1", range(100))  # error: arg-type
tp.PruningCallback(0.5, granularity=4)  # error: arg-type
"""


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path


def run(
    *command: str | Path, cwd: Path | None = None, check: bool = False
) -> subprocess.CompletedProcess[str]:
    """Runs a command that imports what is installed, and nothing of this clone."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = [str(each) for each in command]
    return subprocess.run(words, cwd=cwd, check=check, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Returns wheel and sdist; the wheel is built from the sdist, so nothing can lack there."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


@pytest.fixture(scope="module")
def robot(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a fresh environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("robot")
    run(sys.executable, "-m", "venv", folder, check=True)
    lock = ROOT / "requirements/lock.txt"
    pip = (folder / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check")
    done = run(*pip, "--constraint", lock, built.wheel)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="module")
def workshop(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a fresh environment with the wheel, and [train] from this one."""
    folder = tmp_path_factory.mktemp("workshop")
    run(sys.executable, "-m", "venv", "--without-pip", folder, check=True)
    python = folder / "bin/python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps")
    done = run(*pip, "--disable-pip-version-check", built.wheel)
    assert done.returncode == 0, done.stderr[-2000:]
    (packages,) = folder.glob("lib/python*/site-packages")
    # Behind its own packages; this environment's editable install is not followed from here.
    (packages / "train.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def test_the_wheel_holds_code_templates_marker_and_licence_and_no_tests(built):
    names = set(zipfile.ZipFile(built.wheel).namelist())
    assert {
        "tfdrlprune/py.typed",
        *(f"tfdrlprune/evidence/report.{kind}" for kind in ("css", "html", "js", "md")),
    } <= names
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tfdrlprune"}
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tfdrlprune").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert source == {name for name in names if name.endswith(".py")}
    assert not [name for name in names if re.search(r"(^|/)(tests?/|test_|conftest)", name)]


def test_the_wheel_stays_small(built):
    assert built.wheel.stat().st_size < LARGEST_WHEEL


def test_the_metadata_is_complete(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (each for each in wheel.namelist() if each.endswith("/METADATA"))
        metadata = email.message_from_bytes(wheel.read(name))
    assert metadata["Name"] == "tfdrlprune"
    assert metadata["Version"] == tp.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Requires-Python"].replace(" ", "") in ("<3.13,>=3.10", ">=3.10,<3.13")
    assert metadata["Summary"]
    assert metadata["Author"]
    assert metadata["Keywords"]
    assert metadata.get_payload().startswith("# tfdrlprune")
    assert {"train", "box2d", "mujoco", "micro"} <= set(metadata.get_all("Provides-Extra"))
    base = [each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each]
    assert {re.split(r"[<>=]", each)[0] for each in base} == {"numpy", "ai-edge-litert"}


def test_the_sdist_holds_what_testing_and_packaging_it_takes(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {
        *("LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
        *("CITATION.cff", "Makefile", "mkdocs.yml", "setup.cfg", "setup.py", "ruff.toml"),
        *(".ci/run", "requirements/lock.txt", "docs/index.md", "benchmarks/harness.py"),
        *("tests/conftest.py", "tests/builders.py", "tests/data/public_surface.txt"),
    } <= names
    assert not [name for name in names if name.endswith(".pyc") or ".venv" in name]


def test_a_robot_needs_no_tensorflow_and_acts_as_was_tested(robot, tmp_path):
    policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(16, 16), seed=0))
    folder = tp.export(policy, tmp_path / "cartpole").folder
    code = """
import importlib.util, sys
import numpy as np
from tfdrlprune import runtime
heavy = ("tensorflow", "tf_keras", "gymnasium", "scipy", "click", "matplotlib")
assert not [name for name in heavy if importlib.util.find_spec(name)]
policy, vectors = runtime.load(sys.argv[1]), np.load(f"{sys.argv[1]}/test_vectors.npz")
actions = policy.action(vectors["observation/observation"])
assert np.array_equal(actions, vectors["actions"])
print(len(actions))
"""
    done = run(robot / "bin/python", "-c", code, folder, cwd=tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("64", "")


def test_the_command_on_a_robot_says_in_one_line_what_to_install(robot, tmp_path):
    done = run(robot / "bin/tfdrlprune", "--help", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'tfdrlprune[train]'" in done.stderr


def test_on_a_robot_every_name_is_there_or_says_what_to_install(robot, tmp_path):
    code = """
import tfdrlprune as tp
for name in tp.__all__:
    try:
        getattr(tp, name)
    except ImportError as error:
        assert "pip install 'tfdrlprune[train]'" in str(error), (name, error)
        print(name)
"""
    done = run(robot / "bin/python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    missing = set(done.stdout.split())
    assert {"AgentTrainer", "PolynomialDecay", "compress", "export", "policies"} <= missing
    assert {"Recipe", "Terms", "runtime", "schedules"}.isdisjoint(missing)


def test_type_checkers_know_the_installed_package(robot, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    mypy = (sys.executable, "-m", "mypy", "--config-file=", "--cache-dir", tmp_path / "cache")
    done = run(*mypy, "--python-executable", robot / "bin/python", "program.py", cwd=tmp_path)
    said = {
        int(line.split(":")[1]): line
        for line in done.stdout.splitlines()
        if line.startswith("program.py:")
    }
    for number, line in enumerate(PROGRAM.splitlines(), start=1):
        code, _, expected = line.partition("  # ")
        if code.startswith("reveal_type"):
            assert f'"{expected}"' in said.pop(number).replace("builtins.", "")
        elif expected.startswith("error: "):
            assert f"[{expected.removeprefix('error: ')}]" in said.pop(number)
    assert said == {}


def test_where_policies_are_made_the_installed_command_compresses(workshop, tmp_path):
    given = tf.keras.Input((4,), name="observation")
    hidden = tf.keras.layers.Dense(8, "relu")(given)
    tf.keras.Model(given, tf.keras.layers.Dense(2)(hidden)).save(tmp_path / "model.keras")
    quick = (
        "--route",
        "prune",
        "--distil-rounds",
        "1",
        "--distil-steps",
        "50",
        "--until",
        "target",
    )
    done = run(
        *(workshop / "bin/tfdrlprune", "compress", "model.keras", "--env", "CartPole-v1"),
        *("--sparsity", "0.5", *quick, "--episodes", "10", "--no-fallback", "--out", "small"),
        cwd=tmp_path,
    )
    assert done.returncode in (0, 3, 4), done.stderr  # a verdict; nobody has trained the policy
    written = {path.name for path in (tmp_path / "small").iterdir()}
    assert {"policy.tflite", "policy.json", "report.html", "report.md", "report.json"} <= written
    where = "import tfdrlprune; print(tfdrlprune.__file__)"
    told = run(workshop / "bin/python", "-c", where, cwd=tmp_path).stdout
    assert told.startswith(str(workshop))
