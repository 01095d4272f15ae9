"""The one door to TensorFlow: its Keras 2, checked, and tfmot, both quiet.

Everything in this package that needs TensorFlow says ``from tfdrlprune._tf import tf``. tfmot and
TF-Agents speak Keras 2 only; ``tf.keras`` is resolved on first touch, so setting
``TF_USE_LEGACY_KERAS`` here is in time as long as nobody touched ``tf.keras`` before.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tfdrlprune._console import silent

__all__ = ["read", "stable_name", "tf", "tfmot", "write"]

_INSTALL = "Install the training extra: pip install 'tfdrlprune[train]'"
_KERAS_3 = (
    "tfdrlprune, tfmot and TF-Agents need Keras 2, but tf.keras is already Keras 3 in this "
    "process. Set TF_USE_LEGACY_KERAS=1 before Python starts, or import tfdrlprune before "
    "anything that touches tf.keras (on Colab: restart the runtime first)."
)


def require(module: str) -> ModuleType:
    """Returns the module, or raises ImportError that names what to install."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ImportError(f"{module} is not installed. {_INSTALL}") from error


def _open_door() -> ModuleType:
    """Imports TensorFlow with Keras 2 as its ``tf.keras``; raises ImportError with the remedy."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    # What C++ calls an error and Python has to hear of comes as an exception, too. Alone come such
    # as Grappler's of each sum with an activation behind it, which it then leaves as it is.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent():  # missing CUDA drivers are reported before the logger and its level exist
        tensorflow = require("tensorflow")
        legacy = require("tf_keras")
        layer = tensorflow.keras.layers.Layer
        # Looks for a GPU now, while its absence can be reported to nobody.
        tensorflow.config.list_physical_devices()
    # Never guess from tf.keras.__version__: it does not exist under tf_keras.
    if layer is not legacy.layers.Layer:
        raise ImportError(_KERAS_3)
    # Where TensorFlow was imported before the variable was set, `from tensorflow.keras import ...`,
    # as one file of TF-Agents has it, would find Keras 3 and put it in the place of tf.keras.
    sys.modules.setdefault("tensorflow.keras", importlib.import_module("tf_keras.api._v2.keras"))
    return tensorflow


if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = _open_door()


def tfmot() -> ModuleType:
    """Returns tensorflow_model_optimization, imported on first use (it takes a second)."""
    return require("tensorflow_model_optimization")


def read(variable: Any) -> Any:
    """Returns a variable's value as a NumPy array, outside a graph.

    ``variable.numpy()`` goes through a read, an identity and their dispatch, which take three times
    as long; a fit loop of small networks reads dozens of variables a batch.
    """
    return tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype).numpy()


def write(variable: Any, value: Any) -> None:
    """Assigns an array of the variable's own shape and dtype, outside a graph; as fast as `read`.

    Neither is checked.
    """
    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)


def stable_name(layer: Any) -> str:
    """Returns a Keras layer's name; one that Keras made up loses its number.

    Keras numbers layers by what else the process has built, and recipes name them.

    Example:
        >>> stable_name(tf.keras.layers.Dense(1, name="dense_7"))
        'dense'
        >>> stable_name(tf.keras.layers.Dense(1, name="torso_7"))
        'torso_7'
    """
    stem = re.sub(r"_\d+$", "", layer.name)
    made_up = stem.replace("_", "") == type(layer).__name__.lower()
    return stem if made_up else str(layer.name)
