"""Runs that learn boxes, through the commands: trained, taught, cut off, scored class by class, and refused."""

import functools
import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from tfdistill.commands import evaluate, train
from tfdistill.data import sets
from tfdistill.runs import checkpoints
from tfdistill.runs.config import RunConfig
from tfdistill.tasks import Detection

SCENES = ("--dataset=digit_scenes", "--networks=ssd96_resnet8")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    root = tmp_path_factory.mktemp("detection")

    def run(name, *more):
        given = [
            "--batch_size=4",
            "--epochs=2",
            "--learning_rate=0.01",
            "--checkpoint_seconds=0",
            "--noexport",
            f"--runs_dir={root}",
        ]
        try:
            return train.main([*given, f"--run={name}", *SCENES, *more])
        except SystemExit as ended:
            return int(str(ended.code))

    few = functools.partial(sets.load_digit_scenes, 8, 6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sets, "load_digit_scenes", few)
        run.runs = root
        assert run("big", "--task=detection") == 0
        yield run


def test_what_is_known_of_each_class_is_the_score(command, tmp_path, capsys):
    folder = command.runs / "big"
    results, classes = (json.loads((folder / f"{name}.json").read_text()) for name in ("results", "classes"))
    last = results["networks"][0]["last"]
    assert set(last) == set(Detection.metric_names)
    found = classes["networks"]["ssd96_resnet8"]
    counts = [found["objects"][str(digit)] for digit in range(10)]
    labels = sets.load_digit_scenes().test.labels[..., 4]
    np.testing.assert_array_equal(counts, [np.sum(labels == digit) for digit in range(10)])
    scores = [one for one in found["average_precision"].values() if one is not None]
    assert len(scores) == np.count_nonzero(counts)
    assert np.mean(scores) == pytest.approx(last["mean_average_precision"], abs=1e-6)
    assert set(results["worst_classes"]["ssd96_resnet8"]) <= set(map(str, range(10)))

    assert evaluate.main(["--run=big", f"--runs_dir={command.runs}", f"--json={tmp_path / 'scores.json'}"]) == 0
    shown = capsys.readouterr().out
    assert "mAP (11-point)" in shown and "AP (COCO)" in shown and "classes of ssd96_resnet8, worst first" in shown
    scored = json.loads((tmp_path / "scores.json").read_text())
    assert scored["classes"]["ssd96_resnet8"] == found
    for name, value in last.items():
        assert scored["scores"]["ssd96_resnet8"][name] == pytest.approx(value, rel=1e-5, abs=1e-5)


def test_a_detector_teaches_another_cut_off_or_not(command, capsys):
    taught = ("--method=at", f"--teacher={command.runs / 'big'}")
    assert command("whole", *taught) == 0
    assert "teacher ssd96_resnet8_teacher: test mean_average_precision" in capsys.readouterr().out
    assert command("cut", *taught, "--steps=3") == 0
    assert command("cut", *taught) == 0
    whole, cut = (checkpoints.newest(command.runs / name / "checkpoints").arrays for name in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, cut[name], err_msg=name)
    for name, steps in {"whole": [2, 4], "cut": [2, 3, 4]}.items():
        events = EventAccumulator(str(command.runs / name / "logs" / "evaluation"), {TENSORS: 0}).Reload()
        assert [point.step for point in events.Tensors("ssd96_resnet8/detections")] == steps


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"networks": ("resnet8",)},
            r"^networks: resnet8 is for classification, and digit_scenes for detection; give a d",
        ),
        (
            {"dataset": "digits"},
            r"^networks: ssd96_resnet8 is for detection, and digits for classification; give a class",
        ),
        ({"task": "classification"}, r"^task: digit_scenes is for detection; data sets for classification: cifar10 "),
        ({"task": "segmentation"}, r"^task: 'segmentation' is none of classification, detection"),
        ({"networks": ("mine.keras",)}, r"^networks: mine.keras is for classification, and digit_scenes for detection"),
    ],
)
def test_task_data_and_networks_belong_together(given, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(**{"dataset": "digit_scenes", "networks": ("ssd96_resnet8",), **given})


def test_several_detectors_are_no_teacher_together(command, capsys):
    two = f"--teacher={command.runs / 'big'}+{command.runs / 'big'}"
    assert command("joined", "--method=at", two) != 0
    assert "is for detection, where several make no teacher together; give one" in capsys.readouterr().err


def test_a_detector_takes_no_class_for_another(command, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["--run=big", f"--runs_dir={command.runs}", "--confusion=matrix.csv"])
    assert "confusion: detection takes no class for another; leave it out" in capsys.readouterr().err
