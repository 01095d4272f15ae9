"""What was made is found again by what it was made of, and by nothing else."""

import numpy as np
import pytest
from students import balancer, copy

from tfdrlprune.compression.store import (
    EPISODES,
    Store,
    check_store,
    environment_key,
    observations_key,
    policy_key,
)


def counting(made):
    def make():
        made.append(1)
        return {"small": balancer()}, {"value": 3.5}

    return make


def test_the_same_is_made_once_and_comes_back_as_it_was(tmp_path):
    made = []
    for _ in range(2):
        policies, values = Store(tmp_path / "work").of({"seed": 0}, counting(made))
        assert values == {"value": 3.5}
        for ours, theirs in zip(
            policies["small"].model.get_weights(), balancer().model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    Store(tmp_path / "work").of({"seed": 1}, counting(made))
    assert len(made) == 2


@pytest.mark.parametrize(("folder", "made_of"), [(None, {"seed": 0}), ("work", None)])
def test_nothing_is_kept_without_a_folder_or_a_key(tmp_path, folder, made_of):
    made = []
    store = Store(None if folder is None else tmp_path / folder)
    for _ in range(2):
        store.of(made_of, counting(made))
    assert len(made) == 2
    assert not list(tmp_path.iterdir())


def test_what_is_killed_while_it_is_made_leaves_nothing(tmp_path):
    def killed():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path / "work").of({"seed": 0}, killed)
    made = []
    Store(tmp_path / "work").of({"seed": 0}, counting(made))
    assert len(made) == 1


def test_a_policy_s_key_tells_its_weights_and_its_form():
    policy = balancer()
    assert policy_key(policy) == policy_key(copy(policy))
    changed = copy(policy)
    weights = changed.model.get_weights()
    weights[0][0, 0] += 1e-3
    changed.model.set_weights(weights)
    assert policy_key(changed) != policy_key(policy)
    assert policy_key(policy.replace(source="elsewhere")) == policy_key(policy)


def environment():
    raise NotImplementedError


def test_an_environment_s_key_is_its_name_and_what_has_none_has_no_key():
    assert environment_key("CartPole-v1") == "CartPole-v1"
    assert environment_key(None) == ""
    assert environment_key(environment) == "test_store:environment"
    assert environment_key(lambda: None) is None


def test_observations_have_a_key_of_their_numbers():
    some = np.zeros((3, 2), np.float32)
    assert observations_key([some]) == observations_key([some.copy()])
    assert observations_key([some]) != observations_key([some.reshape(2, 3)])
    assert observations_key([some]) != observations_key([some + 1])
    assert observations_key(None) == ""


def test_a_folder_of_somebody_else_s_is_not_taken_for_a_store(tmp_path):
    check_store(tmp_path / "new")
    Store(tmp_path / "work").of({"seed": 0}, counting([]))
    (tmp_path / "work" / EPISODES).mkdir()
    check_store(tmp_path / "work")
    (tmp_path / "work" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"holds something else\. Name another one by --work"):
        check_store(tmp_path / "work")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        check_store(tmp_path / "file")
