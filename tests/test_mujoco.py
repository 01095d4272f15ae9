"""What MuJoCo warns of while environments are made is said once, and written nowhere."""

import subprocess
import sys

import pytest

from tfdrlprune import _mujoco

mujoco = pytest.importorskip("mujoco")


@pytest.fixture
def without_handler():
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(None)
    yield
    mujoco.set_mju_user_warning(before)


def test_many_environments_warn_once_and_leave_no_file(tmp_path):
    code = (
        "from tfdrlprune.simulation import make, make_vector;"
        "make_vector('HalfCheetah-v5', 3); make('HalfCheetah-v5')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line]) <= 1
    assert list(tmp_path.iterdir()) == []


def test_a_warning_in_the_body_comes_through_python_and_the_handler_is_taken_away(without_handler):
    with pytest.warns(UserWarning, match="^the model is odd$"), _mujoco.said_once():
        mujoco.get_mju_user_warning()("the model is odd")
    assert mujoco.get_mju_user_warning() is None


def test_a_handler_of_the_users_stays(without_handler):
    heard = []
    mujoco.set_mju_user_warning(heard.append)
    with _mujoco.said_once():
        mujoco.get_mju_user_warning()("the model is odd")
    assert heard == ["the model is odd"]
