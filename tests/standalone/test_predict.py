"""The command `predict`: files and folders, good and bad ones, with a SavedModel that needs no training."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill import data
from tfdistill.data.sets import image_files
from tfdistill.data.transforms import other_formats
from tfdistill.standalone import answers, asking, exported, reports
from tfdistill.standalone import image_files as alone_files

NAMES = ("red", "green", "blue")


class Model(tf.Module):
    """Tells which of three colours is the strongest, as exports answer, for batches up to `largest`."""

    def __init__(self, labels: Path, largest: int) -> None:
        super().__init__()
        self.labels = tf.saved_model.Asset(str(labels))
        self.images = tf.function(self.answer, input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32, "images")])
        spec = tf.TensorSpec([None], tf.string, "encoded")
        self.encoded = tf.function(self.answer_files, input_signature=[spec], autograph=False)
        self.largest = largest

    def answer(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.reduce_mean(images, axis=(1, 2))
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def answer_files(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(content: tf.Tensor) -> tf.Tensor:
            return tf.image.resize(tf.io.decode_image(content, 3, expand_animations=False), (4, 4))

        few = tf.debugging.Assert(tf.shape(encoded)[0] <= self.largest, ["too many at a time"])
        with tf.control_dependencies([few]):
            return self.answer(tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec([4, 4, 3], tf.float32)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("export")
    (root / "labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    model = Model(root / "labels.txt", largest=3)
    signatures = {"serving_default": model.images, "encoded_images": model.encoded}
    tf.saved_model.save(model, str(root / "network" / "1"), signatures=signatures)
    return root / "network"


def image(name: str, format: str, height: int = 6, width: int = 5, **options) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., NAMES.index(name)] = 200
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, format, **options)
    return written.getvalue()


@pytest.fixture
def photos(tmp_path) -> Path:
    """Images of many formats in a folder and its sub-folders, with all that may lie among them."""
    folder = tmp_path / "photos"
    (folder / "deep" / "er").mkdir(parents=True)
    files = {
        "a.png": image("red", "png"),
        "b.JPG": image("green", "jpeg"),
        "deep/c.gif": image("blue", "gif"),
        "deep/d.bmp": image("red", "bmp"),
        "deep/er/e.tiff": image("green", "tiff"),
        "deep/er/f.webp": image("blue", "webp", lossless=True),
        "g.jfif": image("red", "jpeg"),
        "notes.txt": b"no image",
        ".hidden.png": b"",
        "bad.jpg": image("red", "jpeg")[:100],
        "empty.png": b"",
        "text.png": b"hello",
        "two\nlines.png": image("green", "png"),
        "large.png": image("red", "png", 60, 50),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "caf\udce9.png").write_bytes(image("blue", "png"))
    return folder


def run(predict, capsys, *arguments) -> tuple[int, dict[str, str], list[str]]:
    """The status, the class by name of each file, and what stands on standard error."""
    status = predict.main([str(one) for one in arguments])
    output, errors = capsys.readouterr()
    assert "Traceback" not in output + errors
    rows = [line.strip().rpartition(": ") for line in output.splitlines() if " with probability " in line]
    return status, {Path(name).name: said.split(" with ")[0] for name, _, said in rows}, errors.splitlines()


GOOD = {
    "a.png": "red",
    "b.JPG": "green",
    "c.gif": "blue",
    "d.bmp": "red",
    "e.tiff": "green",
    "f.webp": "blue",
    "g.jfif": "red",
    "two\\nlines.png": "green",
    "caf\\xe9.png": "blue",
}


def test_folders_are_searched_and_bad_files_named_without_costing_the_good_ones(predict, saved, photos, capsys):
    missing = photos / "missing.jpg"
    arguments = (saved, photos, missing, "--batch_size=3", "--max_pixels=2000")
    status, found, errors = run(predict, capsys, *arguments)
    assert status == 1 and found == GOOD
    named = {line.split(": ")[1].rpartition("/")[2]: line for line in errors[:-1]}
    assert set(named) == {"bad.jpg", "empty.png", "text.png", "large.png", "missing.jpg"}
    assert "60 x 50 pixels are more than --max_pixels=2000" in named["large.png"]
    assert "there is no such file" in named["missing.jpg"] and "it is no image" in named["text.png"]
    assert errors[-1] == "predict.py: 1 file(s) without an image's extension are passed over"


def test_good_files_alone_end_with_status_0_whatever_the_batch_size(predict, saved, photos, capsys):
    for size in (1, 2, 50):  # the model refuses more than three at a time: one by one then
        assert run(predict, capsys, saved, photos / "deep", photos / "a.png", f"--batch_size={size}")[:2] == (
            0,
            {name: GOOD[name] for name in ("c.gif", "d.bmp", "e.tiff", "f.webp", "a.png")},
        )


def test_a_folder_is_searched_for_all_that_a_training_takes():
    """The script stands alone, so what it has in common with the package is said twice."""
    assert set(image_files.EXTENSIONS) <= set(alone_files.EXTENSIONS)
    assert alone_files.FORMATS == other_formats.FORMATS and exported.MAX_PIXELS == data.MAX_PIXELS


def test_what_is_said_goes_into_a_json_file_too(predict, saved, photos, capsys, tmp_path):
    told = tmp_path / "told.json"
    assert run(predict, capsys, saved, photos / "deep", photos / "empty.png", f"--json={told}")[0] == 1
    said = json.loads(told.read_text())
    assert said["saved_model"] == str(saved / "1")
    assert [(Path(one["file"]).name, one["class"]) for one in said["images"]] == [
        (name, GOOD[name]) for name in ("c.gif", "d.bmp", "e.tiff", "f.webp")
    ]
    assert all(0.9 < one["probability"] <= 1 for one in said["images"])
    (failure,) = said["failures"]
    assert failure["file"] == str(photos / "empty.png") and failure["reason"] == "Pillow cannot read it: it is no image"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["told.json"]


def test_without_pillow_other_formats_are_named_with_the_remedy(predict, saved, photos, capsys, monkeypatch):
    monkeypatch.setattr(alone_files, "Image", None)
    status, found, errors = run(predict, capsys, saved, photos / "deep")
    assert status == 1 and found.keys() >= {"c.gif", "d.bmp"} and "e.tiff" not in found
    assert any("e.tiff" in line and "pip install Pillow" in line for line in errors)


def test_an_export_that_marks_its_bad_images_is_asked_once(monkeypatch, capsys, tmp_path, photos):
    asked = []

    def signature(encoded):
        asked.append(len(encoded))
        valid = [content.startswith(b"\x89PNG") and len(content) > 10 for content in encoded.numpy()]
        rows = np.where(np.array(valid)[:, None], [[0.1, 0.7, 0.2]], 0.0)
        return {"probabilities": tf.constant(rows), "valid": tf.constant(valid)}

    network = exported.Network(tmp_path, None, answers.OneClass(NAMES), 0)
    monkeypatch.setattr(exported.Network, "signature", lambda *_: signature)
    contents = [image("red", "png"), b"\x89PNG", image("red", "png")]
    first, second, third = exported.rows_of(network, contents)
    assert asked == [3] and isinstance(second, alone_files.Unreadable)
    assert network.answer.lines(first) == network.answer.lines(third) == ["green with probability 0.700"]


def test_the_limit_is_that_of_the_exports_card(tmp_path):
    def limit() -> int:
        return exported.recorded_limit(exported.recorded_reading(tmp_path))

    assert limit() == exported.MAX_PIXELS
    for text, expected in (
        ('{"reading": {"max_pixels": 7}}', 7),
        ('{"reading": "so"}', None),
        ("{", None),
        ("[]", None),
    ):
        (tmp_path / "model_card.json").write_text(text)
        assert limit() == (expected or exported.MAX_PIXELS)


@pytest.mark.parametrize("made", ["bmp", "png"])
def test_what_pillow_reads_has_eight_bits_and_stands_upright(made):
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 10000 + 255
    lying = Image.Exif()
    lying[0x0112] = 6
    written = io.BytesIO()
    Image.fromarray(values).save(written, "tiff", exif=lying)
    decoded = tf.io.decode_image(alone_files.converted(written.getvalue(), 6, made), 3, expand_animations=False).numpy()
    np.testing.assert_array_equal(decoded[..., 0], np.rot90(values >> 8, -1))
    for pixels, words in ((np.float32([[0.5]]), "no known range"), (np.int32([[70000]]), "more than 16 bits")):
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, "tiff")
        with pytest.raises(alone_files.Unreadable, match=words):
            alone_files.converted(written.getvalue(), 0, made)


@pytest.mark.parametrize(("format", "options"), [("png", {}), ("gif", {}), ("bmp", {}), ("jpeg", {}), ("tiff", {})])
def test_sizes_are_refused_by_the_header_alone(tmp_path, format, options):
    path = tmp_path / "image"
    path.write_bytes(image("red", format, 30, 40, **options))
    assert isinstance(alone_files.read(path, 1200, "bmp"), bytes)
    refused = alone_files.read(path, 1199, "bmp")
    assert str(refused) == "its 30 x 40 pixels are more than --max_pixels=1199"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "is no SavedModel"),
        (("{saved}/1/variables",), "is no SavedModel"),
        (("{broken}", "a.png"), "error"),
        (("{saved}",), "ten classes"),
        (("{saved}", "a.png", "--least_score=0.5"), "--least_score is for detectors"),
        (("{saved}", "a.png", "--draw={broken}"), "--draw is for detectors"),
    ],
)
def test_what_cannot_be_asked_is_one_line(predict, saved, tmp_path, capsys, arguments, words):
    (tmp_path / "broken" / "1").mkdir(parents=True)
    (tmp_path / "broken" / "1" / "saved_model.pb").write_bytes(b"broken")
    known = {"saved": saved, "broken": tmp_path / "broken"}
    status = predict.main([one.format(**known) for one in arguments])
    errors = capsys.readouterr().err
    assert status == 2 and errors.count("\n") == 1 and words in errors


def test_an_empty_folder_is_no_success(predict, saved, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(predict, capsys, saved, tmp_path / "empty")[0] == 1
    refused = ("--batch_size=0", "--max_pixels=-1", "--count=0", "--least_score=1.5", "--least_score=nan")
    for wrong in (*refused, f"--json={tmp_path}", f"--json={tmp_path}/no/a", f"--draw={saved}/1/saved_model.pb"):
        with pytest.raises(SystemExit):
            predict.main([str(saved), wrong])
        capsys.readouterr()


def test_detectors_of_digits_are_asked_about_scenes_of_them(tmp_path, monkeypatch, capsys):
    def signature(images):
        """A digit for each quarter that has ink, whose box is the ink's."""
        scenes = images.numpy()[..., 0]
        found = np.zeros((len(scenes), 4, 4), np.float32)
        for scene, number, quarter in ((scene, number, divmod(number, 2)) for scene in range(2) for number in range(4)):
            start = np.array(quarter) * (20, 30)
            ink = np.argwhere(scenes[scene, start[0] : start[0] + 20, start[1] : start[1] + 30] > 0)
            found[scene, number] = [*(start + ink.min(axis=0)), *(start + ink.max(axis=0) + 1)]
        scores = np.tile(np.float32([0.9, 0.8, 0.7, 0.2]), [2, 1])
        given = {"boxes": found, "scores": scores, "classes": np.tile(range(4), [2, 1]), "count": np.array([4, 4])}
        return {name: tf.constant(value) for name, value in given.items()}

    signature.structured_input_signature = ((), {"images": tf.TensorSpec([None, 40, 60, 1])})
    monkeypatch.setattr(exported.Network, "signature", lambda *_: signature)
    network = exported.Network(tmp_path, None, answers.Objects("0123456789", 0.3), 0)
    asking.predict_digits(network, 2, report := reports.Report(network, tmp_path / "drawn"))
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0]
        == f"  test scene 1: 3 objects, true labels 0, 1, 2, 3, drawn in {tmp_path}/drawn/test_scene_1.boxes.png"
    )
    assert lines[4].startswith("  test scene 2: 3 objects, true labels 4, 5, 6, 7") and len(lines) == 8
    for one in report.images:
        for number, found in enumerate(one["objects"]):
            row, column = divmod(number, 2)
            top, left, bottom, right = found["box"]
            # In the middle of its quarter, 14 pixels high.
            assert top >= 20 * row + 3 and bottom <= 20 * row + 17 and bottom - top >= 12
            assert left >= 30 * column + 8 and right <= 30 * column + 22
    assert len(list((tmp_path / "drawn").iterdir())) == 2
