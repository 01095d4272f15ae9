"""A head in a graph gives what it gives in NumPy."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.policies.head_ops import head_in_graph
from tfdrlprune.specs import ArraySpec, Head


@pytest.mark.parametrize(
    ("head", "spec"),
    [
        (Head("argmax", offset=-1.0), ArraySpec("action", (), "int64", -1, 0)),
        (Head("argmax"), ArraySpec("action", (1,), "int32", 0, 1)),
        (Head("affine", 3.0, 0.5), ArraySpec("action", (2,), "float32", -1.0, None)),
        (
            Head("tanh", (2.0, 2.0), (0.0, 1.0)),
            ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0)),
        ),
        (Head("tanh", 2.0), ArraySpec("action", (2, 1), "float64", None, None)),
    ],
)
def test_the_head_in_a_graph_is_the_head_in_numpy(head, spec):
    outputs = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32) * 3
    in_graph = head_in_graph(head, tf.constant(outputs), spec).numpy()
    wanted = head.action(outputs, spec)
    assert in_graph.dtype == wanted.dtype
    np.testing.assert_allclose(in_graph, wanted, rtol=1e-6)
