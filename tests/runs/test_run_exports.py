"""The exports of a run: what refuses them at the start, and what one failure leaves of the others."""

import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from tfdistill.commands import command_line, train, training
from tfdistill.commands import export as export_run
from tfdistill.data import Augmentation, Dataset, Normalization, Split
from tfdistill.runs import run_exports
from tfdistill.runs.best_epoch import ExportedEpoch
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder

SPLIT = Split.in_memory(np.zeros((4, 8, 8, 3), np.uint8), np.arange(4))
AS_IT_IS = (Normalization((0.5,), (0.25,)), Augmentation(0, "zero", False))
DATASET = Dataset("made_up", (8, 8, 3), ("a", "b", "c", "d"), SPLIT, SPLIT, *AS_IT_IS)


def version(folder: Path, name: str, card: str) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "model_card.json").write_text(card)
    return folder / name


def test_an_export_is_found_by_its_step_and_training(tmp_path):
    config = RunConfig(run="mine", batch_size=32)
    for number, step, flags in [
        (1, 10, config.to_dict()),
        (2, 20, config.to_dict()),
        (9, 10, dataclasses.replace(config, steps=10).to_dict()),
        (10, 10, dataclasses.replace(config, batch_size=8).to_dict()),
    ]:
        version(tmp_path, str(number), json.dumps({"step": step, "flags": flags}))
    assert run_exports.exported_at(tmp_path, 20, config) == tmp_path / "2"
    assert run_exports.exported_at(tmp_path, 10, config) == tmp_path / "9", "the newest; 10 is another training's"
    assert run_exports.exported_at(tmp_path, 30, config) is None
    marking = dataclasses.replace(config, export_bad_images="mark")
    assert run_exports.exported_at(tmp_path, 20, marking) is None, "all of these fail for a bad image"
    card = {"step": 20, "flags": config.to_dict(), "reading": {"bad_images": "mark"}}
    version(tmp_path, "11", json.dumps(card))
    assert run_exports.exported_at(tmp_path, 20, marking) == tmp_path / "11"
    assert run_exports.exported_at(tmp_path, 20, config) is None, "the newest is what is served"
    assert run_exports.exported_at(tmp_path / "absent", 10, config) is None


@pytest.mark.parametrize("card", ["{", "[]", '{"step": 10, "flags": {}}', '{"step": 10, "flags": 3}', "\udce9"])
def test_stray_folders_and_damaged_cards_are_no_export_and_no_error(tmp_path, card, caplog):
    config = RunConfig(run="mine")
    whole = version(tmp_path, "1", json.dumps({"step": 10, "flags": config.to_dict()}))
    version(tmp_path, "2", "").joinpath("model_card.json").write_bytes(card.encode("utf-8", "surrogateescape"))
    version(tmp_path, "3-backup", "{}")
    version(tmp_path, "1_000", "{}")
    (tmp_path / "4").touch()
    assert run_exports.exported_at(tmp_path, 10, config) == whole
    (warning,) = [record.getMessage() for record in caplog.records]
    assert str(tmp_path / "2" / "model_card.json") in warning


def lying_under_a_file(folder: Path) -> None:
    folder.parent.mkdir()
    folder.touch()


def a_file_for_a_network(folder: Path) -> None:
    (folder / "mine").mkdir(parents=True)
    (folder / "mine" / "first").touch()


def a_folder_for_the_list(folder: Path) -> None:
    (folder / "mine" / "models.config").mkdir(parents=True)


def the_last_number(folder: Path) -> None:
    (folder / "mine" / "first" / str(2**63 - 1)).mkdir(parents=True)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (lying_under_a_file, "out is a file"),
        (a_file_for_a_network, "mine/first is a file"),
        (a_folder_for_the_list, "models.config is where"),
        (the_last_number, "leaves no number"),
    ],
)
def test_a_folder_that_no_export_could_go_to_is_refused_at_the_start(tiny_network, tmp_path, before, words):
    folder = tmp_path / "deep" / "out"
    before(folder)
    there = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=rf"^export_dir: .*{words}") as raised:
        check(tiny_network, folder)
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.rglob("*")) == there


def check(tiny_network, folder, name="first", class_names=DATASET.class_names) -> None:
    config = RunConfig(run="mine", export_dir=str(folder))
    dataset = dataclasses.replace(DATASET, class_names=class_names)
    run_exports.check_exports({name: tiny_network(name, seed=1)}, RunData(config, dataset))


