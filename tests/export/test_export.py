"""The exported SavedModel: one export, made once, is looked at from every side."""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import textwrap

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from tfdistill.devices.replicas import without_replicas
from tfdistill.export import ExportError, export_network, exporter, load_for_scoring, samples, verify
from tfdistill.export.saved_model import normalisation
from tfdistill.export.serving_files import merged_card

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NAMES = ["crane", "maillot", "crane", "Übergang", "fifth class"]
SIZE = (9, 7, 3)


@keras.saving.register_keras_serializable("tests_export")
class OwnBatchNormalization(keras.layers.BatchNormalization):
    """A layer whose class the SavedModel must not need."""


def tiny_network(dtype: str = "float32", classes: int = len(NAMES)) -> keras.Model:
    keras.utils.set_random_seed(3)
    images = keras.Input(SIZE)
    stage1 = keras.layers.Conv2D(6, 3, padding="same", dtype=dtype)(images)
    x = OwnBatchNormalization(dtype=dtype)(stage1)
    features = keras.layers.ReLU(dtype=dtype)(keras.layers.Dropout(0.5, dtype=dtype)(x))
    embedding = keras.layers.GlobalAveragePooling2D(dtype=dtype)(features)
    logits = keras.layers.Dense(classes, dtype="float32")(embedding)
    taps = {"stage1": stage1, "features": features, "embedding": embedding, "logits": logits}
    network = keras.Model(images, taps, name="tiny")
    values = np.random.default_rng(5)
    network.set_weights([values.uniform(0.2, 1.5, weight.shape) for weight in network.weights])
    return network


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return tiny_network()


@pytest.fixture(scope="module")
def exported(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("saved_models")
    folder = pathlib.Path("first_run", "tiny")
    card = {"method": "KD", "accuracy": {"last": 0.5}, "versions": {"tfdistill": "0.1.0"}, "parameters": 215}
    with contextlib.chdir(root):  # the folder's path is relative, as that of a run is by default
        path = export_network(network, folder, mean=MEAN, std=STD, class_names=NAMES, card=card)
    assert path == folder / "1"
    return root / path


@pytest.fixture(scope="module")
def loaded(exported: pathlib.Path):
    return tf.saved_model.load(str(exported))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, *SIZE), dtype=np.uint8)


def expected_logits(network: keras.Model, images: np.ndarray) -> np.ndarray:
    normalised = (images.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    return network(normalised.astype(np.float32), training=False)["logits"].numpy()


def export(network: keras.Model, folder: pathlib.Path, **changes: object) -> pathlib.Path:
    return export_network(network, folder, **{"mean": MEAN, "std": STD, "class_names": NAMES, **changes})


def same_process_answers(saved_model: pathlib.Path, images: np.ndarray, encoded: list[bytes]) -> dict:
    """Stands in for `verify.fresh_answers`, whose seconds only the one export of the fixture takes."""
    signatures = tf.saved_model.load(str(saved_model)).signatures
    answers = {"raw": signatures["serving_default"](images=tf.constant(images))}
    answers["encoded"] = signatures["encoded_images"](encoded=tf.constant(encoded))
    return {f"{kind}_{name}": value.numpy() for kind, out in answers.items() for name, value in out.items()}


# The two signatures


def test_raw_signature_normalises_and_scores(loaded, network, images):
    outputs = loaded.signatures["serving_default"](images=tf.constant(images, tf.float32))
    assert set(outputs) == {"logits", "probabilities", "classes"}
    logits = expected_logits(network, images)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-5, atol=1e-5)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_array_equal(outputs["classes"], logits.argmax(axis=1))
    assert outputs["classes"].dtype == tf.int64


