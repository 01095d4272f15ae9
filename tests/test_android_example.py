"""The Kotlin example of docs/devices.md compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# As much of Android and LiteRT as the example calls: neither is in Debian.
INTERFACES = Path(__file__).parent / "data" / "android"


def compiled(text, folder):
    source = folder / "Policy.kt"
    source.write_text(text)
    command = ["kotlinc", str(source), str(INTERFACES), "-d", str(folder / "out")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_example_in_kotlin_compiles(tmp_path):
    assert shutil.which("kotlinc"), "The example is compiled by kotlinc (Debian: kotlin)."
    page = (ROOT / "docs" / "devices.md").read_text()
    (example,) = re.findall(r"```kotlin\n(.*?)```", page, re.DOTALL)
    good, bad = tmp_path / "good", tmp_path / "bad"
    for folder in (good, bad):
        folder.mkdir()
    done = compiled(example, good)
    assert done.returncode == 0, done.stderr
    assert (good / "out" / "Policy.class").is_file()
    wrong = compiled(example.replace("setNumThreads(1)", 'setNumThreads("one")'), bad)
    assert wrong.returncode != 0
    assert "type mismatch" in wrong.stderr
