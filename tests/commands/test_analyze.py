"""The command `analyze`: small runs and a file, what is found of them, and what is refused before any work."""

import csv
import json
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdistill.analysis import ANALYSES
from tfdistill.analysis.calibration import Calibration
from tfdistill.commands import analyze, command_line, studies
from tfdistill.engine.state import network_state
from tfdistill.runs import checkpoints, kept_epochs
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder

# Looked at together, as loading the runs costs most.
WHAT = (
    *("feature_distance", "cka", "logits", "projection"),
    *("errors", "confusion", "sharpness", "active_neurons", "curves"),
)


def networks_of(data):
    """One convolution and a linear classifier a network, with the taps that analyses look at."""
    built = []
    for seed, one in enumerate(data.config.specifications):
        images = keras.Input(data.image_shape, name="images")
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        maps = keras.layers.Conv2D(4, 3, 2, activation="relu", kernel_initializer=draw, name="maps")(images)
        embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(maps)
        logits = keras.layers.Dense(len(data.class_names), kernel_initializer=draw, name="logits")(embedding)
        built.append(keras.Model(images, {"features": maps, "embedding": embedding, "logits": logits}, name=one.name))
    return built


def write_run(root: Path, name: str, networks: tuple[str, ...], seed: int = 0) -> None:
    """A run of untrained networks that has come to its first checkpoint, as a training leaves it."""
    from tfdistill.runs.data import RunData

    config = RunConfig(run=name, networks=networks, seed=seed, dataset="digits", runs_dir=str(root))
    folder = RunFolder(root / name)
    folder.path.mkdir(parents=True)
    folder.write_flags(config, {})
    arrays = {key: one.numpy() for key, one in network_state(networks_of(RunData.read(config))).items()}
    # One network has its channels parted, as inheritance and exploration leave them in a checkpoint.
    for part, channels in {"inheritance": [3, 0], "exploration": [1, 2]}.items():
        arrays[f"helpers/{networks[0]}_from_peer_{part}/0000/indices"] = np.int32(channels)
    for place in (folder.checkpoints, kept_epochs.folder_of(folder.path, 1)):
        checkpoints.save(place, 3, arrays, {"rows": []})
    rows = [{"epoch": epoch, "step": epoch, f"val_{networks[0]}/accuracy": 0.1 * epoch} for epoch in (1, 2)]
    folder.write_epochs(rows)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("analyze")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfdistill.runs.trained.build_networks", networks_of)
        write_run(root, "one", ("resnet8",))
        write_run(root, "pair", ("resnet8", "resnet14"), seed=5)
        for name, value in {"plain": 0.1, "infinite": np.inf}.items():
            images = keras.Input((8, 8, 1), name="images")
            weights = keras.initializers.Constant(value)
            logits = keras.layers.Dense(10, kernel_initializer=weights)(keras.layers.Flatten()(images))
            keras.Model(images, logits, name=name).save(root / f"{name}.keras")
        write_saved_model(root / "saved")
        boxes = RunConfig(run="boxes", dataset="digit_scenes", networks=("ssd96_resnet8",), runs_dir=str(root))
        (root / "boxes").mkdir()
        RunFolder(root / "boxes").write_flags(boxes, {})
        yield root


def write_saved_model(folder: Path) -> None:
    """What anybody may have exported: a signature from images to logits, and nothing inside."""
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(64, 10)), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, 8, 8, 1), name="images")])
    def serve(images):
        return {"logits": tf.reshape(images, (-1, 64)) @ module.weights}

    tf.saved_model.save(module, str(folder), signatures=serve)


def refused(arguments: list[str], capsys) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        analyze.main(arguments)
    output, error = capsys.readouterr()
    assert ended.value.code == 2 and error.count("\n") == 1, error
    assert output == "" and ": error: " in error
    return error


def test_networks_stand_side_by_side_in_a_picture_with_its_numbers(root, tmp_path, capsys):
    out = tmp_path / "out"
    given = ["--run=one", f"--run={root}/pair:resnet14", f"--runs_dir={root}", f"--out={out}"]
    before = sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*"))
    assert analyze.main([*given, "--what=calibration", "--examples=40", "--bins=5"]) == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in root.rglob("*")) == before, "a run is only read"
    assert sorted(one.name for one in out.iterdir()) == [
        *(f"calibration.{one}" for one in ("csv", "json", "png")),
        "logs",
    ]
    found = json.loads((out / "calibration.json").read_text())
    assert set(found["networks"]) == {"one", "pair:resnet14"} and found["dataset"] == "digits"
    assert found["sources"]["one"] == f"{root}/one" and "no validation examples" in found["notes"][0]
    test = found["networks"]["one"]["test"]
    assert test["examples"] == 40 and sum(test["bins"]["counts"]) == 40 and len(test["bins"]["counts"]) == 5
    rows = list(csv.DictReader((out / "calibration.csv").read_text().splitlines()))
    assert len(rows) == 2 * 4 * 5 and float(rows[0]["ece"]) == found["networks"]["one"]["train"]["ece"]
    assert "half of test, scaled" in capsys.readouterr().out
    events = EventAccumulator(str(out / "logs" / "calibration")).Reload()
    assert events.Tags()["tensors"] == ["calibration"]


