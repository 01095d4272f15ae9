"""The package as it is built, installed and locked."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tfdrlprune

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(text: str) -> list[Requirement]:
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def locked(python: str) -> dict[str, str]:
    """Returns package -> version that the lock installs on Linux for one Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_python_implementation": "CPython",
    }
    pinned: dict[str, str] = {}
    for each in requirements((ROOT / "requirements/lock.txt").read_text(encoding="utf-8")):
        if each.marker is None or each.marker.evaluate(environment):
            assert canonicalize_name(each.name) not in pinned, f"{each.name} is locked twice"
            (pin,) = each.specifier
            assert pin.operator == "=="
            pinned[canonicalize_name(each.name)] = pin.version
    return pinned


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_satisfies_every_requirement_of_every_extra(python):
    config, pinned = setup_cfg(), locked(python)
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    wrong = [
        str(each)
        for text in texts
        for each in requirements(text)
        if each.marker is None or each.marker.evaluate({"python_version": python})
        if not each.specifier.contains(pinned.get(canonicalize_name(each.name), "0"))
    ]
    assert wrong == []


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_holds_tf_agents_for_every_python_and_never_pygame_or_gym(python):
    pinned = locked(python)
    assert pinned["tf-agents"] == "0.19.0"
    assert {"pygame", "gym"}.isdisjoint(pinned)


def test_the_lock_names_packages_and_versions_only():
    text = (ROOT / "requirements/lock.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|@ |^-|/", re.sub(r"^#.*$", "", text, flags=re.M), re.M)


def test_lock_in_repeats_the_extras():
    config = setup_cfg()
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    named = {canonicalize_name(each.name) for text in texts for each in requirements(text)}
    listed = {
        canonicalize_name(each.name)
        for each in requirements((ROOT / "requirements/lock.in").read_text(encoding="utf-8"))
    }
    # What tf-agents itself asks for is listed in the extra only where pip leaves tf-agents out.
    through_tf_agents = {"tensorflow-probability", "gin-config", "cloudpickle"}
    assert named - through_tf_agents <= listed
    assert listed - named == {"setuptools", "wheel"}


def test_the_version_stands_in_one_place():
    places = [
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.cfg", "*.py", "tfdrlprune/**/*.py")
        for path in ROOT.glob(pattern)
        if re.search(rf"[\"']{re.escape(tfdrlprune.__version__)}[\"']", path.read_text("utf-8"))
    ]
    assert places == ["tfdrlprune/_version.py"]
    assert setup_cfg()["metadata"]["version"] == "attr: tfdrlprune._version.__version__"


@pytest.mark.slow
def test_the_wheel_holds_code_template_marker_and_licence_and_no_tests(tmp_path):
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        *("tfdrlprune/py.typed", "tfdrlprune/evidence/report.html"),
        *(f"tfdrlprune/evidence/report.{kind}" for kind in ("css", "js", "md")),
    } <= names
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"tfdrlprune"}
    source = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tfdrlprune").rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert source <= names
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/setup.cfg") for name in archive.getnames())
