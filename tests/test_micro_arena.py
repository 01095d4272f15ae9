"""The arena is measured although too small a one may crash tflite-micro."""

import subprocess
import sys

import numpy as np
import pytest
from test_micro import OBSERVATIONS, policy

from tfdrlprune.deployment.exporter import export
from tfdrlprune.deployment.micro_arena import ALIGNMENT, smallest_arena

RUN = """
import sys
from tflite_micro import runtime
content = open(sys.argv[1], "rb").read()
runtime.Interpreter.from_bytes(content, arena_size=int(sys.argv[2])).invoke()
"""


def runs(path, arena_bytes):
    command = [sys.executable, "-c", RUN, str(path), str(arena_bytes)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_it_runs_in_the_arena_found_and_in_none_smaller(tmp_path):
    export(policy(), tmp_path / "a", precision="int8", observations=OBSERVATIONS, target="micro")
    path = tmp_path / "a" / "policy.tflite"
    found = smallest_arena(path.read_bytes(), 1_000_000)
    assert found % ALIGNMENT == 0
    assert runs(path, found)
    assert not any(runs(path, found - ALIGNMENT * step) for step in (1, 2, 10))
    assert not runs(path, ALIGNMENT)  # crashes


def test_what_fails_is_told():
    with pytest.raises(RuntimeError, match=r"The arena could not be measured: ValueError.*'many'"):
        smallest_arena(np.zeros(4, np.uint8).tobytes(), "many")
