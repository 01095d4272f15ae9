"""Every operation that can be written as C gives what NumPy gives."""

import numpy as np
import pytest
from c_programs import STRICT, constant, run

from tfdrlprune.deployment.c_source.matrices import layer_name
from tfdrlprune.deployment.c_source.program import Program
from tfdrlprune.deployment.c_source.rules import RULES, check_known
from tfdrlprune.deployment.model_graph import Graph, Node, Tensor

X = np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(1, 3, 4)).astype(np.float32)
POSITIVE = np.abs(X) + 0.1

UNARY = {
    "ABS": (X, np.abs),
    "CEIL": (X, np.ceil),
    "COS": (X, np.cos),
    "ELU": (X, lambda x: np.where(x < 0, np.expm1(x), x)),
    "EXP": (X, np.exp),
    "FLOOR": (X, np.floor),
    "HARD_SWISH": (4 * X, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "LOG": (POSITIVE, np.log),
    "LOGISTIC": (X, lambda x: 1 / (1 + np.exp(-x))),
    "NEG": (X, np.negative),
    "RELU": (X, lambda x: np.maximum(x, 0)),
    "RELU6": (9 * X, lambda x: np.clip(x, 0, 6)),
    "RELU_0_TO_1": (X, lambda x: np.clip(x, 0, 1)),
    "RELU_N1_TO_1": (2 * X, lambda x: np.clip(x, -1, 1)),
    "ROUND": (3 * X, np.rint),
    "RSQRT": (POSITIVE, lambda x: 1 / np.sqrt(x)),
    "SIGN": (X, np.sign),
    "SIN": (X, np.sin),
    "SQRT": (POSITIVE, np.sqrt),
    "SQUARE": (X, np.square),
    "TANH": (X, np.tanh),
}
BINARY = {
    "ADD": np.add,
    "ATAN2": np.arctan2,
    "DIV": np.divide,
    "EQUAL": np.equal,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "MUL": np.multiply,
    "NOT_EQUAL": np.not_equal,
    "PRELU": lambda x, y: np.where(x > 0, x, x * y),
    "SQUARED_DIFFERENCE": lambda x, y: (x - y) ** 2,
    "SUB": np.subtract,
}


@pytest.mark.parametrize("kind", UNARY)
def test_a_function_of_each_number(kind):
    given, wanted = UNARY[kind]
    made, _ = run(kind, [given], (1, 3, 4))
    np.testing.assert_allclose(made, wanted(given), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("kind", BINARY)
def test_a_function_of_two_numbers(kind):
    wanted = BINARY[kind]
    for other in (Y, Y[:, :1], Y[..., :1], Y[0, 0]):
        made, _ = run(kind, [X, other], (1, 3, 4))
        np.testing.assert_allclose(made, wanted(X, other), rtol=2e-6)
    made, _ = run(kind, [X, constant(np.float32(-0.5))], (1, 3, 4))
    np.testing.assert_allclose(made, wanted(X, np.float32(-0.5)), rtol=2e-6)


def test_powers_choices_and_slopes():
    made, _ = run("POW", [POSITIVE, Y], (1, 3, 4))
    np.testing.assert_allclose(made, POSITIVE**Y, rtol=1e-5)
    chosen, _ = run("SELECT_V2", [(X > 0).astype(np.float32), X, Y], (1, 3, 4))
    np.testing.assert_array_equal(chosen, np.where(X > 0, X, Y))
    sloped, _ = run("LEAKY_RELU", [X], (1, 3, 4), {"alpha": 0.25})
    np.testing.assert_allclose(sloped, np.where(X > 0, X, 0.25 * X))


@pytest.mark.parametrize("activation", ["RELU", "RELU6", "RELU_N1_TO_1", "TANH"])
def test_an_activation_that_is_part_of_an_operation(activation):
    made, _ = run("ADD", [4 * X, Y], (1, 3, 4), activation=activation)
    np.testing.assert_allclose(made, UNARY[activation][1](4 * X + Y), rtol=2e-6, atol=1e-6)


def test_tanh_is_right_everywhere_and_never_beyond_one():
    given = np.concatenate([np.linspace(-12, 12, 200_001), [-1e30, 1e30, 1e-30, 0.0]])
    made, _ = run("TANH", [given[None]], (1, len(given)), flags=(*STRICT, "-O3"))
    np.testing.assert_allclose(made[0], np.tanh(given.astype(np.float32)), atol=4e-7)
    assert np.abs(made).max() <= 1
    made, _ = run("TANH", [np.float32([[np.nan, 1]])], (1, 2))
    assert np.isnan(made[0, 0])


MOVES = {
    "reshape": ("RESHAPE", [X], X.reshape(1, 12), {}),
    "transpose": (
        "TRANSPOSE",
        [X, constant(np.int32([0, 2, 1]))],
        X.transpose(0, 2, 1),
        {},
    ),
    "slice": (
        "SLICE",
        [X, constant(np.int32([0, 1, 1])), constant(np.int32([1, 2, -1]))],
        X[:, 1:, 1:],
        {},
    ),
    "strided slice": (
        "STRIDED_SLICE",
        [X, *(constant(np.int32(v)) for v in ([0, 2, 3], [1, 0, 0], [1, -1, -2]))],
        X[:, 2::-1, 3:0:-2],
        dict(beginMask=0, endMask=2, ellipsisMask=0, newAxisMask=0, shrinkAxisMask=0),
    ),
    "column": (
        "STRIDED_SLICE",
        [X, *(constant(np.int32(v)) for v in ([0, 0, 1], [1, 3, 2], [1, 1, 1]))],
        X[:, :, 1],
        dict(beginMask=3, endMask=3, ellipsisMask=0, newAxisMask=0, shrinkAxisMask=4),
    ),
    "gather": ("GATHER", [X, constant(np.int32([2, 0, 2, 1]))], X[:, [2, 0, 2, 1]], {"axis": 1}),
    "gather at odds": (
        "GATHER",
        [X, constant(np.int32([3, 0, 1]))],
        X[..., [3, 0, 1]],
        {"axis": 2},
    ),
    "tile": ("TILE", [X, constant(np.int32([1, 2, 1]))], np.tile(X, (1, 2, 1)), {}),
    "broadcast": (
        "BROADCAST_TO",
        [X[:, :1], constant(np.int32([1, 5, 4]))],
        np.broadcast_to(X[:, :1], (1, 5, 4)),
        {},
    ),
    "reverse": ("REVERSE_V2", [X, constant(np.int32([1]))], X[:, ::-1], {}),
    "pad": (
        "PAD",
        [X, constant(np.int32([[0, 0], [2, 1], [0, 3]]))],
        np.pad(X, [(0, 0), (2, 1), (0, 3)]),
        {},
    ),
    "concatenate": ("CONCATENATION", [X, Y], np.concatenate([X, Y], axis=1), {"axis": 1}),
    "concatenate rows": ("CONCATENATION", [X, Y], np.concatenate([X, Y], axis=2), {"axis": -1}),
    "pack": ("PACK", [X[0, 0], Y[0, 0]], np.stack([X[0, 0], Y[0, 0]]), {"axis": 0}),
    "cast": ("CAST", [3 * X], 3 * X, {}),
}


@pytest.mark.parametrize("name", MOVES)
def test_numbers_go_where_they_belong(name):
    kind, inputs, wanted, options = MOVES[name]
    made, _ = run(kind, inputs, wanted.shape, options)
    np.testing.assert_array_equal(made, wanted)


def test_parts_of_a_split_are_places_in_it():
    made, _ = run("SPLIT", [constant(np.int32(2)), X], [(1, 3, 2), (1, 3, 2)])
    np.testing.assert_array_equal(made, X[..., :2])
    sizes, axis = constant(np.int32([1, 2])), constant(np.int32(1))
    made, _ = run("SPLIT_V", [X, sizes, axis], [(1, 1, 4), (1, 2, 4)])
    np.testing.assert_array_equal(made, X[:, :1])
    made, _ = run("UNPACK", [X], [(1, 4)] * 3, {"axis": 1})
    np.testing.assert_array_equal(made, X[:, 0])


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("SUM", np.sum),
        ("MEAN", np.mean),
        ("REDUCE_MAX", np.max),
        ("REDUCE_MIN", np.min),
        ("REDUCE_PROD", np.prod),
    ],
)
@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2), (-1,)])
def test_reductions(kind, function, axes):
    wanted = function(X, axis=axes)
    made, _ = run(kind, [X, constant(np.int32(axes))], wanted.shape)
    np.testing.assert_allclose(made, wanted, rtol=1e-5)


