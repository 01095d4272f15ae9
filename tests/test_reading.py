"""A report that was written is read back whole; what is damaged is refused in one line."""

import dataclasses
import json

import numpy as np
import pytest
from findings import CHOOSES, FOUND, MOVES, REHEARSAL, TRIED
from reports import report

from tfdrlprune.evidence import reading
from tfdrlprune.evidence.stored_kernels import Kernel


def kernel(nonzero):
    cells = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    return Kernel("dense", "FULLY_CONNECTED", (3, 4), nonzero, cells, cells.astype(np.uint8))


def whole(differences=CHOOSES):
    made = report(small=True, differences=differences, sha256="ab" * 32, kernels=(kernel(3),))
    first = dataclasses.replace(made.stages[0], kernels=(kernel(12), kernel(11)))
    return dataclasses.replace(
        made,
        stages=(first, made.stages[1]),
        robustness=FOUND,
        tried=(TRIED,),
        rehearsal=REHEARSAL,
    )


def written(made, folder):
    for name, content in made.files(plain=True).items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("differences", [CHOOSES, MOVES])
def test_what_was_read_makes_the_same_files_to_the_byte(differences, tmp_path):
    made = whole(differences)
    written(made, tmp_path)
    again = reading.read(tmp_path)
    assert again.judged.differences == differences
    assert again.robustness == FOUND
    assert again.tried == (TRIED,)
    assert again.rehearsal == REHEARSAL
    assert "2.5% of 2,048 states" in (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "2.5% of 2,048 states" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert again.judged.episodes.returns.tolist() == made.judged.episodes.returns.tolist()
    assert again.files(plain=True) == made.files(plain=True)
    assert str(again) == str(made)


def test_a_report_without_an_environment_is_read_too(tmp_path):
    made = report(last=None, env=None, returns=None, episodes=None, verdict=None, gate=None)
    written(made, tmp_path)
    assert reading.read(tmp_path).files(plain=True) == made.files(plain=True)


def test_no_report_and_no_arrays_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no report: expected a folder with report"):
        reading.read(tmp_path)
    written(report(), tmp_path)
    (tmp_path / "report.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"report.npz is missing, which holds the episodes"):
        reading.read(tmp_path)


def change(folder, **values):
    content = json.loads((folder / "report.json").read_text()) | values
    (folder / "report.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format_version": 99}, "has format_version 99, and this tfdrlprune reads 1"),
        ({"stages": [{}]}, "is damaged: 'name' is missing"),
        ({"stages": 3}, "is damaged: 'int' object is not iterable"),
        ({"arrays": {"sha256": "0"}}, "another report's, or was cut or changed"),
        ({"gate": None}, "is damaged"),
    ],
)
def test_a_changed_report_is_refused(values, message, tmp_path):
    written(report(), tmp_path)
    change(tmp_path, **values)
    with pytest.raises(ValueError, match=message):
        reading.read(tmp_path)


def test_a_cut_report_and_a_foreign_one_are_refused(tmp_path):
    written(report(), tmp_path)
    text = (tmp_path / "report.json").read_text()
    (tmp_path / "report.json").write_text(text[:500])
    with pytest.raises(ValueError, match=r"is damaged: .* It was cut or changed"):
        reading.read(tmp_path)
    (tmp_path / "report.json").write_text('{"name": "my-app"}')
    with pytest.raises(ValueError, match="is no report of tfdrlprune: expected an object"):
        reading.read(tmp_path)
