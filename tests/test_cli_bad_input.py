"""Bad input: one clear line with the remedy, exit code 2, nothing written or lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from artifacts import BALANCES, linear

from tfdrlprune.cli.app import run
from tfdrlprune.deployment.exporter import export

TRAIN = "train CartPole-v1 --algo dqn --steps 300 --out OUT"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An artifact, the same in several states of ruin, a policy, files of the user's."""
    root = tmp_path_factory.mktemp("bad")
    linear(BALANCES).save(root / "policy")
    export(linear(BALANCES), root / "good")
    for name in ("cut", "changed", "foreign", "newer", "no-model"):
        shutil.copytree(root / "good", root / name)
    model = (root / "good" / "policy.tflite").read_bytes()
    (root / "cut" / "policy.tflite").write_bytes(model[:100])
    (root / "changed" / "policy.tflite").write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
    (root / "foreign" / "policy.json").write_text('{"name": "my-app"}')
    manifest = json.loads((root / "newer" / "policy.json").read_text())
    (root / "newer" / "policy.json").write_text(json.dumps(manifest | {"format_version": 99}))
    (root / "no-model" / "policy.tflite").unlink()
    (root / "foreign-report").mkdir()
    (root / "foreign-report" / "report.json").write_text('{"name": "my-app"}')
    (root / "home").mkdir()
    (root / "empty").mkdir()
    (root / "home" / "thesis.tex").write_text("years of work")
    (root / "recipe.toml").write_text("sparsty = 0.9\n")
    (root / "torn.toml").write_text("sparsity = = 1\n")
    np.savez(root / "narrow.npz", x=np.zeros((5, 3), np.float32))
    np.savez(root / "nan.npz", observation=np.full((5, 4), np.nan, np.float32))
    (root / "agent.zip").write_bytes(b"PK")
    (root / "text.npz").write_text("not an archive")
    return root


CASES = {
    "unknown environment": (
        "train CartPol-v1 --algo dqn --steps 300 --out OUT",
        "No environment 'CartPol-v1' is registered. Did you mean CartPole-v1",
    ),
    "DQN with a Box action": (
        "train Pendulum-v1 --algo dqn --steps 300 --out OUT",
        "DQN needs one Discrete action. Received from Pendulum-v1: Box",
    ),
    "sparsity in percent": (f"{TRAIN} --sparsity 90", "For 90 % write 0.9."),
    "begin after end": (f"{TRAIN} --sparsity 0.9 --begin 0.8 --end 0.5", "0 <= begin < end <= 1"),
    "pruning flags alone": (f"{TRAIN} --distribution erk", "--distribution needs --sparsity"),
    "sparsity that N:M does not have": (
        f"{TRAIN} --sparsity 0.9 --granularity 2:4",
        "Received: sparsity=0.9. Write sparsity=0.5",
    ),
    "unknown granularity": (
        f"{TRAIN} --sparsity 0.9 --granularity units",
        "Received: granularity='units'. Did you mean 'unit'?",
    ),
    "unknown kernel in a distribution": (
        f"{TRAIN} --sparsity 0.9 --distribution densee=0.9",
        "No kernel to prune is named 'densee'. Did you mean 'dense'",
    ),
    "unknown kernel": (
        f"{TRAIN} --sparsity 0.9 --spare densee",
        "No kernel to spare is named 'densee'. Did you mean 'dense'",
    ),
    "steps twice": (f"{TRAIN} --env-steps 3", "Give --steps or --env-steps, one of them."),
    "layers in words": (f"{TRAIN} --hidden big", "such as 256,256. Received: 'big'"),
    "nothing to resume": (f"{TRAIN} --resume", "There is nothing to resume"),
    "out is somebody's home": (
        "train CartPole-v1 --algo dqn --steps 300 --out home --force",
        "holds something else, so force does not replace it",
    ),
    "out exists": (
        "export policy --out good",
        "exists and is not overwritten. Name another folder, or pass force=True (--force)",
    ),
    "json nowhere": ("export policy --out OUT --json no/where.json", "there is no folder"),
    "no such source": ("export nowhere --out OUT", "There is no policy at nowhere"),
    "an artifact as source": ("export good --out OUT", "is an exported artifact"),
    "an artifact to compress, whose environment does not matter then": (
        "compress good --out OUT",
        "good is an exported artifact",
    ),
    "a file in the way": (
        "compress policy --env CartPole-v1 --out recipe.toml/small",
        "recipe.toml is a file. Name another folder.",
    ),
    "format": ("export policy --out OUT --formats onnx", "'tflite' or 'tflite,c' was expected"),
    "unknown precision": ("export policy --out OUT --precision int4", "'int4' is not one of"),
    "observations of another shape": (
        "export policy --out OUT --observations narrow.npz",
        "has the shape (4,), or (batch, 4). Received: (5, 3).",
    ),
    "observations that are none": (
        "export policy --out OUT --observations text.npz",
        "text.npz is no .npz file of arrays",
    ),
    "neither env nor observations": (
        "compress policy --out OUT",
        "Give --env or --observations: policy does not name its own.",
    ),
    "a folder that is no policy, whose environment does not matter then": (
        "compress empty --out OUT",
        "empty is no policy: expected a folder of `tfdrlprune train`",
    ),
    "unknown recipe key": (
        "compress policy --env CartPole-v1 --recipe recipe.toml --out OUT",
        "recipe.toml: A recipe has no field 'sparsty'. Did you mean 'sparsity'?",
    ),
    "a recipe that is no TOML": (
        "compress policy --env CartPole-v1 --recipe torn.toml --out OUT",
        "torn.toml: Invalid value",
    ),
    "compress in another environment": (
        "compress policy --env Acrobot-v1 --out OUT",
        "the environment's ['float32[6]']",
    ),
    "evaluate in another environment": (
        "evaluate good --env Acrobot-v1",
        "good does not fit Acrobot-v1",
    ),
    "evaluate where actions differ": (
        "evaluate good --env Same-observations-v0",
        "Evaluate it in the environment that it was made for.",
    ),
    "margin in percent": ("evaluate good --env CartPole-v1 --margin 5", "5.0 is not in the range"),
    "no bounds known": (
        "evaluate good --baseline good --env Unbounded-v0",
        "none are known for 'Unbounded-v0'. Declare them: --return-bounds LOW HIGH",
    ),
    "bounds that do not hold": (
        "evaluate good --baseline good --env CartPole-v1 --return-bounds 0 5 --episodes 2",
        "is outside the return bounds 0 to 5",
    ),
    "bounds upside down": (
        "evaluate good --baseline good --env CartPole-v1 --return-bounds 5 0",
        "two finite numbers, LOW < HIGH",
    ),
    "a margin of nan": ("evaluate good --env CartPole-v1 --margin nan", "nan is not in the range"),
    "no report": ("report good", "good holds no report: expected a folder with report.json"),
    "a report of something else": ("report foreign-report", "is no report of tfdrlprune"),
    "events into a file": (
        "compress policy --env CartPole-v1 --out OUT --tensorboard recipe.toml",
        "Directory 'recipe.toml' is a file",
    ),
    "a huge seed": ("inspect good --seed 4294967296", "is not in the range"),
    "an artifact's folder misspelt": (
        "evaluate goood --env CartPole-v1",
        "as `tfdrlprune export` writes it. Did you mean good?",
    ),
    "a folder of artifacts": ("benchmark .", "writes it. Did you mean changed or cut or good?"),
    "a policy where an artifact belongs": (
        "evaluate policy --env CartPole-v1",
        "This is a policy: make one of it by `tfdrlprune export policy --out DIR`.",
    ),
    "a policy's folder misspelt": (
        "compress polcy --out OUT",
        "There is no policy at polcy: no such file or folder. Did you mean policy?",
    ),
    "another framework's file": ("inspect agent.zip", "rebuilt in Keras from its weights"),
    "observations that are not there": (
        "export policy --precision int8 --observations no.npz --out OUT",
        "No such file or directory (no.npz).",
    ),
    "observations with NaN": (
        "export policy --precision int8 --observations nan.npz --out OUT",
        "nan.npz: The observation 'observation' holds NaN",
    ),
    "no artifact": ("evaluate home --env CartPole-v1", "home is not an artifact"),
    "a cut file": ("evaluate cut --env CartPole-v1", "The file was cut or changed"),
    "a changed file": ("inspect changed", "its SHA-256 differs"),
    "a foreign folder": ("inspect foreign", "is not of tfdrlprune"),
    "a newer format": ("benchmark newer", "has format_version 99"),
    "a missing file": ("benchmark no-model", "policy.tflite is missing"),
}


