"""Choices and results in TensorBoard's events, read back as TensorBoard reads them."""

import dataclasses

import pytest
from reports import report
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.util.tensor_util import make_ndarray

from tfdrlprune.cli import hparams
from tfdrlprune.recipe import Recipe


def events(folder):
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def choices(found):
    content = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    read = metadata.parse_session_start_info_plugin_data(content).hparams
    return {key: getattr(value, value.WhichOneof("kind")) for key, value in read.items()}


def metrics(found):
    return {
        tag: float(make_ndarray(found.Tensors(tag)[0].tensor_proto))
        for tag in found.PluginTagToContent("scalars")
    }


def test_choices_and_results_are_read_back(tmp_path):
    recipe = Recipe(sparsity=0.8, spare=("first", "last"))
    folder = hparams.write(
        tmp_path, "small", {"seed": 3, "env": None} | recipe.to_dict(), {"return": 498.0}, "# PASS"
    )
    assert folder == tmp_path / "small"
    found = events(folder)
    read = choices(found)
    assert (read["sparsity"], read["seed"], read["spare"]) == (0.8, 3.0, "first, last")
    assert "env" not in read
    assert metrics(found) == {"return": 498.0}
    (text,) = found.Tensors("report")
    assert text.tensor_proto.string_val == [b"# PASS"]


def test_the_tab_is_told_which_choices_and_metrics_there_are(tmp_path):
    folder = hparams.write(tmp_path, "small", {"seed": 3}, {"return": 1.0, "verdict": -1.0})
    content = events(folder).SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    told = metadata.parse_experiment_plugin_data(content)
    assert [each.name for each in told.hparam_infos] == ["seed"]
    assert [each.name.tag for each in told.metric_infos] == ["return", "verdict"]


def test_a_second_run_of_a_name_has_a_folder_of_its_own(tmp_path):
    names = [hparams.write(tmp_path, "small", {"seed": n}, {}).name for n in range(3)]
    assert names == ["small", "small-2", "small-3"]


def test_the_metrics_of_a_report_are_those_of_its_final_stage():
    made = report(gzip_bytes=5_000)
    found = hparams.of_report(made)
    assert found["return"] == 498.0
    assert found["return_ci_low"] == made.judged.returns["ci_low"]
    assert (found["verdict"], found["gzip_bytes"], found["latency_us"]) == (1.0, 5_000.0, 7.14)
    assert found["difference"] == pytest.approx(-2.0)
    assert hparams.of_report(dataclasses.replace(made, final="dense")).get("verdict") is None
