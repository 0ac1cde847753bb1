"""Rows of tables that other rows teach: their plan, and what a row alone is told that lacks its teacher."""

import sys

import pytest

from tfdistill.commands import command_line, train
from tfdistill.commands.tabling import given
from tfdistill.commands.tabling.overrides import Overrides
from tfdistill.commands.tabling.planner import Planner, last_of_each
from tfdistill.commands.taught_rows import require_teacher
from tfdistill.tables import Outcome, Scores
from tfdistill.tables.record import read_record, write_record
from tfdistill.tables.summary import summarize

TABLE = """
[flags]
flagfile = "taught.flags"
[rows.big]
flags = { method = "supervised", also = "", networks = "resnet14" }
[rows.small]
flags = { also = "mse", epochs = 2, keep_epochs = 2 }
teacher = "big"
[rows.smaller]
teacher = "small"
[rows.both]
teacher = ["big", "small@2"]
"""


@pytest.fixture
def made(tmp_path):
    (tmp_path / "taught.flags").write_text(
        "--method=distillation\n--also=kd\n--dataset=digits\n--networks=resnet8\n--epochs=1\n"
    )
    (tmp_path / "made.toml").write_text(TABLE)
    return tmp_path / "made.toml"


def test_a_chosen_row_takes_the_runs_that_teach_it_also_where_they_are_not_chosen(made):
    chosen = given.chosen_rows(given.tables_of([str(made)]), ["smaller"])
    tables = [given.shown_table(table, names) for table, names in chosen]
    plan = Planner(Overrides(), "runs").plan(tables, [names for _, names in chosen], [7])
    assert list(plan.tables[0].rows) == ["smaller"]
    assert list(plan.runs) == [f"made-{row}-seed7" for row in ("big", "small", "smaller")]
    assert [one.config.also for one in plan.runs.values()] == [(), ("mse",), ("kd",)]
    assert plan.runs["made-smaller-seed7"].config.teacher == ("runs/made-small-seed7",)
    # What the training command gets has no flag twice.
    arguments = plan.runs["made-small-seed7"].arguments
    assert [one for one in arguments if one.startswith("--also=")] == ["--also=mse"]


def test_of_a_flag_that_comes_twice_the_last_is_kept_where_it_stands():
    given_twice = ("--a=1", "--nob", "--a=2", "--c", "2", "--nob", "--d", "2")
    assert last_of_each(given_twice) == ("--nob", "--a=2", "--c", "2", "--nob", "--d", "2")


def said_of(row, *flags, capsys):
    with pytest.raises(SystemExit) as stopped:
        train.main([f"--flagfile=made.toml:{row}", *flags])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1
    return said


def test_a_row_alone_is_told_whose_run_teaches_it_and_the_commands(made, monkeypatch, capsys):
    monkeypatch.chdir(made.parent)
    monkeypatch.setattr(sys, "argv", ["launch/train.py"])
    said = said_of("small", "--seed=3", capsys=capsys)
    assert said == (
        "train.py: error: teacher: small learns from the run of row big of made; "
        "first python launch/train.py --flagfile=made.toml:big --seed=3 --run=big-seed3, "
        "then python launch/train.py --flagfile=made.toml:small --seed=3 --teacher=runs/big-seed3\n"
    )
    said = said_of("both", "--runs_dir=mine", capsys=capsys)
    assert "the runs of rows big of made and small of made; first " in said
    assert "--seed=1 --run=small-seed1 --runs_dir=mine, then " in said
    assert said.endswith("--runs_dir=mine --teacher=mine/big-seed1,mine/small-seed1@2\n")
    assert not (made.parent / "runs").exists()


@pytest.mark.parametrize("flags", [["--teacher=nowhere"], ["--method=supervised", "--also="]])
def test_a_row_with_a_teacher_or_without_use_for_one_is_as_good_as_any(made, flags, monkeypatch):
    monkeypatch.chdir(made.parent)
    arguments = ["--flagfile=made.toml:small", *flags]
    values = command_line.run_flags()
    command_line.parse(values, arguments)
    require_teacher(command_line.run_config(values), arguments)


def test_seeds_of_a_row_are_averaged_though_each_has_its_teacher(made, tmp_path):
    tables = given.tables_of([str(made)])
    plan = Planner(Overrides(), str(tmp_path)).plan(tables, [list(tables[0].rows)], [1, 2])
    runs = [
        Outcome(row, seed, one.name, "finished", "", Scores(("a",), {"a": seed / 4}, {"a": 0.5}), one.config.to_dict())
        for row, seed, one in plan.cells[0]
    ]
    summary = summarize(tables[0], runs)
    assert [(row.n, row.mean.last.mean) for row in summary.rows.values()] == [(2, 37.5)] * 4
    write_record(tmp_path / "made.json", summary, runs)
    assert str(tmp_path) not in (tmp_path / "made.json").read_text()
    record = read_record(tmp_path / "made.json")
    assert summarize(tables[0], record.outcomes) == summary
    assert [one.flags["teacher"] for one in record.outcomes[-2:]] == [
        [f"made-big-seed{seed}", f"made-small-seed{seed}@2"] for seed in (1, 2)
    ]


def test_a_row_whose_teacher_is_its_own_flag_has_the_same_for_all_seeds(made):
    table = given.tables_of([str(made)])[0]
    runs = [
        Outcome("big", seed, "", "finished", "", Scores(("a",), {"a": 0.5}, {"a": 0.5}), {"teacher": [f"t{seed}"]})
        for seed in (1, 2)
    ]
    with pytest.raises(ValueError, match=r"row big: seeds 1 and 2 differ in more than the seed: --teacher is"):
        summarize(table, runs)
