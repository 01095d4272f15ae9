"""Exported C acts as its policy, is strict C99, and is refused or said where it is not."""

import json
import subprocess
from pathlib import Path

from tfdrlprune._tf import tf

import numpy as np
import pytest
from artifacts import linear
from builders import forward, mlp, randomize

from tfdrlprune import runtime
from tfdrlprune.deployment import artifact, c_compiler, c_export
from tfdrlprune.deployment.exporter import export, with_c
from tfdrlprune.policies import Policy
from tfdrlprune.policies.normalizer import ObservationNormalizer
from tfdrlprune.specs import ArraySpec, Head

L = tf.keras.layers
BOTH = ("tflite", "c")
BOX = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))
SQUASHED = Head("tanh", (2.0, 2.0), (0.0, 1.0))
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def observations(count=300, size=4, seed=1):
    return np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)


def policy_of(inputs, tensor, actions=3):
    """Returns a policy with random weights that ends in a Dense layer on ``tensor``."""
    model = tf.keras.Model(inputs, L.Dense(actions, name="outputs")(tensor))
    randomize(model.trainable_variables)
    inputs = inputs if isinstance(inputs, list) else [inputs]
    image = [each.dtype.name == "uint8" for each in inputs]
    specs = {
        each.name: ArraySpec(
            each.name, tuple(each.shape[1:]), each.dtype.name, 0 if i else -3.0, 255 if i else 3.0
        )
        for each, i in zip(inputs, image, strict=True)
    }
    spec = specs if len(specs) > 1 else next(iter(specs.values()))
    return Policy(model, Head("argmax"), spec, ArraySpec("action", (), "int64", 0, actions - 1))


