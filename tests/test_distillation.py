import dataclasses

from tfdrlprune._tf import tf

import gymnasium
import numpy as np
import pytest

from tfdrlprune.compression.distillation import DistillationSettings, Lesson, teach
from tfdrlprune.compression.states import States
from tfdrlprune.evidence.rollouts import seeds_for
from tfdrlprune.policies.form import Policy
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.pruning.pruner import Pruner
from tfdrlprune.pruning.updates import Schedule
from tfdrlprune.recipe import Selection
from tfdrlprune.specs import ArraySpec, Head

QUICK = DistillationSettings(rounds=3, steps=100, states=256, num_envs=8, selection_episodes=4)
BOX = ArraySpec("action", (1,), "float32", -2.0, 2.0)
DISCRETE = ArraySpec("action", (), "int64", 0, 1)


def mlp(size, outputs, seed, hidden=32):
    tf.keras.utils.set_random_seed(seed)
    observation = tf.keras.Input((size,), name="observation")
    x = tf.keras.layers.Dense(hidden, "tanh", name="hidden")(observation)
    return tf.keras.Model(observation, tf.keras.layers.Dense(outputs, name="outputs")(x))


def balancer(seed=0):
    """A CartPole policy that works: push to where the pole falls, by angle and its speed."""
    model = mlp(4, 2, seed)
    hidden, outputs = model.get_layer("hidden"), model.get_layer("outputs")
    # No exact zeros: those would come on top of the pruned ones.
    kernel = np.random.default_rng(seed).normal(0, 0.01, (4, 32)).astype("float32")
    kernel[:, 0] = [0.02, 0.1, 1.0, 0.5]
    hidden.set_weights([kernel, np.zeros(32, "float32")])
    last = np.random.default_rng(seed + 1).normal(0, 0.01, (32, 2)).astype("float32")
    last[0] = [-1.0, 1.0]
    outputs.set_weights([last, np.zeros(2, "float32")])
    return Policy(model, Head("argmax"), ArraySpec("observation", (4,), "float32"), DISCRETE)


def continuous(head, seed):
    return Policy(mlp(3, 1, seed), head, ArraySpec("observation", (3,), "float32"), BOX)


def copy(policy, seed=None):
    model = tf.keras.models.clone_model(policy.model)
    if seed is None:
        model.set_weights(policy.model.get_weights())
    return policy.replace(model=model)


def distill(teacher, student, env, *, settings, seed, **arguments):
    teach(Lesson(teacher, student, settings, seed), env, **arguments)


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

    def mean_return(policy, envs, seeds):
        chosen_on.append(list(seeds))
        return 0.0

    monkeypatch.setattr("tfdrlprune.compression.distillation.mean_return", mean_return)
    teacher = balancer()
    distill(teacher, copy(teacher), "CartPole-v1", settings=QUICK, seed=5)
    assert chosen_on == [seeds_for("selection", 5, 4).tolist()] * 3


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
    (seen,) = states.visit(policy, 5, epsilon=0.0)
    assert seen.shape == (15, 4)
    env = gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="vector_entry_point")
    seed = int(np.random.default_rng(0).integers(2**31))
    observation, _ = env.reset(seed=seed)
    for step in range(5):
        np.testing.assert_array_equal(seen[3 * step : 3 * step + 3], observation)
        observation, *_ = env.step(policy.action(observation))


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
