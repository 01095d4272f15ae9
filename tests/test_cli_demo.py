"""The demo, judged by a script that knows nothing of this package."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# Only ai-edge-litert, gymnasium and NumPy; the zeros are counted in the file's own tensors.
_INDEPENDENT = """
import json, sys
import gymnasium as gym
import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(model_path=sys.argv[1])
interpreter.allocate_tensors()
(given,) = interpreter.get_input_details()
outputs = interpreter.get_output_details()
(action,) = [each for each in outputs if each["dtype"] == np.int64]
env = gym.make("CartPole-v1")
returns = []
for seed in range(987_000_000, 987_000_100):
    observation, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        interpreter.set_tensor(given["index"], observation[None].astype(np.float32))
        interpreter.invoke()
        choice = int(interpreter.get_tensor(action["index"])[0])
        observation, reward, terminated, truncated, _ = env.step(choice)
        total, over = total + reward, terminated or truncated
    returns.append(total)
kernels = []
for each in interpreter.get_tensor_details():
    if each["dtype"] == np.float32 and len(each["shape"]) == 2 and each["shape"][0] > 1:
        kernels.append(interpreter.get_tensor(each["index"]))
zeros, size = sum(int((k == 0).sum()) for k in kernels), sum(k.size for k in kernels)
assert "tfdrlprune" not in sys.modules and "tensorflow" not in sys.modules
print(json.dumps({"mean": float(np.mean(returns)), "zeros": zeros, "size": size}))
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "tfdrlprune", "demo", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_the_demos_file_balances_on_fresh_seeds_and_has_the_zeros_asked_for(demo):
    command = [sys.executable, "-c", _INDEPENDENT, str(demo / "policy.tflite")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    manifest = json.loads((demo / "policy.json").read_text())
    assert found["mean"] >= 475
    assert found["zeros"] == round(0.9 * found["size"])
    assert manifest["parameters"]["nonzero"] < 0.15 * manifest["parameters"]["dense"]


@pytest.mark.slow
def test_the_demos_report_holds_dense_pruned_and_small_dense_beside_each_other(demo):
    report = json.loads((demo / "report.json").read_text())
    names = [stage["name"] for stage in report["stages"]]
    assert names == ["dense", "pruned"]
    assert report["gate"]["verdict"] == "PASS"
    assert report["small_dense"]["parameters"] <= report["stages"][1]["nonzero"]
    assert (demo / "report.html").is_file()
