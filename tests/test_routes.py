"""Routes are tried where they are open; the better one is taken; what was made is found again."""

import dataclasses

import numpy as np
import pytest
from students import QUICK, balancer

import tfdrlprune as tp
from tfdrlprune.compression import classroom as classrooms
from tfdrlprune.compression import routes
from tfdrlprune.compression.bench import Judging
from tfdrlprune.compression.classroom import Candidate, Classroom
from tfdrlprune.compression.distillation import Taught
from tfdrlprune.compression.narrow import narrowed
from tfdrlprune.compression.routes import Attempt, Routes, best_of
from tfdrlprune.compression.store import Store
from tfdrlprune.compression.trials import Trial
from tfdrlprune.deployment import artifact

TEACHER = balancer()  # 4 * 32 + 32 + 32 * 2 + 2 = 226 parameters
QUICKER = dataclasses.replace(QUICK, rounds=1, steps=1)


@pytest.fixture
def untaught(monkeypatch):
    """Leaves students as they begin, but for the pruning."""

    def teach(lesson, env, *, pruner=None, **_):
        if pruner is not None:
            pruner.prune(pruner.final_sparsity)
        return Taught(lesson.student, 0.0, 0)

    monkeypatch.setattr(classrooms, "teach", teach)


class Trials:
    """Candidates along a route hold down to a number of parameters that are not zero."""

    def __init__(self, needed):
        self.needed = needed

    def made_of(self):
        return {}

    def hold(self, policy):
        pruned = "pruned" in policy.source
        found = Candidate(tp.Recipe(), (("", policy),), None, 0.0)
        holds = found.nonzero >= self.needed["prune" if pruned else "distil"]
        return Trial("PASS" if holds else "FAIL", holds, float(found.nonzero), 0.0, 50)


def searched(needed, store=None, trials=Trials, **recipe):
    classroom = Classroom(TEACHER, "CartPole-v1", None, QUICKER, 0, lambda *_: None)
    asked = tp.Recipe(**{"fine_tune_env_steps": 0} | recipe)
    made = Routes(asked, classroom, trials(needed), Store(store), {"test": 1})
    found = made.search()
    tried = [(each.candidate.recipe.route, each.candidate.nonzero) for each in found.attempts]
    return found.best, tried


@pytest.mark.usefixtures("untaught")
def test_a_dense_network_that_holds_is_taken_and_masks_are_not_tried():
    best, tried = searched({"distil": 0, "prune": 0}, sparsity=0.9)
    assert [route for route, _ in tried] == ["distil"]
    assert best.candidate.stages[-1][0] == "distilled"
    # 22 of 226 parameters: three units of 4 + 1 + 2, and two biases, would be 23.
    assert best.parameters == 16


@pytest.mark.usefixtures("untaught")
def test_where_the_first_route_does_not_hold_the_other_is_tried_and_taken():
    best, tried = searched({"distil": 1_000, "prune": 0}, sparsity=0.9)
    assert [route for route, _ in tried] == ["distil", "prune"]
    assert best.candidate.recipe.route == "prune"


@pytest.mark.usefixtures("untaught")
def test_units_may_go_either_way_and_both_are_tried_once():
    recipe = {"sparsity": 0.5, "granularity": "unit", "until": "breaks"}
    _, tried = searched({"distil": 20, "prune": 1_000}, **recipe)
    assert [route for route, _ in tried[:2]] == ["distil", "prune"]
    # Half, a quarter, an eighth of 226 hold; from then on the route that held comes first.
    assert [route for route, _ in tried[2:4]] == ["distil", "distil"]


@pytest.mark.usefixtures("untaught")
def test_less_is_removed_until_it_holds_and_that_is_what_the_recipe_says_then():
    best, _ = searched({"distil": 100, "prune": 1_000}, sparsity=0.9, route="distil")
    assert best.holds
    assert 100 <= best.parameters < 140
    assert best.candidate.recipe.sparsity < 0.6


@pytest.mark.usefixtures("untaught")
def test_where_nothing_holds_the_best_of_all_is_taken_and_said_not_to_hold():
    best, tried = searched({"distil": 1_000, "prune": 1_000}, sparsity=0.9, until="target")
    assert not best.holds
    assert len(tried) == 2
    assert best.value == max(count for _, count in tried)


@pytest.mark.parametrize(
    ("recipe", "dense"),
    [
        ({"route": "distil"}, True),
        ({"route": "distil", "qat": True, "precision": "int8"}, True),
        ({"route": "distil", "further": "element=0.5"}, False),
        ({"route": "prune"}, False),
    ],
)
def test_what_is_distilled_and_pruned_no_further_needs_no_small_dense_beside_it(recipe, dense):
    assert Candidate(tp.Recipe(**recipe), (("", TEACHER),), None, 0.0).is_dense == dense


