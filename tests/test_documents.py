"""What tables and words of the documents say of names, keys and defaults is so in the code."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
from pathlib import Path

import pytest
from reports import DENSE, report
from test_artifact import MANIFEST

import tfdrlprune as tp
from tfdrlprune.cli.app import app
from tfdrlprune.compression.bench import Judging
from tfdrlprune.deployment import artifact
from tfdrlprune.evidence.bounding.interval_results import Bounds, DifferenceBounds
from tfdrlprune.evidence.coverage import Coverage
from tfdrlprune.evidence.diagnostics import Deviation, Diagnostics, Flips
from tfdrlprune.evidence.evaluation import evaluate
from tfdrlprune.evidence.report import ARRAYS_FILE
from tfdrlprune.evidence.statistics import summarize
from tfdrlprune.evidence.sweeping import sweeps
from tfdrlprune.evidence.terms import Terms
from tfdrlprune.evidence.tried import Tried
from tfdrlprune.recipe import METHODS, PRECISIONS
from tfdrlprune.recipe.selection import CRITERIA, GROUP_SCORES
from tfdrlprune.recipe.teaching import CONTINUOUS_LOSSES, DISCRETE_LOSSES, ROUTES, UNTIL

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
# Those that name our command's options; the benchmarks have options of their own.
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "docs/benchmarks.md"})
# Options of other commands than ours, that the documents name.
OTHERS = {
    *("--no-deps", "--check", "--logdir", "--wheel", "--strict"),
    "--tf_xla_persistent_cache_directory",
    "--tf_xla_persistent_cache_device_types",
}


def rows(page: str, heading: str) -> list[list[str]]:
    """Returns the cells of the table of a page whose first heading is this."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.M)
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in found.splitlines()]


def names(page: str, heading: str) -> list[str]:
    """Returns what stands as code in the first column of a table."""
    return [name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[0])]


def options() -> dict[str, set[str]]:
    """Returns command -> its options as they are written."""
    return {
        name: {text for each in command.params for text in (*each.opts, *each.secondary_opts)}
        for name, command in app.commands.items()
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_options_that_the_words_name_exist(page):
    known = {"--help", "--version"}.union(OTHERS, *options().values())
    words = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    code = " ".join(re.findall(r"`([^`\n]+)`", words))
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]+", code)) <= known


def test_choices_of_a_recipe_are_those_of_the_tables():
    assert names("docs/pruning.md", "criterion") == list(CRITERIA)
    methods = names("docs/pruning.md", "`method`")
    assert sorted(methods) == sorted(set(METHODS) - {"prune"})
    scores = next(row for row in rows("docs/pruning.md", "choice") if row[0] == "`group_score`")
    assert set(re.findall(r"`([^`]+)`", scores[1])) == set(GROUP_SCORES)
    for pattern in names("docs/pruning.md", "granularity"):
        tp.Recipe(granularity=pattern, sparsity={"1:4": 0.75}.get(pattern, 0.5))
    assert sorted(names("docs/compression.md", "route")) == sorted(ROUTES)
    assert names("docs/compression.md", "`until`") == list(UNTIL)
    losses = names("docs/compression.md", "`distil_loss`")
    firsts = [row[0].strip("`") for row in rows("docs/compression.md", "`distil_loss`")]
    assert firsts == losses == [*DISCRETE_LOSSES, *CONTINUOUS_LOSSES]
    assert names("docs/artifact.md", "`precision`") == list(PRECISIONS)
    assert artifact.PRECISIONS == PRECISIONS  # in two places, as a robot needs no recipe


def test_schedules_of_the_table_take_what_it_says():
    for text in names("docs/pruning.md", "schedule"):
        name, _, arguments = text.removeprefix("tp.").partition("(")
        made = getattr(tp.schedules, name.removeprefix("schedules."), None) or getattr(tp, name)
        given = {each.partition("=")[0].strip() for each in arguments.strip(")").split(",")} - {"s"}
        assert given - {""} <= set(inspect.signature(made).parameters)


def test_defaults_of_the_pages_are_those_of_the_recipe():
    recipe = tp.Recipe()
    text = (ROOT / "docs/compression.md").read_text(encoding="utf-8")
    assert f"`distil_temperature` ({recipe.distil_temperature:g})" in text
    for page, heading in (("route", recipe.route), ("`until`", recipe.until)):
        assert any(row[0] == f"`{heading}` (default)" for row in rows("docs/compression.md", page))
    quantization = (ROOT / "docs/quantization.md").read_text(encoding="utf-8")
    assert f"(`--end`, {recipe.end:g} of the run)" in quantization


def test_the_keys_of_an_artifact_are_those_of_the_table():
    keys = [row[0].strip("`") for row in rows("docs/artifact.md", "key")]
    assert keys == list(MANIFEST.to_json())


