"""What sweeps found is written as documented, and read back."""

import json

from findings import FOUND

from tfdrlprune.evidence.sweeping.sweep_results import Robustness


def test_json_has_the_documented_keys():
    values = FOUND.to_json()
    assert {key: values[key] for key in ("episodes", "seed", "confidence", "worst")} == {
        **{"episodes": 1, "seed": 3, "confidence": 0.9, "worst": -5.0}
    }
    (only,) = values["sweeps"]
    assert (only["name"], only["unit"], only["undisturbed"]) == ("masspole", "factor", 1.0)
    assert [curve["policy"] for curve in only["curves"]] == ["baseline", "pruned"]
    assert only["curves"][0]["points"][1] == {
        "level": 2.0,
        "return": {"mean": 7.0, "ci_low": None, "ci_high": None},
        "failures": 1,
        "difference": None,
        "change": None,
    }
    assert only["curves"][1]["points"][1]["difference"] == {
        **{"mean": -3.0, "ci_low": -4.0, "ci_high": -2.0}
    }


def test_json_comes_back_as_it_was():
    text = json.dumps(FOUND.to_json(), allow_nan=False)
    assert Robustness.from_json(json.loads(text)) == FOUND
