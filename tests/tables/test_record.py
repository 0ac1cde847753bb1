"""The record of a table gives back what it was given, and refuses what was edited."""

import json

import pytest

from tfdistill.tables import Outcome, Scores, read_table
from tfdistill.tables.record import read_record, write_record
from tfdistill.tables.summary import summarize

TABLE = '[rows.alone]\nflags.method = "supervised"\n[rows.dml]\nflags.method = "dml"\nbaseline = "alone"\n'


def finished(row, seed, share):
    scores = Scores(
        networks=("a", "b"),
        last={"a": share, "b": share, "ensemble": share},
        best={"a": share, "b": share, "ensemble": share},
        epochs=2.0,
        step_seconds=0.12345678,
        curve=((1, {"a": 0.123456789, "b": 0.5, "ensemble": 0.5}),),
    )
    flags = {"method": row, "networks": ["resnet8"] * 2, "seed": seed, "run": f"{row}{seed}", "runs_dir": "/here"}
    return Outcome(
        row, seed, f"{row}{seed}", "finished", scores=scores, flags=flags, versions={"keras": "3", "machine": row}
    )


@pytest.fixture
def written(tmp_path):
    (tmp_path / "made.toml").write_text(TABLE)
    runs = [finished("dml", 2, 0.5), finished("dml", 1, 0.51234567), finished("alone", 1, 0.4)]
    runs += [Outcome("alone", 2, "alone2", "missing"), Outcome("dml", 3, "dml3", "failed", problem="no memory")]
    table = read_table(tmp_path / "made.toml")
    summary = summarize(table, runs, head=["Not the paper's budget."])
    write_record(tmp_path / "made.json", summary, runs)
    return tmp_path / "made.json", table, summary, runs


def test_what_is_read_is_what_was_written(written):
    path, table, summary, runs = written
    record = read_record(path)
    assert (record.table, record.head) == ("made", ("Not the paper's budget.",))
    assert [(one.row, one.seed) for one in record.outcomes] == [
        ("alone", 1), ("alone", 2), ("dml", 1), ("dml", 2), ("dml", 3),
    ]  # fmt: skip
    given = {(one.row, one.seed): one for one in runs}
    for one in record.outcomes:
        first = given[one.row, one.seed]
        assert (one.state, one.problem, one.versions, one.settings) == (
            first.state, first.problem, first.versions, first.settings,
        )  # fmt: skip
    assert record.outcomes[0].flags["seed"] == 1 and "runs_dir" not in record.outcomes[0].flags
    assert record.outcomes[2].scores.last["a"] == 0.512346
    assert record.outcomes[2].scores.curve == ((1, {"a": 0.123457, "b": 0.5, "ensemble": 0.5}),)
    assert summarize(table, record.outcomes, record.head) == summarize(table, read_record(path).outcomes, summary.head)
    assert summarize(table, record.outcomes).rows["dml"].mean.last == summary.rows["dml"].mean.last


def test_the_same_runs_give_the_same_bytes_and_a_run_is_a_line(written):
    path, table, summary, _ = written
    first = path.read_text()
    record = read_record(path)
    write_record(path, summarize(table, record.outcomes, summary.head), reversed(record.outcomes))
    assert path.read_text() == first
    assert len([line for line in first.splitlines() if '"state"' in line]) == 5
    assert first.count('"keras"') == 1 and "/here" not in first


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("0.512346", "0.912346", "was edited, or is damaged"),
        ('"seal"', '"sael"', "is no record of a table: it has no seal"),
        ('"format": 1,', '"format": 1', "is damaged: "),
    ],
)
def test_an_edited_record_is_refused_in_a_line(written, before, after, said):
    path = written[0]
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(ValueError) as caught:
        read_record(path)
    assert str(path) in str(caught.value) and said in str(caught.value) and "\n" not in str(caught.value)


def test_formatting_alone_breaks_no_seal(written):
    path = written[0]
    before = read_record(path).outcomes
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert read_record(path).outcomes == before