def test_normalisation_rounds_alike_in_a_graph_and_in_numpy():
    scale, shift = normalisation(MEAN, STD)
    values = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    in_graph = tf.function(lambda images: images * scale + shift)(tf.constant(values)).numpy()
    np.testing.assert_array_equal(in_graph, values * scale + shift)
    formula = (values.astype(np.float64) / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(in_graph, formula, atol=1e-6)
    scale, shift = normalisation([0.5], [0.25])
    np.testing.assert_allclose(values * scale + shift, (values / 255 - 0.5) / 0.25, atol=1e-6)


def test_every_input_and_output_has_its_name_and_a_free_first_dimension(loaded):
    assert set(loaded.signatures) == {"serving_default", "encoded_images"}
    inputs = {name: function.structured_input_signature for name, function in loaded.signatures.items()}
    assert inputs["serving_default"] == ((), {"images": tf.TensorSpec([None, *SIZE], tf.float32, "images")})
    assert inputs["encoded_images"] == ((), {"encoded": tf.TensorSpec([None], tf.string, "encoded")})
    for function in loaded.signatures.values():
        shapes = {name: spec.shape.as_list() for name, spec in function.structured_outputs.items()}
        assert shapes == {"logits": [None, 5], "probabilities": [None, 5], "classes": [None]}


def test_encoded_png_of_the_native_size_scores_as_the_raw_image(loaded, images):
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    raw = loaded.signatures["serving_default"](images=tf.constant(images, tf.float32))
    decoded = loaded.signatures["encoded_images"](encoded=tf.constant(encoded))
    np.testing.assert_array_equal(decoded["logits"], raw["logits"])


def test_encoded_images_of_several_sizes_and_formats_share_a_batch(loaded):
    grey = np.full((20, 31, 1), 90, np.uint8)
    colour = np.full((64, 5, 3), 90, np.uint8)
    opaque = np.concatenate([np.full((8, 8, 3), 90, np.uint8), np.full((8, 8, 1), 255, np.uint8)], axis=-1)
    encoded = [tf.io.encode_jpeg(grey), tf.io.encode_jpeg(colour, quality=100), tf.io.encode_png(opaque)]
    decoded = loaded.signatures["encoded_images"](encoded=tf.stack(encoded))["logits"]
    flat = loaded.signatures["serving_default"](images=tf.fill([1, *SIZE], 90.0))["logits"]
    np.testing.assert_allclose(decoded, np.repeat(flat, 3, axis=0), rtol=0.02, atol=0.02)


def test_empty_batches_pass_through_both_signatures(loaded):
    for outputs in (
        loaded.signatures["serving_default"](images=tf.zeros([0, *SIZE])),
        loaded.signatures["encoded_images"](encoded=tf.constant([], tf.string)),
    ):
        assert outputs["logits"].shape == outputs["probabilities"].shape == (0, 5)
        assert outputs["classes"].shape == (0,)


# What is inside


def test_the_variables_are_exactly_the_networks(exported, network):
    checkpoint = exported / "variables" / "variables"
    stored = dict(tf.train.list_variables(str(checkpoint)))
    stored.pop("_CHECKPOINTABLE_OBJECT_GRAPH")
    assert sorted(map(tuple, stored.values())) == sorted(tuple(weight.shape) for weight in network.weights)
    reader = tf.train.load_checkpoint(str(checkpoint))
    for index, weight in enumerate(network.weights):
        value = reader.get_tensor(f"network_variables/{index}/.ATTRIBUTES/VARIABLE_VALUE")
        np.testing.assert_array_equal(value, weight.numpy())


def test_class_names_are_an_asset(loaded, exported):
    assert (exported / "assets" / "labels.txt").read_text(encoding="utf-8").splitlines() == NAMES
    assert pathlib.Path(loaded.labels.asset_path.numpy().decode()) == exported / "assets" / "labels.txt"


def test_warmup_requests_are_what_the_servers_own_messages_parse(loaded, exported):
    logs = []
    for record in tf.data.TFRecordDataset(str(exported / "assets.extra" / "tf_serving_warmup_requests")):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        # Parsing keeps fields it does not know: the same size without them shows that all were known.
        known = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        known.DiscardUnknownFields()
        assert known.ByteSize() == len(record.numpy())
        logs.append(log.predict_log.request)
    assert [log.model_spec.signature_name for log in logs] == ["serving_default", "encoded_images"]
    assert {log.model_spec.name for log in logs} == {"tiny"}
    for request in logs:
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        outputs = loaded.signatures[request.model_spec.signature_name](**inputs)
        assert outputs["logits"].shape == (1, 5)


def test_model_card_holds_the_facts_and_the_callers_words(exported):
    text = (exported / "model_card.json").read_text(encoding="utf-8")
    assert (exported / "assets.extra" / "model_card.json").read_text(encoding="utf-8") == text
    card = json.loads(text)
    assert card["network"] == "tiny" and card["classes"] == 5 and card["class_names"] == NAMES
    assert card["input_shape"] == list(SIZE)
    assert card["normalization"] == {"mean": list(MEAN), "std": list(STD)}
    assert card["parameters"] == 6 * 27 + 6 + 2 * 6 + 6 * 5 + 5 and card["precision"] == "float32"
    assert card["method"] == "KD" and card["accuracy"] == {"last": 0.5}
    assert card["versions"]["tfdistill"] == "0.1.0" and card["versions"]["tensorflow"] == tf.__version__
    assert card["verification"]["logits"] < card["verification"]["tolerance"] == 1e-5
    assert card["verification"]["files"] >= 6
    assert card["reading"]["style"] == "resize" and card["reading"]["max_pixels"] == 100_000_000
    assert card["reading"]["bad_images"] == "fail"
    words = (
        "images of up to 100,000,000 pixels, in colour, turned upright as EXIF data says, squeezed as a whole to 9 x 7"
    )
    assert card["reading"]["words"].startswith(words)
    assert card["created"].endswith("+00:00")
    signature = card["signatures"]["encoded_images"]
    assert signature["inputs"] == {"encoded": {"dtype": "string", "shape": [None]}}
    assert signature["outputs"]["classes"] == {"dtype": "int64", "shape": [None]}


def test_card_refuses_contradictions_and_what_json_cannot_hold():
    facts = {"parameters": 10}
    assert merged_card(facts, {"parameters": 10, "data": "cifar100"})["data"] == "cifar100"
    wrong = {
        "parameters = 11, but the export finds 10": {"parameters": 11},
        "tensorflow = '1.0', but the export finds": {"versions": {"tensorflow": "1.0"}},
        "must be a mapping": {"versions": "2.21"},
        "leave created, signatures to the export": {"signatures": {}, "created": "today"},
        "only what JSON can": {"accuracy": float("nan")},
        "not JSON serializable": {"data": pathlib.Path("images")},
    }
    for message, card in wrong.items():
        with pytest.raises(ValueError, match=message):
            merged_card(facts, card)


# Folders, versions, failure


@pytest.mark.usefixtures("plain_decoding")
def test_versions_follow_each_other_and_are_never_overwritten(network, tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "fresh_answers", same_process_answers)
    folder = tmp_path / "run" / "tiny"
    assert export(network, folder, version=7).name == "7"
    assert export(network, folder).name == "8"
    before = (folder / "7" / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(ValueError, match=r"version 7 .* exists already; the next free one is 9"):
        export(network, folder, version=7)
    assert (folder / "7" / "saved_model.pb").stat().st_mtime_ns == before
    assert sorted(child.name for child in folder.iterdir()) == ["7", "8"]
    config = text_format.Parse(
        (tmp_path / "run" / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    )
    assert [model.base_path for model in config.model_config_list.config] == ["/models/tiny"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (0.5, 0.5)}, "mean must be 3 finite numbers"),
        ({"std": (0.5, 0.5, float("nan"))}, "std must be 3 finite numbers"),
        ({"mean": (125.3, 123.0, 113.9)}, "on the scale 0..1"),
        ({"std": (0.5, 0.5, 0.0)}, "std positive"),
        ({"class_names": NAMES[:4]}, "class_names must be 5 strings"),
        ({"class_names": "abcde"}, "class_names must be 5 strings"),
        ({"class_names": [*NAMES[:4], "two\nlines"]}, "one line"),
        ({"version": 0}, "version must be an integer from 1 to"),
        ({"version": True}, "version must be an integer from 1 to"),
        ({"version": 2**63}, "version must be an integer from 1 to"),
    ],
)
def test_wrong_arguments_write_nothing(network, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message) as raised:
        export(network, tmp_path / "run" / "tiny", **changes)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_wrong_folders_and_networks_are_refused(network, tmp_path):
    for name in ("a:b", "with space", ".hidden"):
        with pytest.raises(ValueError, match="folder must end in a model's name"):
            export(network, tmp_path / name)
    with pytest.raises(ValueError, match="its version is added to it"):
        export(network, tmp_path / "tiny" / "1")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        export(network, tmp_path / "file")
    with pytest.raises(
        ValueError, match=r"^network must be one keras.Model, such as distiller.networks\[0\]; it is None"
    ):
        export(None, tmp_path / "tiny")
    bare = keras.Model(network.input, network.output["logits"])
    with pytest.raises(ValueError, match="a dict with 'logits'"):
        export(bare, tmp_path / "tiny")
    probabilities = keras.layers.Softmax(name="shares")(network.output["logits"])
    with pytest.raises(ValueError, match=r"^network: layer 'shares' applies a softmax; take what it reads as logits"):
        export(keras.Model(network.input, {"logits": probabilities}), tmp_path / "tiny")
    free = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match=r"one input \[None, height, width, channels\]"):
        export(keras.Model(free, {"logits": keras.layers.GlobalAveragePooling2D()(free)}), tmp_path / "tiny")
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope(), pytest.raises(ValueError, match="outside of strategy"):
        export(network, tmp_path / "tiny")


