"""report.md: the verdict first, a line for each stage, and what is left of each layer."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import DENSE, report, row

from tfdrlprune.evidence.report import Report
from tfdrlprune.evidence.stored_kernels import Kernel


def test_as_markdown_the_verdict_comes_first_and_every_stage_has_a_line():
    lines = report(small=True).files()["report.md"].decode().splitlines()
    assert lines[0] == "# CartPole-v1: pruned"
    assert lines[2].startswith("**PASS**: Not worse than")
    table = [line for line in lines if line.startswith("| ")]
    assert table[0].startswith("| stage | return (95 % interval) |")
    assert set(table[1]) <= set("|- ")
    assert table[3].startswith("| pruned | 498 (")
    assert table[4].startswith("| small dense | 300 (300 to 300) |")
    assert {line.count("|") for line in table[:5]} == {table[0].count("|")}
    assert "| return | PASS | -2 | -25 | " in "\n".join(lines)
    assert "tfdrlprune compress <x>" in lines


def test_markdown_names_what_is_left_of_each_layer_and_the_file():
    none = np.zeros((1, 1), np.uint8)
    kernels = [
        (Kernel("a|b", "FULLY_CONNECTED", (64, 4), count, none, none),) for count in (256, 64)
    ]
    made = report(kernels=kernels[1], sha256="ab" * 32)
    first = dataclasses.replace(made.stages[0], kernels=kernels[0])
    made = dataclasses.replace(made, stages=(first, made.stages[1]))
    text = made.files()["report.md"].decode()
    assert "| a\\|b | 64 × 4 | 64 × 4 | 64 | 75.0% |" in text
    assert f"SHA-256 of policy.tflite: `{'ab' * 32}`." in text


def test_a_bar_in_a_name_does_not_end_its_cell_in_markdown():
    rows = [row("dense", DENSE, beside=None), row("a|b", DENSE)]
    made = Report.of(rows, requested="a|b", env="CartPole-v1", seed=0)
    assert "| a\\|b | 500" in made.files()["report.md"].decode()
