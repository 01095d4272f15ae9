"""The smallest arena that a model runs in, tried in processes of their own.

Too small an arena makes tflite-micro (0.dev2026) raise an error, or crash: at some sizes it writes
where there is nothing. So a fresh process, without TensorFlow's threads, forks for every size.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Bytes: arenas are given in these steps, as tflite-micro aligns to them.
ALIGNMENT = 16


def smallest_arena(content: bytes, largest: int) -> int:
    """Returns the smallest arena in bytes, a multiple of `ALIGNMENT`, by bisection.

    Args:
        content: the model.
        largest: an arena that it runs in.

    Raises:
        RuntimeError: the process failed; shows its last words.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.tflite"
        path.write_bytes(content)
        command = [sys.executable, __file__, str(path), str(largest)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"The arena could not be measured: {words[-1]}")
    return int(done.stdout.split()[-1])


def _bisected(content: bytes, largest: int) -> int:
    low, high = 0, largest // ALIGNMENT
    while high - low > 1:
        middle = (low + high) // 2
        if _runs(content, middle * ALIGNMENT):
            high = middle
        else:
            low = middle
    return high * ALIGNMENT


def _runs(content: bytes, arena_bytes: int) -> bool:
    """Tells whether the model runs in a child of this process, which may crash."""
    from tflite_micro import runtime

    child = os.fork()
    if child == 0:
        code = 1
        try:
            runtime.Interpreter.from_bytes(content, arena_size=arena_bytes).invoke()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


if __name__ == "__main__":
    print(_bisected(Path(sys.argv[1]).read_bytes(), int(sys.argv[2])))
