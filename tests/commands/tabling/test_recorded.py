"""A table's record where the runs are not: what of it counts, what is trained anew, what is never written over."""

import dataclasses

import pytest

from tfdistill.commands.tabling import given
from tfdistill.commands.tabling.overrides import overrides_of
from tfdistill.commands.tabling.planner import Planner
from tfdistill.commands.tabling.recorded import recorded, require_record, to_train
from tfdistill.devices.packages import package_versions
from tfdistill.tables import Outcome, Scores
from tfdistill.tables.record import write_record
from tfdistill.tables.summary import summarize

TABLE = """
seeds = [1, 2]
[flags]
dataset = "digits"
networks = "resnet8"
[rows.large]
flags.method = "supervised"
[rows.taught]
flags = { method = "distillation", also = "kd" }
teacher = "large"
"""
LARGE, TAUGHT = ([f"made-{row}-seed{seed}" for seed in (1, 2)] for row in ("large", "taught"))


@pytest.fixture
def world(tmp_path):
    (tmp_path / "made.toml").write_text(TABLE)
    return tmp_path


def planned(folder, runs_dir, *told):
    tables = given.tables_of([str(folder / "made.toml")])
    return Planner(overrides_of(told), runs_dir).plan(tables, [list(tables[0].rows)], None)


def missing(plan):
    return {
        name: Outcome(one.row, one.config.seed, name, "missing", flags=one.config.to_dict())
        for name, one in plan.runs.items()
    }


def record(folder, plan, finished, versions=None):
    """The record of a plan whose runs of these names are finished."""
    scores = Scores(("a",), last={"a": 0.5}, best={"a": 0.5}, epochs=1.0)
    versions = {**package_versions(), **(versions or {})}
    outcomes = [
        dataclasses.replace(one, state="finished", scores=scores, versions=versions) if name in finished else one
        for name, one in missing(plan).items()
    ]
    path = folder / "made.json"
    write_record(path, summarize(plan.tables[0], outcomes, ()), outcomes)
    return path


def test_finished_runs_of_a_record_count_and_only_teachers_of_missing_ones_are_trained(world):
    path = record(world, planned(world, "there"), [*LARGE, TAUGHT[0]])
    plan = planned(world, "here")
    found = recorded(path, plan.runs, missing(plan))
    assert sorted(found) == sorted([*LARGE, TAUGHT[0]])
    assert found[LARGE[0]].scores.last == {"a": 0.5}
    assert list(to_train(plan.runs, missing(plan), found)) == [LARGE[1], TAUGHT[1]]
    here = missing(plan) | {TAUGHT[1]: dataclasses.replace(missing(plan)[TAUGHT[1]], state="finished")}
    assert list(to_train(plan.runs, here, found)) == [TAUGHT[1]]
    refused = {name: dataclasses.replace(one, state="refused") for name, one in here.items()}
    assert not recorded(path, plan.runs, refused)


def test_a_record_whose_runs_would_be_lost_is_left_alone(world):
    there = planned(world, "there")
    path = record(world, there, LARGE, {"keras": "2.0"})
    with pytest.raises(
        ValueError, match=r"2 in all; the first is made-large-seed1, from another version: keras 2\.0 instead of"
    ):
        recorded(path, there.runs, missing(there))
    path = record(world, there, LARGE)
    plan = planned(world, "here", "batch_size=5")
    with pytest.raises(
        ValueError, match="the first is made-large-seed1, none of this command's; name another file, or move it away"
    ):
        recorded(path, plan.runs, missing(plan))
    (world / "made.toml").write_text(TABLE.replace("[flags]", "[flags]\nepochs = 5"))
    plan = planned(world, "here")
    with pytest.raises(ValueError, match="the first is made-large-seed1, trained otherwise: --epochs=5"):
        recorded(path, plan.runs, missing(plan))


def test_what_is_no_record_of_the_table_is_not_written_over(world):
    require_record(world / "nothing.json", "made")
    path = record(world, planned(world, "there"), LARGE)
    require_record(path, "made")
    with pytest.raises(ValueError, match="is the record of the table made, not of other; name another file"):
        require_record(path, "other")
    path.write_text(path.read_text().replace("0.5", "0.6"))
    with pytest.raises(ValueError, match="was edited, or is damaged"):
        require_record(path, "made")