def test_the_keys_of_a_report_are_those_of_the_tables():
    text = (ROOT / "docs/report.md").read_text(encoding="utf-8")
    whole, stage = (
        [name for line in part.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[1])]
        for part in re.findall(r"^\| key \| value \|\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.M)
    )
    value = report().to_dict()
    assert sorted(whole) == sorted([*value, "arrays"])
    assert sorted(stage) == sorted(value["stages"][0])
    assert ARRAYS_FILE in text
    for kept in (summarize(DENSE), Tried.__dataclass_fields__, Coverage.__dataclass_fields__):
        assert f"`{', '.join(kept)}`" in text


def test_the_options_of_the_gate_and_their_defaults_are_those_of_the_table():
    for command in ("compress", "evaluate"):
        params = {each.opts[0]: each for each in app.commands[command].params}
        for example, default, _ in rows("docs/evidence.md", "option"):
            option = params[example.strip("`").split()[0]]
            assert default in ("", "known for the classic tasks", str(option.default))


def test_the_default_levels_of_disturbances_are_those_of_the_table():
    shown = {row[0].strip("`"): row[2] for row in rows("docs/robustness.md", "name")}
    made = {each.name: each.levels for each in sweeps.default_sweeps("LunarLander-v3")}
    made["a parameter"] = {s.name: s.levels for s in sweeps.default_sweeps("CartPole-v1")}["length"]
    for name, levels in shown.items():
        assert levels == ", ".join(f"{level:g}" for level in made[name]), name


def test_fused_steps_and_warm_up_are_what_the_page_says():
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    replay, sac, ppo = (
        getattr(tp.agents, f"{name}Settings")() for name in ("OffPolicy", "Sac", "OnPolicy")
    )
    assert tp.agents.Td3Settings().fused_steps == sac.fused_steps
    assert f"for DQN and C51 ({replay.fused_steps}), SAC and TD3 ({sac.fused_steps})" in text
    table = {row[0]: row[2] for row in rows("docs/training.md", "family")}
    assert table["DQN, C51"] == f"{replay.env_steps_per_step:g} for 1, after {replay.warm_up:,}"
    assert table["SAC"] == f"{sac.env_steps_per_step:g} for 1, after {sac.warm_up:,}"
    minibatches = 8 * ppo.rollout_length // ppo.minibatch_size
    assert table["PPO"] == f"{ppo.epochs} * {minibatches} for 8 * {ppo.rollout_length}"


def test_names_of_ours_that_messages_speak_of_exist():
    named = set()
    for path in (ROOT / "tfdrlprune").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = r"(?<![\w.])(?:tp\.)?(agents|policies|schedules)\.([A-Za-z]\w*)"
                named.update(re.findall(found, node.value))
    assert ("agents", "dqn") in named
    assert {name for name in named if not hasattr(getattr(tp, name[0]), name[1])} == set()


@pytest.mark.parametrize(
    ("command", "needed"),
    [("compress", ["run", "--out", "small"]), ("evaluate", ["small", "--env", "CartPole-v1"])],
)
def test_options_have_the_defaults_of_the_same_choices_in_python(command, needed):
    shown = app.commands[command].make_context(command, needed).params
    python = {each.name: each.default for each in dataclasses.fields(Terms)}
    if command == "compress":
        python |= {
            each.name: each.default
            for each in dataclasses.fields(Judging)
            if each.name not in ("terms", "sweeps")
        }
    else:
        given = inspect.signature(evaluate).parameters
        python |= {n: given[n].default for n in ("episodes", "until_decided", "workers", "seed")}
    assert {name: shown[name] for name in python} == python


def test_the_keys_of_diagnostics_are_on_their_page():
    text = (ROOT / "docs/diagnostics.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`\.?([\w.]+)`", text))
    for prefix, kind in (
        *(("", Diagnostics), ("flips.", Flips), ("deviation.", Deviation), ("", Coverage)),
        *(("", Bounds), ("", DifferenceBounds)),
    ):
        for each in dataclasses.fields(kind):
            assert {f"{prefix}{each.name}", each.name} & told, f"{kind.__name__}.{each.name}"


def test_the_readmes_table_is_that_of_the_benchmarks():
    measured = [
        row
        for name in ("frontier_goals", "frontier_images", "frontier_recurrent")
        for row in json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]
    ]
    shown = rows("README.md", "trained policy")
    assert len(shown) == len(measured)
    for cells, row in zip(shown, measured, strict=True):
        name, dense, theirs, small, ours, size, seconds = cells
        assert name.split(",")[0].split(" without")[0].replace(" ", "/") in row["env"]
        assert dense == f"{row['dense_parameters']:,}"
        assert small == f"**{row['parameters']:,}**"
        for said, returns in ((theirs, row["dense_return"]), (ours, row["return"])):
            number = float(said.split(", ")[0].replace(",", ""))
            mean = returns["median"]
            assert number == pytest.approx(mean, abs=0.5 if abs(mean) > 10 else 0.005)
        assert ours.endswith(row["verdict"])
        assert size == f"{100 * row['bytes_ratio']:.1f} %"
        assert seconds == f"{row['seconds']:.0f}"
