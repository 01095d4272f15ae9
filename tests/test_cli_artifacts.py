"""export, inspect, evaluate, benchmark and compress on a policy made by hand."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from artifacts import BALANCES, FALLS, linear

from tfdrlprune import runtime
from tfdrlprune.cli.app import run
from tfdrlprune.deployment import artifact

ENV = "CartPole-v1"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Saved policies and their artifacts, exported by the command."""
    root = tmp_path_factory.mktemp("cli")
    for name, weights in {"good": BALANCES, "falls": FALLS}.items():
        linear(weights).save(root / f"{name}-policy")
        assert run(["export", str(root / f"{name}-policy"), "--out", str(root / name)]) == 0
    return root


def test_export_writes_what_the_runtime_runs(made):
    policy = runtime.load(made / "good")
    assert policy.action(np.float32([0, 0, 0.1, 0])) == 1
    assert policy.action(np.float32([0, 0, -0.1, 0])) == 0


def test_export_compares_on_observations_recorded_in_the_environment(made, tmp_path):
    file = tmp_path / "result.json"
    arguments = ["export", str(made / "good-policy"), "--env", ENV, "--precision", "int8"]
    assert run([*arguments, "--out", str(tmp_path / "x"), "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["precision"] == "int8"
    assert result["comparison"]["recorded"] is True
    with np.load(tmp_path / "x" / "test_vectors.npz") as vectors:
        # Real ones: CartPole's track is 2.4 either way; drawn ones would be anywhere.
        assert np.abs(vectors["observation/observation"][:, 0]).max() <= 2.4


def test_export_takes_recorded_observations_from_a_file(made, tmp_path):
    recorded = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
    np.savez(tmp_path / "seen.npz", anything=recorded)
    arguments = ["export", str(made / "good-policy"), "--observations", str(tmp_path / "seen.npz")]
    assert run([*arguments, "--out", str(tmp_path / "x")]) == 0
    with np.load(tmp_path / "x" / "test_vectors.npz") as vectors:
        assert np.array_equal(vectors["observation/observation"], recorded)


def test_inspect_counts_layers_of_an_artifact_and_of_a_policy_alike(made, tmp_path, capsys):
    found = []
    for name in ("falls", "falls-policy"):
        assert run(["inspect", str(made / name), "--json", str(tmp_path / "x.json")]) == 0
        found.append(json.loads((tmp_path / "x.json").read_text()))
        assert "75.0%" in capsys.readouterr().out
    for each in found:
        (layer,) = each["layers"]
        assert (layer["name"], layer["weights"], layer["nonzero"]) == ("outputs", 8, 2)
        assert each["parameters"]["total"] == 10
        assert each["parameters"]["nonzero"] == 4


def test_evaluate_reports_the_returns_and_judges_nothing_without_a_baseline(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    arguments = ["evaluate", str(made / "good"), "--env", ENV, "--episodes", "5"]
    assert run([*arguments, "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["artifacts"][0]["return"]["episodes"] == 5
    assert result["artifacts"][0]["return"]["mean"] > 100
    assert result["gates"] == {}
    assert str(made / "good") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "episodes", "code", "verdict"),
    [("falls", 20, 3, "FAIL"), ("good", 120, 0, "PASS"), ("good", 2, 4, "INCONCLUSIVE")],
)
def test_evaluate_exits_by_the_gate(made, tmp_path, name, episodes, code, verdict, capsys):
    file = tmp_path / "x.json"
    arguments = ["evaluate", str(made / name), "--env", ENV, "--baseline", str(made / "good")]
    assert run([*arguments, "--episodes", str(episodes), "--json", str(file)]) == code
    result = json.loads(file.read_text())
    assert result["gates"][str(made / name)]["verdict"] == verdict
    assert len(result["seeds"]["episodes"]) == episodes
    told = re.search(r"To decide it: --until-decided --episodes (\d+)", capsys.readouterr().out)
    assert (told is not None) == (code == 4)
    if told:
        assert run([*arguments, "--until-decided", "--episodes", told[1]]) == 0
        assert "To decide it" not in capsys.readouterr().out


def test_evaluate_repeats_itself_with_a_seed_and_differs_with_another(made, tmp_path):
    means = []
    for seed in ("3", "3", "4"):
        file = tmp_path / "x.json"
        arguments = ["evaluate", str(made / "falls"), "--env", ENV, "--episodes", "10"]
        assert run([*arguments, "--seed", seed, "--json", str(file)]) == 0
        means.append(json.loads(file.read_text())["artifacts"][0]["return"]["mean"])
    assert means[0] == means[1] != means[2]


def test_benchmark_measures_each_artifact_side_by_side(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    arguments = ["benchmark", str(made / "good"), str(made / "falls"), "--calls", "50"]
    assert run([*arguments, "--hz", "1000", "--json", str(file)]) == 0
    good, falls = json.loads(file.read_text())["artifacts"]
    assert good["name"] == str(made / "good")
    assert falls["size_bytes"] == (made / "falls" / "policy.tflite").stat().st_size
    for each in (good, falls):
        assert 0 < each["latency_us"]["median"] <= each["latency_us"]["p99"]
        assert each["startup_ms"] > 0
        assert 10e6 < each["rss_bytes"] < 200e6
    assert "start-up ms" in capsys.readouterr().out


def test_compress_writes_the_artifact_with_its_report_and_exits_by_the_gate(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    arguments = ["compress", str(made / "good-policy"), "--env", ENV, "--sparsity", "0.5"]
    arguments += ["--until", "target", "--episodes", "20"]
    code = run([*arguments, "--out", str(tmp_path / "c"), "--json", str(file)])
    assert not (tmp_path / "c.work").exists()
    report = json.loads((tmp_path / "c" / "report.json").read_text())
    assert report.pop("arrays")["file"] == "report.npz"
    assert json.loads(file.read_text()) == report
    assert code == {"PASS": 0, "FAIL": 3, "INCONCLUSIVE": 4}[report["gate"]["verdict"]]
    manifest = artifact.verify(tmp_path / "c")
    assert manifest.sparsity.requested == manifest.sparsity.achieved == 0.5
    assert manifest.verdict["verdict"] == report["gate"]["verdict"]
    assert (tmp_path / "c" / "report.html").read_text().startswith("<!doctype html>")
    assert report["gate"]["verdict"] in capsys.readouterr().out


def test_compress_takes_its_choices_from_a_recipe_file(made, tmp_path):
    (tmp_path / "recipe.toml").write_text('sparsity = 0.25\ndistribution = "global"\n')
    np.savez(tmp_path / "seen.npz", x=np.random.default_rng(0).normal(size=(256, 4)))
    arguments = ["compress", str(made / "good-policy"), "--recipe", str(tmp_path / "recipe.toml")]
    more = ["--observations", str(tmp_path / "seen.npz"), "--out", str(tmp_path / "c")]
    assert run([*arguments, *more]) == 0
    manifest = artifact.read(tmp_path / "c")
    assert (manifest.sparsity.achieved, manifest.recipe["distribution"]) == (0.25, "global")
    assert manifest.verdict["verdict"] is None


def test_evaluate_takes_terms_and_ends_when_they_are_decided(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    arguments = ["evaluate", str(made / "good"), "--env", ENV, "--baseline", str(made / "good")]
    terms = ["--floor", "random", "--max-failure-rate", "0.05", "--until-decided", "--workers", "2"]
    assert run([*arguments, *terms, "--json", str(file)]) == 0
    result = json.loads(file.read_text())
    gate = result["gates"][str(made / "good")]
    # Random actions keep the pole up for about 22 steps.
    assert 15 < gate["floor"] < 30
    assert gate["margin_return"] == pytest.approx(0.05 * (500 - gate["floor"]))
    assert [ruling["name"] for ruling in gate["rulings"]] == ["return", "failure rate"]
    assert gate["episodes"] == result["artifacts"][1]["return"]["episodes"] < 110
    assert result["accepted"] == [str(made / "good")]
    for bad, message in (
        (["--floor", "nothing"], "neither a number nor 'random'"),
        (["--floor", "random", "--margin-return", "5"], "Leave one out"),
        (["--failure-below", "5"], "Give max_failure_rate"),
    ):
        assert run([*arguments, *bad]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--margin", "--max-failure-rate", "--min-cvar", "--floor"])
def test_what_only_a_gate_asks_takes_a_baseline(made, capsys, flag):
    assert run(["evaluate", str(made / "falls"), "--env", ENV, flag, "0.5"]) == 2
    assert f"{flag} takes something to be held against: give --baseline" in capsys.readouterr().err


def test_evaluate_names_those_that_are_accepted_in_their_order(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    folders = [str(made / name) for name in ("good", "falls")]
    arguments = ["evaluate", *folders, "--env", ENV, "--baseline", folders[0]]
    assert run([*arguments, "--until-decided", "--json", str(file)]) == 3
    assert json.loads(file.read_text())["accepted"] == [folders[0]]
    assert f"Accepted, in the order given: {folders[0]}." in capsys.readouterr().out


def test_evaluate_sweeps_beside_the_baseline(made, tmp_path, capsys):
    file = tmp_path / "x.json"
    arguments = ["evaluate", str(made / "falls"), "--env", ENV, "--episodes", "5"]
    sweep = ["--sweep", "delay=2", "--sweep-episodes", "4"]
    assert run([*arguments, *sweep]) == 2
    assert "--sweep takes something to be held against" in capsys.readouterr().err
    beside = [*arguments, "--baseline", str(made / "good")]
    assert run([*beside, *sweep, "--json", str(file)]) == 4  # five episodes decide nothing
    (found,) = json.loads(file.read_text())["robustness"]["sweeps"]
    assert (found["name"], len(found["curves"])) == ("delay", 2)
    assert [point["level"] for point in found["curves"][1]["points"]] == [0, 2]
    assert "change" in capsys.readouterr().out
    assert run([*beside, "--sweep-episodes", "4"]) == 2
    assert "give --sweep NAME=LEVEL" in capsys.readouterr().err
    assert run([*beside, "--sweep", "masspol=2"]) == 2
    assert "masspole" in capsys.readouterr().err
