"""What accompanies a SavedModel: warm-up requests and the model card."""

from __future__ import annotations

import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import keras
import numpy as np
import tensorflow as tf

from tfdistill.export.saved_model import ENCODED_SIGNATURE, RAW_SIGNATURE

WARMUP_FILE = "tf_serving_warmup_requests"
CARD_FILE = "model_card.json"


def write_warmup_requests(
    version_folder: pathlib.Path, name: str, images: np.ndarray, encoded: Sequence[bytes]
) -> None:
    """Writes the requests that TensorFlow Serving replays on loading, so that the first user does not wait.

    Args:
        version_folder: the SavedModel.
        name: the served model's name.
        images: float32 [batch, height, width, channels], raw values in 0..255, for the raw signature.
        encoded: image files' bytes, for the other signature.
    """
    extra = version_folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / WARMUP_FILE)) as writer:
        writer.write(prediction_log(name, RAW_SIGNATURE, "images", tf.make_tensor_proto(images)))
        writer.write(prediction_log(name, ENCODED_SIGNATURE, "encoded", tf.make_tensor_proto(list(encoded))))


def prediction_log(model: str, signature: str, input_name: str, tensor: tf.compat.v1.TensorProto) -> bytes:
    """Encodes a `tensorflow.serving.PredictionLog` of one Predict request with one input.

    Every field on the way is a string or a message, which share one wire format: tag, length, content.
    Writing it here keeps the package tensorflow-serving-api out of what an export needs.

    Source: tensorflow_serving/apis, the files prediction_log.proto (PredictionLog.predict_log = 6 and
    PredictLog.request = 1), predict.proto (PredictRequest.model_spec = 1 and .inputs = 2, a map whose entries
    have key = 1 and value = 2) and model.proto (ModelSpec.name = 1 and .signature_name = 3).
    """
    model_spec = _field(1, model.encode()) + _field(3, signature.encode())
    inputs_entry = _field(1, input_name.encode()) + _field(2, tensor.SerializeToString())
    predict_request = _field(1, model_spec) + _field(2, inputs_entry)
    return _field(6, _field(1, predict_request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes one length-delimited field (wire type 2) of a protocol buffer."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def merged_card(facts: Mapping[str, object], card: Mapping[str, object]) -> dict[str, object]:
    """Joins what the export knows with the caller's card; `versions` are joined entry by entry.

    Raises:
        ValueError: the card contradicts a fact, names what the export writes, or holds what JSON cannot.
    """
    made_later = card.keys() & {"signatures", "verification", "created"}
    if made_later:
        raise ValueError(f"card must leave {', '.join(sorted(made_later))} to the export, which writes them")
    versions_known = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }
    stated = {name: value for name, value in card.items() if name != "versions"}
    versions_stated = card.get("versions", {})
    if not isinstance(versions_stated, Mapping):
        raise ValueError(f"card['versions'] must be a mapping of names to versions; got {versions_stated!r}")
    _refuse_contradictions("card", stated, facts)
    _refuse_contradictions("card['versions']", versions_stated, versions_known)
    merged = {**facts, **stated, "versions": {**versions_known, **versions_stated}}
    try:
        json.dumps(merged, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"card must hold only what JSON can: {error}") from None
    return merged


def _refuse_contradictions(title: str, stated: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name in stated.keys() & known.keys():
        if stated[name] != known[name]:
            raise ValueError(f"{title} says {name} = {stated[name]!r}, but the export finds {known[name]!r}")


def write_card(version_folder: pathlib.Path, card: Mapping[str, object]) -> None:
    """Writes the card, with its date, into a version's folder and into its assets.extra."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    text = json.dumps({**card, "created": created}, indent=2, allow_nan=False) + "\n"
    (version_folder / CARD_FILE).write_text(text, encoding="utf-8")
    extra = version_folder / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / CARD_FILE).write_text(text, encoding="utf-8")
