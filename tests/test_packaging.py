"""The package as it is described and locked; tests/test_release.py builds and installs it."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import yaml
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


def test_the_changelog_is_one_that_keepachangelog_describes():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    title, *parts = re.split(r"^## ", text, flags=re.M)
    assert title.startswith("# Changelog\n")
    assert "keepachangelog.com/en/1.1.0" in title
    assert "semver.org" in title
    releases = [part.splitlines()[0] for part in parts]
    assert releases[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", r) for r in releases[1:]]
    assert all(dated)
    numbers = [tuple(map(int, match.groups()[:3])) for match in dated]
    assert numbers == sorted(numbers, reverse=True)
    kinds = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    for part in parts:
        _, *sections = re.split(r"^### ", part, flags=re.M)
        names = [section.splitlines()[0] for section in sections]
        assert names == [kind for kind in kinds if kind in names]  # each once, in this order
        for section in sections:
            lines = [line for line in section.splitlines()[1:] if line]
            assert lines[0].startswith("- ")
            assert all(line.startswith(("- ", "  ")) for line in lines)


def test_the_citation_has_what_the_format_asks_for_and_no_version_of_its_own():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    allowed = {"type", "license", "keywords", "abstract", "doi", "date-released", "url"}
    assert set(citation) - {"cff-version", "message", "title", "authors"} <= allowed
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    config = setup_cfg()["metadata"]
    assert citation["license"] == config["license_expression"]
    assert [author["name"] for author in citation["authors"]] == [config["author"]]


def test_the_security_page_says_where_to_report_and_which_releases_are_mended():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "Report a vulnerability" in text
    assert "latest release" in text
