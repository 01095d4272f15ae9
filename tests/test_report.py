"""The report: what is judged, what is shipped, and what is written."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from reports import COUNT, DENSE, episodes, report, row

from tfdrlprune.evidence.episodes import Episodes
from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.statistics import Estimate
from tfdrlprune.evidence.sweeping.sweep_results import Curve, Point, Robustness, SweepResult
from tfdrlprune.evidence.sweeping.sweeps import Sweep


def test_the_last_stage_is_judged_against_the_first():
    made = report()
    assert made.verdict == "PASS"
    assert made.gate["stage"] == "pruned"
    assert made.gate["difference"] == pytest.approx(-2.0)
    assert report(last=episodes(np.full(COUNT, 100.0))).verdict == "FAIL"


def test_report_json_has_the_keys_that_scripts_rely_on():
    value = json.loads(report(small=True).files()["report.json"])
    assert [stage["name"] for stage in value["stages"]] == ["dense", "pruned"]
    assert value["baseline"]["name"] == "dense"
    assert value["small_dense"]["return"]["mean"] == 300.0
    assert {"verdict", "margin", "confidence", "episodes"} <= set(value["gate"])
    assert value["environment"] == "CartPole-v1"
    assert value["seeds"] == {"seed": 3, "episodes": list(range(COUNT))}
    assert value["versions"]["tfdrlprune"]


def test_a_stage_without_a_verdict_says_why_and_is_valid_json():
    nothing = report(last=None, env=None, returns=None, episodes=None, verdict=None, gate=None)
    assert json.loads(nothing.files()["report.json"])["gate"]["verdict"] is None
    assert "No environment" in nothing.gate["message"]
    unbounded = report(verdict="INCONCLUSIVE", gate=None)
    assert unbounded.gate["verdict"] == "INCONCLUSIVE"
    for remedy in ("--return-bounds LOW HIGH", "Judging(terms=Terms(bounds=(LOW, HIGH)))"):
        assert remedy in unbounded.gate["message"]


def test_the_final_stage_must_have_been_measured():
    with pytest.raises(ValueError, match="No stage is named 'int8'"):
        Report.of([row("dense", DENSE, beside=None)], requested="int8", env=None, seed=0)


def test_the_page_is_the_same_for_the_same_numbers():
    assert report().files() == report().files()


def test_write_makes_all_files_and_spares_a_folder_that_is_no_report(tmp_path):
    report().write(tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("report.json", "report.npz", "report.md", "report.html"),
    }
    with pytest.raises(FileExistsError, match="--force"):
        report().write(tmp_path / "out")
    report().write(tmp_path / "out", force=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="something else"):
        report().write(tmp_path / "home", force=True)


def test_a_stage_that_breaks_the_policy_is_named_and_the_last_safe_one_shipped():
    rows = [
        row("dense", DENSE, beside=None),
        row("pruned", DENSE),
        row("float16", DENSE),
        row("int8", episodes(np.full(COUNT, 300.0))),
    ]
    asked = {"requested": "int8", "env": "CartPole-v1", "seed": 0}
    made = Report.of(rows, fallback=True, **asked)
    assert (made.final, made.verdict) == ("float16", "PASS")
    assert (made.gate["stage"], made.gate["requested"]) == ("float16", "int8")
    assert made.gate["broken_by"] == "int8"
    assert made.message.startswith("PASS: not worse")
    assert "float16 is shipped instead of int8, since int8 did not pass. int8: FAIL:" in (
        made.message
    )
    alone = Report.of(rows, **asked)
    assert (alone.final, alone.verdict) == ("int8", "FAIL")
    assert alone.message.startswith("FAIL: worse")


def test_a_stage_after_one_that_did_not_pass_does_not_count_where_one_may_fall_back():
    few = Episodes(*(column[:20] for column in vars(DENSE).values()))
    rows = [
        row("dense", DENSE, beside=None),
        row("pruned", few, beside=few),
        row("int8", DENSE),
    ]
    asked = {"requested": "int8", "env": "CartPole-v1", "seed": 0}
    made = Report.of(rows, fallback=True, **asked)
    assert (made.final, made.verdict) == ("int8", "INCONCLUSIVE")
    assert "pruned did not pass, so that int8 does not count" in made.message
    assert made.gate["verdict"] == "INCONCLUSIVE"
    assert Report.of(rows, **asked).verdict == "PASS"


def test_stages_after_the_requested_one_are_left_out():
    rows = [row("dense", DENSE, beside=None), row("pruned", DENSE), row("int8", DENSE)]
    made = Report.of(rows, requested="pruned", env=None, seed=0)
    assert [each.name for each in made.stages] == ["dense", "pruned"]


def test_every_form_shows_what_disturbances_do():
    nothing = Estimate(0, 0, 0)
    ours = Point(0.0, Estimate(498, 488, 499), 0, nothing, nothing)
    curves = (
        Curve("baseline", (Point(0.0, Estimate(500, 490, 500), 0, None, None),)),
        Curve("pruned", (ours,)),
    )
    swept = Robustness(10, 0, 0.95, 0.0, (SweepResult(Sweep("delay", (0.0,)), curves),))
    plain = report()
    made = dataclasses.replace(plain, robustness=swept)
    files = made.files()
    assert json.loads(files["report.json"])["robustness"] == swept.to_json()
    assert json.loads(plain.files()["report.json"])["robustness"] is None
    assert "500 (490 to 500)" in files["report.md"].decode()
    assert "Delayed actions" in files["report.html"].decode()
    assert "Delayed actions" not in plain.files()["report.html"].decode()
    assert "500 (490 to 500)" in str(made)