@pytest.fixture
def tuned(monkeypatch):
    """Adds a stage in place of fine-tuning, which closes nothing; returns what was asked for."""
    asked = []

    def fine_tuned(candidate, classroom, env_steps):
        asked.append((candidate.recipe.route, env_steps))
        recipe = dataclasses.replace(candidate.recipe, fine_tune_env_steps=env_steps)
        policy = candidate.policy.replace(source="fine-tuned")
        stages = (*candidate.stages, ("fine_tuned", policy))
        return dataclasses.replace(candidate, recipe=recipe, stages=stages)

    monkeypatch.setattr(routes, "fine_tuned", fine_tuned)
    return asked


class Tunable(Trials):
    """Candidates hold once they are fine-tuned, down to a number of parameters."""

    def hold(self, policy):
        if policy.source != "fine-tuned":
            return super().hold(policy)
        return Trial("PASS", True, 500.0, 0.0, 50)


@pytest.mark.usefixtures("untaught")
def test_what_holds_is_not_fine_tuned(tuned):
    searched({"distil": 0}, sparsity=0.9, fine_tune_env_steps=100)
    assert tuned == []


@pytest.mark.usefixtures("untaught")
def test_what_does_not_hold_is_fine_tuned_before_another_route_is_tried(tuned):
    needed, recipe = {"distil": 1_000}, {"sparsity": 0.9, "fine_tune_env_steps": 100}
    best, tried = searched(needed, trials=Tunable, **recipe)
    assert tuned == [("distil", 100)]
    assert [route for route, _ in tried] == ["distil", "distil"]
    assert best.candidate.stages[-1][0] == "fine_tuned"
    assert best.row(True).fine_tuned
    assert "distil to 0.9, fine-tuned: 12 of 16" in str(best.row(True))


@pytest.mark.usefixtures("untaught")
def test_where_that_does_not_help_either_the_other_route_is_tried(tuned):
    best, tried = searched({"distil": 1_000, "prune": 0}, sparsity=0.9, fine_tune_env_steps=100)
    assert tuned == [("distil", 100)]
    assert [route for route, _ in tried] == ["distil", "distil", "prune"]
    assert best.candidate.recipe.route == "prune"


@pytest.mark.usefixtures("untaught")
def test_fine_tuning_that_fails_ends_a_compression_only_where_it_was_asked_for(monkeypatch):
    def fine_tuned(candidate, classroom, env_steps):
        raise ValueError("The environment gave a reward that is not finite.")

    monkeypatch.setattr(routes, "fine_tuned", fine_tuned)
    needed, recipe = {"distil": 1_000, "prune": 0}, {"sparsity": 0.9}
    _, tried = searched(needed, **recipe, fine_tune_env_steps=None)
    assert [route for route, _ in tried] == ["distil", "prune"]
    with pytest.raises(ValueError, match="not finite"):
        searched(needed, **recipe, fine_tune_env_steps=100)


@pytest.mark.usefixtures("untaught")
def test_what_was_fine_tuned_is_found_again_and_what_was_taught_is_of_any_number(tmp_path, tuned):
    recipe = {"sparsity": 0.9, "route": "distil", "until": "target"}
    needed = {"distil": 1_000}
    searched(needed, tmp_path / "work", **recipe, fine_tune_env_steps=100)
    searched(needed, tmp_path / "work", **recipe, fine_tune_env_steps=100)
    assert tuned == [("distil", 100)]
    entries = len(list((tmp_path / "work").iterdir()))
    searched(needed, tmp_path / "work", **recipe, fine_tune_env_steps=200)
    assert tuned == [("distil", 100), ("distil", 200)]
    assert len(list((tmp_path / "work").iterdir())) == entries + 2


@pytest.mark.usefixtures("untaught")
def test_what_was_made_before_is_not_made_again(tmp_path, monkeypatch):
    recipe = {"sparsity": 0.5, "until": "breaks", "route": "distil"}
    first = searched({"distil": 50}, tmp_path / "work", **recipe)
    for name in ("make", "sparser"):
        monkeypatch.setattr(routes, name, lambda *_: pytest.fail("made again"))
    again = searched({"distil": 50}, tmp_path / "work", **recipe)
    assert again[1] == first[1]
    for ours, theirs in zip(
        *(each[0].candidate.policy.model.get_weights() for each in (first, again)), strict=True
    ):
        assert (ours == theirs).all()


def attempt(parameters, mean, verdict):
    small = narrowed(TEACHER, parameters)
    candidate = Candidate(tp.Recipe(), (("distilled", small),), None, 0.0)
    return Attempt(candidate, Trial(verdict, verdict == "PASS", mean, 0.0, 100), 1.0)


