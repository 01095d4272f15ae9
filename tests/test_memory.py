"""Episodes are played once for the same model, environment and seeds."""

import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune.deployment.exporter import export
from tfdrlprune.evidence.memory import Memory
from tfdrlprune.evidence.rollouts import roll_out
from tfdrlprune.evidence.series import Players

PLAYED = roll_out(linear(FALLS), "CartPole-v1", [1, 2])


def test_what_was_played_comes_back_as_it_was(tmp_path):
    played = []

    def play():
        played.append(1)
        return PLAYED

    for _ in range(2):
        found = Memory(tmp_path / "episodes").episodes("ab", "CartPole-v1", [1, 2], play)
        assert found.to_json() == PLAYED.to_json()
    assert len(played) == 1


@pytest.mark.parametrize(
    "other",
    [("cd", "CartPole-v1", [1, 2]), ("ab", "Acrobot-v1", [1, 2]), ("ab", "CartPole-v1", [2, 1])],
)
def test_another_model_environment_or_order_is_played(tmp_path, other):
    memory, played = Memory(tmp_path), []
    for each in (("ab", "CartPole-v1", [1, 2]), other):
        memory.episodes(*each, lambda: played.append(1) or PLAYED)
    assert len(played) == 2


def test_players_remember_artifacts_by_their_bytes(tmp_path, monkeypatch):
    for name, weights in (("one", BALANCES), ("same", BALANCES), ("other", FALLS)):
        export(linear(weights), tmp_path / name)
    played = []
    own = Players._play
    monkeypatch.setattr(
        Players,
        "_play",
        lambda self, folder, *rest: played.append(folder) or own(self, folder, *rest),
    )
    players = Players(memory=Memory(tmp_path / "episodes"))
    found = [players.play(tmp_path / name, "CartPole-v1", [5]) for name in ("one", "same", "other")]
    assert played == [tmp_path / "one", tmp_path / "other"]
    assert found[0].to_json() == found[1].to_json()
    assert found[2].returns[0] < found[0].returns[0]
