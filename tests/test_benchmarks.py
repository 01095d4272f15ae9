"""What is published about speed is what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))


def test_the_page_is_made_of_the_results_as_they_are():
    command = [sys.executable, str(BENCHMARKS / "make_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_says_how_it_was_measured(path):
    result = json.loads(path.read_text(encoding="utf-8"))
    script = result["command"].split()[1]
    assert (BENCHMARKS.parent / script).exists()
    assert result["machine"]["processor"]
    assert result["versions"]["tensorflow"]
    assert set(result["columns"]) <= {key for row in result["rows"] for key in row}