class Pushed(gym.ActionWrapper):
    """CartPole with a force instead of a choice."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def action(self, action):
        return int(action[0] > 0)


def pushed():
    return Pushed(gym.make("CartPole-v1"))


@pytest.fixture(scope="module", autouse=True)
def environments():
    gym.register("Unbounded-v0", "gymnasium.envs.classic_control.cartpole:CartPoleEnv")
    gym.register("Same-observations-v0", pushed)
    yield
    del gym.registry["Unbounded-v0"], gym.registry["Same-observations-v0"]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2_and_writes_nothing(case, made, monkeypatch, capfd):
    arguments, message = CASES[case]
    monkeypatch.chdir(made)
    before = sorted(path.relative_to(made) for path in made.rglob("*"))
    assert run(arguments.replace("OUT", "out").split()) == 2
    errors = capfd.readouterr().err.splitlines()
    told = [line for line in errors if line.startswith("Error: ")]
    # Beside it there may be lines of progress, but no traceback and no second error.
    assert len(told) == 1
    assert message in told[0]
    assert errors[-1] == told[0]
    assert not any("Traceback" in line for line in errors)
    assert sorted(path.relative_to(made) for path in made.rglob("*")) == before


def test_an_environment_without_its_simulator_names_the_extra(made, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(made)
    assert run(["train", "LunarLander-v3", "--algo", "dqn", "--steps", "300", "--out", "out"]) == 2
    assert "pip install 'tfdrlprune[box2d]'" in capsys.readouterr().err


def test_without_tensorflow_the_command_says_what_to_install(made):
    code = (
        "import sys; sys.modules['tensorflow'] = None;"
        "from tfdrlprune.cli.app import run; sys.exit(run(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "export", str(made / "policy"), "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=made)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: tensorflow is not installed. Install the training extra: "
        "pip install 'tfdrlprune[train]'\n"
    )
