"""A training process killed by SIGKILL goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

RUN = """
    import sys
    import tfdrlprune as tp
    from tfdrlprune._tf import tf
    tf.keras.utils.set_random_seed(0)
    tf.config.experimental.enable_op_determinism()
    folder, env, algo, how = sys.argv[1:5]
    sys.path.append(sys.argv[5])
    from builders import recurrent_dqn, recurrent_ppo
    if algo == "dqn":
        agent = tp.agents.dqn(env, hidden=(32, 32))
        settings = tp.agents.OffPolicySettings(fused_steps=64)
    elif algo == "c51":
        agent = tp.agents.c51(env, hidden=(32, 32))
        settings = tp.agents.OffPolicySettings(fused_steps=64)
    elif algo == "sac":
        agent = tp.agents.sac(env, hidden=(32, 32))
        settings = tp.agents.SacSettings(fused_steps=64, batch_size=32)
    elif algo == "recurrent-dqn":
        agent = recurrent_dqn(env)
        settings = tp.agents.OffPolicySettings(fused_steps=64, batch_size=8, sequence_length=8)
    elif algo == "recurrent-ppo":
        agent = recurrent_ppo(env, epochs=4)
        settings = tp.agents.OnPolicySettings(rollout_length=32)
    elif algo == "td3":
        agent = tp.agents.td3(env, hidden=(32, 32))
        settings = tp.agents.Td3Settings(fused_steps=64, batch_size=32)
    else:
        agent = tp.agents.ppo(env, hidden=(32, 32))
        settings = tp.agents.OnPolicySettings(rollout_length=32, epochs=2, minibatch_size=64)
    trainer = tp.AgentTrainer(agent, env, num_envs=4, settings=settings)
    roles = [*trainer.prunable_networks()]

    class Tell(tf.keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            print("epoch", epoch, flush=True)
            if len(sys.argv) > 6:
                import time
                time.sleep(0.3)

    evaluation = tp.EvaluationCallback(episodes=3, keep_best=how != "gated")
    if how in ("fixed-gates", "trained-gates"):
        from tfdrlprune.structure.gating import gated
        start = tp.policies.from_agent(agent)
        penalty = "l1" if how == "trained-gates" else None
        start = start.replace(model=gated(start.model, penalty, shrinkage=0.003).model)
        agent = getattr(tp.agents, algo)(env, policy=start)
        trainer = tp.AgentTrainer(agent, env, num_envs=4, settings=settings)
        schedule = tp.schedules.cubic(0.5, 100, 400, frequency=50)
        criterion = "taylor" if penalty is None else "gate"
        pruning = tp.StructuralPruningCallback(schedule, criterion=criterion)
    elif how in ("rigl", "set"):
        pruning = tp.SparseTrainingCallback(0.8, how, end_step=600, networks=roles, frequency=64)
    elif how == "rounding":
        pruning = tp.QuantizationCallback(start_step=200)
    elif how == "gated":
        rule = tp.schedules.ReturnGated(final_sparsity=0.8, patience=0, begin_step=100)
        pruning = tp.PruningCallback(rule, networks=roles)
    else:
        schedule = tp.PolynomialDecay(0.0, 0.8, 100, 400, frequency=50)
        pruning = tp.PruningCallback(schedule, criterion=how, networks=roles)
    trainer.fit(steps=640, epochs=10, verbose=0, callbacks=[
        *([evaluation, pruning] if how == "gated" else [pruning, evaluation]),
        tf.keras.callbacks.BackupAndRestore(folder + "/backup"),
        Tell(),
    ])
    print("weights", [v.numpy().tobytes().hex() for v in trainer.agent.variables])
"""


def run(folder, env, algo, how, *, kill_after=None):
    """Returns what a training process printed; kills it with SIGKILL after some epoch."""
    tests = os.path.dirname(__file__)
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(folder), env, algo, how, tests]
    if kill_after is not None:
        command.append("slowly")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if line.strip() == f"epoch {kill_after}":
                time.sleep(0.15)
                process.send_signal(signal.SIGKILL)
        error = process.stderr.read()
    assert process.returncode == (0 if kill_after is None else -signal.SIGKILL), error
    return lines


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "algo", "how"),
    [
        ("CartPole-v1", "dqn", "magnitude"),
        ("Acrobot-v1", "dqn", "rigl"),
        ("CartPole-v1", "dqn", "gated"),
        ("CartPole-v1", "c51", "taylor"),
        ("Pendulum-v1", "ppo", "movement"),
        ("Pendulum-v1", "ppo", "rigl"),
        ("Pendulum-v1", "sac", "set"),
        ("Pendulum-v1", "td3", "snip"),
        ("CartPole-v1", "dqn", "fixed-gates"),
        ("Pendulum-v1", "sac", "trained-gates"),
        ("CartPole-v1", "dqn", "rounding"),
        ("CartPole-v1", "recurrent-dqn", "magnitude"),
        ("CartPole-v1", "recurrent-ppo", "saliency"),
    ],
)
def test_a_run_killed_and_resumed_ends_in_the_same_bits(env, algo, how, tmp_path):
    whole = run(tmp_path / "a", env, algo, how)
    killed = run(tmp_path / "b", env, algo, how, kill_after=4)
    assert killed[-1] == "epoch 4"
    resumed = run(tmp_path / "b", env, algo, how)
    assert resumed[0] == "epoch 5"
    assert resumed[-1].startswith("weights")
    assert resumed[-1] == whole[-1]
