"""The exported detector: one export, made once; its answers are worked out by hand."""

from __future__ import annotations

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill import data
from tfdistill.export import Detections, export_network, load_export, load_for_scoring, samples, saved_model, verify
from tfdistill.export.serving import Serving
from tfdistill.runs import scoring
from tfdistill.standalone.image_files import converted
from tfdistill.tasks import Detection

HEIGHT, WIDTH = 12, 20
NAMES = ["red", "green"]
SERVED = {"mean": (0.5,), "std": (0.25,), "class_names": NAMES}


class Corners(keras.layers.Layer):
    """The four quarters of the image, in centre form, as default boxes."""

    def call(self, inputs):
        quarters = [[y, x, 0.5, 0.5] for y in (0.25, 0.75) for x in (0.25, 0.75)]
        return tf.broadcast_to(tf.constant(quarters), [tf.shape(inputs)[0], 4, 4])


def detector() -> keras.Model:
    """Says of each quarter how red and how green it is; every box is four fifths of its quarter's height."""
    images = keras.Input((HEIGHT, WIDTH, 3))
    quarters = keras.layers.AveragePooling2D((HEIGHT // 2, WIDTH // 2))(images)
    logits, offsets = keras.layers.Conv2D(3, 1), keras.layers.Conv2D(4, 1)
    taps = {
        "class_logits": keras.layers.Reshape((4, 3))(logits(quarters)),
        "offsets": keras.layers.Reshape((4, 4))(offsets(quarters)),
    }
    taps["default_boxes"] = Corners()(taps["offsets"])
    network = keras.Model(images, taps, name="quarters")
    # Pixels are -2 to 2. The background is sure where nothing is; a colour of 2 gives e^12 to e^0.
    logits.set_weights([np.float32([[[[0, 6, 0], [0, 0, 6], [0, 0, 0]]]]), np.float32([0, 0, 0])])
    offsets.set_weights([np.float32([[[[0, 0, 0, 0]] * 3]]), np.float32([0, 0, np.log(0.8) / 0.2, 0])])
    return network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return detector()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory) -> pathlib.Path:
    return export_network(network, tmp_path_factory.mktemp("exports") / "run" / "quarters", **SERVED)


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported))
    yield loaded.signatures
    del loaded


def painted(height: int, width: int) -> np.ndarray:
    """Red at the top left, green at the bottom right, black elsewhere."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 255
    image[height // 2 :, width // 2 :, 1] = 255
    return image


def objects(outputs, image: int) -> dict[str, list[float]]:
    """The boxes of one image by class, and that nothing stands behind them."""
    count = int(outputs["count"][image])
    assert not outputs["boxes"][image, count:].numpy().any() and not outputs["scores"][image, count:].numpy().any()
    assert set(outputs["classes"][image, count:].numpy()) <= {-1}
    np.testing.assert_allclose(outputs["scores"][image, :count], 1.0, atol=1e-4)
    labels = outputs["classes"][image, :count].numpy()
    return {NAMES[label]: box.numpy().tolist() for label, box in zip(labels, outputs["boxes"][image], strict=False)}


def by_hand(height: float, width: float) -> dict[str, list[float]]:
    """Of a quarter's height four fifths, around its centre."""
    return {
        "red": pytest.approx([0.05 * height, 0, 0.45 * height, 0.5 * width], abs=1e-3),
        "green": pytest.approx([0.55 * height, 0.5 * width, 0.95 * height, width], abs=1e-3),
    }


def test_boxes_are_in_pixels_of_the_raw_image(signatures):
    batch = np.stack([painted(HEIGHT, WIDTH), np.zeros((HEIGHT, WIDTH, 3), np.uint8), painted(HEIGHT, WIDTH)])
    found = signatures["serving_default"](images=tf.constant(batch, tf.float32))
    assert found["count"].numpy().tolist() == [2, 0, 2], "and nothing in a black image"
    assert objects(found, 0) == objects(found, 2) == by_hand(HEIGHT, WIDTH)
    assert objects(found, 1) == {}


