"""How long an import takes: from a PolicySaver folder to a verified artifact.

    python benchmarks/import_time.py [--rounds 5]

A DQN of 376-752-752-256-17 with random weights (a million parameters) and a recurrent one, LSTM of
410, saved by PolicySaver once. Each round is a process of its own, as a user starts it: it imports
TensorFlow, rebuilds the policy from the SavedModel's graph, compares it on 1,000 observations,
converts it, runs the bytes, compares again and writes the folder. The goal is 15 s.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import spread, work, write

OBSERVATIONS, ACTIONS = 376, 17
KINDS = ("dense", "lstm")


def save(kind: str, folder: str) -> None:
    """Writes the SavedModel of an agent that nobody has trained."""
    from tfdrlprune._tf import tf
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401  must come before its parts
    from tf_agents.agents.dqn import dqn_agent  # isort: skip
    from tf_agents.networks import q_network, q_rnn_network  # isort: skip
    from tf_agents.policies import policy_saver  # isort: skip
    from tf_agents.specs import tensor_spec  # isort: skip
    from tf_agents.trajectories import time_step  # isort: skip

    tf.keras.utils.set_random_seed(0)
    observation = tensor_spec.BoundedTensorSpec((OBSERVATIONS,), tf.float32, -3.0, 3.0)
    action = tensor_spec.BoundedTensorSpec((), tf.int64, 0, ACTIONS - 1)
    if kind == "dense":
        network = q_network.QNetwork(observation, action, fc_layer_params=(752, 752, 256))
    else:
        network = q_rnn_network.QRnnNetwork(
            observation,
            action,
            input_fc_layer_params=(180,),
            lstm_size=(410,),
            output_fc_layer_params=None,
        )
    agent = dqn_agent.DqnAgent(
        time_step.time_step_spec(observation),
        action,
        network,
        tf.keras.optimizers.Adam(),
        train_step_counter=tf.Variable(0, dtype=tf.int64),
    )
    policy_saver.PolicySaver(agent.policy).save(folder)


def measure(source: str) -> dict[str, Any]:
    """Imports and exports; returns the seconds of each step, and what came out."""
    start = time.perf_counter()
    from tfdrlprune import policies
    from tfdrlprune.deployment.exporter import export

    ready = time.perf_counter()
    policy = policies.load(source)
    rebuilt = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        made = export(policy, Path(scratch, "artifact"))
    done = time.perf_counter()
    return {
        "importing": ready - start,
        "rebuilding": rebuilt - ready,
        "exporting": done - rebuilt,
        "parameters": made.manifest.parameters.total,
        "agreement": made.comparison.agreement,
    }


def main() -> None:
    """Measures both policies; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        what, kind, folder = options.worker
        print(json.dumps(save(kind, folder) if what == "save" else measure(folder)))
        return
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            work(__file__, ("save", kind, folder), 2)
            found = [work(__file__, ("measure", kind, folder), 2) for _ in range(options.rounds)]
        steps = ("importing", "rebuilding", "exporting")
        rows.append(
            {
                "policy": kind,
                "parameters": found[0][0]["parameters"],
                "agreement": min(run["agreement"] for run, _ in found),
                "seconds": spread([seconds for _, seconds in found]),
                **{step: spread([run[step] for run, _ in found]) for step in steps},
            }
        )
    columns = {
        "policy": "policy",
        "parameters": "parameters",
        "seconds": "process, start to end, s, median (least to most)",
        "importing": "TensorFlow and this package imported, s",
        "rebuilding": "read, rebuilt, proved, s",
        "exporting": "converted, compared, written, s",
        "agreement": "equal actions",
    }
    write("import_time", columns, rows, cores=2)


if __name__ == "__main__":
    main()
