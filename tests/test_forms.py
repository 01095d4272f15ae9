"""The order in which precisions are judged, and what "auto" takes of them."""

from types import SimpleNamespace

import pytest

import tfdrlprune as tp
from tfdrlprune.compression.bench import Judging
from tfdrlprune.compression.forms import forms_of
from tfdrlprune.recipe import Recipe


def bench(**sizes):
    def size(policy, precision, agreement):
        return sizes[precision if agreement is None else "part"]

    return SimpleNamespace(size=size)


def names(precision, *, fallback=True, **sizes):
    return [form.name for form in forms_of(precision, bench(**sizes), None, fallback=fallback)]


def test_float16_comes_before_an_integer_form_where_the_last_safe_one_is_shipped():
    assert names("float32") == []
    assert names("float16") == ["float16"]
    assert names("int8") == ["float16", "int8"]
    assert names("int8", fallback=False) == ["int8"]


def test_auto_goes_from_the_largest_file_to_the_smallest():
    sizes = {"float32": 1000, "float16": 520, "dynamic": 300, "part": 290, "int8": 270}
    assert names("auto", **sizes) == ["float16", "dynamic", "int8 in part", "int8"]
    # The first and last layer in float32 may take less than scales and zero points.
    assert names("auto", **(sizes | {"part": 250})) == [
        "float16",
        "dynamic",
        "int8",
        "int8 in part",
    ]


def test_auto_leaves_out_what_is_no_smaller():
    sizes = {"float32": 3240, "float16": 2900, "dynamic": 3240, "part": 3400, "int8": 3560}
    assert names("auto", **sizes) == ["float16"]
    refused = {"dynamic": 2**62, "part": 2000, "int8": 2000}
    assert names("auto", **(sizes | refused)) == ["float16", "int8 in part"]


@pytest.mark.parametrize(
    ("env", "judging", "received"),
    [(None, Judging(), "no environment"), ("CartPole-v1", Judging(fallback=False), "fallback=Fal")],
)
def test_auto_needs_an_environment_and_its_order(env, judging, received):
    policy = tp.policies.from_agent(tp.agents.dqn("CartPole-v1", hidden=(4,)))
    seen = policy.model.input_spec and [[0.0] * 4]
    with pytest.raises(ValueError, match=f"takes the smallest file that passes.*{received}"):
        tp.compress(policy, env, Recipe(precision="auto"), observations=seen, judging=judging)


@pytest.mark.slow
def test_auto_ships_the_smallest_file_that_passes():
    agent = tp.agents.dqn("CartPole-v1", hidden=(128, 128), seed=0)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=16, seed=0)
    best = tp.EvaluationCallback(episodes=20, keep_best=True, stop_at=495.0)
    trainer.fit(env_steps=80_000, epochs=20, callbacks=[best], verbose=0)
    judging = Judging(episodes=300, until_decided=True)
    recipe = Recipe(sparsity=0.5, route="distil", precision="auto")
    result = tp.compress(trainer.policy(), "CartPole-v1", recipe, judging=judging)
    stages = {row.name: row for row in result.report.stages}
    assert result.report.judged.verdict == "PASS"
    sizes = [row.size_bytes for row in stages.values()]
    assert sizes == sorted(sizes, reverse=True)
    passed = [row.size_bytes for row in stages.values() if row.verdict == "PASS"]
    assert stages[result.report.final].size_bytes == min(passed)
    assert len(stages) >= 4
