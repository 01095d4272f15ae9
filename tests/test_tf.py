import importlib.util
import os
import subprocess
import sys
import types

from tfdrlprune._tf import read, require, tf, write
from tfdrlprune._tf_agents import _stand_in_for_gym, tf_agents  # noqa: F401

import numpy as np
import pytest
import tf_keras
from tf_agents.specs import tensor_spec


def run(code):
    # As in a user's own process. The door sets the variable, and these tests have opened it.
    env = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_keras_is_keras_2_and_nothing_is_printed():
    assert tf.keras.layers.Layer is tf_keras.layers.Layer
    for first in ("", "import tensorflow; "):
        done = run(f"{first}from tfdrlprune._tf import tf; print(tf.keras.__name__)")
        assert (done.returncode, done.stdout.strip().split(".")[0]) == (0, "tf_keras")
    assert run("import tfdrlprune._tf_agents").stderr == ""


def test_a_tensorflow_that_was_there_first_has_keras_2_whatever_is_imported_later():
    done = run(
        "import tensorflow as tf\n"
        "import tfdrlprune as tp; agent = tp.agents.ppo('Pendulum-v1', hidden=(4,), seed=0)\n"
        "from tensorflow.keras import layers; import tensorflow.keras.models as models\n"
        "import tf_keras; model = tf_keras.Sequential([tf_keras.layers.Dense(1)])\n"
        "print(tf.keras.layers.Layer is layers.Layer is tf_keras.layers.Layer)\n"
        "print(isinstance(model, (models.Model, tf.keras.Model)), len(tp.policies.from_agent(agent)"
        ".model.layers))"
    )
    assert done.stdout.split() == ["True", "True", "4"], done.stderr


def test_a_sum_with_an_activation_behind_it_prints_nothing():
    code = """
from tfdrlprune._tf import tf
given = tf.keras.Input((4,))
total = tf.keras.layers.Add()([given, tf.keras.layers.Dense(4)(given)])
model = tf.keras.Model(given, tf.keras.layers.Activation("relu")(total))
tf.function(model, input_signature=[tf.TensorSpec([None, 4])])(tf.zeros([3, 4]))
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")


def test_keras_3_that_was_there_first_is_an_import_error_with_the_remedy():
    done = run(
        "import tensorflow as tf; tf.keras.layers\n"
        "try:\n    import tfdrlprune._tf\nexcept ImportError as error:\n    print(error)"
    )
    assert "tf.keras is already Keras 3" in done.stdout
    assert "Set TF_USE_LEGACY_KERAS=1 before Python starts" in done.stdout


def test_a_missing_package_names_the_extra_and_a_broken_one_itself(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    with pytest.raises(ImportError, match=r"pip install 'tfdrlprune\[train\]'"):
        require("tensorflow_model_optimization")

    def broken(name):
        raise ModuleNotFoundError("No module named 'six'", name="six")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="No module named 'six'"):
        require("tf_agents")


def test_the_stand_in_for_gym_steps_back_where_there_is_a_gym(monkeypatch):
    for name in ("gym", "gym.envs", "gym.envs.registration"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "gym_notices.notices", types.ModuleType("before"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    _stand_in_for_gym()
    assert "gym" not in sys.modules
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    _stand_in_for_gym()
    assert sys.modules["gym"].envs.registration.registry == {}


def test_bytes_are_sampled_up_to_255():
    spec = tensor_spec.BoundedTensorSpec((2_000,), tf.uint8, 0, 255)
    drawn = tensor_spec.sample_spec_nest(spec, seed=1).numpy()
    assert (drawn.dtype, drawn.min(), drawn.max()) == (np.uint8, 0, 255)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_read_and_write_do_what_numpy_and_assign_do(dtype):
    variable = tf.Variable(tf.cast([[1, 2], [3, 4]], dtype))
    np.testing.assert_array_equal(read(variable), variable.numpy())
    write(variable, np.array([[5, 6], [7, 8]], dtype))
    np.testing.assert_array_equal(variable.numpy(), [[5, 6], [7, 8]])
    # A copy: what was read does not change with the variable.
    before = read(variable)
    write(variable, np.zeros((2, 2), dtype))
    np.testing.assert_array_equal(before, [[5, 6], [7, 8]])
