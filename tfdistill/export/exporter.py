"""The export of one network, from the checks of its arguments to the published version."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill.data.transforms.readings import Reading
from tfdistill.devices.replicas import without_replicas
from tfdistill.export.answers import Answer
from tfdistill.export.asides import written_aside
from tfdistill.export.encoded import BadImages
from tfdistill.export.folders import ExportError, check_network_folder, choose_version, first_line
from tfdistill.export.kinds import answer_of
from tfdistill.export.models_config import write_models_config
from tfdistill.export.samples import sample_files, sample_images
from tfdistill.export.saved_model import (
    LABELS_FILE,
    ServingModule,
    describe_signatures,
    write_saved_model,
)
from tfdistill.export.serving import Serving
from tfdistill.export.serving_files import merged_card, write_card, write_warmup_requests
from tfdistill.export.verify import verify


def export_network(
    network: keras.Model,
    folder: str | pathlib.Path,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str] | None = None,
    reading: Reading | str = "auto",
    bad_images: BadImages = "fail",
    answer: Answer | None = None,
    samples: Sequence[bytes] = (),
    version: int | None = None,
    card: Mapping[str, object] | None = None,
) -> pathlib.Path:
    """Writes one network as `<folder>/<version>/`, a SavedModel for TensorFlow Serving, and proves it right.

    The SavedModel holds the network's variables and nothing else's, and takes raw images:
    logits = network((images / 255 - mean) / std). Its signatures are `serving_default`, from `images`
    (float32 [None, height, width, channels], values in 0..255), and `encoded_images`, from `encoded` (string
    [None], the bytes of image files of any size). Both return `logits` and `probabilities` (float32 [None,
    classes]) and `classes` (int64 [None]); of a detector `boxes`, `scores`, `classes` and `count`, see `Detections`,
    whose taps are those of a third signature, `raw_answers`. Encoded images are read by the functions that evaluation
    reads them with. It is written aside, loaded by a fresh process that has neither Keras nor this package, compared
    with the live network, and only then renamed to its version.

    >>> network = tfdistill.networks.resnet8(classes=10, image_shape=(8, 8, 1))
    >>> tfdistill.export_network(network, "saved_models/mine/resnet8", mean=[0.3], std=[0.2]).as_posix()
    'saved_models/mine/resnet8/1'

    A network trained in mixed precision is exported as it is: it computes in bfloat16 when served too.

    Args:
        network: a functional model from normalised images [batch, height, width, channels] to a dict with
            "logits", or with a detector's "offsets", "class_logits" and "default_boxes"; its variables may be
            distributed by a strategy.
        folder: the network's folder, `saved_models/<run>/<network>`; its name is the name the network is
            served by.
        mean: one value per channel, or one for all, on the scale 0..1.
        std: likewise, positive.
        class_names: one line each, in the order of the classes; their numbers if not given.
        reading: how evaluation brings image files to the network's size: a `data.Reading`, which has the limit of
            pixels too, or a style. The default is that of `data.load`: "crop" (the centre of the image) for networks
            that take more than 64 pixels, "resize" (the whole image, squeezed) for others and for detectors; up to
            100 million pixels.
        bad_images: what `encoded_images` does where an image of a batch cannot be read. "fail": the batch fails, and
            the error names the image's place and fault. "mark": the others are answered, there is a further output
            `valid` (bool [None]), and an image that is not valid has class -1, and zeros elsewhere.
        answer: for a detector, which objects are answered, `Detections(least_score=0.01, overlap=0.45, most=200)`.
        samples: image files of one's own, their bytes, that the proof is made with too.
        version: an integer from 1 on whose folder does not exist yet; None takes the next free one.
        card: what the model card shall say beside what the export knows itself (for example data, method,
            flags, accuracy); anything JSON can hold.

    Returns:
        The path `<folder>/<version>`.

    Raises:
        ValueError: an argument is not as described; nothing was written.
        ExportError: writing or checking failed, and no part of the version remains; or, as its message then
            says, the version is in place and only `models.config` could not be written.
    """
    folder = pathlib.Path(folder)
    check_network_folder(folder)
    if class_names is None:
        class_names = [str(number) for number in range((answer or answer_of(network)).classes(network))]
    serving = Serving(mean, std, class_names, reading, bad_images, answer)
    serving.require_fitting(network)
    if tf.distribute.has_strategy():
        raise ValueError("network must be exported outside of strategy.scope(), which would distribute a copy too")
    version = choose_version(folder, version)
    facts = merged_card(serving.facts(network, folder.name), card or {})
    try:
        with written_aside(folder) as aside:
            written = _write_version(network, aside, serving, name=folder.name, samples=samples, card=facts)
            os.rename(written, folder / str(version))
    except Exception as error:
        raise ExportError(f"version {version} of {folder.name} failed: {first_line(error)}") from error
    try:
        write_models_config(folder.absolute().parent)
    except OSError as error:
        raise ExportError(f"{folder / str(version)} is in place, but not models.config: {first_line(error)}") from error
    return folder / str(version)


def _write_version(
    network: keras.Model,
    aside: pathlib.Path,
    serving: Serving,
    *,
    name: str,
    samples: Sequence[bytes],
    card: Mapping[str, object],
) -> pathlib.Path:
    """Writes and verifies the version inside `aside`, where all scratch files go too; returns its folder."""
    labels_file = aside / LABELS_FILE
    labels_file.write_text("".join(f"{label}\n" for label in serving.class_names), encoding="utf-8")
    answer, reading = serving.answer_for(network), serving.reading_for(network)
    module = ServingModule(
        without_replicas(network),
        mean=serving.mean,
        std=serving.std,
        labels_file=labels_file,
        reading=reading,
        bad_images=serving.bad_images,
        answer=answer,
    )
    folder = aside / "version"
    write_saved_model(module, folder)
    differences = verify(
        folder, network, mean=serving.mean, std=serving.std, reading=reading, samples=samples, answer=answer
    )
    image_shape = network.input_shape[1:]
    write_warmup_requests(folder, name, sample_images(image_shape, batch=1), sample_files(image_shape)[:1])
    write_card(folder, {**card, "signatures": describe_signatures(module), "verification": differences})
    return folder