def test_every_analysis_of_a_pair_writes_its_picture_and_numbers(root, tmp_path, capsys):
    given = [
        "--run=pair",
        "--teacher=one",
        f"--runs_dir={root}",
        f"--out={tmp_path}",
        "--examples=30",
        "--sigmas=0,0.1",
    ]
    assert analyze.main([*given, f"--what={','.join(WHAT)}"]) == 0
    output = capsys.readouterr().out
    assert "written: " in output and "Traceback" not in output
    found = {name: json.loads((tmp_path / f"{name}.json").read_text()) for name in WHAT}
    assert all((tmp_path / f"{name}.png").stat().st_size > 5_000 for name in WHAT)
    assert all((tmp_path / f"{name}.csv").read_text().count("\n") > 1 for name in WHAT)
    labels = ["pair:resnet8", "pair:resnet14", "one"]
    assert all(list(one["sources"]) == labels and one["teacher"] == "one" for one in found.values())
    pairs = [(one["first"], one["second"]) for one in found["feature_distance"]["distances"]]
    assert pairs == [(labels[0], "one"), (labels[1], "one")]
    assert found["cka"]["representations"][1:4] == ["pair:resnet8, inheritance", "pair:resnet8, exploration", labels[1]]
    assert np.allclose(np.diag(found["cka"]["cka"]), 1) and "features" in found["cka"]["taps"]
    assert set(found["logits"]["quantities"]["distance"]) == set(labels[:2])
    widths = np.diff(found["logits"]["densities"]["sum"]["edges"])
    assert np.sum(widths * found["logits"]["densities"]["sum"]["networks"]["one"]) == pytest.approx(1)
    assert found["projection"]["classes"] == ["0", "1", "2"]
    assert all(sum(one.values()) == 30 for one in found["errors"]["outcomes"].values())
    assert (tmp_path / "errors_lost.png").exists()
    assert np.sum(found["confusion"]["matrices"]["one"]) == 30
    clean = found["sharpness"]["networks"]["one"]["draws"][0]
    assert len(clean) == 5 and len(set(clean)) == 1
    assert found["curves"]["curves"][labels[0]]["epochs"] == [1, 2]
    assert [one["epoch"] for one in found["curves"]["agreement"]] == [1, 2]
    # The epoch that was kept has the weights of the end.
    kept, end = ({**one, "epoch": 0} for one in found["curves"]["agreement"])
    assert kept == end and 0 <= end["equal"] <= 1 and end["divergence"] > 0
    # The gradient at a map before global average pooling is the same at every position, so channels are the most.
    counts = found["active_neurons"]["active_neurons"]
    assert list(counts)[:3] == [labels[0], f"{labels[0]}, inheritance", f"{labels[0]}, exploration"]
    assert 1 <= counts[labels[0]] <= 4 and counts[f"{labels[0]}, inheritance"] <= 2


def test_flags_that_add_up_do_so_however_they_are_written():
    given = [
        "--run",
        "one",
        "--what=cka",
        "--run=two",
        "-run",
        "three",
        "--sigmas=0",
        "--sigmas",
        "0.1",
        "--images",
        "4",
    ]
    assert analyze.joined(given) == ["--run=one,two,three", "--what=cka", "--sigmas=0,0.1", "--images", "4"]


def test_networks_of_one_epoch_agree_with_each_other_alone_whatever_they_are_called(root, tmp_path):
    given = [f"--runs_dir={root}", f"--out={tmp_path}", "--examples=4", "--what=curves,logits", "--labels=edges,b,c"]
    assert analyze.main(["--run=pair@1,pair:resnet8", *given]) == 0
    agreed = json.loads((tmp_path / "curves.json").read_text())["agreement"]
    assert [(one["first"], one["second"], one["epoch"]) for one in agreed] == [("edges", "b", 1)]
    assert set(json.loads((tmp_path / "logits.json").read_text())["densities"]["sum"]["networks"]) == {
        "edges",
        "b",
        "c",
    }


def test_images_of_another_size_are_of_the_folder_and_split_of_the_training(monkeypatch):
    trained = RunConfig(dataset="image_folder", data_dir="photos", image_size=32, split=(0.8, 0.1, 0.1))
    read = []

    def remember(config):
        read.append(config)
        raise ValueError("enough")

    monkeypatch.setattr("tfdistill.commands.studies.config_at", lambda text: trained)
    monkeypatch.setattr("tfdistill.commands.studies.RunData.read", remember)
    values = analyze.analyze_flags()
    command_line.parse(values, ["--image_size=64"])
    with pytest.raises(ValueError, match="enough"):
        studies.data_of(values, ["run"])
    assert [(one.data_dir, one.image_size, one.split) for one in read] == [("photos", 64, trained.split)]


