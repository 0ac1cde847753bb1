"""What accompanies a SavedModel: warm-up requests, the server's list of models, and the model card."""

from __future__ import annotations

import json
import pathlib
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import keras
import numpy as np
import tensorflow as tf

from tfdistill.export.asides import replace_text
from tfdistill.export.folders import NETWORK_NAME, is_saved_model, versions
from tfdistill.export.saved_model import ENCODED_SIGNATURE, RAW_SIGNATURE

WARMUP_FILE = "tf_serving_warmup_requests"
CARD_FILE = "model_card.json"
CONFIG_FILE = "models.config"
# Where the container image tensorflow/serving keeps its models.
CONTAINER_ROOT = "/models"


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


def write_models_config(run_folder: str | pathlib.Path, *, root: str = CONTAINER_ROOT) -> pathlib.Path:
    """Writes `models.config`, the list of a run's exported networks for the server's --model_config_file.

    Args:
        run_folder: the folder of the networks' folders, of which those with at least one version are listed.
        root: absolute path at which the server sees `run_folder`; the default is where the container image
            tensorflow/serving keeps its models.

    Returns:
        The path of the file, which is replaced as a whole.

    Raises:
        ValueError: `run_folder` is no directory, or `root` is relative, which the server refuses.
    """
    run_folder = pathlib.Path(run_folder)
    if not run_folder.is_dir():
        raise ValueError(f"run_folder must be a directory that holds exported networks; {run_folder} is none")
    if not root.startswith("/"):
        raise ValueError(f"root must be an absolute path, as the server sees it; got {root!r}")
    path = run_folder / CONFIG_FILE
    replace_text(path, _models_config(_exported_networks(run_folder), root))
    return path


def repair_models_config(run_folder: str | pathlib.Path) -> bool:
    """Writes `models.config` anew where it is missing or does not list exactly the networks that are exported.

    An export that was killed after its version was in place leaves such a list. A list that somebody has written for
    another root than the container's keeps that root.

    Args:
        run_folder: the folder of the networks' folders; one that does not exist, or that holds no export, stays so.

    Returns:
        Whether the file was written.

    Raises:
        OSError: it cannot be written.
    """
    run_folder = pathlib.Path(run_folder)
    path = run_folder / CONFIG_FILE
    names = _exported_networks(run_folder) if run_folder.is_dir() else []
    if not names:
        return False
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        text = ""
    root = _root_of(text)
    if text == _models_config(names, root):
        return False
    write_models_config(run_folder, root=root)
    return True


def _root_of(text: str) -> str:
    """The root that a list was written for; the container's where it does not say."""
    try:
        found = [json.loads(quoted) for quoted in re.findall(r'base_path: (".*")', text)]
    except ValueError:
        return CONTAINER_ROOT
    roots = {path.rpartition("/")[0] or "/" for path in found}
    return roots.pop() if len(roots) == 1 and all(path.startswith("/") for path in found) else CONTAINER_ROOT


def _models_config(names: Sequence[str], root: str) -> str:
    entries = [
        "  config {\n"
        f"    name: {json.dumps(name)}\n"
        f"    base_path: {json.dumps(root.rstrip('/') + '/' + name, ensure_ascii=False)}\n"
        '    model_platform: "tensorflow"\n'
        "  }\n"
        for name in names
    ]
    return "model_config_list {\n" + "".join(entries) + "}\n"


def _exported_networks(run_folder: pathlib.Path) -> list[str]:
    return sorted(
        child.name
        for child in run_folder.iterdir()
        if NETWORK_NAME.fullmatch(child.name) and any(map(is_saved_model, versions(child).values()))
    )
