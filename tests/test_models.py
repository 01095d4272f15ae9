"""What is found in a model: roles, their own sparsities, what is shared, what cannot be pruned."""

from tfdrlprune._tf import tf
from tfdrlprune._tf_agents import tf_agents  # noqa: F401

import numpy as np
import pytest
from tf_agents.networks import actor_distribution_network, normal_projection_network
from tf_agents.specs import tensor_spec

import tfdrlprune as tp
from tfdrlprune.pruning.kernel_names import prunable
from tfdrlprune.pruning.kernels import find_kernels
from tfdrlprune.recipe import Recipe, Selection

SAC = tp.agents.SacSettings(batch_size=16, warm_up=100, fused_steps=16, capacity=2_000)


def trainer():
    agent = tp.agents.sac("Pendulum-v1", hidden=(16, 16))
    return tp.AgentTrainer(agent, "Pendulum-v1", num_envs=4, settings=SAC)


def share(networks):
    kernels = [kernel.variable.numpy() for n, _ in networks for kernel in find_kernels(n)]
    return sum((k == 0).sum() for k in kernels), sum(k.size for k in kernels)


@pytest.mark.parametrize("kind", ["prune", pytest.param("set", marks=pytest.mark.slow)])
def test_roles_end_at_sparsities_of_their_own_and_targets_follow(kind):
    made = trainer()
    roles = {"actor": None, "critic": 0.5}
    if kind == "prune":
        pruning = tp.PruningCallback(tp.schedules.cubic(0.8, 0, 32), networks=roles)
    else:
        pruning = tp.SparseTrainingCallback(
            *(0.8, "set"), end_step=60, frequency=16, drop_fraction=0.9, networks=roles
        )
    logs = made.fit(steps=64, callbacks=[pruning], verbose=0).history
    networks = made.prunable_networks()
    for role, wanted in (("actor", 0.8), ("critic", 0.5)):
        zeros, size = share(networks[role])
        # A new weight that has had no gradient yet is zero too.
        assert zeros == round(wanted * size) or (kind == "set" and zeros >= wanted * size)
        assert logs[f"sparsity/{role}"][-1] == round(wanted * size) / size
    assert logs["sparsity"][-1] == logs["sparsity/actor"][-1]
    for critic, (target,) in networks["critic"]:
        assert share([(critic, ())])[0] > 100
        for own, other in zip(find_kernels(critic), find_kernels(target), strict=True):
            gone = own.variable.numpy() == 0
            assert (other.variable.numpy()[gone] == 0).all()


@pytest.mark.slow
def test_on_the_way_the_other_role_keeps_in_proportion():
    made = trainer()
    pruning = tp.PruningCallback(
        tp.schedules.linear(0.8, 0, 64, frequency=16), networks="actor,critic=0.4"
    )
    logs = made.fit(steps=48, epochs=3, callbacks=[pruning], verbose=0).history
    np.testing.assert_allclose(logs["sparsity/actor"], [0.2, 0.4, 0.6], atol=2e-3)
    np.testing.assert_allclose(logs["sparsity/critic"], [0.1, 0.2, 0.3], atol=2e-3)


@pytest.mark.slow
def test_each_role_has_its_own_movement():
    made = trainer()
    pruning = tp.PruningCallback(
        lambda step: 0.0, criterion="movement", networks=["actor", "critic"]
    )
    apart = tp.PruningCallback(
        tp.schedules.one_shot(0.5, at=10**6), criterion="movement", networks="actor,critic=0.4"
    )
    for callback in (pruning, apart):
        made.fit(steps=32, callbacks=[callback], verbose=0)
        for engine in callback._engines:
            for moved in engine._scorer._movement.numpy():
                assert np.abs(moved).max() > 0.0
    assert all("apply_gradients" not in vars(each) for each in made.optimizers())