def test_softmax_stands_large_numbers():
    given = np.float32([[1000.0, 1001.0, 990.0], [-3.0, 0.0, 2.0]])
    wanted = np.exp(given - given.max(1, keepdims=True))
    wanted /= wanted.sum(1, keepdims=True)
    made, _ = run("SOFTMAX", [given], (2, 3), {"beta": 1.0})
    np.testing.assert_allclose(made, wanted, rtol=1e-5)
    made, _ = run("LOG_SOFTMAX", [given], (2, 3))
    np.testing.assert_allclose(made, np.log(wanted), rtol=1e-4)


def test_of_equal_scores_the_first_is_the_arg_max():
    for given, wanted in (([1, 5, 5, 2], 1), ([7, 5, 5, 7], 0), ([-3, -2, -1, 0], 3)):
        made, _ = run("ARG_MAX", [np.float32([given]), constant(np.int32(-1))], (1,))
        assert made.tolist() == [wanted]


def test_each_row_has_an_arg_max_of_its_own():
    rows = np.random.default_rng(0).integers(0, 4, (1, 5, 6)).astype(np.float32)
    made, _ = run("ARG_MAX", [rows, constant(np.int32(2))], (1, 5))
    np.testing.assert_array_equal(made.reshape(1, 5), rows.argmax(axis=2))