def test_boxes_are_in_pixels_of_the_file_upright_and_before_it_is_resized(signatures):
    odd = tf.io.encode_png(painted(62, 34)).numpy()
    lying = samples.oriented(tf.io.encode_jpeg(painted(48, 80), quality=100).numpy(), samples.TURNED)
    black = tf.io.encode_png(np.zeros((7, 301, 3), np.uint8)).numpy()
    found = signatures["encoded_images"](encoded=tf.constant([odd, black, lying]))
    assert objects(found, 0) == by_hand(62, 34) and objects(found, 1) == {}
    # Turned by a quarter the image is 80 high, and what was at the top left is at the top right.
    turned = objects(found, 2)
    assert turned["red"] == pytest.approx([0.05 * 80, 24, 0.45 * 80, 48], abs=0.5)
    assert turned["green"] == pytest.approx([0.55 * 80, 0, 0.95 * 80, 24], abs=0.5)


def test_every_output_has_a_free_first_dimension_and_takes_batches_of_none_and_one(signatures):
    shapes = {"boxes": [None, 200, 4], "scores": [None, 200], "classes": [None, 200], "count": [None]}
    for name, given in (
        ("serving_default", {"images": tf.zeros([1, HEIGHT, WIDTH, 3])}),
        ("encoded_images", {"encoded": tf.io.encode_png(painted(9, 5))[None]}),
    ):
        outputs = signatures[name].structured_outputs
        assert {output: spec.shape.as_list() for output, spec in outputs.items()} == shapes
        assert (outputs["boxes"].dtype, outputs["classes"].dtype) == (tf.float32, tf.int64)
        ((key, image),) = given.items()
        for size in (0, 1, 3):
            found = signatures[name](**{key: tf.repeat(image, size, axis=0)})
            assert {output: value.shape[0] for output, value in found.items()} == dict.fromkeys(shapes, size)


def test_raw_answers_are_the_networks_own(signatures, network):
    images = samples.sample_images((HEIGHT, WIDTH, 3))
    found = signatures["raw_answers"](images=tf.constant(images))
    expected = network((images / 255 - 0.5) / 0.25)
    assert set(found) == set(Detections.taps)
    for tap, value in found.items():
        np.testing.assert_allclose(value, expected[tap], atol=1e-5)
    assert signatures["raw_answers"](images=tf.zeros([0, HEIGHT, WIDTH, 3]))["offsets"].shape == (0, 4, 4)


