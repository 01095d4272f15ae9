"""What it costs to begin: a fresh process from its start to the first action, and its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

# Runs in a process of its own. VmHWM, since ru_maxrss still knows the parent's size after fork.
_CHILD = """
import sys, time
from tfdrlprune import runtime
policy = runtime.load(sys.argv[1])
import numpy as np, os
vectors = np.load(os.path.join(sys.argv[1], "test_vectors.npz"), allow_pickle=False)
from tfdrlprune.specs import flatten, pack_like
nest = policy.observation_spec
policy.action(pack_like(nest, [vectors["observation/" + s.name][0] for s in flatten(nest)]))
end = time.time()
try:
    with open("/proc/self/status") as status:
        rss = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    import resource
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rss *= 1 if sys.platform == "darwin" else 1024
import json
print(json.dumps([end, rss, "tensorflow" in sys.modules]))
"""


def measure(folder: str | os.PathLike[str], *, repeats: int = 3) -> dict[str, float]:
    """Returns how long a fresh process takes from its start to the first action, and its memory.

    Args:
        folder: an artifact with its test vectors.
        repeats: processes; the fastest and the smallest of them count, as others disturb upwards.

    Returns:
        ``startup_ms`` and ``rss_bytes``, the largest resident set.

    Raises:
        ValueError: the process failed; with its last line.
    """
    results = []
    for _ in range(repeats):
        start = time.time()
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, os.fspath(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(f"{folder} could not be run in a process of its own: {reason}")
        end, rss, with_tensorflow = json.loads(done.stdout)
        assert not with_tensorflow, "the runtime has imported TensorFlow"
        results.append(((end - start) * 1000, rss))
    return {
        "startup_ms": min(each[0] for each in results),
        "rss_bytes": min(each[1] for each in results),
    }