WINDOW = {"filterHeight": 2, "filterWidth": 3, "strideH": 2, "strideW": 2}


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("kind", "take"), [("MAX_POOL_2D", np.max), ("AVERAGE_POOL_2D", np.mean)])
def test_pooling_leaves_out_what_lies_beyond_the_border(kind, take, same):
    given = np.random.default_rng(4).normal(size=(1, 5, 6, 3)).astype(np.float32) - 2
    rows, columns = (3, 3) if same else (2, 2)
    wanted = np.zeros((rows, columns, 3))
    for row in range(rows):
        for column in range(columns):
            # SAME: one row is missing below, one column to the right.
            part = given[0, 2 * row : 2 * row + 2, 2 * column : 2 * column + 3]
            wanted[row, column] = take(part, axis=(0, 1))
    made, _ = run(kind, [given], (1, rows, columns, 3), WINDOW | {"padding": 0 if same else 1})
    np.testing.assert_allclose(made[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_a_depthwise_convolution_keeps_channels_apart(multiplier):
    generator = np.random.default_rng(5)
    given = generator.normal(size=(1, 4, 5, 3)).astype(np.float32)
    kernel = generator.normal(size=(1, 2, 2, 3 * multiplier)).astype(np.float32)
    bias = generator.normal(size=3 * multiplier).astype(np.float32)
    wanted = np.zeros((3, 4, 3 * multiplier))
    for row in range(3):
        for column in range(4):
            part = np.repeat(given[0, row : row + 2, column : column + 2], multiplier, axis=2)
            wanted[row, column] = (part * kernel[0]).sum(axis=(0, 1)) + bias
    options = dict(padding=1, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    made, _ = run(
        "DEPTHWISE_CONV_2D",
        [given, constant(kernel), constant(bias)],
        (1, 3, 4, 3 * multiplier),
        options,
    )
    np.testing.assert_allclose(made[0], wanted, atol=1e-5)


def test_no_name_in_a_file_becomes_code():
    tensors = [Tensor("x", "float32", (1, 2)), constant(np.ones((2, 2), np.float32))]
    tensors.append(Tensor("a/*/ int evil; /*/b", "float32", (1, 2)))
    node = Node("FULLY_CONNECTED", (0, 1), (2,), "NONE", {})
    program = Program(Graph(tuple(tensors), (node,), {}, {}))
    assert not set("*/ ;") & set(layer_name(program, node))


def test_operations_without_a_rule_are_named():
    tensors = (Tensor("x", "float32", (1, 2)), Tensor("y", "float32", (1, 2)))
    nodes = (Node("WHILE", (0,), (1,), "NONE", {}), Node("RELU", (0,), (1,), "NONE", {}))
    with pytest.raises(ValueError, match="operations WHILE cannot be written as C"):
        check_known(Graph(tensors, nodes, {}, {}))
    assert "RELU" in RULES


def test_what_an_operation_cannot_do_in_c_is_named():
    x = np.ones((1, 4, 4, 4), np.float32)
    options = dict(padding=1, strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    with pytest.raises(ValueError, match=r"CONV_2D \(model/layer/out\) .* in groups of channels"):
        run("CONV_2D", [x, constant(np.ones((8, 1, 1, 2))), None], (1, 4, 4, 8), options)
    with pytest.raises(ValueError, match="with the activation SIGN_BIT"):
        run("ADD", [X, Y], (1, 3, 4), activation="SIGN_BIT")
    with pytest.raises(ValueError, match="as its kernel is computed"):
        run("FULLY_CONNECTED", [X[0], X[0], None], (3, 3))
