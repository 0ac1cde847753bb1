"""The command `table`: what it refuses, and two rows with two seeds from nothing over a signal to a table."""

import json
import signal

import pytest

from tfdistill.commands import table
from tfdistill.commands.tabling import campaign, children

TABLE = """
title = "Two rows"
source = "A paper, Table 9"
baseline = "alone"
[flags]
dataset = "digits"
networks = "resnet8"
train_examples = 64
batch_size = 32
epochs = 5
check_terms = false
[rows.alone]
flags.method = "supervised"
[rows.smooth]
flags = { method = "supervised", label_smoothing = 0.1 }
[rows.later]
needs = "what is not there"
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made.toml").write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", ["table: none is given", "table.py afd_table3"]),
        ("nowhere.toml", ["table: there is no file 'nowhere.toml'"]),
        ("made.toml --rows=smoth", ["rows: smoth is no row; nearest: smooth"]),
        ("made.toml --baseline=smoth", ["baseline: smoth is no row of made.toml; nearest: smooth"]),
        ("made.toml --seeds=1,1", ["seeds: must be different whole numbers, not 1,1"]),
        ("made.toml --seeds=one", ["seeds: must be a whole number", "one"]),
        ("made.toml --jobs=0", ["jobs: must be a whole number in 1..1,000, not 0"]),
        ("made.toml --epochs=0", ["epochs: must be a whole number in 1..1,000,000, not 0"]),
        ("made.toml --set epohcs=2", ["set: epohcs: is no flag; nearest: epochs"]),
        ("made.toml --set dml.temperature=2", ["made.toml: row alone: dml.temperature: belongs to --method=dml"]),
        ("made.toml --json=absent/a.json", ["json: must be a file in a folder that exists"]),
        ("made.toml few_images --csv=a.csv", ["csv: takes one table, not 2"]),
        ("made.toml --picture=absent/a.png", ["picture: must be a file in a folder that exists"]),
        ("made.toml --picture=a.gif", ["picture: must be a file that ends with .png, .svg or .pdf"]),
        ("few_images --markdown=made.toml", ["made.toml: must have the lines"]),
        ("made.toml --json=made.toml", ["json: made.toml is what the table is read from; name another file"]),
        ("made.toml --csv=a --markdown=./a", ["csv: a is the file of --markdown too"]),
        ("made.toml few_images:dml", ["table: few_images:dml is a row; give the table, and --rows=dml"]),
        ("made.toml --set epochs=2 epohcs=2", ["set: epohcs: is no flag; nearest: epochs"]),
        ("made.toml --rosw=a", ["rosw: is no flag; nearest: rows"]),
    ],
)
def test_bad_input_is_one_line_and_starts_nothing(arguments, words, made, capsys):
    with pytest.raises(SystemExit) as ended:
        table.main(arguments.split())
    output, error = capsys.readouterr()
    assert ended.value.code == 2 and output == "" and error.count("\n") == 1
    assert error.startswith("table.py: error: ") and all(word in error for word in words), error
    assert [one.name for one in made.iterdir()] == ["made.toml"]


def test_without_training_cells_are_missing_and_what_is_not_built_is_said(made, capsys):
    assert table.main(["made.toml", "--notrain", "--epochs=1"]) == 0
    output = capsys.readouterr().out
    assert "epochs: 1 instead of 5" in output and "what is not there" in output
    assert not (made / "runs").exists()


def test_a_table_from_nothing_over_a_signal_to_its_end(made, monkeypatch, capsys):
    """Four runs of two steps in real processes; the signal comes when the first of them is finished."""
    command = ["made.toml", "--seeds=1,2", "--epochs=1", "--set", "log_every=1", "--json=out.json"]
    runs = [made / "runs" / f"made-{row}-epochs1-seed{seed}" for seed in (1, 2) for row in ("alone", "smooth")]
    started, real = [], children.start

    def start(one, slot, jobs):
        if len(started) == 1:  # the second is on its way when the signal comes
            child = real(one, slot, jobs)
            signal.raise_signal(signal.SIGTERM)
        else:
            child = real(one, slot, jobs)
        started.append(one.name)
        return child

    monkeypatch.setattr(
        campaign.Campaign.__init__, "__defaults__", (start, *campaign.Campaign.__init__.__defaults__[1:])
    )
    assert table.main(command) == 143
    said = capsys.readouterr()
    assert "stopped by SIGTERM while it trained; 1 of 4 runs were finished; the same command goes on" in said.err
    assert started == [one.name for one in runs[:2]] and (runs[0] / "results.json").is_file()
    assert not (runs[1] / "results.json").exists() and not (made / "out.json").exists()

    assert table.main(command) == 0
    assert started == [*(one.name for one in runs[:2]), *(one.name for one in runs[1:])]
    assert all((one / "results.json").is_file() and one.with_name(f"{one.name}.log").is_file() for one in runs)
    assert not list(made.glob("saved_models"))
    first = json.loads((made / "out.json").read_text())

    capsys.readouterr()
    assert table.main(command) == 0 and len(started) == 5, "nothing is trained twice"
    assert json.loads((made / "out.json").read_text()) == first
    assert "epochs: 1 instead of 5" in capsys.readouterr().out

    elsewhere = [*command, "--runs_dir=elsewhere"]
    assert table.main(elsewhere) == 0 and len(started) == 5, "the record has every run"
    assert "out.json: 4 finished runs are taken from it" in capsys.readouterr().out
    assert json.loads((made / "out.json").read_text()) == first and not (made / "elsewhere").exists()

    results = runs[0] / "results.json"
    results.write_text(results.read_text().replace('"step": 2', '"step": 2 '))
    assert table.main(command) == 0, "spaces are no edit"
    epochs = runs[0] / "epochs.csv"
    epochs.write_text(epochs.read_text().replace("2", "3"))
    assert table.main(command) == 1
    error = capsys.readouterr().err
    assert (
        error.count("\n") == 1 and "alone seed 1: not counted: runs/made-alone-epochs1-seed1: epochs.csv was" in error
    )
