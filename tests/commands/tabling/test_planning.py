"""Tables become runs: their names, their order, their flags, and what is refused before the first of them."""

import dataclasses

import pytest

from tfdistill.commands import command_line
from tfdistill.commands.tabling import given
from tfdistill.commands.tabling.overrides import Overrides, budget, overrides_of
from tfdistill.commands.tabling.planner import Planner
from tfdistill.runs.config import RunConfig
from tfdistill.tables import Outcome, Scores
from tfdistill.tables.rendering import terminal_text
from tfdistill.tables.summary import summarize

TABLE = """
title = "Three rows"
source = "A paper, Table 9"
baseline = "alone"
seeds = [1, 2, 3]
[flags]
dataset = "digits"
networks = "resnet8,resnet8"
epochs = 40
[rows.alone]
flags.method = "supervised"
[rows.dml]
flags = { method = "dml", dml.temperature = 3 }
[rows.taught]
flags = { method = "distillation", also = "kd" }
teacher = "alone"
[rows.later]
needs = "a method that is not there"
"""


@pytest.fixture
def made(tmp_path):
    (tmp_path / "made.toml").write_text(TABLE)
    return tmp_path / "made.toml"


def planned(path, *told, rows=(), seeds=None, epochs=None, baseline="", runs_dir="runs"):
    chosen = given.chosen_rows(given.tables_of([str(path)]), rows)
    tables = [given.shown_table(table, names, baseline) for table, names in chosen]
    return Planner(overrides_of(told, epochs), runs_dir).plan(tables, [names for _, names in chosen], seeds)


def test_runs_come_seed_by_seed_and_are_called_after_table_row_and_seed(made):
    plan = planned(made, seeds=[1, 4])
    rows = ("alone", "dml", "taught")
    assert list(plan.runs) == [f"made-{row}-seed{seed}" for seed in (1, 4) for row in rows]
    dml = plan.runs["made-dml-seed4"]
    assert (dml.config.seed, dml.config.epochs, dml.config.export) == (4, 40, False)
    assert dml.config.run == "made-dml-seed4" and dml.config.hyperparameters == {"temperature": 3.0}
    assert {"--seed=4", "--run=made-dml-seed4", "--runs_dir=runs", "--export=false"} <= set(dml.arguments)
    assert "later" in plan.tables[0].rows and all("later" not in name for name in plan.runs)
    assert plan.heads == [["seeds: 1, 4 instead of 1, 2, 3"]]


def test_a_teacher_is_the_run_of_the_same_seed_and_trained_before(made):
    plan = planned(made, rows=["taught"], seeds=[2], epochs=1)
    assert list(plan.runs) == ["made-alone-epochs1-seed2", "made-taught-epochs1-seed2"]
    taught = plan.runs["made-taught-epochs1-seed2"]
    assert taught.teachers == ("made-alone-epochs1-seed2",)
    assert taught.config.teacher == ("runs/made-alone-epochs1-seed2",)
    assert taught.arguments[-1] == "--teacher=runs/made-alone-epochs1-seed2"
    taught = planned(made, rows=["taught"], seeds=[2], runs_dir="a,b").runs["made-taught-seed2"]
    values = command_line.run_flags()
    command_line.parse(values, taught.arguments)
    assert command_line.run_config(values) == taught.config and taught.config.teacher == ("a,b/made-alone-seed2",)


def test_a_row_with_a_seed_of_its_own_is_one_run_that_teaches_all(made):
    made.write_text(TABLE.replace("[rows.alone]", "[rows.alone]\nseed = 7"))
    plan = planned(made, rows=["taught", "alone"], seeds=[1, 2])
    assert list(plan.runs) == ["made-alone-seed7", "made-taught-seed1", "made-taught-seed2"]
    assert plan.runs["made-taught-seed2"].config.teacher == ("runs/made-alone-seed7",)
    shown = [(row, seed) for row, seed, _ in plan.cells[0]]
    assert shown == [("alone", 7), ("taught", 1), ("taught", 2)]


