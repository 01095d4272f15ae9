"""The documentation as a site: it builds without a warning, its links resolve, it stands alone."""

from __future__ import annotations

import html.parser
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

import tfdrlprune as tp
from tfdrlprune.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"
_LINK = re.compile(r"\]\((?!https?://|mailto:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
_NUMBER = re.compile(r"-?\d+\.\d+")


def script(path: Path) -> ModuleType:
    """Returns a script that is no part of the package, imported."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of the site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stderr
    return folder


class Loads(html.parser.HTMLParser):
    """Collects what a page loads from elsewhere when it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get("src") if tag != "link" else given.get("href")
        if address and re.match(r"(https?:)?//", address):
            self.elsewhere.append(address)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.rglob("*.md")))
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.elsewhere == [], page.name
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"url\([\"']?https?:|@import", styles)


@pytest.mark.slow
def test_the_reference_sets_examples_as_code_and_lists_their_parameters(site):
    page = (site / "api/pruning.html").read_text(encoding="utf-8")
    assert page.count('<span class="gp">&gt;&gt;&gt; </span>') >= 20  # prompts, coloured
    assert "&gt;&gt;&gt;" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.S)
    assert "mask_pictures" in page


@pytest.mark.slow
def test_the_site_shows_every_command_with_its_options(site):
    page = (site / "api/commands.html").read_text(encoding="utf-8")
    for name, command in app.commands.items():
        assert f"Usage: tfdrlprune {name}" in page
        for option in command.params:
            assert option.opts[-1] in page or option.human_readable_name in page


@pytest.mark.slow
def test_the_site_holds_what_pages_link_to_outside_of_docs(site):
    results = {path.name for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert results <= {path.name for path in (site / "benchmarks/results").iterdir()}
    assert (site / "CHANGELOG.html").exists()


def test_links_out_of_docs_are_turned_to_where_the_site_has_the_files():
    moved = script(DOCS / "outside.py").moved
    assert moved("[a](../benchmarks/results/x.json)", "benchmarks.md") == (
        "[a](benchmarks/results/x.json)"
    )
    assert moved("[a](../benchmarks)", "benchmarks.md") == "[a](benchmarks/index.md)"
    assert moved("[a](../../CHANGELOG.md#b)", "api/runtime.md") == "[a](../CHANGELOG.md#b)"
    assert moved("[a](../pruning.md)", "api/runtime.md") == "[a](../pruning.md)"
    assert moved("[a](docs/pruning.md)", "CONTRIBUTING.md") == "[a](pruning.md)"


def anchors(path: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")]), ids=lambda path: path.name
)
def test_every_link_of_a_document_leads_to_a_file_and_a_heading(path):
    broken = []
    for match in _LINK.finditer(path.read_text(encoding="utf-8")):
        target = (path.parent / match["path"]).resolve() if match["path"] else path
        anchor = match["anchor"]
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(match[0])
    assert broken == []


def test_every_public_name_is_on_a_page_of_the_reference():
    listed = {
        name
        for path in (DOCS / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), flags=re.M)
    }
    owners = (tp, tp.agents, tp.policies, tp.runtime, tp.schedules)
    for value in (getattr(owner, name) for owner in owners for name in owner.__all__):
        module = str(getattr(value, "__module__", ""))
        if module.startswith("tfdrlprune"):
            assert {f"{module}.{value.__name__}", module} & listed, value


def test_every_name_of_the_reference_exists():
    for path in (DOCS / "api").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), flags=re.M):
            module, _, attribute = name.rpartition(".")
            found = getattr(importlib.import_module(module), attribute)
            assert inspect.getdoc(found)


def test_every_page_is_in_the_navigation():
    def pages(entry):
        if isinstance(entry, str):
            return {entry}
        return set().union(*map(pages, entry.values() if isinstance(entry, dict) else entry))

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    written = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    assert written == {page for page in pages(navigation) if (DOCS / page).exists()}


@pytest.mark.slow
def test_the_pictures_are_what_the_scripts_draw_and_are_all_shown(tmp_path):
    drawn = [*script(DOCS / "make_images.py").draw(tmp_path), tmp_path / "frontier.svg"]
    curves = json.loads((BENCHMARKS / "results" / "frontier_curves.json").read_text("utf-8"))
    script(BENCHMARKS / "frontier_plot.py").draw(curves["rows"], drawn[-1])
    images = DOCS / "images"
    assert {path.name for path in drawn} == {path.name for path in images.glob("*.svg")}
    pages = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("*.md"))
    for path in drawn:
        assert f"](images/{path.name})" in pages
        new, old = path.read_text("utf-8"), (images / path.name).read_text("utf-8")
        assert _NUMBER.sub("", new) == _NUMBER.sub("", old), path.name
        # Other processors may round the last digits in another way.
        numbers = [np.array(_NUMBER.findall(text), float) for text in (new, old)]
        np.testing.assert_allclose(*numbers, atol=1e-2)
