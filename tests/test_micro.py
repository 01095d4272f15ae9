"""Artifacts for microcontrollers: tflite-micro acts as LiteRT does, in the arena that is told."""

import json
import re
import subprocess
import sys

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from builders import recurrent_dqn

import tfdrlprune as tp
from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, micro
from tfdrlprune.deployment.exporter import export
from tfdrlprune.policies.form import Policy
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
OBSERVATIONS = np.random.default_rng(0).uniform(-1, 1, (300, 6)).astype("float32")


def policy(activation="relu", discrete=True):
    tf.keras.utils.set_random_seed(2)
    source = tf.keras.Input((6,), name="x")
    tensor = L.Dense(32, activation)(source)
    model = tf.keras.Model(source, L.Dense(3, name="outputs")(tensor))
    if discrete:
        return Policy(
            model,
            Head("argmax", offset=2.0),
            ArraySpec("x", (6,), "float32"),
            ArraySpec("action", (), "int64", 2, 4),
        )
    bounds = {"low": -2.0, "high": 2.0}
    return Policy(
        model,
        Head("tanh", 2.0),
        ArraySpec("x", (6,), "float32"),
        ArraySpec("action", (3,), "float32", **bounds),
    )


@pytest.mark.parametrize("precision", micro.PRECISIONS)
@pytest.mark.parametrize("discrete", [True, False], ids=["discrete", "continuous"])
def test_tflite_micro_acts_as_litert_does(precision, discrete, tmp_path):
    made = export(
        policy(discrete=discrete),
        tmp_path / "a",
        precision=precision,
        target="micro",
        observations=OBSERVATIONS,
    )
    file = runtime.load(tmp_path / "a")
    actions, outputs = file.action(OBSERVATIONS), file.outputs(OBSERVATIONS)
    # A step of int8 or int16 where a sum falls on the other side of a rounding.
    step = {"float32": 1e-6, "int8": 1 / 100, "int16x8": 1 / 10_000}[precision]
    span = outputs.max() - outputs.min()
    np.testing.assert_allclose(
        made.micro.policy.outputs(OBSERVATIONS), outputs, atol=3 * step * span
    )
    if discrete:
        assert (made.micro.policy.action(OBSERVATIONS) == actions).mean() > 0.97
        assert actions.dtype == np.int64
        assert set(actions) <= {2, 3, 4}
    else:
        np.testing.assert_allclose(
            made.micro.policy.action(OBSERVATIONS), actions, atol=6 * step * span
        )


def test_the_arena_is_the_smallest_that_it_runs_in(tmp_path):
    made = export(
        policy(), tmp_path / "a", precision="int8", target="micro", observations=OBSERVATIONS
    )
    content = (tmp_path / "a" / "policy.tflite").read_bytes()
    needed = artifact.read(tmp_path / "a").micro
    assert needed["arena_bytes"] == made.micro.arena_bytes
    assert needed["operations"] == sorted(set(needed["operations"]))
    assert "FULLY_CONNECTED" in needed["operations"]
    assert 1_000 < made.micro.arena_bytes < 10_000
    assert made.micro.arena_bytes % 16 == 0
    micro.Interpreter(content, made.manifest, made.micro.arena_bytes)


def test_the_c_array_is_the_file_and_the_example_names_what_it_needs(tmp_path):
    made = export(
        policy(), tmp_path / "a", precision="int8", target="micro", observations=OBSERVATIONS
    )
    header = (tmp_path / "a" / micro.HEADER_FILE).read_text()
    numbers = re.search(r"\{(.*?)\}", header, re.DOTALL)[1]
    content = (tmp_path / "a" / "policy.tflite").read_bytes()
    assert bytes(int(each) for each in numbers.split(",")) == content
    assert f"#define POLICY_ARENA_BYTES {made.micro.arena_bytes}\n" in header
    assert "#define POLICY_INPUT_x 0\n" in header
    example = (tmp_path / "a" / micro.EXAMPLE_FILE).read_text()
    assert f"MicroMutableOpResolver<{len(made.micro.operations)}>" in example
    for method in ("AddFullyConnected", "AddArgMax", "AddQuantize"):
        assert f"resolver.{method}();" in example
    assert set(artifact.verify(tmp_path / "a").files) == {
        *("policy.tflite", "test_vectors.npz", micro.HEADER_FILE, micro.EXAMPLE_FILE)
    }


@pytest.mark.slow
def test_a_recurrent_policy_remembers_there_too(tmp_path):
    made = tp.policies.from_agent(recurrent_dqn("CartPole-v1"))
    observations = OBSERVATIONS[:50, :4]
    exported = export(made, tmp_path / "a", target="micro", observations=observations)
    wanted = runtime.load(tmp_path / "a").action(observations)
    exported.micro.policy.reset()
    np.testing.assert_array_equal(exported.micro.policy.action(observations), wanted)
    example = (tmp_path / "a" / micro.EXAMPLE_FILE).read_text()
    assert example.count("std::memcpy") == example.count("std::memset") == 2


def test_what_it_has_not_got_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"tflite-micro does not run this policy: .*GELU"):
        export(policy("gelu"), tmp_path / "a", target="micro", observations=OBSERVATIONS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "mirco"}, "Did you mean 'micro'"),
        ({"target": "micro", "precision": "dynamic"}, "Write precision='int8'"),
    ],
)
def test_a_target_that_cannot_be_is_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export(policy(), tmp_path / "a", observations=OBSERVATIONS, **arguments)


def test_without_tflite_micro_the_package_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(ImportError, match=r"pip install 'tfdrlprune\[micro\]'"):
        export(policy(), tmp_path / "a", target="micro", observations=OBSERVATIONS)


def test_the_command_writes_it(tmp_path):
    policy().save(tmp_path / "p")
    np.savez(tmp_path / "seen.npz", x=OBSERVATIONS)
    command = [sys.executable, "-m", "tfdrlprune", "export", str(tmp_path / "p"), "--target"]
    more = ["micro", "--precision", "int8", "--observations", str(tmp_path / "seen.npz")]
    files = ["--out", str(tmp_path / "a"), "--json", str(tmp_path / "a.json")]
    done = subprocess.run([*command, *more, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "a.json").read_text())
    assert f"in an arena of {written['micro']['arena_bytes']:,} bytes" in done.stdout
