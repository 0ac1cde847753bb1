"""Pictures of an evaluation in TensorBoard: the same examples for each network, each step once, over replicas too."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import tfdistill
from tfdistill import data, networks
from tfdistill.data.sets import load_digit_scenes
from tfdistill.devices.workers import Workers
from tfdistill.runs import callbacks, watching
from tfdistill.runs.pictures import EXAMPLES, Pictures
from tfdistill.tasks import Detection

CLASSES = tuple("0123456789")


@pytest.fixture(scope="module")
def scored():
    """What a run's data says of eight scenes that every epoch is scored on."""
    split = load_digit_scenes(train=1, test=8, seed=1).test
    return types.SimpleNamespace(
        monitors={"test": split}, scored_on="test", normalization=data.NORMALIZATIONS["none"], class_names=CLASSES
    )


@pytest.fixture(scope="module")
def distiller(two_replicas):
    with two_replicas.scope():
        detector = networks.ssd96_resnet8(classes=10, image_shape=(96, 96, 1), seed=1)
        distiller = tfdistill.Supervised([detector], task=Detection())
    for number in range(1, 5):  # so that some detections are sure
        kernel = detector.get_layer(f"map{number}_classes").kernel
        kernel.assign(kernel.numpy() * 15)
    return distiller


def begun(folder, model, scored):
    """A process of a run, with its callback."""
    board = watching.TensorBoard(folder, callbacks.Record(4, lambda rows: None), "--seed=1\n", {"seed": 1})
    pictures = Pictures(board, scored, Workers(model.distribute_strategy))
    pictures.set_model(model)
    return pictures


def written(folder):
    """By tag and step, the pictures there are."""
    events = EventAccumulator(str(folder / "evaluation"), {TENSORS: 0}).Reload()
    found = {}
    for tag in set(events.Tags()["tensors"]) - {"_hparams_/session_start_info"}:
        for point in events.Tensors(tag):
            width, height, *images = make_ndarray(point.tensor_proto)
            decoded = np.stack([tf.image.decode_png(one) for one in images])
            assert decoded.shape[1:3] == (int(height), int(width))
            found.setdefault((tag, point.step), []).append(decoded)
    return found


def test_each_step_that_was_scored_has_its_pictures_once(distiller, scored, tmp_path):
    first = begun(tmp_path, distiller, scored)
    distiller.steps_trained = 3
    first.on_epoch_end(0, {"loss": 1.0, "val_loss": 1.0})
    distiller.steps_trained = 6
    first.on_epoch_end(1, {"loss": 1.0})  # not scored

    # Killed and begun again, it comes to the same epoch, and then to one that is new; half a record was left.
    [events] = (tmp_path / "evaluation").iterdir()
    with events.open("ab") as file:
        file.write(b"half")
    second = begun(tmp_path, distiller, scored)
    distiller.steps_trained = 3
    second.on_epoch_end(0, {"val_loss": 1.0})
    distiller.steps_trained = 9
    second.on_epoch_end(2, {"val_loss": 1.0})

    [detector] = distiller.networks
    found = written(tmp_path)
    tag = f"{detector.name}/detections"
    assert {place: len(times) for place, times in found.items()} == {(tag, 3): 1, (tag, 9): 1}
    split = scored.monitors["test"].take(np.arange(EXAMPLES))
    images = split.images.astype(np.float32) / 255
    expected = Detection().pictures(split.images, {"labels": split.labels}, detector(images), CLASSES)["detections"]
    assert len(expected) == EXAMPLES
    np.testing.assert_array_equal(found[tag, 3][0], np.stack(expected))


def test_a_task_without_pictures_asks_no_network(tiny_network, tmp_path, monkeypatch):
    model = tfdistill.Supervised([tiny_network("plain", seed=1)])
    monkeypatch.setattr(keras.Model, "__call__", None)
    pictures = begun(tmp_path, model, None)
    pictures.on_epoch_end(0, {"val_loss": 1.0})
    assert written(tmp_path) == {}
