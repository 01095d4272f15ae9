"""One action at a time, from an observation to an action: artifacts beside what people use.

    python benchmarks/inference.py [--rounds 15]

The network is a greedy DQN, 8 observations, two hidden layers, 4 actions; weights are the same for
all contenders, and each one's actions were compared with ours on 256 observations. Contenders take
turns on one core with one thread each; stable-baselines3 and ONNX Runtime run in the environment of
the peers, in turns with ours. Times are of the whole call that a robot's loop makes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import spread, work, write

WIDTHS = (64, 256)
COUNT = 256
OURS = ("tfdrlprune float32", "tfdrlprune int8")
HERE_TOO = ("TFLite interpreter, dense", "Keras model(x)", "Keras predict", "TF-Agents policy")
PEERS = ("ONNX Runtime", "stable-baselines3 predict")
Act = Callable[[Any], Any]


def prepare(folder: Path, width: int) -> None:
    """Writes weights, observations, ours and other files of one network, in a fresh process."""
    from tfdrlprune._tf import tf  # noqa: F401

    import numpy as np

    import tfdrlprune as tp
    from tfdrlprune.deployment.exporter import export
    from tfdrlprune.pruning.kernels import find_kernels

    agent = make_agent(width)
    policy = tp.policies.from_agent(agent)
    observations = np.random.default_rng(0).normal(size=(COUNT, 8)).astype(np.float32)
    for precision in ("float32", "int8"):
        export(policy, folder / precision, precision=precision, observations=observations)
    weights = [kernel.variable.numpy() for kernel in find_kernels(agent._q_network)]
    biases = [v.numpy() for v in agent._q_network.variables if len(v.shape) == 1]
    pairs = {f"kernel{i}": w for i, w in enumerate(weights)}
    pairs |= {f"bias{i}": b for i, b in enumerate(biases)}
    np.savez(folder / "network.npz", observations=observations, **pairs)


def make_agent(width: int) -> Any:
    """Returns the TF-Agents agent; the same one in every process."""
    import tfdrlprune as tp

    return tp.agents.dqn("LunarLander-v3", hidden=(width, width), seed=0)


def contender(name: str, folder: Path, width: int) -> Act:
    """Returns observation -> action."""
    if name in OURS:
        from tfdrlprune import runtime

        return runtime.load(folder / name.split()[1]).action
    if name.startswith("TFLite"):
        return tflite(folder)
    if name in PEERS:
        return onnx_runtime(folder) if name == PEERS[0] else sb3(folder, width)
    from tfdrlprune._tf import tf
    from tfdrlprune._tf_agents import tf_agents  # noqa: F401

    import numpy as np
    from tf_agents.trajectories import time_step as ts

    import tfdrlprune as tp

    agent = make_agent(width)
    if name.startswith("TF-Agents"):
        action = tf.function(agent.policy.action)
        return lambda x: int(action(ts.restart(tf.constant(x[None]), batch_size=1)).action[0])
    model = tp.policies.from_agent(agent).model
    if name == "Keras predict":
        return lambda x: int(np.argmax(model.predict(x[None], verbose=0)))
    return lambda x: int(np.argmax(model(x[None])))


def tflite(folder: Path) -> Act:
    """Returns the interpreter's three calls, and nothing around them."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    (path,) = (folder / "float32").glob("*.tflite")
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    inputs = interpreter.get_input_details()[0]["index"]
    outputs = interpreter.get_output_details()[0]["index"]

    def act(x: Any) -> int:
        interpreter.set_tensor(inputs, x[None])
        interpreter.invoke()
        return int(np.ravel(interpreter.get_tensor(outputs))[0])

    return act


