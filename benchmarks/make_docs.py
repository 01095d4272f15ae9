"""Writes the pages of docs/ that have a template from it and the results; nothing is measured.

    python benchmarks/make_docs.py [--check]

docs/benchmarks.md is made of docs/benchmarks.md.jinja, and so on. A template holds the words, the
results hold every number: a number in the words is looked up in a result, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import jinja2
from harness import HERE, RESULTS, text

from tfdrlprune.evidence.machine import in_words

TEMPLATES = sorted((HERE.parent / "docs").glob("*.md.jinja"))


def load(name: str) -> dict[str, Any]:
    """Returns a result by its file's name."""
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def table(name: str) -> str:
    """Returns a result as a table, and what it was measured by and on."""
    result = load(name)
    columns = result["columns"]
    lines = [" | ".join(columns.values()), " | ".join("---" for _ in columns)]
    lines += [" | ".join(text(row.get(key)) for key in columns) for row in result["rows"]]
    return "\n".join(f"| {line} |" for line in lines) + "\n\n" + origin(name)


def origin(name: str) -> str:
    """Returns the line that says how a result was measured."""
    result = load(name)
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    return (
        f"`{result['command']}`; {in_words(result['machine'])}; "
        f"{versions}. [All figures](../benchmarks/results/{name}.json)."
    )


def find(name: str, field: str, **where: str) -> Any:
    """Returns one field of the only row where these keys have these values."""
    rows = [row for row in load(name)["rows"] if where.items() <= row.items()]
    if len(rows) != 1:
        raise SystemExit(f"{name}.json has {len(rows)} rows with {where}.")
    value = rows[0][field]
    return value["median"] if isinstance(value, dict) else value


def page(template: Path) -> str:
    """Returns the page that a template makes."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["text"] = text
    made = environment.from_string(template.read_text(encoding="utf-8"))
    return made.render(table=table, origin=origin, find=find, load=load)


def main() -> None:
    """Writes the pages, or says which is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    check = parser.parse_args().check
    for template in TEMPLATES:
        written = template.with_suffix("")
        if not check:
            written.write_text(page(template), encoding="utf-8")
        elif written.read_text(encoding="utf-8") != page(template):
            sys.exit(f"docs/{written.name} is out of date: python benchmarks/make_docs.py")


if __name__ == "__main__":
    main()
