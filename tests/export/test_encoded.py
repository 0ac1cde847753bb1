"""Encoded images in the served graph: read as evaluation reads them; the bad ones named or marked."""

from __future__ import annotations

import io
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdistill.data import Reading, Split
from tfdistill.data.reading import make_reader
from tfdistill.data.transforms.decoding import evaluated
from tfdistill.export import ExportError, encoded, export_network, exporter, samples, saved_model, verify

SHAPE = (16, 16, 3)
SERVED = {"mean": (0.5,), "std": (0.25,)}


def picture(height: int, width: int, format: str = "png", **options) -> bytes:
    """Colours that change over the whole image, so that it matters which part of it is seen, and which side is up."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 200 // height, columns * 200 // width, (rows + columns) % 40 * 6], axis=-1).astype(
        np.uint8
    )
    written = io.BytesIO()
    mode = options.pop("mode", "RGB")
    Image.fromarray(pixels).convert(mode).save(written, format, **options)
    return written.getvalue()


def pictures() -> list[bytes]:
    turned = Image.Exif()
    turned[0x0112] = 8
    return [
        *(picture(40, 25), picture(8, 9), picture(16, 16), picture(50, 20, mode="L")),
        *(picture(30, 60, "jpeg", quality=95), picture(30, 60, "jpeg", exif=turned), picture(30, 20, "jpeg", mode="L")),
        *(picture(30, 20, "bmp", mode="P"), picture(20, 30, "gif"), picture(40, 30, "webp", quality=90)),
        *samples.sample_files(SHAPE),
    ]


def test_files_come_out_as_a_run_evaluates_them(tmp_path):
    paths = []
    for number, content in enumerate(pictures()):
        paths.append(str(tmp_path / str(number)))
        Path(paths[-1]).write_bytes(content)
    reading = Reading("crop", margin=1.25)
    split = Split.of_files(paths, np.zeros(len(paths), np.int32), SHAPE, reading)
    scored = make_reader(split, training=False)(tf.range(len(paths), dtype=tf.int64))["images"]
    served, valid = tf.function(lambda files: encoded.read_batch(files, SHAPE, reading), autograph=False)(
        tf.constant(pictures())
    )
    assert valid.numpy().all()
    np.testing.assert_array_equal(served, scored)


def test_the_samples_of_the_proof_tell_the_readings_and_sides_apart():
    for one, other in ((Reading("resize"), Reading("crop")), (Reading("crop"), Reading("resize_crop"))):
        read = [verify.evaluated_images(samples.sample_files(SHAPE), SHAPE, reading) for reading in (one, other)]
        different = np.abs(read[0] - read[1]).max(axis=(1, 2, 3)) > 16
        assert different.sum() >= 3
    *_, tall, turned, _, _ = samples.sample_files(SHAPE)
    upright, lying = verify.evaluated_images([tall, turned], SHAPE, Reading("resize"))
    np.testing.assert_array_equal(lying, np.rot90(upright, -1))


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    images = keras.Input(SHAPE)
    return keras.Model(images, {"logits": keras.layers.Dense(3)(keras.layers.Flatten()(images))}, name="tiny")


def scoring(tmp_path, **arguments):
    """The function behind the signature, without the way over the disk."""
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    return saved_model.ServingModule(network(), **SERVED, labels_file=labels, **arguments).score_encoded


BAD = {
    "text": (b"hello", "is no JPEG, PNG, GIF, BMP or WebP image"),
    "empty": (b"", "is no JPEG, PNG, GIF, BMP or WebP image"),
    "cut": (picture(30, 60, "jpeg")[:400], "is damaged"),
    "head only": (picture(30, 60, "jpeg")[:5], "is damaged"),
    "large": (picture(80, 60), "has 60 x 80 pixels, more than 4000"),
    "bomb": (picture(10, 10)[:16] + b"\xff\xff\x00\x00" * 2 + picture(10, 10)[24:], "pixels, more than 4000"),
}


def test_an_unreadable_image_of_a_batch_is_named_with_its_place_and_fault(tmp_path):
    score = scoring(tmp_path, reading=Reading("resize", max_pixels=4000))
    good = picture(20, 30)
    for name, (content, fault) in BAD.items():
        with pytest.raises(tf.errors.InvalidArgumentError) as raised:
            score(tf.constant([good, good, content, good, b""]))
        assert "encoded[2] is" in str(raised.value) or "encoded[2] has" in str(raised.value), name
        assert fault in str(raised.value) and "unreadable are 2 of 5" in str(raised.value), name
    assert score(tf.constant([good])).keys() == {"logits", "probabilities", "classes"}


def test_marked_images_leave_the_others_as_they_are(tmp_path):
    score = scoring(tmp_path, reading=Reading("resize", max_pixels=4000), bad_images="mark")
    good = [picture(20, 30), picture(40, 25, "jpeg")]
    expected = score(tf.constant(good))
    assert expected["valid"].numpy().tolist() == [True, True]
    mixed = [BAD["text"][0], good[0], BAD["cut"][0], BAD["bomb"][0], good[1], BAD["large"][0]]
    found = score(tf.constant(mixed))
    assert found["valid"].numpy().tolist() == [False, True, False, False, True, False]
    for name in ("logits", "probabilities", "classes"):
        np.testing.assert_array_equal(found[name].numpy()[[1, 4]], expected[name])
    assert not np.any(found["probabilities"].numpy()[[0, 2, 3, 5]]) and not np.any(
        found["logits"].numpy()[[0, 2, 3, 5]]
    )
    assert found["classes"].numpy()[[0, 2, 3, 5]].tolist() == [-1] * 4
    none = score(tf.constant([b"bad", b"worse"]))
    assert none["valid"].numpy().tolist() == [False, False] and none["logits"].shape == (2, 3)
    empty = score(tf.constant([], tf.string))
    assert empty["valid"].shape == (0,) and empty["logits"].shape == (0, 3)
    specs = score.get_concrete_function().structured_outputs
    assert {name: spec.shape.as_list()[0] for name, spec in specs.items()} == dict.fromkeys(specs)


@pytest.mark.parametrize("shape", [(8, 20, 3), (20, 8, 3), (9, 7, 1)])
def test_the_centre_fills_shapes_that_are_no_squares(shape):
    for height, width in ((30, 31), (10, 60), (60, 10), (9, 7), (3, 3)):
        ramp = np.broadcast_to(np.linspace(0, 250, width).astype(np.uint8)[:, None], (height, width, 3))
        content = tf.io.encode_png(ramp)
        row = evaluated(content, shape, Reading("crop", margin=1.25)).numpy()[shape[0] // 2, :, 0].astype(int)
        assert np.all(np.diff(row) >= 0) and abs(row.mean() - 125) < 26, "the middle of the ramp, upright"


def test_a_header_that_claims_more_than_64_bits_count_is_over_the_limit():
    claim = picture(10, 10)[:16] + b"\xff\xff\x00\x00" * 2 + picture(10, 10)[24:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="more than max_pixels=5"):
        evaluated(tf.constant(claim), SHAPE, Reading("resize", max_pixels=5))


@pytest.mark.usefixtures("plain_decoding")
def test_a_graph_that_reads_otherwise_than_evaluation_is_refused(tmp_path, monkeypatch):
    as_served = verify.evaluated
    modules = []

    class Kept(saved_model.ServingModule):
        def __init__(self, network, **arguments):
            super().__init__(network, **arguments)
            modules.append(self)

    def answers(folder, images, files):
        signatures = {"raw": modules[-1].score(tf.constant(images)), "encoded": modules[-1].score_encoded(files)}
        return {f"{kind}_{name}": value.numpy() for kind, out in signatures.items() for name, value in out.items()}

    monkeypatch.setattr(exporter, "ServingModule", Kept)
    monkeypatch.setattr(exporter, "write_saved_model", lambda module, folder: folder.mkdir())
    monkeypatch.setattr(verify, "fresh_answers", answers)
    given = {**SERVED, "class_names": ["a", "b", "c"], "samples": [picture(40, 25)]}
    assert export_network(network(), tmp_path / "same", **given).name == "1"
    own = picture(40, 25)
    for wrong in (lambda content: content != own, lambda content: content == own):
        monkeypatch.setattr(
            verify, "evaluated", lambda one, *how, wrong=wrong: as_served(one, *how)[:, :: -1 if wrong(one) else 1]
        )
        with pytest.raises(ExportError, match=r"the SavedModel's logits \(encoded images\) differ"):
            export_network(network(), tmp_path / "tiny", **given)
        assert not (tmp_path / "tiny").exists()


def test_the_reading_is_chosen_by_size_unless_said():
    assert encoded.chosen_reading("auto", (64, 64, 3)) == Reading("resize")
    assert encoded.chosen_reading("auto", (65, 65, 3)) == Reading("crop")
    own = Reading("crop", margin=1.5, max_pixels=7)
    assert encoded.chosen_reading(own, (8, 8, 3)) is own
    record = encoded.described_reading(own, (8, 8, 1), "mark")
    assert (record["style"], record["margin"], record["max_pixels"], record["bad_images"]) == ("crop", 1.5, 7, "mark")
    assert "up to 7 pixels, in grey" in record["words"] and "shorter side measures 12" in record["words"]
    with pytest.raises(ValueError, match=r"reading must be a Reading or one of auto, .*'squeeze'"):
        encoded.chosen_reading("squeeze", (8, 8, 3))
    with pytest.raises(ValueError, match="bad_images must be fail or mark; got 'skip'"):
        encoded.check_bad_images("skip")