@pytest.mark.parametrize(
    "folder", ["", " ", "gs://bucket/models", "two\nlines", "caf\udce9", "/proc/nowhere", "a" * 300]
)
def test_paths_that_cannot_be_written_are_refused(tiny_network, tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^export_dir: ") as raised:
        check(tiny_network, folder)
    assert str(raised.value).isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["two\nlines", "  ", "tab\tin", "nul\0", "bell\a", "caf\udce9", "next\x85line", "\u2028"]
)
def test_class_names_that_the_labels_file_cannot_hold_are_refused(tiny_network, tmp_path, name):
    with pytest.raises(ValueError, match=r"^export: class_names must each be one line") as raised:
        check(tiny_network, tmp_path / "out", class_names=("a", "b", "c", name))
    assert str(raised.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_a_network_name_that_no_server_takes_is_refused(tiny_network, tmp_path):
    for name, words in (("ümlaut", "a model's name"), ("12", "its version is added"), ("n" * 256, "too long")):
        with pytest.raises(ValueError, match=f"^export_dir: folder.*{words}"):
            check(tiny_network, tmp_path / "out", name)
    assert list(tmp_path.iterdir()) == []
    check(tiny_network, tmp_path / "out", class_names=("Übergang", "a/b", "犬", "a b"))
    assert list(tmp_path.iterdir()) == [], "a check that passes leaves no trace either"


def export_all(networks, tmp_path, **changes) -> run_exports.Exports:
    config = RunConfig(run="mine", export_dir=str(tmp_path / "out"), runs_dir=str(tmp_path / "my runs"))
    return run_exports.export_all(
        networks, RunData(config, DATASET), **{"rows": [], "exported": ExportedEpoch("last", 1, 10), **changes}
    )


def test_one_failure_keeps_no_other_network_from_being_exported(tmp_path, tiny_network, monkeypatch):
    def export_network(network, folder, **arguments):
        if network.name == "second":
            raise run_exports.export.ExportError("version 1 of second failed: no space")
        if network.name == "third":
            raise RuntimeError("surprise\nwith a stack")
        version(folder, "1", "{}").joinpath("saved_model.pb").touch()
        return folder / "1"

    monkeypatch.setattr(run_exports.export, "export_network", export_network)
    networks = {name: tiny_network(name, seed=1) for name in ("second", "third", "fourth")}
    found = export_all(networks, tmp_path)
    assert found.paths == {"fourth": tmp_path / "out" / "mine" / "fourth" / "1"}
    assert found.failures == {"second": "version 1 of second failed: no space", "third": "RuntimeError: surprise"}
    first, last = found.messages()
    assert first == "second is not exported: version 1 of second failed: no space"
    command = shlex.split(last.partition("; once that is mended: ")[2])
    assert command == ["python", "launch/export.py", "--run=mine", f"--runs_dir={tmp_path / 'my runs'}"]
    values = export_run.export_flags()
    command_line.parse(values, command[2:])
    assert (values.run, values.runs_dir) == ("mine", str(tmp_path / "my runs"))
    assert '"/models/fourth"' in (tmp_path / "out" / "mine" / "models.config").read_text()


def test_scores_that_json_cannot_hold_are_no_reason_to_fail(tmp_path, tiny_network, monkeypatch):
    cards = []
    monkeypatch.setattr(
        run_exports.export, "export_network", lambda network, folder, **given: cards.append(given["card"]) or folder
    )
    row = {"epoch": 1, "val_first/accuracy": 0.5, "val_first/cross_entropy": float("inf")}
    export_all({"first": tiny_network("first", seed=1)}, tmp_path, rows=[row])
    assert cards[0]["accuracy"]["last"] == {"accuracy": 0.5, "cross_entropy": None}
    json.dumps(cards[0], allow_nan=False)


ARGUMENTS = ("--networks=resnet8,resnet8", "--train_examples=64", "--batch_size=32", "--epochs=1", "--strategy=one")


def test_a_failed_export_leaves_the_results_and_says_how_to_export_later(tmp_path, monkeypatch, capsys):
    def export_network(network, folder, **arguments):
        if network.name == "resnet8_1":
            raise run_exports.export.ExportError("version 1 of resnet8_1 failed: no space")
        return folder / "1"

    monkeypatch.setattr(run_exports.export, "export_network", export_network)
    monkeypatch.setattr(training.Run, "train", lambda run: None)
    given = [*ARGUMENTS, "--run=robbed", f"--runs_dir={tmp_path / 'my runs'}", f"--export_dir={tmp_path / 'out'}"]
    assert train.main([*given, "--nocheck_terms"]) == 1
    output, errors = capsys.readouterr()
    found = json.loads((tmp_path / "my runs" / "robbed" / "results.json").read_text())
    assert found["exports"] == {"resnet8_2": str(tmp_path / "out" / "robbed" / "resnet8_2" / "1")}
    assert "results.json" in output and "launch/predict.py" in output
    assert errors == (
        "train.py: error: resnet8_1 is not exported: version 1 of resnet8_1 failed: no space; once that is mended: "
        f"python launch/export.py --run=robbed '--runs_dir={tmp_path / 'my runs'}'\n"
    )


def test_a_run_whose_export_must_fail_does_not_begin(tmp_path, capsys):
    (tmp_path / "out").touch()
    given = [*ARGUMENTS, f"--runs_dir={tmp_path / 'runs'}", f"--export_dir={tmp_path / 'out'}"]
    with pytest.raises(SystemExit) as ended:
        train.main(given)
    errors = capsys.readouterr().err
    assert ended.value.code == 2 and errors.count("\n") == 1
    assert errors.startswith(f"train.py: error: export_dir: folder must be a directory or not exist yet; {tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    config = command_line.run_flags()
    command_line.parse(config, [*given, "--noexport"])
    run = training.Run(command_line.run_config(config), RunFolder(tmp_path / "runs"))
    assert not run.config.export, "who does not export is not asked where to"
