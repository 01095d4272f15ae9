"""Writes docs/benchmarks.md from docs/benchmarks.md.jinja and the results; nothing is measured.

    python benchmarks/make_docs.py [--check]

The template holds the words, the results hold every number: a number in the words is looked up in
a result, too.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import jinja2
from harness import HERE, RESULTS, text

TEMPLATE = HERE.parent / "docs" / "benchmarks.md.jinja"
PAGE = TEMPLATE.with_suffix("")


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
    machine = result["machine"]
    versions = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    return (
        f"`{result['command']}`; {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}; {versions}. [All figures](../benchmarks/results/{name}.json)."
    )


def find(name: str, field: str, **where: str) -> Any:
    """Returns one field of the only row where these keys have these values."""
    rows = [row for row in load(name)["rows"] if where.items() <= row.items()]
    if len(rows) != 1:
        raise SystemExit(f"{name}.json has {len(rows)} rows with {where}.")
    value = rows[0][field]
    return value["median"] if isinstance(value, dict) else value


def page() -> str:
    """Returns the page."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["text"] = text
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(table=table, origin=origin, find=find, load=load)


def main() -> None:
    """Writes the page, or says that it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/benchmarks.md is out of date: python benchmarks/make_docs.py")


if __name__ == "__main__":
    main()