def test_a_saved_model_and_a_file_answer_beside_each_other(root, tmp_path):
    given = [f"--run={root}/saved,{root}/plain.keras", "--dataset=digits", f"--out={tmp_path}", "--labels=A,B"]
    assert analyze.main([*given, "--what=confusion", "--examples=20", "--classes=0"]) == 0
    assert set(json.loads((tmp_path / "confusion.json").read_text())["matrices"]) == {"A", "B"}


def test_a_file_for_images_of_any_size_is_looked_at_in_those_of_the_data(tmp_path):
    images = keras.Input((None, None, 1), name="images")
    maps = keras.layers.Conv2D(4, 3, activation="relu")(images)
    logits = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(maps))
    keras.Model(images, logits).save(tmp_path / "free.keras")
    given = [f"--run={tmp_path}/free.keras", "--dataset=digits", f"--out={tmp_path}/out", "--examples=4"]
    assert analyze.main([*given, "--what=cka,grad_cam"]) == 0
    assert np.shape(json.loads((tmp_path / "out" / "grad_cam.json").read_text())["maps"]["free.keras"]) == (4, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--what=calibration", ["run", "not given"]),
        ("--run=one", ["what", "not given", "calibration"]),
        ("--run=one --what=calibrate", ["what", "nearest: calibration"]),
        ("--run=none --what=calibration", ["run", "none", "nearest", "one"]),
        ("--run=one@3 --what=calibration", ["run", "keeps no epoch 3"]),
        ("--run=pair:resnet20 --what=calibration", ["run", "resnet20", "nearest: "]),
        ("--run=one,one --what=calibration", ["run", "two networks", "labels"]),
        ("--run=pair --labels=A --what=calibration", ["labels", "2 networks"]),
        ("--run=one --teacher=pair --what=calibration", ["teacher", "say which"]),
        ("--run=one --teacher=none --what=calibration", ["teacher: there is no run", "nearest run", "one"]),
        ("--run=one --what=calibration --split=validation", ["split", "no validation part"]),
        ("--run=boxes --what=errors,curves", ["run: ", "boxes was trained on digit_scenes, which is for detection; "]),
        ("--run=one --dataset=digit_scenes --what=cka", ["dataset: digit_scenes is for detection", "`evaluate`"]),
        ("--run=one --what=calibration --examples=1", ["examples", "2 examples or more", "is 1"]),
        ("--run={root}/infinite.keras --what=calibration", ["dataset", "give --dataset"]),
        ("--run=one --what=calibration --dataset=digit", ["dataset", "nearest: digits"]),
        ("--run=one --what=feature_distance", ["run", "two networks"]),
        ("--run=pair --what=feature_distance --taps=stage9", ["taps", "stage9", "has features, embedding, logits"]),
        ("--run=pair --what=feature_distance --taps=features,features", ["taps", "has features twice"]),
        ("--run=one --what=projection --classes=0,1,ten", ["classes", "ten"]),
        ("--run=one --what=projection --classes=0,1", ["classes", "3 classes, not 2"]),
        ("--run=one --what=projection --classes=1,1,2", ["classes", "twice"]),
        ("--run={root}/saved --dataset=digits --what=sharpness", ["run", "saved is a SavedModel", "give its run"]),
        ("--run={root}/saved --dataset=digits --what=active_neurons", ["run", "saved is a SavedModel", "gradients"]),
        ("--run=one --teacher={root}/saved --what=sharpness", ["teacher: saved is a SavedModel"]),
        ("--run=one --teacher={root}/infinite.keras --what=errors", ["teacher: infinite", "infinite"]),
        ("--run={root}/saved --dataset=digits --what=cka", ["taps", "saved has no tap features; it has logits"]),
        ("--run={root}/plain.keras --dataset=digits --what=curves", ["run", "record of its epochs"]),
        ("--run={root}/infinite.keras --dataset=digits --what=calibration", ["run", "infinite", "infinite"]),
    ],
)
def test_bad_input_is_one_line_before_any_work(arguments, words, root, tmp_path, capsys):
    given = arguments.format(root=root).split()
    error = refused([*given, f"--runs_dir={root}", f"--out={tmp_path}/out"], capsys)
    assert all(word in error for word in words), error
    assert list(tmp_path.iterdir()) == []


def test_a_detector_is_refused_where_the_data_is_for_classification():
    images = keras.Input((8, 8, 1), name="images")
    detector = keras.Model(images, {"class_logits": keras.layers.Conv2D(11, 8)(images)}, name="ssd")
    with pytest.raises(ValueError, match=r"^ssd is for detection; analyses are of classifiers\. `evaluate` scores"):
        studies._fitted(types.SimpleNamespace(model=detector), types.SimpleNamespace(task="classification"))


def test_an_analysis_is_a_class_of_its_own_by_each_name():
    assert ANALYSES["calibration"] is Calibration
    assert len({one.title for one in ANALYSES.values()}) == len(ANALYSES)


@pytest.mark.parametrize("within", ["", "/deeper"])
def test_results_that_would_lie_in_a_file_are_refused(within, root, capsys):
    error = refused(["--run=one", "--what=calibration", f"--out={root}/infinite.keras{within}"], capsys)
    assert "out: must be a folder that can be written" in error