def self_tested(folder, *flags, compiler="cc"):
    """Returns what the artifact's own test program prints, compiled from its two files."""
    program = Path(folder).parent / "policy_test"
    sources = [str(Path(folder) / name) for name in ("policy.c", "policy_test.c")]
    subprocess.run([compiler, *STRICT, *flags, *sources, "-o", program, "-lm"], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int8", "int16x8"])
def test_the_c_of_every_precision_acts_as_the_policy(tmp_path, precision):
    policy = mlp(sizes=(4, 40, 32))
    found = export(
        policy, tmp_path / "a", precision=precision, formats=BOTH, observations=observations()
    )
    exact = precision == "float32"
    assert found.c.comparison.count == (10_000 if exact else 300)
    assert found.c.comparison.agreement >= (1.0 if exact else 0.99)
    largest = 1e-5 if exact else 0.05
    assert found.c.comparison.output_deviation < largest
    loaded = runtime.load(tmp_path / "a", backend="c")
    batch = observations(seed=2)
    same = np.mean(loaded.action(batch) == forward(policy, batch).argmax(1))
    assert same >= (1.0 if exact else 0.98)
    kinds = {layer.dtype for layer in found.c.layers}
    assert kinds == {"float32"} if exact or precision == "float16" else "int8" in kinds
    assert self_tested(tmp_path / "a") == "64 of 64 test vectors agree\n"


def test_what_lies_beyond_the_recorded_observations_keeps_no_c_from_being_written(tmp_path):
    # A range of 0.01 around one observation, and drawn ones from -3 to 3.
    seen = np.float32([[0.5, -0.5, 0.5, -0.5]]) + 0.01 * observations(20)
    found = export(
        mlp(sizes=(4, 40, 32)), tmp_path / "a", precision="int8", formats=BOTH, observations=seen
    )
    assert found.c.comparison.count == 20
    assert found.c.comparison.agreement == found.comparison.agreement
    assert self_tested(tmp_path / "a") == "64 of 64 test vectors agree\n"


def test_int16x8_kernels_in_c_are_those_of_the_file_with_exact_sums(tmp_path):
    policy = mlp(SQUASHED, BOX, outputs=2, sizes=(4, 40, 32))
    export(policy, tmp_path / "a", precision="int16x8", formats=BOTH, observations=observations())
    from tfdrlprune.deployment import model_graph

    graph = model_graph.read((tmp_path / "a" / "policy.tflite").read_bytes())
    x = observations(50).astype(np.float64)
    for node in (node for node in graph.nodes if node.kind == "FULLY_CONNECTED"):
        kernel, bias = (graph.tensors[index].value for index in node.inputs[1:])
        x = x @ kernel.T + bias
        x = np.maximum(x, 0) if node.activation == "RELU" else x
    made = runtime.load(tmp_path / "a", backend="c").outputs(observations(50))
    np.testing.assert_allclose(made, x, atol=1e-5)


def test_normaliser_squash_and_clip_are_in_the_c(tmp_path):
    normalizer = ObservationNormalizer(np.full(4, 0.5), np.full(4, 0.01))
    policy = mlp(SQUASHED, BOX, outputs=2, normalizer=normalizer)
    export(policy, tmp_path / "a", formats=BOTH)
    batch = observations()
    made = runtime.load(tmp_path / "a", backend="c").action(batch)
    np.testing.assert_allclose(made, np.tanh(forward(policy, batch)) * 2 + [0, 1], atol=1e-5)
    assert made.dtype == np.float32


def image_policy():
    camera = tf.keras.Input((9, 8, 2), dtype="uint8", name="camera")
    speed = tf.keras.Input((3,), name="int")
    goal = tf.keras.Input((2,), dtype="int32", name="goal/x")
    x = L.Conv2D(18, 3, 2, padding="same", activation="relu")(L.Rescaling(1 / 255.0)(camera))
    x = L.MaxPooling2D(2)(L.BatchNormalization()(x))
    x = L.Concatenate()([L.Flatten()(x), speed, L.Rescaling(1.0)(goal)])
    return policy_of([camera, speed, goal], L.Dense(24, "elu")(x))


def lstm_policy():
    history = tf.keras.Input((4, 3), name="observation")
    return policy_of(history, L.LSTM(12)(L.GRU(8, return_sequences=True)(history)))


def branched_policy():
    state = tf.keras.Input((6,), name="observation")
    x = L.Dense(20, "relu")(state)
    x = L.Add()([x, L.Dense(20, "tanh")(x)])
    return policy_of(state, L.Multiply()([x, L.Dense(20, "sigmoid")(x)]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [image_policy, lstm_policy, branched_policy])
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_networks_of_many_kinds_are_strict_c_that_no_sanitizer_objects_to(
    tmp_path, make, precision
):
    found = export(make(), tmp_path / "a", precision=precision, formats=BOTH)
    assert found.c.comparison.agreement >= (1.0 if precision == "float32" else 0.98)
    assert "64 of 64" in self_tested(tmp_path / "a", *SANITIZED)
    assert "64 of 64" in self_tested(tmp_path / "a", "-O2", "-DPOLICY_PLAIN_C")


def test_observations_are_arguments_in_the_order_of_the_specs(tmp_path):
    export(image_policy(), tmp_path / "a", formats=BOTH)
    header = (tmp_path / "a" / "policy.h").read_text()
    wanted = "const uint8_t *camera, const float *x_int, const int32_t *goal_x, float *action"
    assert f"void policy_action({wanted});" in header
    assert "#define POLICY_CAMERA_SIZE 144\n" in header
    assert "#define POLICY_OUTPUTS_SIZE 3\n" in header


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_observations_may_be_called_as_constants_loops_and_words_of_c_and_cpp(tmp_path, precision):
    names = ["i", "x", "t0", "b0", "A", "a", "NULL", "new"]
    given = [tf.keras.Input((2,), name=name) for name in names]
    policy = policy_of(given, L.Dense(9, "elu")(L.Concatenate()(given)))
    export(policy, tmp_path / "a", precision=precision, formats=BOTH)
    header = (tmp_path / "a" / "policy.h").read_text()
    own = ("i", "x", "t0", "b0", "A", "a_2", "x_NULL", "x_new")
    assert f"void policy_action({', '.join(f'const float *{name}' for name in own)}, " in header
    assert "64 of 64" in self_tested(tmp_path / "a")


def test_the_manifest_lists_the_c_and_its_compiler(tmp_path):
    found = export(mlp(), tmp_path / "a", formats=BOTH)
    manifest = artifact.verify(tmp_path / "a")
    assert {"policy.c", "policy.h", "policy_test.c"} <= set(manifest.files)
    assert manifest.versions["cc"] == found.c.compiler == c_compiler.find_compiler().version
    assert export(mlp(), tmp_path / "b").c is None
    assert set(artifact.read(tmp_path / "b").files) == {"policy.tflite", "test_vectors.npz"}


def test_sizes_are_those_of_the_arrays(tmp_path):
    found = export(mlp(sizes=(4, 64, 64), outputs=2), tmp_path / "a", formats=BOTH).c
    # Kernels, and biases filled up to vectors of sixteen where there are such.
    kernels, biases = 4 * 64 + 64 * 64 + 64 * 2, 64 + 64 + 2
    assert found.flash_bytes == 4 * (kernels + biases)
    header = (tmp_path / "a" / "policy.h").read_text()
    assert f"POLICY_STACK_BYTES {found.stack_bytes}\n" in header
    # Two layers of 64 live at a time.
    assert found.stack_bytes == 4 * (64 + 64)


def test_inputs_that_a_relu_made_zero_are_passed_over_and_nothing_changes(tmp_path):
    policy = mlp(sizes=(4, 160, 150))
    found = export(policy, tmp_path / "a", formats=BOTH)
    assert found.c.comparison.agreement == 1.0
    assert found.c.comparison.output_deviation < 1e-5
    text = (tmp_path / "a" / "policy.c").read_text()
    assert text.count("count += x[i] != 0.0f;") == 1  # behind the first layer, before the second
    # Numbers of two layers, and a list of up to 160 inputs in bytes.
    assert found.c.stack_bytes == 4 * (160 + 160) + 161
    assert "64 of 64" in self_tested(tmp_path / "a", *SANITIZED)


def test_without_a_compiler_the_c_is_written_and_the_lack_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    found = export(mlp(), tmp_path / "a", formats=BOTH)
    assert found.c.compiler is None
    assert found.c.comparison is None
    assert artifact.read(tmp_path / "a").versions["cc"] == "none"
    with pytest.raises(FileNotFoundError, match=r"No C compiler .*\$CC=no-such-compiler"):
        runtime.load(tmp_path / "a", backend="c")
    monkeypatch.delenv("CC")
    assert "64 of 64" in self_tested(tmp_path / "a")
    monkeypatch.setenv("CC", "no-such-compiler")
    lower = export(mlp(), tmp_path / "b", precision="int8", formats=BOTH)
    assert "policy_test.c" not in lower.c.files


def test_c_that_acts_otherwise_is_not_written(tmp_path, monkeypatch):
    def other(content, manifest):
        found = generate(content, manifest)
        wrong = found.files["policy.c"].replace(b"> 0.0f ?", b"< 0.0f ?")
        return type(found)(**{**vars(found), "files": {**found.files, "policy.c": wrong}})

    generate = c_export.generate
    monkeypatch.setattr(c_export, "generate", other)
    with pytest.raises(ValueError, match="does not act as the policy does, so it is not written"):
        export(mlp(), tmp_path / "a", formats=BOTH)
    assert list(tmp_path.iterdir()) == []


def test_an_operation_without_c_is_named_and_nothing_is_written(tmp_path):
    inputs = tf.keras.Input((4, 4, 1), name="observation")
    policy = policy_of(inputs, L.Flatten()(L.Conv2DTranspose(2, 3, 2)(inputs)))
    with pytest.raises(ValueError, match="operations TRANSPOSE_CONV cannot be written as C"):
        export(policy, tmp_path / "a", formats=BOTH)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="TRANSPOSE_CONV"):
        c_export.check_c(policy)
    c_export.check_c(mlp())


@pytest.mark.parametrize("formats", [("c",), ("tflite", "onnx"), "tflite,c"])
def test_formats_are_known_and_tflite_is_among_them(tmp_path, formats):
    with pytest.raises(ValueError, match="Received"):
        export(mlp(), tmp_path / "a", formats=formats)
    assert not (tmp_path / "a").exists()


def test_c_is_made_of_an_artifact_that_is_there(tmp_path):
    policy = mlp()
    direct = export(policy, tmp_path / "a", formats=BOTH).c
    export(policy, tmp_path / "b")
    content = (tmp_path / "b" / "policy.tflite").read_bytes()
    later, manifest = with_c(policy, content, artifact.read(tmp_path / "b"))
    assert later.files == direct.files
    assert manifest.versions["cc"] == direct.compiler


def test_a_recurrent_policy_takes_its_state_and_gives_the_next(tmp_path):
    policy = recurrent()
    found = export(policy, tmp_path / "a", formats=BOTH)
    assert found.c.comparison.agreement == 1.0
    header = (tmp_path / "a" / "policy.h").read_text()
    wanted = "const float *observation, const float *state, float *next_state, float *action"
    assert f"void policy_action({wanted});" in header
    episode = observations(30, 3)
    wanted = policy.batch_outputs([episode])
    loaded = runtime.load(tmp_path / "a", backend="c")
    for _ in range(2):
        made = []
        for row in episode:
            made.append(loaded.outputs(row))
            loaded.action(row)
        np.testing.assert_allclose(made, wanted, atol=1e-5)
        loaded.reset()
    assert "test vectors agree" in self_tested(tmp_path / "a", *SANITIZED)


def recurrent():
    """Returns a policy with a GRU cell's state as input and output."""
    given = tf.keras.Input((3,), name="observation")
    state = tf.keras.Input((10,), name="memory")
    _, following = L.GRUCell(10)(given, state)
    following = L.Activation("linear", name="next_memory")(following)
    outputs = L.Dense(3, name="outputs")(following)
    model = tf.keras.Model([given, state], [outputs, following])
    randomize(model.trainable_variables)
    return Policy(
        model,
        Head("argmax"),
        ArraySpec("observation", (3,), "float32", -3.0, 3.0),
        ArraySpec("action", (), "int64", 0, 2),
        state_spec=ArraySpec("memory", (10,), "float32"),
    )


def test_the_example_in_the_docs_acts(tmp_path):
    export(linear([0, 0, 1, 0]), tmp_path / "a", formats=BOTH)
    page = (Path(__file__).parents[1] / "docs" / "c.md").read_text(encoding="utf-8")
    (tmp_path / "balance.c").write_text(page.split("```c\n")[1].split("```")[0])
    sources = [tmp_path / "balance.c", tmp_path / "a" / "policy.c"]
    program = tmp_path / "balance"
    build = ["cc", *STRICT, "-I", tmp_path / "a", *sources, "-o", program, "-lm"]
    subprocess.run(build, check=True)
    given = "0 0 0.1 0\n0 0 -0.1 0\n"
    done = subprocess.run([program], input=given, capture_output=True, text=True, check=True)
    assert done.stdout == "right\nleft\n"


def test_the_command_writes_c_and_says_what_it_was_compared_with(tmp_path, capsys):
    from tfdrlprune.cli.app import run

    mlp().save(tmp_path / "policy")
    out, report = tmp_path / "out", tmp_path / "result.json"
    arguments = ["export", str(tmp_path / "policy"), "--out", str(out)]
    assert run([*arguments, "--formats", "tflite,c", "--json", str(report)]) == 0
    said = capsys.readouterr().out
    assert "policy.c:" in said
    assert "it acts as the policy does on 100.0% of 10,000 observations" in said
    found = json.loads(report.read_text())
    assert found["c"]["comparison"]["agreement"] == 1.0
    assert found["files"].keys() >= {"policy.c", "policy.h", "policy_test.c"}
    assert run([*arguments, "--force", "--formats", "c"]) == 2
    assert "'tflite' or 'tflite,c' was expected" in capsys.readouterr().err
