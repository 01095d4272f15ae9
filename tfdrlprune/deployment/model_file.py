"""What is in a ``.tflite`` file: its operations and the kernels and biases that they hold.

NumPy and LiteRT's schema only, so that a robot can look into its own artifact.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfdrlprune.specs import Array

# Where an operation's kernel and bias stand among its inputs.
_WEIGHTED = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "FULLY_CONNECTED": (1, 2),
    "TRANSPOSE_CONV": (1, 3),
}
_DTYPES: dict[str, str] = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
}


@dataclass(frozen=True)
class Operation:
    """One operation, and its kernel and bias as they are stored, where it has any.

    Attributes:
        kind: TFLite's name, such as ``"FULLY_CONNECTED"``.
        layer: name of the Keras layer that it comes from, as far as the tensors' names tell it.
        input_dtypes: of its inputs, kernel and bias included; such as ``"int8"``.
        outputs: names of its output tensors.
        output_shapes: their shapes.
        kernel: as stored (output channels first, except for depthwise), or None.
        kernel_values: the kernel in float64, scales applied.
        bias: as stored, or None; a bias of zeros is left out by TFLite's converter.
    """

    kind: str
    layer: str
    input_dtypes: tuple[str, ...]
    outputs: tuple[str, ...]
    output_shapes: tuple[tuple[int, ...], ...]
    kernel: Array | None = None
    kernel_values: Array | None = None
    bias: Array | None = None


def operations(content: bytes) -> list[Operation]:
    """Returns the operations of the model's main graph, in the order they run.

    Raises:
        ValueError: the bytes are no TFLite model.
    """
    if content[4:8] != b"TFL3":
        raise ValueError("The file is no TFLite model: its identifier TFL3 is missing.")
    try:
        return Reader(content).operations()
    except (struct.error, TypeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(
            f"The file is no TFLite model that can be read: {error}. Export the policy again."
        ) from error


def parameter_counts(found: list[Operation]) -> tuple[int, int]:
    """Returns how many numbers the kernels and biases hold, and how many of them are not zero."""
    arrays = [array for op in found for array in (op.kernel, op.bias) if array is not None]
    # Layers that share their weights share the array: counted once.
    unique = list({id(array): array for array in arrays}.values())
    return sum(array.size for array in unique), sum(int(np.count_nonzero(a)) for a in unique)


class Reader:
    """Reads the main graph of one model; a constant that two operations share is one array.

    Attributes:
        model: LiteRT's own objects, unpacked.
        graph: of these, the main graph.
        types: names of the dtypes by LiteRT's numbers.
    """

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        self.graph = self.model.subgraphs[0]
        self.kinds = _names(schema.BuiltinOperator)
        self.types = _names(schema.TensorType)
        self.constants: dict[int, Array | None] = {}
        # float16 kernels stand behind an operation that widens them.
        self.widened = {
            op.outputs[0]: op.inputs[0]
            for op in self.graph.operators
            if self.kind(op) == "DEQUANTIZE" and self.constant(op.inputs[0]) is not None
        }

    def operations(self) -> list[Operation]:
        """Returns the operations that compute, without those that widen constants."""
        return [self.operation(op) for op in self.graph.operators if not self.is_widening(op)]

    def is_widening(self, op: Any) -> bool:
        """Tells whether an operation only turns a constant into float32."""
        return op.outputs[0] in self.widened

    def kind(self, op: Any) -> str:
        """Returns an operation's name."""
        code = self.model.operatorCodes[op.opcodeIndex]
        # Codes above 127 stand in the newer field, and older files have only the older one.
        return self.kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def operation(self, op: Any) -> Operation:
        """Returns an operation with its kernel and bias."""
        kind = self.kind(op)
        inputs = [self.widened.get(index, index) for index in op.inputs]
        kernel = bias = values = None
        if kind in _WEIGHTED:
            at_kernel, at_bias = _WEIGHTED[kind]
            kernel = self.constant(inputs[at_kernel])
            if kernel is not None:
                values = self.scaled(inputs[at_kernel], kernel)
            if len(inputs) > at_bias and inputs[at_bias] >= 0:
                bias = self.constant(inputs[at_bias])
        tensors = self.graph.tensors
        named = op.outputs[0] if kernel is None else inputs[_WEIGHTED[kind][0]]
        return Operation(
            kind=kind,
            layer=_layer(tensors[named].name.decode()),
            input_dtypes=tuple(self.types[tensors[i].type].lower() for i in inputs if i >= 0),
            outputs=tuple(tensors[i].name.decode() for i in op.outputs),
            output_shapes=tuple(
                () if tensors[i].shape is None else tuple(map(int, tensors[i].shape))
                for i in op.outputs
            ),
            kernel=kernel,
            kernel_values=values,
            bias=bias,
        )

    def constant(self, index: int) -> Array | None:
        """Returns a constant tensor as stored, or None if the tensor is computed."""
        if index not in self.constants:
            self.constants[index] = self.read(index)
        return self.constants[index]

    def read(self, index: int) -> Array | None:
        """Returns a tensor's bytes as an array, or None if it has none of a known dtype."""
        tensor = self.graph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        kind = self.types[tensor.type]
        if data is None or kind not in _DTYPES:
            return None
        array: Array = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[kind])
        shape = () if tensor.shape is None else tuple(map(int, tensor.shape))
        if tensor.sparsity is not None:
            raise ValueError(
                f"The tensor {tensor.name.decode()!r} is stored sparse, which cannot be read yet."
            )
        return array.reshape(shape)

    def scaled(self, index: int, stored: Array) -> Array:
        """Returns the numbers that a stored tensor stands for."""
        quantization = self.graph.tensors[index].quantization
        values: Array = stored.astype(np.float64)
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return values
        scale = np.asarray(quantization.scale, np.float64)
        zero = np.asarray(quantization.zeroPoint, np.float64)
        if len(scale) > 1:
            along = [1] * stored.ndim
            along[quantization.quantizedDimension] = len(scale)
            scale, zero = scale.reshape(along), zero.reshape(along)
        result: Array = (values - zero) * scale
        return result


def _layer(tensor: str) -> str:
    """Returns ``dense`` for ``policy/dense/MatMul;policy/dense/Relu``."""
    parts = tensor.split(";", maxsplit=1)[0].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]


def _names(enumeration: type) -> dict[int, str]:
    return {value: key for key, value in vars(enumeration).items() if isinstance(value, int)}