@pytest.mark.slow
def test_names_stand_for_kernels_of_all_roles():
    made = trainer()
    pruning = tp.PruningCallback(
        tp.schedules.one_shot(0.5, at=16),
        networks="actor,critic=0.4",
        spare=["dense", "dense~2"],  # the actor's first, and the first critic's
        distribution={"dense_1": 0.5},
    )
    made.fit(steps=32, callbacks=[pruning], verbose=0)
    found = pruning.sparsity()
    assert not {"sparsity/dense", "sparsity/dense~2"} & set(found)
    assert found["sparsity/dense_1"] == pytest.approx(0.5, abs=2e-3)
    assert found["sparsity/critic"] == pytest.approx(0.4, abs=2e-3)
    with pytest.raises(ValueError, match=r"named 'dense~9'.*Did you mean 'dense"):
        tp.PruningCallback(
            lambda step: 0.5, networks="actor,critic=0.4", spare="dense~9"
        ).set_model(trainer())


@pytest.mark.slow
def test_two_callbacks_on_different_roles_are_both_in_the_checkpoint(tmp_path):
    def callbacks():
        return [
            tp.SparseTrainingCallback(0.5, "static", end_step=32, networks="critic"),
            tp.PruningCallback(tp.schedules.one_shot(0.8, at=16), networks="actor"),
        ]

    made = trainer()
    made.fit(steps=32, callbacks=callbacks(), verbose=0)
    made.save_weights(str(tmp_path / "weights"))
    again = trainer()
    both = callbacks()
    for callback in both:
        callback.set_model(again)
    again.load_weights(str(tmp_path / "weights"))
    shares = [callback.sparsity()["sparsity"] for callback in both]
    assert shares == pytest.approx([0.5, 0.8], abs=2e-3)


def test_the_last_layers_of_networks_with_several_outputs_keep_their_units():
    agent = tp.agents.dqn("CartPole-v1", hidden=(16, 16), dueling=True)
    names = [kernel.name for kernel in find_kernels(agent._q_network) if kernel.is_output]
    assert sorted(names) == ["advantage", "value"]
    selection = Selection(granularity="unit")
    kept = [kernel.name for kernel in prunable(find_kernels(agent._q_network), selection)]
    assert not {"advantage", "value"} & set(kept)
    assert len(kept) == 3
    policy = tp.policies.from_agent(agent)
    ends = [kernel.name for kernel in find_kernels(policy.model) if kernel.is_output]
    assert len(ends) == 2
    actor = actor_distribution_network.ActorDistributionNetwork(
        agent.time_step_spec.observation,
        tensor_spec.BoundedTensorSpec((2,), tf.float32, -1, 1),
        fc_layer_params=(8,),
        continuous_projection_net=lambda spec: normal_projection_network.NormalProjectionNetwork(
            spec, state_dependent_std=True
        ),
    )
    actor.create_variables()
    chosen = prunable(find_kernels(actor), selection)
    assert [kernel.name for kernel in chosen] == ["dense"]


def test_a_recipe_says_it_in_short():
    recipe = Recipe(sparsity=0.8, networks={"actor": None, "critic": 0.5})
    assert recipe.networks == "actor,critic=0.5"
    assert Recipe.from_toml(recipe.to_toml()) == recipe
    made = trainer()
    pruning = tp.PruningCallback.from_recipe(recipe, steps=64)
    made.fit(steps=64, callbacks=[pruning], verbose=0)
    assert pruning.sparsity()["sparsity/critic"] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("critics", "networks is one of 'actor', 'critic'.*Did you mean 'critic'"),
        ({"critic": 50}, "For 50 % write 0.5"),
        ("critic=x", "Received: sparsity='x' from 'critic'"),
        ("", "networks is a role or several"),
        (3, "networks is a role or several.*Received: networks=3"),
    ],
)
def test_a_role_that_is_none_is_named(networks, message):
    with pytest.raises(ValueError, match=message):
        trainer().fit(
            steps=16, verbose=0, callbacks=[tp.PruningCallback(lambda _: 0.5, networks=networks)]
        )


