"""LiteRT's objects as the bytes of a ``.tflite`` file; the way back from `model_file.Reader`."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np

from tfdrlprune.specs import Array

# What the format's schema asks for with `force_align`; LiteRT's generated code leaves it out.
_ALIGNMENT = 16


class _Builder(flatbuffers.Builder):
    """Lets constants begin where vector instructions, and strict processors, can read them."""

    def CreateNumpyVector(self, x: Array) -> int:
        if x.dtype == np.uint8:  # a constant; shapes and scales have dtypes of their own
            self.Prep(_ALIGNMENT, x.nbytes)
        offset: int = super().CreateNumpyVector(x)
        return offset


def packed(model: Any) -> bytes:
    """Returns the file of a model.

    Args:
        model: LiteRT's ``ModelT``, as `Reader.model` has it.
    """
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
