"""Lessons: students come to act as their teacher does, pruned or from scratch."""

import dataclasses

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest
from students import BOX, DISCRETE, QUICK, balancer, constant, continuous, copy, distill

from tfdrlprune.compression.actor import Actor
from tfdrlprune.compression.distillation import DistillationSettings, Lesson, teach
from tfdrlprune.compression.distillation.rounds import _Best
from tfdrlprune.compression.states import States
from tfdrlprune.compression.trials import Environments
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Recipe, Selection
from tfdrlprune.specs import Head


def returns(policy, episodes=20):
    total = []
    env = gymnasium.make("CartPole-v1")
    for seed in range(episodes):
        observation, _ = env.reset(seed=50_000 + seed)
        done, value = False, 0.0
        while not done:
            observation, reward, terminated, truncated, _ = env.step(policy.action(observation))
            done, value = terminated or truncated, value + reward
        total.append(value)
    return np.mean(total)


@pytest.mark.slow
def test_a_fresh_student_learns_to_balance_from_its_teacher():
    teacher = balancer()
    student = copy(teacher, seed=1)
    assert returns(teacher) == 500
    assert returns(student) < 200
    distill(teacher, student, "CartPole-v1", settings=QUICK, seed=0)
    assert returns(student) > 450


def test_the_teacher_is_not_changed():
    teacher = balancer()
    before = teacher.model.get_weights()
    distill(teacher, copy(teacher), "CartPole-v1", settings=QUICK, seed=0)
    for ours, theirs in zip(before, teacher.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_pruning_while_distilling_ends_with_the_exact_sparsity():
    teacher = balancer()
    student = copy(teacher)
    kernels = find_kernels(student.model)
    pruner = Pruner(kernels, Schedule(lambda step: min(step / 200, 1) * 0.8), Selection())
    distill(teacher, student, "CartPole-v1", settings=QUICK, seed=0, pruner=pruner)
    assert sum((k.variable.numpy() == 0).sum() for k in kernels) == round(0.8 * (128 + 64))


@pytest.mark.parametrize("steps", [30, 70])
def test_every_step_that_is_asked_for_is_made(steps):
    teacher, due = balancer(), []
    student = copy(teacher)
    schedule = Schedule(lambda step: due.append(step) or 0.5, frequency=1)
    pruner = Pruner(find_kernels(student.model), schedule, Selection())
    settings = dataclasses.replace(QUICK, steps=steps)
    seen = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    distill(teacher, student, None, settings=settings, seed=0, pruner=pruner, observations=seen)
    assert due[-1] == 3 * steps


def test_students_are_chosen_on_seeds_that_are_never_judged_on(monkeypatch):
    chosen_on = []
    play = Environments.play

    def listening(stage, actor, seeds):
        chosen_on.append(list(seeds))
        return play(stage, actor, seeds)

    monkeypatch.setattr(Environments, "play", listening)
    teacher = balancer()
    distill(teacher, copy(teacher), "CartPole-v1", settings=QUICK, seed=5)
    # The teacher's, then each round's; then the best three play again, on others.
    seeds = seeds_for("selection", 5, 20).tolist()
    assert chosen_on == [seeds[:4]] * 4 + [seeds[4:]] * 3


@pytest.mark.parametrize("head", [Head("tanh", 2.0), Head("affine")])
def test_continuous_actions_come_near_the_teachers(head):
    teacher, student = continuous(head, 0), continuous(head, 1)
    generator = np.random.default_rng(0)
    seen = generator.uniform(-1, 1, size=(500, 3)).astype("float32")
    unseen = generator.uniform(-1, 1, size=(500, 3)).astype("float32")

    def error():
        return np.abs(teacher.action(unseen) - student.action(unseen)).mean()

    before = error()
    distill(teacher, student, None, settings=QUICK, seed=0, observations=seen)
    assert error() < 0.1 * before


def test_a_student_can_be_taught_on_an_environment_with_box_actions():
    teacher, student = continuous(Head("tanh", 2.0), 0), continuous(Head("tanh", 2.0), 1)
    told = []
    distill(
        teacher,
        student,
        "Pendulum-v1",
        settings=QUICK,
        seed=0,
        progress=lambda done, total, what: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_the_same_seed_teaches_the_same_and_another_does_not():
    def weights(seed):
        teacher = balancer()
        student = copy(teacher, seed=3)
        student.model.set_weights([w * 0.5 for w in teacher.model.get_weights()])
        distill(teacher, student, "CartPole-v1", settings=QUICK, seed=seed)
        return np.concatenate([w.ravel() for w in student.model.get_weights()])

    np.testing.assert_array_equal(weights(0), weights(0))
    assert (weights(0) != weights(1)).any()


def test_without_environment_and_observations_there_is_nothing_to_learn_from():
    teacher = balancer()
    with pytest.raises(ValueError, match="needs an environment, or recorded observations"):
        distill(teacher, copy(teacher), None, settings=QUICK, seed=0)


def test_visited_states_are_the_environments_own():
    policy = balancer()
    states = States("CartPole-v1", 3, np.random.default_rng(0))
    (seen,) = states.visit([Actor(policy)], 5, epsilon=0.0)
    assert seen.shape == (15, 4)
    env = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point")
    seed = int(np.random.default_rng(0).integers(2**31))
    observation, _ = env.reset(seed=seed)
    for step in range(5):
        np.testing.assert_array_equal(seen[3 * step : 3 * step + 3], observation)
        observation, *_ = env.step(policy.action(observation))


def test_students_share_the_environments():
    left, right = (constant(score) for score in ([1.0, 0.0], [0.0, 1.0]))
    states = States("CartPole-v1", 5, np.random.default_rng(0))
    (seen,) = states.visit([Actor(left), Actor(right)], 2, epsilon=0.0)
    pushed = seen[5:, 1] - seen[:5, 1]  # the cart's velocity
    assert (np.sign(pushed) == [-1, -1, -1, 1, 1]).all()


def test_the_best_of_several_students_is_kept():
    teacher = balancer()
    bad = copy(teacher)
    outputs = bad.model.get_layer("outputs")
    outputs.set_weights([-each for each in outputs.get_weights()])
    # Nothing is learnt, so that the second stays the better one.
    settings = dataclasses.replace(QUICK, rounds=1, learning_rate=1e-9)
    taught = distill(teacher, [bad, copy(teacher)], "CartPole-v1", settings=settings, seed=0)
    assert taught.value == 500
    for ours, theirs in zip(
        taught.student.model.get_weights(), teacher.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_best_rounds_play_again_on_more_episodes():
    lesson = Lesson(balancer(), [copy(balancer()) for _ in range(2)], QUICK, 0)
    best = _Best(lesson, None)
    for offered in ([1.0, 5.0], [4.0, 2.0], [3.0, 4.0]):
        for student, value in zip(lesson.students, offered, strict=True):
            student.model.set_weights([w * 0 + value for w in student.model.get_weights()])
        best.offer(offered)
    again = []

    def play(student):
        # Those of 5, 4 and 4; more episodes show that the first was lucky.
        again.append(float(student.model.get_weights()[0][0, 0]))
        return {5.0: 3.0, 4.0: 3.5}[again[-1]]

    best.play_off(play)
    assert sorted(again) == [4.0, 4.0, 5.0]
    student, value = best.put_back()
    assert (value, float(student.model.get_weights()[0][0, 0])) == (3.5, 4.0)


def test_students_that_are_taught_together_don_t_touch_each_other():
    teacher, seen = balancer(), np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    settings = dataclasses.replace(QUICK, steps=20, rounds=1)

    def weights(seeds):
        students = [copy(teacher, seed=seed) for seed in seeds]
        for student, seed in zip(students, seeds, strict=True):
            generator = np.random.default_rng(seed)
            shapes = [each.shape for each in student.model.get_weights()]
            student.model.set_weights([generator.normal(size=shape) for shape in shapes])
        distill(teacher, students, None, settings=settings, seed=0, observations=seen)
        return students[0].model.get_weights()

    for alone, beside in zip(weights([1]), weights([1, 2, 3]), strict=True):
        np.testing.assert_allclose(alone, beside, rtol=1e-4, atol=1e-6)


def test_callbacks_get_the_rounds_as_epochs_and_may_end_them():
    teacher, student = balancer(), copy(balancer())
    seen = []

    class Ends(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs)))
            self.model.stop_training = epoch == 1

    taught = distill(teacher, student, "CartPole-v1", settings=QUICK, seed=0, callbacks=[Ends()])
    assert seen == [(0, ["loss", "return"]), (1, ["loss", "return"])]
    assert taught.rounds == 2


def test_recorded_observations_are_partly_held_out_and_the_best_round_is_kept():
    teacher, seen = balancer(), np.random.default_rng(0).normal(size=(500, 4)).astype("float32")
    lesson = Lesson(teacher, copy(teacher, seed=1), QUICK, 0)
    taught = teach(lesson, None, observations=seen)
    assert len(lesson.states()[0]) == 450
    held_out = seen[np.random.default_rng([0, 1]).permutation(500)[:50]]
    assert -taught.value == pytest.approx(lesson.losses_on([held_out])[0], rel=1e-5)


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (np.full((10, 4), np.nan, "float32"), "holds NaN or infinity"),
        (np.zeros((1, 4), "float32"), r"two observations at least, .* Received: 1\."),
        (np.zeros(4, "float32"), r"two observations at least, .* Received: 0\."),
    ],
)
def test_observations_that_cannot_be_learnt_from_are_refused(observations, message):
    teacher = balancer()
    with pytest.raises(ValueError, match=message):
        distill(teacher, copy(teacher), None, settings=QUICK, seed=0, observations=observations)