def onnx_runtime(folder: Path) -> Act:
    """Returns the same network in ONNX Runtime."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    with np.load(folder / "network.npz") as stored:
        kernels, biases = ([stored[f"{kind}{i}"] for i in range(3)] for kind in ("kernel", "bias"))
    nodes, value = [], "x"
    for index in range(3):
        nodes.append(helper.make_node("Gemm", [value, f"k{index}", f"b{index}"], [f"z{index}"]))
        value = f"z{index}"
        if index < 2:
            nodes.append(helper.make_node("Relu", [value], [f"a{index}"]))
            value = f"a{index}"
    nodes.append(helper.make_node("ArgMax", [value], ["action"], axis=1, keepdims=0))
    stored = [numpy_helper.from_array(k, f"k{i}") for i, k in enumerate(kernels)]
    stored += [numpy_helper.from_array(b, f"b{i}") for i, b in enumerate(biases)]
    graph = helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("action", TensorProto.INT64, [1])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: int(session.run(None, {"x": x[None]})[0][0])


def sb3(folder: Path, width: int) -> Act:
    """Returns the same network in stable-baselines3's DQN."""
    import numpy as np
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    model = DQN(
        "MlpPolicy",
        "LunarLander-v3",
        policy_kwargs={"net_arch": [width, width]},
        device="cpu",
        buffer_size=1_000,
    )
    with np.load(folder / "network.npz") as stored, torch.no_grad():
        for index, layer in enumerate(model.q_net.q_net[::2]):
            layer.weight.copy_(torch.tensor(stored[f"kernel{index}"].T))
            layer.bias.copy_(torch.tensor(stored[f"bias{index}"]))
    return lambda x: int(model.predict(x, deterministic=True)[0])


def measure(name: str, folder: Path, width: int) -> dict[str, Any]:
    """Returns microseconds an action, and the actions on all observations."""
    import numpy as np

    act = contender(name, folder, width)
    with np.load(folder / "network.npz") as stored:
        observations = list(stored["observations"])
    actions = [int(act(x)) for x in observations]
    start = time.perf_counter()
    act(observations[0])
    calls = min(20_000, max(COUNT, int(0.5 / (time.perf_counter() - start))))
    start = time.perf_counter()
    for index in range(calls):
        act(observations[index % COUNT])
    return {"us": 1e6 * (time.perf_counter() - start) / calls, "actions": actions}


def main() -> None:
    """Measures all contenders in turns; writes the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, folder, width = options.worker
        if name == "prepare":
            prepare(Path(folder), int(width))
            print("null")
        else:
            print(json.dumps(measure(name, Path(folder), int(width))))
        return
    rows = []
    for width in WIDTHS:
        with tempfile.TemporaryDirectory() as folder:
            work(__file__, ("prepare", folder, width), 1)
            rows += compare(width, folder, options.rounds)
    columns = {
        "network": "network",
        "contender": "by",
        "us_per_action": "us an action, median (least to most)",
        "over_ours": "times ours",
        "same_actions_percent": "same actions as ours, %",
    }
    write("inference", columns, rows, cores=1, threads=1, observations=COUNT)


def compare(width: int, folder: str, rounds: int) -> list[dict[str, Any]]:
    """Returns a row for each contender."""
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for name in (*OURS, *HERE_TOO, *PEERS):
            result, _ = work(__file__, (name, folder, width), 1, peers=name in PEERS)
            found.setdefault(name, []).append(result)
            print(f"{width}x{width} {name:28} {result['us']:10.1f} us", flush=True)
    base = statistics.median(run["us"] for run in found[OURS[0]])
    ours = found[OURS[0]][0]["actions"]
    return [
        {
            "network": f"8-{width}-{width}-4",
            "contender": name,
            "us_per_action": spread([run["us"] for run in runs]),
            "over_ours": round(statistics.median(run["us"] for run in runs) / base, 2),
            "same_actions_percent": round(
                100 * sum(a == b for a, b in zip(ours, runs[0]["actions"], strict=True)) / COUNT, 1
            ),
        }
        for name, runs in found.items()
    ]


if __name__ == "__main__":
    main()
