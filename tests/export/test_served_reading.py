"""Photographs that are not square: `evaluate.py` and `predict.py` tell the same of an export, and tell it right."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from tfdistill import data
from tfdistill.commands import evaluate, evaluating
from tfdistill.export import exporter, verify
from tfdistill.export.encoded import read_batch, refuse_bad
from tfdistill.runs import run_exports
from tfdistill.runs.best_epoch import ExportedEpoch
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.standalone import exported as alone

SIZE, SIDES = 16, ("disc", "ellipse")


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """Images three times as wide as high: a disc, or an ellipse that looks like one when they are squeezed to a square.

    Every second one lies on its side, and says so.
    """
    root = tmp_path_factory.mktemp("wide")
    lying = Image.Exif()
    lying[0x0112] = 6
    for part in ("train", "test"):
        for name, stretch in zip(SIDES, (1, 3), strict=True):
            (root / part / name).mkdir(parents=True)
            for number, radius in enumerate((15, 17, 18, 19)):
                image = Image.new("RGB", (144, 48), (20, 20, 20))
                box = (72 - stretch * radius, 24 - radius, 72 + stretch * radius, 24 + radius)
                ImageDraw.Draw(image).ellipse(box, fill=(230, 230, 60))
                turned = image.transpose(Image.Transpose.ROTATE_90) if number % 2 else image
                exif = {"exif": lying} if number % 2 else {}
                turned.save(root / part / name / f"{number}.jpg", quality=95, **exif)
    return root


def network() -> keras.Model:
    """Looks at the middle of the left and right edges: bright in the centre of an ellipse, dark beside a disc."""
    images = keras.Input((SIZE, SIZE, 3))
    logits = keras.layers.Dense(2)
    model = keras.Model(images, {"logits": logits(keras.layers.Flatten()(images))}, name="edges")
    seen = np.zeros((SIZE, SIZE, 3), np.float32)
    seen[6:10, [0, -1]] = 1 / 24
    logits.set_weights([np.stack([-seen.ravel(), seen.ravel()], axis=1), np.float32([0.4, -0.4])])
    return model


@pytest.fixture(scope="module")
def cropped(wide) -> data.Dataset:
    return data.load("image_folder", data_dir=wide, image_size=SIZE, reading="crop")


@pytest.fixture(scope="module")
def exported(wide, cropped, tmp_path_factory) -> Path:
    """The network as a run that crops exports it; other tests prove exports in a fresh process."""
    given = {"dataset": "image_folder", "data_dir": str(wide), "image_size": SIZE, "reading": "crop"}
    config = RunConfig(run="wide", normalization="none", export_bad_images="mark", **given)
    proofs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporter, "verify", lambda *_, **asked: proofs.append(asked) or {})
        root = tmp_path_factory.mktemp("exports")
        config = dataclasses.replace(config, export_dir=str(root))
        found = run_exports.export_all(
            {"edges": network()}, RunData(config, cropped), rows=[], exported=ExportedEpoch("last", None, 1)
        )
    assert not found.failures
    (proof,) = proofs
    assert proof["reading"] == cropped.test.reading and len(proof["samples"]) == 4, "with files of the run's own"
    return found.paths["edges"]


def predicted(predict, version: Path, files: Path, capsys) -> dict[str, str]:
    """The class that predict.py prints of each file."""
    capsys.readouterr()
    assert predict.main([str(version), str(files)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if " with probability " in line]
    return {line.split(": ")[0]: line.split(": ")[1].split(" with ")[0] for line in lines}


def test_evaluate_and_predict_are_right_of_every_file(predict, exported, wide, tmp_path, capsys):
    told = predicted(predict, exported, wide / "test", capsys)
    assert len(told) == 8 and all(Path(file).parent.name == name for file, name in told.items())
    card = exported / "model_card.json"
    without = json.loads(card.read_text())
    without["flags"]["reading"] = "auto"  # what counts is the record of the export itself
    card.write_text(json.dumps(without))
    scores = tmp_path / "scores.json"
    assert evaluate.main([f"--saved_model={exported}", f"--json={scores}", "--batch_size=3"]) == 0
    assert json.loads(scores.read_text())["scores"]["edges"]["accuracy"] == 1.0


def test_predict_says_in_the_exports_words_what_is_wrong_with_a_file(wide, cropped):
    class Served(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")])
        def answer(self, encoded):
            _, valid = read_batch(encoded, cropped.image_shape, cropped.test.reading)
            with tf.control_dependencies([refuse_bad(encoded, valid, cropped.test.reading)]):
                return {"valid": tf.identity(valid)}

    cut = next((wide / "test").rglob("*.jpg")).read_bytes()[:700]
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        Served().answer(tf.constant([cut]))
    said = "the network cannot read it: it is damaged or of a kind that is not decoded"
    assert alone.reason(raised.value) == said
    # A loaded export has no stack traces, and says so in a line before its own.
    message = raised.value.message
    loaded = (
        "Graph execution error:\n\nDetected at node x:\n<stack traces unavailable>\n"
        + message[message.index("asser") :]
    )
    assert alone.reason(tf.errors.InvalidArgumentError(None, None, loaded)) == said


def test_squeezed_images_would_be_told_wrong(wide):
    files = [path.read_bytes() for path in sorted((wide / "test").rglob("*.jpg"))]
    squeezed = verify.evaluated_images(files, (SIZE, SIZE, 3), data.Reading("resize"))
    classes = network()(squeezed / 255)["logits"].numpy().argmax(axis=1)
    assert classes.tolist() == [0] * 8


def test_the_card_says_how_images_are_read(exported):
    card = json.loads((exported / "model_card.json").read_text())
    assert card["reading"]["style"] == "crop" and "in the centre cut out" in card["reading"]["words"]
    assert card["reading"]["bad_images"] == "mark"
    assert set(card["signatures"]["encoded_images"]["outputs"]) == {"logits", "probabilities", "classes", "valid"}
    assert all(one["shape"][0] is None for one in card["signatures"]["encoded_images"]["outputs"].values())


def test_an_older_export_says_nothing_and_is_scored_as_its_flags_say():
    assert evaluating.recorded_reading({"flags": {"reading": "crop"}}) is None
    record = {"style": "crop", "margin": 1.5, "max_pixels": 7, "bad_images": "fail", "words": "..."}
    assert evaluating.recorded_reading({"reading": record}) == data.Reading("crop", margin=1.5, max_pixels=7)
    for damaged in ({"style": "crop"}, {**record, "style": "squeeze"}, {**record, "margin": None}, "crop"):
        with pytest.raises(ValueError, match=r"the reading in model_card.json is damaged"):
            evaluating.recorded_reading({"reading": damaged})


def test_a_run_serves_as_it_is_scored(wide, cropped):
    config = RunConfig(dataset="image_folder", data_dir=str(wide), image_size=SIZE, max_pixels=9999)
    assert run_exports.served_reading(RunData(config, cropped)) == cropped.test.reading
    squeezed = dataclasses.replace(
        cropped, test=data.Split.in_memory(np.zeros((8, SIZE, SIZE, 3), np.uint8), np.arange(8))
    )
    assert run_exports.served_reading(RunData(config, squeezed)) == data.Reading("resize", max_pixels=9999)
    files = run_exports.own_files(RunData(config, squeezed))
    assert len(files) == 4 and {path.read_bytes() for path in wide.rglob("*.jpg")}.issuperset(files)
    assert run_exports.own_files(RunData(RunConfig(), squeezed)) == []
    annotated = RunConfig(dataset="coco_json", data_dir=str(wide / "test"), image_size=96, networks=("ssd96_resnet8",))
    found = run_exports.own_files(RunData(annotated, squeezed))
    assert len(found) == 4 and {path.read_bytes() for path in (wide / "test").rglob("*.jpg")}.issuperset(found)