def test_a_teacher_by_epoch_is_that_epoch_of_its_run_which_has_to_keep_it(made):
    made.write_text(TABLE.replace('teacher = "alone"', 'teacher = "alone@3"'))
    with pytest.raises(
        ValueError, match=r"row taught: teacher: .*row alone keeps no epoch 3; give it .* keep_epochs = 3"
    ):
        planned(made, rows=["taught"], seeds=[2])
    plan = planned(made, "keep_epochs=2,3", rows=["taught"], seeds=[2])
    alone, taught = plan.runs.values()
    assert alone.config.keep_epochs == (2, 3) and taught.teachers == (alone.name,)
    assert taught.config.teacher == (f"runs/{alone.name}@3",)
    with pytest.raises(ValueError, match=r"keep_epochs: 3 is beyond the last epoch of the run, 2"):
        planned(made, "keep_epochs=3", rows=["taught"], seeds=[2], epochs=2)


def test_a_baseline_is_shown_beside_chosen_rows_and_not_trained_for_them(made):
    plan = planned(made, rows=["dm*"], seeds=[1])
    assert list(plan.runs) == ["made-dml-seed1"] and list(plan.tables[0].rows) == ["alone", "dml"]
    plan = planned(made, rows=["alone"], baseline="dml", seeds=[1])
    assert plan.tables[0].rows["alone"].baseline == ("dml",)


def test_overrides_are_in_the_names_and_in_the_head(made):
    plan = planned(made, "train_examples=500", "data_dir=/elsewhere", "batch_size=64", rows=["alone"], epochs=2)
    assert next(iter(plan.runs)) == "made-alone-epochs2-batch_size64-train_examples500-seed1"
    assert plan.heads == [
        ["epochs: 2 instead of 40", "batch_size: 64 instead of 128", "train_examples: 500 instead of all of them"]
    ]
    assert planned(made, "export=true", rows=["alone"]).runs["made-alone-seed1"].config.export


def test_an_override_that_says_what_holds_anyway_is_no_other_budget(made):
    config = RunConfig(method="dml", networks=("resnet8", "resnet8"))
    said = dataclasses.replace(config, epochs=config.chosen_protocol().epochs)
    assert budget([config], [said], Overrides({"epochs": str(said.epochs)})) == []


def test_what_a_name_cannot_have_or_is_too_long_makes_another_name():
    one, other = (Overrides({"networks": text}).label for text in ("a,b", "a;b"))
    assert one != other and one.startswith("networksa-b-") and len(one) == len("networksa-b-") + 8
    long = Overrides({"networks": "resnet8," * 40}).label
    assert len(long) < 100 and long != Overrides({"networks": "resnet8," * 41}).label


def test_rows_that_are_the_same_runs_share_them(made):
    other = made.with_name("other.toml")
    other.write_text('title = "o"\n[rows.mine]\nsame_as = "made:dml"\n[rows.own]\nflags.networks = "resnet8"\n')
    chosen = given.chosen_rows(given.tables_of([str(made), str(other)]), ["dml", "mine"])
    plan = Planner(Overrides(), "runs").plan([table for table, _ in chosen], [names for _, names in chosen], [1])
    assert list(plan.runs) == ["made-dml-seed1"]
    assert next(one.name for _, _, one in plan.cells[1]) == "made-dml-seed1"


def test_chosen_cells_of_a_grid_are_a_smaller_grid(tmp_path):
    path = tmp_path / "made.toml"
    path.write_text('[flags]\nnetworks = "resnet8"\n[grid]\nepochs = [1, 2, 3]\nbatch_size = [8, 16]\n')
    (table,) = given.tables_of([str(path)])
    shown = given.shown_table(table, ["epochs1_batch_size8", "epochs3_batch_size16"])
    assert [(axis.labels, axis.values) for axis in shown.grid.axes] == [
        (("1", "3"), (1.0, 3.0)),
        (("8", "16"), (8, 16)),
    ]
    scores = Scores(("a",), {"a": 0.5}, {"a": 0.5})
    text = terminal_text(summarize(shown, [Outcome("epochs3_batch_size16", 1, "", "finished", scores=scores)]))
    assert [line.split() for line in text.splitlines()][5:8] == [["8", "16"], ["1", "–"], ["3", "50.00"]]
    assert given.shown_table(table, []).grid is None


