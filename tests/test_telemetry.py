"""What TensorBoard gets: change of masks, thresholds, dead units, pictures."""

from tfdrlprune._tf import tf

import numpy as np
import pytest

import tfdrlprune as tp

L = tf.keras.layers
X = np.array([[1.0], [-1.0]], "float32")


def fit(epochs=3, schedule=None, **arguments):
    model = tf.keras.Sequential([L.Dense(4, "relu", name="d", input_shape=(1,)), L.Dense(1)])
    model.layers[0].set_weights([np.array([[1.0, 2.0, -3.0, 4.0]]), np.array([0, 0, -5, 0.0])])
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    schedule = schedule or (lambda step: [0.0, 0.5, 0.5, 0.75][step])
    arguments = {"distribution": "uniform", "spare": "last"} | arguments
    if not isinstance(schedule, tp.schedules.Rise):
        arguments = {"frequency": 1} | arguments
    pruning = tp.PruningCallback(schedule, **arguments)
    return model.fit(X, np.zeros((2, 1)), epochs=epochs, verbose=0, callbacks=[pruning]).history


def test_change_and_threshold_are_worked_by_hand():
    history = fit()
    # Epochs end at steps 1, 2 and 3: two of four go, nothing moves, one more goes.
    assert history["mask_change/d"] == [0.5, 0.0, 0.25]
    assert history["threshold/d"] == [3.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("choice", "threshold"),
    [
        ({"granularity": "2:4", "schedule": lambda step: 0.5}, 3.0),
        ({"threshold": 2.5, "schedule": lambda step: 0.9}, 3.0),
        ({"threshold": 9.0, "schedule": lambda step: 0.5}, 3.0),
    ],
)
def test_the_threshold_is_the_lowest_score_that_stays_however_it_is_chosen(choice, threshold):
    model = tf.keras.Sequential([L.Dense(1, name="d", input_shape=(4,)), L.Dense(1)])
    model.layers[0].set_weights([np.array([[1.0], [2.0], [-3.0], [4.0]]), np.zeros(1)])
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    pruning = tp.PruningCallback(choice.pop("schedule"), frequency=1, spare="last", **choice)
    data = np.zeros((1, 4)), np.zeros((1, 1))
    history = model.fit(*data, verbose=0, callbacks=[pruning]).history
    assert history["threshold/d"] == [threshold]


def test_before_the_first_update_there_is_a_column_without_a_number():
    history = fit(epochs=2, schedule=tp.schedules.one_shot(0.5, at=2))
    np.testing.assert_array_equal(history["threshold/d"], [np.nan, 3.0])


def test_the_first_masks_of_sparse_training_are_no_change():
    model = tf.keras.Sequential([L.Dense(4, name="d", input_shape=(4,))])
    model.compile("adam", "mse")
    sparse = tp.SparseTrainingCallback(0.5, "static", end_step=10)
    data = np.zeros((1, 4)), np.zeros((1, 4))
    history = model.fit(*data, epochs=2, verbose=0, callbacks=[sparse]).history
    assert history["mask_change/d"] == [0.0, 0.0]


def test_a_recurrent_unit_is_dead_without_data_once_it_has_no_weight_in_any_gate():
    lstm = L.LSTM(2, input_shape=(3, 1))
    model = tf.keras.Sequential([lstm, L.Dense(1)])
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    kernel, recurrent, bias = lstm.get_weights()
    kernel[:] = 1.0
    kernel[:, [0, 2, 4, 6]] = 0.1
    recurrent[:] = 1.0
    lstm.set_weights([kernel, recurrent, bias])
    data = np.zeros((1, 3, 1)), np.zeros((1, 1))
    shares = []
    for granularity in ("element", "unit"):
        pruning = tp.PruningCallback(
            lambda step: 0.5,
            frequency=1,
            granularity=granularity,
            distribution={"lstm_cell": 0.5} if granularity == "unit" else {"lstm_cell/kernel": 0.5},
            spare=() if granularity == "unit" else ["lstm_cell/recurrent_kernel", "last"],
        )
        pruning._schedule.final_sparsity = 0.5
        pruning._source = type("Half", (), {"final_sparsity": 0.5, "__call__": lambda s, t: 0.5})()
        history = model.fit(*data, verbose=0, callbacks=[pruning]).history
        shares.append(history["dead_units/lstm_cell"][-1])
        pruning.strip()
        lstm.set_weights([kernel, recurrent, bias])
    # Half of the kernel goes, the first unit's columns in all gates: it still has its recurrent
    # ones. As a unit it goes with them.
    assert shares == [0.0, 0.5]


def test_dead_units_are_those_that_never_put_anything_out():
    # On 1 and -1 the third unit puts out relu(-3 - 5) and relu(3 - 5); without data it only counts
    # once it has no weight.
    assert fit(data=(X, X))["dead_units/d"] == [0.75, 0.75, 0.75]
    assert fit()["dead_units/d"] == [0.5, 0.5, 0.75]


def test_an_agents_dead_units_are_seen_on_its_replay():
    agent = tp.agents.dqn("CartPole-v1", hidden=(8,), seed=0)
    agent._q_network.layers[0].layers[1].bias.assign([-1e6] * 3 + [0.0] * 5)
    settings = tp.agents.OffPolicySettings(fused_steps=16, batch_size=8)
    trainer = tp.AgentTrainer(agent, "CartPole-v1", num_envs=4, settings=settings)
    pruning = tp.PruningCallback(lambda step: 0.0)
    history = trainer.fit(steps=32, epochs=2, callbacks=[pruning], verbose=0).history
    assert min(history["dead_units/dense"]) >= 3 / 8
    assert max(history["dead_units/dense"]) < 1.0


def test_masks_become_pictures_on_request(tmp_path):
    fit(mask_pictures=str(tmp_path))
    (file,) = tmp_path.glob("events*")
    pictures = {}
    for event in tf.compat.v1.train.summary_iterator(str(file)):
        for value in event.summary.value:
            picture = tf.io.decode_png(tf.make_ndarray(value.tensor)[2]).numpy()
            pictures[value.tag, event.step] = picture[..., 0].tolist()
    assert pictures == {
        ("mask/d", 1): [[0, 0, 255, 255]],
        ("mask/d", 2): [[0, 0, 255, 255]],
        ("mask/d", 3): [[0, 0, 0, 255]],
    }


@pytest.mark.parametrize("granularity", ["element", "unit"])
def test_every_masked_kernel_has_its_numbers(granularity):
    history = fit(granularity=granularity, schedule=lambda step: 0.25)
    assert {key for key in history if "/" in key} == {
        f"{name}/d" for name in ("sparsity", "mask_change", "threshold", "dead_units")
    }
