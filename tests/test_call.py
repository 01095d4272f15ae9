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
    text = python_call(environment, recipe, judging, settings, seed=4, recorded=True)
    seen = made(policy="the policy", observations="the observations", environment=environment)(text)
    assert seen["arguments"] == ("the policy", environment, recipe)
    assert seen["observations"] == "the observations"
    assert (seen["judging"], seen["distillation"], seen["seed"]) == (judging, settings, 4)


def test_defaults_are_left_out():
    text = python_call(None, tp.Recipe(), tp.Judging(), None, seed=0, recorded=False)
    assert text == "tp.compress(policy, None, tp.Recipe(), seed=0)"