def test_flagfiles_are_the_rows_of_a_table(tmp_path):
    for name, method in (("a", "supervised"), ("b", "dml")):
        (tmp_path / f"{name}.flags").write_text(f"--run=mine\n--method={method}\n--networks=resnet8,resnet8\n")
    table, *none = given.tables_of([str(tmp_path / "a.flags"), str(tmp_path / "b.flags")])
    assert not none and list(table.rows) == ["a", "b"]
    plan = Planner(Overrides(), "runs").plan([table], [["a", "b"]], None)
    assert list(plan.runs)[:3] == ["table-a-seed1", "table-b-seed1", "table-a-seed2"]
    assert plan.runs["table-b-seed1"].config.method == "dml"
    assert Planner(Overrides(), "runs").plan([table], [["a"]], [1]).heads == [[]], "no flagfile has said other seeds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('"supervised"', '"supervisd"'), ["made.toml: row alone: ", "nearest: supervised"]),
        (("epochs = 40", "epohcs = 40"), ["made.toml: row alone: ", "epohcs", "nearest: epochs"]),
        (("epochs = 40", "epochs = -1"), ["made.toml: row alone: ", "epochs: must be a whole number", "-1"]),
        (
            ('networks = "resnet8,resnet8"', 'networks = "resnet9"'),
            ["made.toml: row alone: networks: 'resnet9': ", "got 9"],
        ),
        (("dml.temperature = 3", "afd.weight = 3"), ["made.toml: row dml: ", "afd.weight"]),
        (('baseline = "alone"', 'baseline = "alon"'), ["made.toml", "baseline", "nearest: alone"]),
        (
            ('baseline = "alone"', 'baseline = ["dml", "dml", "dml"]'),
            ["made.toml: row alone: baseline: must be", "not 3"],
        ),
    ],
)
def test_a_wrong_row_is_told_with_file_and_row(made, change, words):
    text = made.read_text()
    assert text.count(change[0]) == 1
    made.write_text(text.replace(*change))
    with pytest.raises(ValueError) as caught:
        planned(made)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value), caught.value
    assert str(caught.value).count("made.toml") == 1


@pytest.mark.parametrize(
    ("told", "epochs", "words"),
    [
        (["bogus=1"], None, "set: bogus: is no flag; nearest: "),
        (["epochs=many"], None, "set: epochs: must be a whole number"),
        (["epochs=3"], 2, "set: epochs is given twice"),
        (["seed=3"], None, "set: seed is the command's to say"),
        (["epochs"], None, "set: must be FLAG=VALUE"),
    ],
)
def test_a_wrong_override_is_told_before_any_row(told, epochs, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        overrides_of(told, epochs)


def test_names_that_are_none_or_two_are_refused(made, tmp_path):
    with pytest.raises(ValueError, match=r"^rows: dlm is no row; nearest: dml$"):
        planned(made, rows=["dlm"])
    with pytest.raises(ValueError, match=r"^baseline: dlm is no row of .*made.toml; nearest: dml$"):
        planned(made, baseline="dlm")
    with pytest.raises(ValueError, match=r"^table: there is no file 'nowhere'; nearest of those in configs/: "):
        given.tables_of(["nowhere"])
    (tmp_path / "deeper").mkdir()
    twice = [tmp_path / "x.flags", tmp_path / "deeper" / "x.flags"]
    for path in twice:
        path.write_text("--method=supervised\n")
    with pytest.raises(ValueError, match=r"^flagfile: .*x.flags and .*deeper/x.flags are both called x; give another"):
        given.tables_of(list(map(str, twice)))
