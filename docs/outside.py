"""Puts what the pages link to outside docs/ into the site: mkdocs calls the two functions below.

On GitHub a page links to ``../benchmarks/results/inference.json``; in the site the same file stands
at ``benchmarks/results/inference.json``, and a folder is a page that lists it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FOLDERS = ("benchmarks", "benchmarks/results")
# A link, or a picture, that climbs at least one folder.
_CLIMBING = re.compile(r"\]\((?P<up>(?:\.\./)+)(?P<path>[^)#\s]*)")
_INTO_DOCS = re.compile(r"\]\(docs/")


def on_files(files: Files, config: Any) -> Files:
    """Returns the files of docs/ with those beside it that pages link to."""
    for name in PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for folder in FOLDERS:
        names = sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())
        for name in names:
            path = f"{folder}/{name}"
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        lines = [f"# {folder}", "", *(f"- [{name}]({name})" for name in names)]
        files.append(File.generated(config, f"{folder}/index.md", content="\n".join(lines)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Returns the page with its links out of docs/ turned to where the site has the files."""
    return moved(markdown, page.file.src_uri)


def moved(markdown: str, page: str) -> str:
    """Returns a page's text with links as the site needs them.

    Args:
        markdown: of the page.
        page: where it stands in the site, such as ``"api/runtime.md"``.
    """
    if page in PAGES:
        return _INTO_DOCS.sub("](", markdown)
    outside = page.count("/") + 1  # so many steps up lead out of docs/

    def inward(match: re.Match[str]) -> str:
        if match["up"].count("../") != outside:
            return match[0]
        index = "/index.md" if (ROOT / match["path"]).is_dir() else ""
        return f"]({match['up'][3:]}{match['path'].rstrip('/')}{index}"

    return _CLIMBING.sub(inward, markdown)
