"""Files that TF-Agents 0.5.0 and 0.12.0 wrote, as `data/make_old_saved_models.py` had them do."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from tfdrlprune import policies, runtime
from tfdrlprune.deployment.exporter import export
from tfdrlprune.specs import ArraySpec

DATA = Path(__file__).parent / "data"
OBSERVATION = ArraySpec("observation", (4,), "float32", -3.0, 3.0)
CHOICE = ArraySpec("action", (), "int64", 0, 2)
FORCE = ArraySpec("action", (2,), "float32", (-2.0, -1.0), (2.0, 3.0))


@pytest.fixture(scope="module", params=["0.5.0", "0.12.0"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(DATA / f"tf_agents_{request.param}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return request.param, folder


@pytest.mark.parametrize(("name", "action"), [("dqn", CHOICE), ("rnn", CHOICE), ("ppo", FORCE)])
def test_an_old_policy_is_rebuilt_exported_and_acts_as_it_did(written, name, action, tmp_path):
    version, folder = written
    specs = {}
    if version == "0.5.0":  # wrote no specs beside it
        with pytest.raises(ValueError, match=r"policy_specs\.pbtxt is missing"):
            policies.load(folder / name)
        specs = {"observation": OBSERVATION, "action": action}
    policy = policies.load(folder / name, **specs)
    assert policy.observation_spec == OBSERVATION
    assert policy.action_spec == action
    with np.load(folder / f"{name}.npz") as episode:
        given, wanted = episode["x"], episode["a"]
    assert len(np.unique(wanted)) > 1
    np.testing.assert_allclose(policy.action(given), wanted, atol=1e-5)
    export(policy, tmp_path / "a", observations=given)
    np.testing.assert_allclose(runtime.load(tmp_path / "a").action(given), wanted, atol=1e-5)
