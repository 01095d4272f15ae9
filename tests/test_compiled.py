import logging

from tfdrlprune._tf import tf

import numpy as np
import pytest

from tfdrlprune.agents.compiled import CompiledLoop, as_graph, compiled


def test_the_loop_runs_the_body_count_times_and_returns_the_mean_loss():
    seen = tf.Variable(0)

    def body(index, inputs):
        seen.assign_add(1)
        return inputs["losses"][index]

    loop = CompiledLoop(body, "test")
    inputs = {"losses": np.array([1.0, 2.0, 6.0, 100.0], np.float32)}
    assert loop(3, inputs) == pytest.approx(3.0)
    # Trying XLA has run nothing.
    assert int(seen) == 3
    assert loop(1, inputs) == pytest.approx(1.0)
    assert int(seen) == 4


def test_what_xla_cannot_compile_runs_as_a_graph_and_the_log_says_so(caplog):
    def body(index, inputs):
        text = tf.strings.as_string(inputs[index])
        return tf.strings.to_number(text)

    loop = CompiledLoop(body, "odd work")
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        assert loop(2, np.array([1.0, 4.0], np.float32)) == pytest.approx(2.5)
    assert "odd work runs as a graph: XLA refused it" in caplog.text


def test_a_function_is_compiled_or_falls_back_with_the_same_result(caplog):
    double = compiled(lambda x: 2.0 * x, "doubling")
    spell = compiled(lambda x: tf.strings.to_number(tf.strings.as_string(x)), "spelling")
    value = np.array([1.5, -2.0], np.float32)
    with caplog.at_level(logging.INFO, "tfdrlprune"):
        np.testing.assert_array_equal(double(value), 2 * value)
        np.testing.assert_array_equal(spell(value), value)
    assert "doubling runs under XLA" in caplog.text
    assert "spelling runs as a graph" in caplog.text


def test_an_error_of_the_body_itself_is_raised():
    def body(index, inputs):
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        CompiledLoop(body, "test")(1, np.zeros(1, np.float32))


def test_python_conditions_on_tensors_are_understood():
    def body(index, inputs):
        if inputs[index] > 1.0:
            return inputs[index]
        return 0.0

    loop = CompiledLoop(body, "test")
    assert loop(3, np.array([1.0, 2.0, 4.0], np.float32)) == pytest.approx(2.0)


def test_python_conditions_on_tensors_are_understood_where_xla_refuses():
    def body(index, inputs):
        number = tf.strings.to_number(tf.strings.as_string(inputs[index]))
        if number > 1.0:
            return number
        return 0.0

    loop = CompiledLoop(body, "test")
    assert loop(3, np.array([1.0, 2.0, 4.0], np.float32)) == pytest.approx(2.0)


def test_a_graph_has_python_ifs_where_it_needs_them_and_runs_once_a_call():
    runs = tf.Variable(0)

    def plain(x):
        runs.assign_add(1)
        return 2.0 * x

    def branching(x):
        runs.assign_add(1)
        if x > 0:  # only AutoGraph can take this
            return x
        return -x

    for function, values in (
        (plain, [(3.0, 6.0), (-1.0, -2.0)]),
        (branching, [(3.0, 3.0), (-1.0, 1.0)]),
    ):
        run = as_graph(function)
        runs.assign(0)
        assert [float(run(tf.constant(x))) for x, _ in values] == [y for _, y in values]
        assert int(runs) == 2


def test_many_of_one_method_that_are_traced_once_each_are_no_reason_to_warn(caplog):
    class Learner:
        def work(self, x):
            return x + 1.0

    for _ in range(8):
        CompiledLoop(lambda index, inputs: inputs[index], "test")(1, np.zeros(1, np.float32))
        assert compiled(Learner().work, "test")(tf.constant(1.0)) == 2.0
        assert as_graph(Learner().work)(tf.constant(1.0)) == 2.0
    assert "retracing" not in caplog.text