def test_the_card_says_what_a_box_is_and_how_objects_are_chosen(exported):
    card = json.loads((exported / "model_card.json").read_text())
    assert card["classes"] == 2 and card["reading"]["style"] == "resize"
    said = dict(card["detections"])
    assert "top, left, bottom, right in pixels" in said.pop("boxes")
    assert said == {"least_score": 0.01, "overlap": 0.45, "most": 200}
    proof = card["verification"]
    names = {"tolerance", "files", "boxes", "scores", *Detections.taps}
    assert set(proof) == names and proof["files"] >= 6
    assert max(value for name, value in proof.items() if name not in ("tolerance", "files")) < proof["tolerance"]
    assert set(card["signatures"]) == {"serving_default", "encoded_images", "raw_answers"}
    assert (exported / "assets" / "labels.txt").read_text().splitlines() == NAMES
    (record, other) = tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests"))
    assert b"serving_default" in record.numpy() and b"encoded_images" in other.numpy()
    assert '"/models/quarters"' in (exported.parents[1] / "models.config").read_text()


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    """Two files of one name in two folders, and one in which nothing is."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(tf.io.encode_png(painted(62, 34)).numpy())
    (folder / "deep" / "a.bmp").write_bytes(converted(tf.io.encode_png(painted(40, 60)).numpy(), 0, "bmp"))
    (folder / "deep" / "black.png").write_bytes(tf.io.encode_png(np.zeros((7, 30, 3), np.uint8)).numpy())
    return folder


def test_predict_lists_draws_and_writes_what_is_found(predict, exported, photos, tmp_path, capsys):
    given = [str(exported.parent), str(photos), f"--json={tmp_path / 'told.json'}", f"--draw={tmp_path / 'drawn'}"]
    assert predict.main(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"  {photos / 'a.png'}: 2 objects, drawn in {tmp_path / 'drawn' / 'a.boxes.png'}"
    assert lines[2].split() == ["red", "1.000", "top", "3.1", "left", "0.0", "bottom", "27.9", "right", "17.0"]
    assert lines[3].split() == ["green", "1.000", "top", "34.1", "left", "17.0", "bottom", "58.9", "right", "34.0"]
    assert "black.png: 0 objects" in lines[7] and lines[-1] == "3 image(s), 0 that cannot be read"
    said = json.loads((tmp_path / "told.json").read_text())
    assert [len(one["objects"]) for one in said["images"]] == [2, 2, 0]
    first = said["images"][1]["objects"][0]
    assert first == {
        "class": "red",
        "score": pytest.approx(1, abs=1e-4),
        "box": pytest.approx([2, 0, 18, 30], abs=0.01),
    }
    assert said["images"][1]["drawing"] == str(tmp_path / "drawn" / "a_2.boxes.png")
    names = {path.name for path in (tmp_path / "drawn").iterdir()}
    assert names == {"a.boxes.png", "a_2.boxes.png", "black.boxes.png"}
    drawn = np.asarray(Image.open(tmp_path / "drawn" / "a_2.boxes.png"))
    scale = len(drawn) // 40
    frame = drawn[2 * scale : 18 * scale, : 30 * scale]
    inside = frame[len(frame) // 2, frame.shape[1] // 2]
    assert inside.tolist() == [255, 0, 0] and (frame[0, 40:60] == frame[-1, 40:60]).all() and (frame[0] != 255).any()


def test_predict_shows_what_is_sure_enough_and_refuses_what_the_export_does_not_say(predict, exported, photos, capsys):
    assert predict.main([str(exported), str(photos / "a.png"), "--least_score=1"]) == 0
    assert "a.png: 0 objects" in capsys.readouterr().out
    assert predict.main([str(exported), str(photos / "a.png"), "--least_score=0.001"]) == 2
    errors = capsys.readouterr().err
    assert "--least_score=0.001 is below 0.01, under which the export says nothing" in errors
    assert predict.main([str(exported)]) == 2
    assert "does not tell ten classes apart as for digits; name image files" in capsys.readouterr().err


def test_an_export_is_scored_by_what_it_serves(exported, network):
    """Three images: what is found is right, of another class, and beside what is there; one more is empty."""
    images = np.stack([*[painted(HEIGHT, WIDTH)] * 3, np.zeros((HEIGHT, WIDTH, 3), np.uint8)])
    red, green = [0.05, 0, 0.45, 0.5], [0.55, 0.5, 0.95, 1]
    labels = np.float32([[[*red, 0, 0], [*green, 1, 0]]] * 3 + [[[*red, -1, 0]] * 2])
    labels[1, 0, 4], labels[2, 1, 0] = 1, 0.8
    split = data.Split.in_memory(images, labels)
    served = scoring.scorer_of_saved_model(exported.parent, "quarters")
    assert (served.image_shape, served.classes, served.task.name) == ((HEIGHT, WIDTH, 3), 2, "detection")
    normalization = data.Normalization((0.5,), (0.25,))
    expected = scoring.scores(scoring.scorer_of_networks([network], normalization, Detection()), split, 3)["quarters"]
    found = scoring.scores(served, split, 3)["quarters"]
    assert found == pytest.approx({name: value for name, value in expected.items() if name != "multibox"})
    assert {"mean_average_precision", "coco_average_precision"} <= found.keys() and 0.2 < min(found.values()) < 0.9
    assert "mAP (11-point)" in scoring.table({"quarters": found}, Detection())
    objects = load_export(exported)(images[:0])
    assert {name: len(value) for name, value in objects.items()} == dict.fromkeys(objects, 0)
    with pytest.raises(ValueError, match="holds a detector, which gives no logits; load_export loads it"):
        load_for_scoring(exported)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_what_objects_are_chosen_from_converts_to_litert(exported, network):
    """Non-maximum suppression is no operator of LiteRT, all else is."""
    made = tf.lite.TFLiteConverter.from_saved_model(str(exported), signature_keys=["raw_answers"]).convert()
    runner = tf.lite.Interpreter(model_content=made).get_signature_runner("raw_answers")
    images = samples.sample_images((HEIGHT, WIDTH, 3), batch=2)
    expected = network((images / 255 - 0.5) / 0.25)
    for tap, value in runner(images=images).items():
        np.testing.assert_allclose(value, expected[tap], atol=1e-5)


@pytest.mark.usefixtures("plain_decoding")
def test_an_image_that_is_marked_has_no_objects_and_costs_no_other_its_own(network, tmp_path):
    (tmp_path / "labels.txt").write_text("red\ngreen\n")
    served = {"mean": (0.5,), "std": (0.25,), "labels_file": tmp_path / "labels.txt", "bad_images": "mark"}
    module = saved_model.ServingModule(network, **served, answer=Detections(most=3))
    found = module.score_encoded(tf.constant([tf.io.encode_png(painted(62, 34)).numpy(), b"none"]))
    assert found["valid"].numpy().tolist() == [True, False] and found["count"].numpy().tolist() == [2, 0]
    assert found["boxes"].shape == (2, 3, 4)
    assert objects(found, 0) == by_hand(62, 34) and objects(found, 1) == {}


def test_a_box_or_an_object_that_is_not_the_networks_is_seen(network):
    images = np.stack([painted(HEIGHT, WIDTH)] * 2).astype(np.float32)
    answer = Detections()
    taps = verify.live_taps(network, images, (0.5,), (0.25,), answer.taps)
    right = {name: value.numpy() for name, value in answer.outputs(taps, (HEIGHT, WIDTH, 3)).items()}

    def compared(**changes):
        return answer.compared(taps, {**right, **changes}, np.array([[HEIGHT, WIDTH]] * 2), 1e-5)

    assert compared().fault is None and max(compared().differences.values()) < 1e-6
    # Relative to the largest number: of all 12, of the offsets 1.1.
    moved = compared(boxes=right["boxes"] + np.float32([0, 0.02, 0, 0])).differences
    assert moved["boxes"] == pytest.approx(0.02 / WIDTH / 12, rel=0.01) and moved["scores"] < 1e-6
    assert compared(offsets=taps["offsets"] + 1e-3).differences["offsets"] == pytest.approx(1e-3 / 1.1157, rel=0.01)
    assert compared(classes=np.where(right["classes"] == -1, -1, 1 - right["classes"])).fault
    assert compared(count=right["count"] - 1).fault


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reading": "crop"}, "reading must be resize for a detector, which says boxes in whole images; got crop"),
        ({"class_names": ["red"]}, "class_names must be 2 strings, one for each class; got 1"),
        ({"mean": (0.5, 0.5)}, "mean must be 3 finite numbers"),
    ],
)
def test_what_does_not_go_with_a_detector_is_refused(network, changes, message):
    with pytest.raises(ValueError, match=message):
        Serving(**{**SERVED, **changes}).require_fitting(network)


def test_wrong_choices_of_objects_are_refused(tiny_network):
    for wrong, message in (
        ({"least_score": 0.0}, "least_score must be a probability above 0; got 0"),
        ({"overlap": 1.5}, "overlap must be 0 to 1; got 1.5"),
        ({"most": 0}, "most must be 1 or more; got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Detections(**wrong)
    with pytest.raises(ValueError, match=r"network must be a detector, whose answer is offsets, .*; it lacks \['offs"):
        Serving((0.5,), (0.25,), NAMES, answer=Detections()).require_fitting(tiny_network("plain", seed=1))
