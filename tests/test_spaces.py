"""Spaces become specs with the environment's numbers; values pass through unharmed."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from hypothesis import given
from hypothesis import strategies as st

from tfdrlprune import specs
from tfdrlprune.agents.spaces import (
    action_nest,
    decode_action,
    encode_observation,
    observation_nest,
    tensor_specs,
)
from tfdrlprune.specs import ArraySpec

LARGEST = float(np.finfo(np.float32).max)

NESTED = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (2, 2, 1), np.uint8),
        "arm": spaces.Tuple((spaces.Discrete(3, start=1), spaces.Box(-1, 2, (2,), np.float64))),
    }
)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (spaces.Box(-1, 2, (3,), np.float64), ArraySpec("x", (3,), "float32", -1.0, 2.0)),
        (spaces.Box(-np.inf, 1, (2,)), ArraySpec("x", (2,), "float32", None, 1.0)),
        (spaces.Box(-1e300, 1e300, (), np.float64), ArraySpec("x", (), "float32", None, None)),
        (
            spaces.Box(np.array([-1, -np.inf]), np.array([np.inf, 4]), dtype=np.float64),
            ArraySpec("x", (2,), "float32", (-1.0, -LARGEST), (LARGEST, 4.0)),
        ),
        (
            spaces.Box(np.array([[0, 1]]), np.array([[2, 3]]), dtype=np.int16),
            ArraySpec("x", (1, 2), "int16", (0, 1), (2, 3)),
        ),
        (spaces.Box(0, 255, (4, 4, 3), np.uint8), ArraySpec("x", (4, 4, 3), "uint8", 0, 255)),
        (spaces.Box(0, 2**32 - 1, (1,), np.uint32), ArraySpec("x", (1,), "int64", 0, 2**32 - 1)),
        (spaces.Box(0, 1, (2,), np.bool_), ArraySpec("x", (2,), "int8", 0, 1)),
        (spaces.Box(-1, 1, (2,), np.float16), ArraySpec("x", (2,), "float32", -1.0, 1.0)),
        (spaces.Discrete(4), ArraySpec("x", (), "int64", 0, 3)),
        (spaces.Discrete(4, start=-2), ArraySpec("x", (), "int64", -2, 1)),
        (spaces.MultiDiscrete([3, 3]), ArraySpec("x", (2,), "int64", 0, 2)),
        (
            spaces.MultiDiscrete([3, 2], start=[1, -1]),
            ArraySpec("x", (2,), "int64", (1, -1), (3, 0)),
        ),
        (spaces.MultiBinary([2, 3]), ArraySpec("x", (2, 3), "int8", 0, 1)),
    ],
)
def test_every_leaf_keeps_its_numbers(space, expected):
    for nest, name in ((observation_nest(space), "observation"), (action_nest(space), "action")):
        assert nest == ArraySpec(name, *list(vars(expected).values())[1:])
        assert specs.nest_from_json(specs.nest_to_json(nest)) == nest


def test_nested_leaves_are_named_by_their_path():
    nest = observation_nest(NESTED)
    assert nest == {
        "arm": (
            ArraySpec("arm/0", (), "int64", 1, 3),
            ArraySpec("arm/1", (2,), "float32", -1.0, 2.0),
        ),
        "camera": ArraySpec("camera", (2, 2, 1), "uint8", 0, 255),
    }


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(3),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Box(0, 1), None),
        spaces.OneOf((spaces.Discrete(2), spaces.Box(0, 1))),
    ],
)
def test_spaces_without_one_shape_are_refused_by_name_with_a_remedy(space):
    with pytest.raises(ValueError, match=f"{type(space).__name__}.*Wrapper"):
        observation_nest(space)
    with pytest.raises(ValueError, match=f"at 'a/0'.*{type(space).__name__}"):
        action_nest(spaces.Dict({"a": spaces.Tuple((space,))}))


def test_tensor_specs_are_finite_with_bounds_of_one_form():
    spec = tensor_specs(ArraySpec("x", (2,), "float32", None, (1.0, 2.0)))
    np.testing.assert_array_equal(spec.minimum, np.float32([-LARGEST, -LARGEST]), strict=True)
    np.testing.assert_array_equal(spec.maximum, np.float32([1, 2]), strict=True)
    spec = tensor_specs(ArraySpec("x", (2, 2), "int16", None, 7))
    assert (spec.minimum.shape, int(spec.minimum), int(spec.maximum)) == ((), -(2**15), 7)
    assert (spec.dtype, spec.shape, spec.name) == ("int16", (2, 2), "x")
    nested = tensor_specs(observation_nest(NESTED))
    assert nested["arm"][0].minimum == 1
    assert nested["camera"].dtype == "uint8"


def test_shifted_actions_start_at_zero_and_floats_stay():
    nest = action_nest(spaces.Dict({"a": NESTED, "b": spaces.Box(-128, 127, (1,), np.int8)}))
    shifted = tensor_specs(nest, shift_to_zero=True)
    assert [int(shifted["a"]["arm"][0].minimum), int(shifted["a"]["arm"][0].maximum)] == [0, 2]
    assert [int(shifted["b"].minimum), int(shifted["b"].maximum)] == [0, 255]
    assert shifted["b"].dtype == "int64"
    assert float(shifted["a"]["arm"][1].minimum) == -1
    with pytest.raises(ValueError, match="at most"):
        tensor_specs(ArraySpec("x", (), "int64", -(2**63), 2**63 - 1), shift_to_zero=True)


def test_observations_are_encoded_alike_one_by_one_and_in_batches():
    NESTED.seed(0)
    singles = [NESTED.sample() for _ in range(4)]
    batched_space = batch_space(NESTED, 4)
    batch = encode_observation(
        NESTED,
        {
            "camera": np.stack([single["camera"] for single in singles]),
            "arm": tuple(np.stack([single["arm"][part] for single in singles]) for part in (0, 1)),
        },
    )
    assert batched_space["arm"][1].dtype == np.float64
    assert batch["arm"][1].dtype == np.float32
    for index, single in enumerate(singles):
        encoded = encode_observation(NESTED, single)
        leaves = specs.flatten_like(observation_nest(NESTED), encoded)
        batched = specs.flatten_like(observation_nest(NESTED), batch)
        for spec, one, many in zip(
            specs.flatten(observation_nest(NESTED)), leaves, batched, strict=True
        ):
            assert (one.shape, one.dtype) == (spec.shape, spec.dtype)
            np.testing.assert_array_equal(one, many[index], strict=True)


def test_actions_are_decoded_into_the_environments_numbers():
    assert decode_action(spaces.Discrete(3, start=-1), np.array(2)) == 1
    assert isinstance(decode_action(spaces.Discrete(3), np.int32(2)), np.int64)
    np.testing.assert_array_equal(
        decode_action(spaces.Discrete(3, start=5), np.array([0, 2], np.int32)), [5, 7]
    )
    multi = spaces.MultiDiscrete([3, 2], start=[1, -1])
    np.testing.assert_array_equal(decode_action(multi, [[0, 0], [2, 1]]), [[1, -1], [3, 0]])
    box = spaces.Box(-128, 127, (2,), np.int8)
    np.testing.assert_array_equal(decode_action(box, [0, 255]), np.int8([-128, 127]), strict=True)
    tenth = spaces.Box(-0.1, 0.1, (1,), np.float64)
    assert float(np.float32(0.1)) > 0.1
    np.testing.assert_array_equal(decode_action(tenth, np.float32([[0.1], [-5]])), [[0.1], [-0.1]])


@given(st.integers(-(2**40), 2**40), st.integers(1, 50), st.data())
def test_every_zero_based_action_falls_into_its_space(start, n, data):
    space = spaces.Discrete(n, start=start)
    spec = tensor_specs(action_nest(space), shift_to_zero=True)
    index = data.draw(st.integers(int(spec.minimum), int(spec.maximum)))
    assert space.contains(decode_action(space, np.asarray(index)))
    assert (int(spec.minimum), int(spec.maximum)) == (0, n - 1)
