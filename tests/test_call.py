"""The call that a report of Python shows makes the same settings again."""

import tfdrlprune as tp
from tfdrlprune.compression.call import python_call
from tfdrlprune.compression.distillation import DistillationSettings


def made(**names):
    """Returns the arguments of the call as they arrive."""
    seen = {}

    class Package:
        Recipe, Judging, Terms = tp.Recipe, tp.Judging, tp.Terms

        @staticmethod
        def compress(*arguments, **options):
            seen.update(options, arguments=arguments)

    def evaluate(text):
        eval(text, {"tp": Package, "DistillationSettings": DistillationSettings, **names})
        return seen

    return evaluate


def environment():
    raise NotImplementedError


def test_the_call_runs_and_passes_what_was_passed():
    recipe = tp.Recipe(sparsity=0.99, precision="int8", spare=("first",))
    judging = tp.Judging(episodes=500, terms=tp.Terms(bounds=(-1500.0, 400.0), margin=0.02))
    settings = DistillationSettings(rounds=3)
    named = ["observations", "callbacks"]
    text = python_call(environment, recipe, judging, settings, seed=4, named=named)
    passed = {"policy": "the policy", "observations": "seen", "callbacks": print}
    seen = made(**passed, environment=environment)(text)
    assert seen["arguments"] == ("the policy", environment, recipe)
    assert (seen["observations"], seen["callbacks"]) == ("seen", print)
    assert (seen["judging"], seen["distillation"], seen["seed"]) == (judging, settings, 4)


def test_defaults_are_left_out():
    text = python_call(None, tp.Recipe(), tp.Judging(), None, seed=0)
    assert text == "tp.compress(policy, None, tp.Recipe(), seed=0)"


def test_a_factory_without_a_name_still_makes_a_call_that_parses():
    for factory in (lambda: None, type("Made", (), {})()):
        text = python_call(factory, tp.Recipe(), tp.Judging(), None, seed=0)
        assert made(policy=0, env="its")(text)["arguments"][1] == "its"