@pytest.mark.usefixtures("plain_decoding")
def test_an_export_that_is_not_the_network_is_refused_and_removed(network, tmp_path, monkeypatch):
    def off_by_a_little(folder, images, encoded):
        answers = same_process_answers(folder, images, encoded)
        return {**answers, "encoded_logits": answers["encoded_logits"] * (1 + 1e-4)}

    monkeypatch.setattr(verify, "fresh_answers", off_by_a_little)
    with pytest.raises(
        ExportError, match=r"version 1 of tiny failed: the SavedModel's logits \(encoded images\) differ"
    ) as raised:
        export(network, tmp_path / "run" / "tiny")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("plain_decoding")
def test_a_network_that_diverged_is_refused(tmp_path, monkeypatch):
    diverged = tiny_network()
    diverged.layers[-1].bias.assign(np.full(5, np.nan))
    monkeypatch.setattr(verify, "fresh_answers", lambda *_: {})
    monkeypatch.setattr(exporter, "write_saved_model", lambda module, folder: folder.mkdir())
    with pytest.raises(ExportError, match="the network's logits are not finite"):
        export(diverged, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_a_failure_of_the_fresh_process_is_one_line(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf 'Traceback:\\n  somewhere\\nKeyError: lost\\n\\n' >&2\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    # A killed process would leave its scratch in the system's folder for good; beside the SavedModel it is found again.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(ExportError, match=r"a fresh process could not score the SavedModel: KeyError: lost$"):
        verify.fresh_answers(tmp_path / "1", samples.sample_images(SIZE), samples.sample_files(SIZE))


# Scoring


def test_load_for_scoring_takes_the_newest_version(exported, network, images, tmp_path):
    for path in (exported, exported.parent, str(exported.parent)):
        logits = load_for_scoring(path)(images)
        np.testing.assert_allclose(logits, expected_logits(network, images), rtol=1e-5, atol=1e-5)
        assert logits.dtype == np.float32
    score = load_for_scoring(exported)
    assert score(np.zeros((0, *SIZE))).shape == (0, 5)
    with pytest.raises(ValueError, match=r"images must be of shape \[None, 9, 7, 3\]; got \[3, 9, 7\]"):
        score(images[..., 0])
    for folder in ("2", "10"):
        (tmp_path / "copy" / folder).mkdir(parents=True)
        (tmp_path / "copy" / folder / "saved_model.pb").write_bytes(b"broken")
    (tmp_path / "copy" / "11").mkdir()
    with pytest.raises(ValueError, match="copy/10 holds a SavedModel that does not load") as raised:
        load_for_scoring(tmp_path / "copy")
    assert "\n" not in str(raised.value)


def test_load_for_scoring_refuses_other_paths(tmp_path):
    with pytest.raises(ValueError, match="holds none as a version"):
        load_for_scoring(tmp_path)
    with pytest.raises(ValueError, match="nowhere is no folder; give a SavedModel"):
        load_for_scoring(tmp_path / "nowhere")
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": 2 * x}, input_signature=[tf.TensorSpec([None], name="x")])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.double)
    with pytest.raises(ValueError, match="without a signature from 'images' to 'logits' or to 'boxes'"):
        load_for_scoring(tmp_path / "other")


# Precision and replicas


@pytest.mark.usefixtures("plain_decoding")
def test_a_bfloat16_network_is_exported_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(verify, "fresh_answers", same_process_answers)
    network = tiny_network("mixed_bfloat16")
    path = export(network, tmp_path / "tiny")
    card = json.loads((path / "model_card.json").read_text())
    assert card["verification"]["logits"] < card["verification"]["tolerance"] == 2e-2
    assert card["precision"] == "bfloat16"
    stored = tf.train.load_checkpoint(str(path / "variables" / "variables"))
    assert set(stored.get_variable_to_dtype_map().values()) == {tf.float32, tf.string}


def test_a_network_without_replicas_is_exported_itself(network):
    assert without_replicas(network) is network


def test_a_mirrored_network_is_exported_as_ordinary_variables(tmp_path):
    program = f"""
        import importlib.util, pathlib, random, sys
        import numpy as np, tensorflow as tf
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
        spec = importlib.util.spec_from_file_location("test_export", {__file__!r})
        tests = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tests)
        from tfdistill.export import encoded
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            network = tests.tiny_network()
        assert len(network.weights[0].value.values) == 2
        tests.verify.fresh_answers = tests.same_process_answers
        tests.exporter.sample_files = tests.verify.sample_files = lambda image_shape: [b'']
        encoded.evaluated = tests.verify.evaluated = lambda *_: tf.zeros(tests.SIZE, tf.uint8)
        encoded._fault = lambda *_: tf.constant("is damaged")
        state = random.getstate()
        path = tests.export(network, pathlib.Path(sys.argv[1]))
        assert random.getstate() == state
        images = np.random.default_rng(1).integers(0, 256, (3, *tests.SIZE))
        np.save(sys.argv[2], tests.expected_logits(network, images))
    """
    answer = tmp_path / "logits.npy"
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "tiny"), str(answer)]
    root = pathlib.Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    images = np.random.default_rng(1).integers(0, 256, (3, *SIZE))
    logits = load_for_scoring(tmp_path / "tiny")(images)
    np.testing.assert_allclose(logits, np.load(answer), rtol=1e-5, atol=1e-5)
    stored = tf.train.list_variables(str(tmp_path / "tiny" / "1" / "variables" / "variables"))
    assert len(stored) == 8 + 1  # the network's, and the object graph