def test_a_roles_own_sparsity_needs_a_schedule_with_an_end():
    pruning = tp.PruningCallback(lambda step: 0.5, networks={"critic": 0.2})
    with pytest.raises(ValueError, match="whose last sparsity is known"):
        pruning.set_model(trainer())


def test_what_is_not_prunable_is_named_once(caplog):
    x = tf.keras.Input((3,), dtype="int32")
    y = tf.keras.layers.Embedding(5, 4, name="words")(x)
    y = tf.keras.layers.LayerNormalization()(tf.keras.layers.Flatten()(y))
    model = tf.keras.Model(x, tf.keras.layers.Dense(2, name="out")(y))
    model.compile("adam", "mse")
    pruning = tp.PruningCallback(lambda step: 0.5)
    data = np.zeros((8, 3), "int32"), np.zeros((8, 2), "float32")
    model.fit(*data, verbose=0, callbacks=[pruning])
    assert caplog.text.count("not prunable, and left dense: words/embeddings:0") == 1
    assert "normalization" not in caplog.text


def test_a_transposed_convolution_loses_whole_outputs_with_their_bias():
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Conv2DTranspose(4, 2, input_shape=(3, 3, 2), bias_initializer="ones"),
            tf.keras.layers.Conv2D(1, 1),
        ]
    )
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    kernel = np.ones((2, 2, 4, 2), "float32")  # height, width, out, in
    kernel[:, :, [1, 3]] = 0.1
    model.layers[0].set_weights([kernel, np.ones(4)])
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=1, granularity="unit")
    model.fit(np.zeros((1, 3, 3, 2)), np.zeros((1, 4, 4, 1)), verbose=0, callbacks=[pruning])
    kernel, bias = model.layers[0].get_weights()
    np.testing.assert_array_equal(kernel.any(axis=(0, 1, 3)), [True, False, True, False])
    np.testing.assert_array_equal(bias, [1, 0, 1, 0])


def test_an_lstms_unit_goes_with_its_biases_and_stays_silent():
    model = tf.keras.Sequential(
        [
            tf.keras.layers.LSTM(4, input_shape=(3, 2), return_sequences=True),
            tf.keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(8, 3, 2)).astype("float32")
    pruning = tp.PruningCallback(lambda step: 0.5, frequency=1, granularity="unit")
    model.fit(x, np.zeros((8, 3, 1)), epochs=3, verbose=0, callbacks=[pruning])
    kernel, recurrent, bias = (each.reshape(-1, 4, 4) for each in model.layers[0].get_weights())
    gone = ~kernel.any(axis=(0, 1))
    assert gone.sum() == 2
    np.testing.assert_array_equal(~recurrent.any(axis=(0, 1)), gone)
    np.testing.assert_array_equal(~bias.any(axis=(0, 1)), gone)
    assert (model.layers[0](x).numpy()[..., gone] == 0.0).all()


def test_a_layer_goes_whole_when_its_mean_weight_is_below_the_threshold():
    # A residual block that does next to nothing.
    x = tf.keras.Input((3,))
    dense = {name: tf.keras.layers.Dense(3, name=name) for name in ("a", "b")}
    y = tf.keras.layers.Add()([x, dense["b"](dense["a"](x))])
    model = tf.keras.Model(x, tf.keras.layers.Dense(1, name="out")(y))
    model.compile(tf.keras.optimizers.SGD(0.0), "mse")
    dense["a"].kernel.assign(np.full((3, 3), 0.05))
    dense["b"].kernel.assign([[0.0, 0.0, 0.9], [0.0] * 3, [0.0] * 3])  # mean 0.1
    pruning = tp.PruningCallback(lambda step: 0.9, frequency=1, granularity="layer", threshold=0.08)
    model.fit(np.ones((1, 3)), np.ones((1, 1)), verbose=0, callbacks=[pruning])
    assert not dense["a"].kernel.numpy().any()
    assert dense["b"].kernel.numpy()[0, 2] == np.float32(0.9)
