"""What a training says before its first step."""

from types import SimpleNamespace

import numpy as np
import pytest

from tfdistill.commands import start_message, train, training
from tfdistill.methods import Distillation
from tfdistill.transfers import CRD


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 1, 2] * 1000, "1,000 of each class"),
        ([0, 1, 1, 2, 2, 2], "1 of class cat to 3 of class fox"),
        ([0, 0, 1], "0 of class fox to 2 of class cat"),
    ],
)
def test_classes_are_counted(labels, said):
    assert start_message.class_sizes(np.array(labels), ("cat", "dog", "fox")) == said


@pytest.mark.parametrize(("count", "said"), [(1, "0"), (5, "0, 1, 2, 3, 4"), (6, "0, 1, 2, 3, 2 others")])
def test_of_many_names_the_last_are_counted(count, said):
    assert start_message.listed(map(str, range(count))) == said


@pytest.mark.parametrize(
    ("device", "precision", "said"),
    [
        (
            "this processor",
            "float32",
            "big 2,000 weights, which nothing moves; this processor has bfloat16 instructions: "
            "--teacher_precision=bfloat16 asks them faster",
        ),
        ("this GPU", "bfloat16", "big 2,000 weights, which nothing moves; maps of big in bfloat16"),
        (
            "",
            "bfloat16",
            "big 2,000 weights, which nothing moves; maps of big in bfloat16, for which no device here has "
            "instructions",
        ),
        ("", "float32", "big 2,000 weights, which nothing moves"),
    ],
)
def test_where_the_device_would_ask_teachers_faster_it_is_said(monkeypatch, device, precision, said):
    monkeypatch.setattr(start_message, "device_with_bfloat16", lambda: device)
    monkeypatch.setattr(start_message, "can_lower", lambda model: True)
    monkeypatch.setattr(start_message, "described_images", lambda model: "")

    class Teachers(list):
        lowered = ("big",) if precision != "float32" else ()

    teachers = Teachers([SimpleNamespace(name="big", count_params=lambda: 2000)])
    run = SimpleNamespace(
        distiller=SimpleNamespace(teachers=teachers),
        config=SimpleNamespace(teacher_precision=precision),
        taps_ahead={},
    )
    assert start_message._teachers(run) == said
    run.taps_ahead = {"big": ("logits",)}
    assert start_message._teachers(run) == f"{said}; asked about the next batch meanwhile"
    run.taps_ahead = {}
    monkeypatch.setattr(start_message, "can_lower", lambda model: False)
    assert "faster" not in start_message._teachers(run)


def test_what_a_transfer_remembers_is_named_with_its_size(tiny_network):
    """Two memories of 128 float32 numbers for each of 50,000 examples."""
    student, teacher = tiny_network("student", seed=1), tiny_network("teacher", seed=2)
    helpers = list(Distillation(student, teacher, [CRD(examples=np.arange(50_000) % 10)]).helpers.values())
    said = start_message._helpers(helpers)
    assert ", student_from_teacher_crd_bank: " in said
    assert said.endswith(" for the training alone; memories of 51.2 MB on each replica and in checkpoints")
    assert "memories" not in start_message._helpers(helpers[:2])


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """What the command prints before it would train, at the step that it would begin with."""

    def said(step: int = 0, is_chief: bool = True) -> list[str]:
        def stop(run):
            run.distiller.steps_trained = step
            run.workers = SimpleNamespace(is_chief=is_chief, count=1)
            training.announce(run)
            return 0

        monkeypatch.setattr(training, "_train", stop)
        arguments = (
            "--method=afd --networks=resnet8,resnet14 --batch_size=64 --epochs=2 --steps=30 --noexport --run=one"
        )
        more = ["--validation_share=0.1", "--strategy=one", f"--runs_dir={tmp_path}"]
        assert train.main([*arguments.split(), *more]) == 0
        return capsys.readouterr().out.splitlines()

    return said


def test_the_message_says_what_is_trained_on_what_how_and_where(said, tmp_path):
    lines = said(step=25)
    rows = {line[:12].strip(): line[12:] for line in lines if line[:1].strip()}
    assert (
        len(lines) <= 16
        and rows["method"] == "afd"
        and all(len(line) <= 120 for line in lines if str(tmp_path) not in line)
    )
    assert rows["data"].startswith("digits: 10 classes, images of 8×8×1; train 1,293: 12")
    assert rows["data"].endswith("; validation 144, test 360")
    assert rows["networks"] == "resnet8 77,754, resnet14 174,970 parameters"
    assert rows["helpers"].startswith("resnet8_discriminator, resnet14_discriminator: ")
    rules = [line[12:].split(",")[0] for line in lines if "rate" in line]
    assert rules == ["SGD", "Adam", "Adam"] and "momentum 0.9" in rows["optimizer"]
    assert rows["optimizer"].endswith(": resnet8, resnet14")
    assert rows["length"] == "2 epochs of 20 steps in batches of 64, stopped at step 30 by --steps; 25 steps are done"
    assert rows["computed"].endswith("float32, seed 1") and rows["exports"] == "none"
    assert rows["run"].startswith(str(tmp_path / "one")) and rows["watch"].endswith(f"{tmp_path / 'one' / 'logs'}")
    assert said(step=25, is_chief=False) == said(step=30) == [], "a run at its end has nothing to begin"