def test_what_holds_goes_before_what_does_not_then_the_smaller_then_the_better():
    small, large = attempt(30, 480.0, "PASS"), attempt(200, 500.0, "PASS")
    failing = attempt(30, 490.0, "FAIL")
    assert best_of([large, failing, small]) is small
    alike = attempt(30, 485.0, "PASS")
    assert best_of([small, alike]) is alike
    assert best_of([attempt(200, 100.0, "FAIL"), failing]) is failing


@pytest.mark.slow
def test_a_killed_compression_goes_on_where_it_was(tmp_path, monkeypatch):
    recipe = tp.Recipe(sparsity=0.8, route="distil", until="target", precision="float16")
    judging = Judging(episodes=5, selection_episodes=5)
    taught = []
    teach = classrooms.teach

    def listening(*arguments, **named):
        taught.append(1)
        return teach(*arguments, **named)

    monkeypatch.setattr(classrooms, "teach", listening)

    def compress(progress=None):
        return tp.compress(
            TEACHER,
            "CartPole-v1",
            recipe,
            distillation=QUICK,
            judging=judging,
            progress=progress,
            work=tmp_path / "work",
        )

    def kill(what, done, total):
        if what == "judging float16":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(kill)
    played = []
    result = compress(lambda what, done, total: played.append(what))
    assert len(taught) == 1
    assert "judging dense" not in played
    assert "judging float16" in played
    whole = tp.compress(TEACHER, "CartPole-v1", recipe, distillation=QUICK, judging=judging)
    for ours, theirs in zip(result.report.stages, whole.report.stages, strict=True):
        assert ours.returns == theirs.returns
        assert ours.size_bytes == theirs.size_bytes


@pytest.mark.usefixtures("untaught")
def test_the_report_tells_what_was_tried():
    recipe = tp.Recipe(sparsity=0.5, granularity="unit", until="target", fine_tune_env_steps=0)
    judging = Judging(episodes=2, selection_episodes=2)
    result = tp.compress(TEACHER, "CartPole-v1", recipe, distillation=QUICKER, judging=judging)
    tried = result.report.to_dict()["tried"]
    assert [each["route"] for each in tried] == ["distil", "prune"]
    assert [each["chosen"] for each in tried].count(True) == 1
    assert result.recipe.route == next(each["route"] for each in tried if each["chosen"])
    for text in (str(result.report), result.report.files()["report.md"].decode()):
        assert "distil to 0.5: " in text


def test_what_is_left_can_be_pruned_further_and_is_a_stage_of_its_own():
    recipe = tp.Recipe(
        sparsity=0.5, route="distil", until="target", further="element=0.5", precision="float16"
    )
    judging = Judging(episodes=2, selection_episodes=2)
    result = tp.compress(TEACHER, "CartPole-v1", recipe, distillation=QUICK, judging=judging)
    assert [row.name for row in result.report.stages] == ["dense", "distilled", "sparse", "float16"]
    kernels = [w for w in result.policy.model.get_weights() if w.ndim == 2]
    total = sum(each.size for each in kernels)
    assert sum(int((each == 0).sum()) for each in kernels) == round(0.5 * total)
    assert list(result.stages) == ["dense", "distilled", "sparse"]


@pytest.mark.usefixtures("untaught")
def test_every_stage_can_be_exported(tmp_path):
    recipe = tp.Recipe(sparsity=0.5, route="distil", until="target", fine_tune_env_steps=0)
    judging = Judging(episodes=2, selection_episodes=2)
    result = tp.compress(TEACHER, "CartPole-v1", recipe, distillation=QUICKER, judging=judging)
    result.export(tmp_path / "dense", stage="dense")
    # Its biases are zeros, which are not in the file.
    assert artifact.read(tmp_path / "dense").parameters.total == 4 * 32 + 32 * 2
    with pytest.raises(ValueError, match=r"A stage is one of \['dense', 'distilled'\]"):
        result.export(tmp_path / "other", stage="pruned")


@pytest.mark.parametrize(
    ("recipe", "env", "message"),
    [
        (
            {"route": "distil", "sparsity": 0.97},
            "CartPole-v1",
            r"leaves 6 of 226 parameters, and a network of this shape has 9 at least\. .*0\.9601",
        ),
        ({"until": "breaks"}, None, "none is given"),
        ({"distil_loss": "action"}, "CartPole-v1", "are discrete"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(recipe, env, message):
    told = []
    with pytest.raises(ValueError, match=message):
        tp.compress(
            TEACHER,
            env,
            tp.Recipe(**recipe),
            observations=np.zeros((10, 4), "float32"),
            progress=lambda *news: told.append(news),
        )
    assert not told