def test_a_loss_that_explodes_is_told():
    teacher = continuous(Head("affine"), 0)
    settings = dataclasses.replace(QUICK, learning_rate=1e30, rounds=2)
    seen = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"The loss is (nan|inf) after 1 rounds\. Lower the"):
        distill(teacher, copy(teacher), None, settings=settings, seed=0, observations=seen)


@pytest.mark.parametrize(("epsilon", "share"), [(0.0, 0.0), (1.0, 0.5)])
def test_random_actions_are_as_frequent_as_asked(epsilon, share):
    states = States("CartPole-v1", 1, np.random.default_rng(0))
    actions = np.zeros(2_000, np.int64)
    disturbed = states._disturb(DISCRETE, actions, epsilon)
    assert disturbed.dtype == np.int64
    assert disturbed.mean() == pytest.approx(share, abs=0.05)
    floats = states._disturb(BOX, np.full((2_000, 1), 9.0, np.float32), epsilon)
    assert (floats == 9.0).mean() == pytest.approx(1 - epsilon)
    if epsilon:
        assert floats.min() >= -2
        assert floats.max() <= 2
        assert floats.std() == pytest.approx(4 / 12**0.5, abs=0.1)


def test_continuous_actions_get_longer_lessons_without_random_actions():
    recipe = Recipe()
    discrete = DistillationSettings.of(recipe, balancer())
    assert (discrete.rounds, discrete.steps, discrete.epsilon) == (10, 400, 0.05)
    teacher = continuous(Head("affine"), 0)
    found = DistillationSettings.of(recipe, teacher)
    assert (found.rounds, found.steps, found.epsilon) == (30, 1_000, 0.0)
    asked = DistillationSettings.of(Recipe(distil_rounds=2, distil_steps=7), teacher)
    assert (asked.rounds, asked.steps) == (2, 7)
