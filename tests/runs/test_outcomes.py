"""A run's folder becomes an outcome: scores where they can be counted, else one line that says why not."""

import dataclasses
import json

import pytest

from tfdistill.devices.packages import package_versions
from tfdistill.files import write_json
from tfdistill.runs import checkpoints
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.outcomes import folder_of, outcome_of, trained_steps
from tfdistill.runs.sealing import sealed

ROWS = [
    {"epoch": 1, "step": 10, "images_per_second": None, "val_a/accuracy": 0.5, "val_ensemble/accuracy": 0.4},
    {"epoch": 2, "step": 20, "images_per_second": 100.0},
    {"epoch": 3, "step": 30, "images_per_second": 100.0, "val_a/accuracy": 0.25, "val_ensemble/accuracy": 0.75},
]


@pytest.fixture
def config(tmp_path):
    return RunConfig(run="mine", networks=("resnet8",), epochs=3, export=False, runs_dir=str(tmp_path), seed=7)


def write(config, results=None, ensemble_parameters=None) -> RunFolder:
    """A finished run's folder."""
    folder = folder_of(config)
    folder.path.mkdir()
    folder.write_flags(config, package_versions())
    folder.write_epochs(ROWS)
    found = {
        "step": 30,
        "planned_steps": 30,
        "epochs": 3.0,
        "batch_size": 50,
        "scored_on": "test",
        "networks": [
            {
                "name": "a",
                "parameters": 9,
                "last": {"accuracy": 0.25, "top5": 0.9},
                "best_accuracy": 0.5,
                "best_epoch": 1,
            },
            {
                "name": "ensemble",
                "parameters": ensemble_parameters,
                "last": {"accuracy": 0.75},
                "best_accuracy": 0.75,
                "best_epoch": 3,
            },
        ],
        "training_terms": {"a/loss": 2.0, "a/accuracy": 0.625},
        "images_per_second": 100.0,
        "exports": {},
        "flags": config.to_dict(),
        "versions": package_versions(),
        **(results or {}),
    }
    write_json(folder.results, sealed(found, folder.path))
    return folder


def told(config) -> str:
    outcome = outcome_of("row", 7, config)
    assert outcome.state == "refused" and outcome.scores is None and "\n" not in outcome.problem
    assert str(folder_of(config).path) in outcome.problem
    return outcome.problem


@pytest.mark.parametrize("ensemble_parameters", [None, 12], ids=["a mean of logits", "one that is delivered"])
def test_a_finished_run_has_its_scores_and_no_ensemble_among_its_networks(config, ensemble_parameters):
    write(config, ensemble_parameters=ensemble_parameters)
    outcome = outcome_of("row", 7, config)
    assert (outcome.row, outcome.seed, outcome.run, outcome.state, outcome.problem) == (
        "row",
        7,
        "mine",
        "finished",
        "",
    )
    assert outcome.flags == config.to_dict() and outcome.versions == package_versions()
    scores = outcome.scores
    assert (scores.networks, scores.scored_on, scores.epochs, scores.step_seconds) == (("a",), "test", 3.0, 0.5)
    assert scores.last == {"a": 0.25, "ensemble": 0.75} and scores.best == {"a": 0.5, "ensemble": 0.75}
    assert scores.top5 == {"a": 0.9} and scores.training == {"a": 0.625}
    assert scores.curve == ((1, {"a": 0.5, "ensemble": 0.4}), (3, {"a": 0.25, "ensemble": 0.75}))


def test_a_run_that_has_not_begun_or_not_ended_is_missing(config):
    assert outcome_of("row", 7, config).state == "missing" and not folder_of(config).path.exists()
    folder = write(config)
    folder.results.unlink()
    assert outcome_of("row", 7, config).state == "missing"
    checkpoints.save(folder.checkpoints, 25, {}, {})
    assert outcome_of("row", 7, config).state == "missing"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"batch_size": 64}, "--batch_size=64 (it was 0)"),
        ({"method": "dml", "networks": ("resnet8", "resnet8")}, "--method=dml (it was supervised)"),
        ({"epochs": 2}, "--epochs=2 (it was 3; a run becomes no shorter"),
        ({"evaluate_every": 5}, "--evaluate_every=5 (it was 1)"),
        ({"also": ("kd",), "teacher": ("elsewhere/big",)}, "--teacher=big (it was none)"),
    ],
)
def test_a_run_of_other_flags_is_refused_by_their_names(config, change, words):
    write(config)
    said = told(dataclasses.replace(config, **change))
    assert "flags.json: was trained otherwise: " in said and words in said and "remove the folder" in said


def test_flags_that_change_no_score_may_differ(config):
    write(config)
    other = dataclasses.replace(config, data_dir="elsewhere", checkpoint_seconds=5.0, log_every=1)
    assert outcome_of("row", 7, other).state == "finished"


def test_a_folder_of_images_may_have_moved_and_another_is_other_data(config):
    config = dataclasses.replace(config, dataset="image_folder", image_size=8, data_dir="here/photos")
    write(config)
    assert outcome_of("row", 7, dataclasses.replace(config, data_dir="there/photos")).state == "finished"
    assert "--data_dir=drawings (it was photos)" in told(dataclasses.replace(config, data_dir="here/drawings"))


def test_fewer_or_more_steps_are_other_runs(config):
    folder = write(config, {"step": 20})
    assert outcome_of("row", 7, config).state == "missing"
    assert "is of 20 steps, and not of 15" in told(dataclasses.replace(config, steps=15))
    assert folder.results.exists()


@pytest.mark.parametrize("package", ["tfdistill", "tensorflow", "keras"])
def test_a_run_of_another_version_is_refused(config, package):
    write(config, {"versions": {**package_versions(), package: "0.0.9"}})
    assert f"results.json is from another version: {package} 0.0.9 instead of " in told(config)


def test_what_was_edited_is_refused(config):
    folder = write(config)
    whole = folder.results.read_text()
    folder.results.write_text(whole.replace("0.25", "0.95"))
    assert "results.json was edited after the run wrote it; remove results.json" in told(config)
    values = json.loads(whole)
    del values["seal"]
    write_json(folder.results, values)
    assert "it has no seal" in told(config)
    folder.results.write_text(whole[:100])
    assert "results.json: is damaged" in told(config)
    folder.results.write_text(whole)
    rows = (folder.path / "epochs.csv").read_text()
    (folder.path / "epochs.csv").write_text(rows.replace("0.5", "0.6"))
    assert "epochs.csv was edited after" in told(config)
    (folder.path / "epochs.csv").write_text(rows)
    flags = folder.flags.read_text()
    folder.flags.write_text(flags.replace('"seed": 7', '"seed": 8'))
    assert "--seed=7 (it was 8)" in told(config)
    as_edited = dataclasses.replace(config, seed=8)
    assert "results.json is of other flags: --seed=8 (it was 7)" in told(as_edited)
    folder.flags.unlink()
    assert "flags.json is not there" in told(config)


def test_scores_that_are_no_numbers_are_not_counted(config):
    networks = [
        {"name": "a", "parameters": 9, "last": {"accuracy": float("nan")}, "best_accuracy": 0.5, "best_epoch": 1}
    ]
    write(config, {"networks": networks})
    assert "the accuracy of a is no number, but nan" in told(config)


def test_how_far_a_run_is(config):
    folder = folder_of(config)
    assert trained_steps(folder) == (0, None)
    write(config)
    assert trained_steps(folder) == (30, 10.0)
    checkpoints.save(folder.checkpoints, 34, {}, {})
    assert trained_steps(folder) == (34, 10.0)
