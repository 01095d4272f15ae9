"""How large the files are: precisions, with and without nine tenths of the weights at zero.

    python benchmarks/file_sizes.py

Policies with random weights, dense and pruned to 0.9 by magnitude and ERK, exported in each
precision. Sizes are the same on every machine; nothing is timed.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import write

NETWORKS = ((4, 8, 8, 2), (4, 64, 64, 2), (17, 256, 256, 6), (376, 1024, 1024, 17))
PRECISIONS = ("float32", "float16", "dynamic", "int8", "int16x8")
SPARSITY = 0.9
COLUMNS = {
    "network": "network",
    "precision": "precision",
    "size_bytes": "bytes",
    "gzip_bytes": "gzip",
    "pruned_size_bytes": "bytes, 0.9 removed",
    "pruned_gzip_bytes": "gzip, 0.9 removed",
}


def policy_of(sizes: Sequence[int]) -> Any:
    """Returns a policy of dense layers that nobody has trained."""
    from tfdrlprune._tf import tf

    from tfdrlprune.policies import ArraySpec, Head, Policy

    tf.keras.utils.set_random_seed(0)
    given = tensor = tf.keras.Input((sizes[0],), name="observation")
    for size in sizes[1:-1]:
        tensor = tf.keras.layers.Dense(size, "relu")(tensor)
    model = tf.keras.Model(given, tf.keras.layers.Dense(sizes[-1], name="outputs")(tensor))
    for layer in model.layers[1:]:  # as in a trained network, no bias is zero
        layer.bias.assign(tf.random.normal(layer.bias.shape, seed=1))
    observation = ArraySpec("observation", (sizes[0],), "float32")
    action = ArraySpec("action", (), "int64", 0, sizes[-1] - 1)
    return Policy(model, Head("argmax"), observation, action)


def pruned(policy: Any) -> Any:
    """Returns the policy with masks in force."""
    import numpy as np

    import tfdrlprune as tp

    policy.model.compile("sgd", "mse")
    x = np.zeros((32, policy.model.input_shape[1]), np.float32)
    callbacks = [tp.PruningCallback(lambda step: SPARSITY, frequency=1)]
    policy.model.fit(x, policy.model(x), verbose=0, callbacks=callbacks)
    return policy


def sizes_of(policy: Any, precision: str) -> tuple[int, int]:
    """Returns the bytes of policy.tflite, plain and as gzip packs them."""
    import numpy as np

    import tfdrlprune as tp

    width = policy.model.input_shape[1]
    observations = np.random.default_rng(0).normal(size=(200, width)).astype(np.float32)
    with tempfile.TemporaryDirectory() as scratch:
        made = tp.export(
            policy, Path(scratch, "artifact"), precision=precision, observations=observations
        )
        content = Path(made.folder, "policy.tflite").read_bytes()
    return len(content), len(gzip.compress(content, mtime=0))


def main() -> None:
    """Exports all and writes results/file_sizes.json."""
    rows = []
    for sizes in NETWORKS:
        for precision in PRECISIONS:
            dense = sizes_of(policy_of(sizes), precision)
            sparse = sizes_of(pruned(policy_of(sizes)), precision)
            values = ("-".join(map(str, sizes)), precision, *dense, *sparse)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    write("file_sizes", COLUMNS, rows)


if __name__ == "__main__":
    main()
