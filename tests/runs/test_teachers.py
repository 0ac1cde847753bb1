"""Teachers of a run: where they are found, what refuses them, and what a run says of them."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill import Distiller
from tfdistill.commands import train
from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.updates import Phase, Update, alternating
from tfdistill.methods import METHODS
from tfdistill.runs import building, checkpoints, run_exports
from tfdistill.runs.teachers import teacher


class Taught(Distiller):
    """A method that pulls every logit towards the teachers'."""

    protocol, source = "ie_cifar", "made up"
    learns_from_teachers = True

    def __init__(self, networks, teachers):
        super().__init__(networks, teachers=teachers)

    def phases(self):
        def part(network):
            return Update(network.name, (network,), {"distance": 1.0}), lambda batch, taps: {
                "distance": tf.add_n(
                    [
                        tf.reduce_sum(tf.square(taps[network.name]["logits"] - taps[one.name]["logits"]), axis=1)
                        for one in self.teachers
                    ]
                )
            }

        return (Phase(alternating([part(network) for network in self.networks])),)


def networks_of(data):
    """BatchNorm and one dense layer a network, which train in no time."""
    built = []
    for seed, one in enumerate(data.config.specifications):
        images = keras.Input(data.image_shape, name="images")
        x = keras.layers.BatchNormalization(name="norm")(keras.layers.Flatten()(images))
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        logits = keras.layers.Dense(len(data.class_names), kernel_initializer=draw, dtype="float32", name="logits")(x)
        built.append(keras.Model(images, {"logits": logits}, name=one.name))
    return built


@pytest.fixture(scope="module", autouse=True)
def _made_up(card_alone):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_networks", networks_of)
        patch.setattr("tfdistill.runs.trained.build_networks", networks_of)
        patch.setattr(run_exports.export, "export_network", card_alone)
        patch.setitem(METHODS, "taught", Taught)
        yield


def command(root: Path, *more: str) -> int:
    """The exit status of a training."""
    where = [f"--runs_dir={root / 'runs'}", f"--export_dir={root / 'exports'}"]
    small = [
        "--epochs=1",
        "--train_examples=64",
        "--batch_size=16",
        "--schedule=constant",
        "--learning_rate=0.001",
        "--nocheck_terms",
        "--checkpoint_seconds=0",
    ]
    try:
        return train.main([*small, *where, *more])
    except SystemExit as ended:
        return int(str(ended.code))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Two runs to learn from: one network, and two in half precision; and one that two teachers have taught."""
    root = tmp_path_factory.mktemp("teachers")
    assert command(root, "--run=big", "--networks=resnet8") == 0
    assert command(root, "--run=pair", "--networks=resnet8,resnet14", "--precision=mixed_bfloat16") == 0
    taught = ["--method=taught", "--networks=resnet8", f"--teacher={root}/runs/big,{root}/runs/pair:resnet14"]
    assert command(root, "--run=small", *taught) == 0
    return root


def arrays_of(root: Path, run: str, network: str) -> list[np.ndarray]:
    arrays = checkpoints.newest(root / "runs" / run / "checkpoints").arrays
    return [array for name, array in arrays.items() if name.startswith(f"networks/{network}/")]


def test_a_runs_network_comes_as_its_newest_checkpoint_has_it(root):
    policy = keras.config.dtype_policy()
    big, second = teacher(root / "runs/big"), teacher(f"{root}/runs/pair:resnet14", name="second")
    assert keras.config.dtype_policy() is policy
    assert (big.name, second.name, second.get_layer("norm").compute_dtype) == ("resnet8", "second", "bfloat16")
    for model, own in ((big, arrays_of(root, "big", "resnet8")), (second, arrays_of(root, "pair", "resnet14"))):
        assert all(np.array_equal(one, other) for one, other in zip(own, model.get_weights(), strict=True))


def test_a_keras_model_or_file_comes_with_the_taps_that_are_found(tmp_path, tiny_network):
    network = tiny_network("own", seed=1)
    bare = keras.Model(network.input, network.output["logits"], name="bare")
    assert teacher(network) is network
    assert set(teacher(bare).output) == {"stage1", "stage2", "features", "embedding", "logits"}
    assert teacher(bare).variables[0] is network.variables[0]
    bare.save(tmp_path / "bare.keras")
    loaded = tfdistill.teacher(tmp_path / "bare.keras", name="loaded")
    assert loaded.name == "loaded" and set(loaded.output) == set(teacher(bare).output)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(loaded(images)["logits"], network(images)["logits"], atol=1e-6)


def test_what_is_no_teacher_is_refused_in_one_line(root, tmp_path):
    images = keras.Input((8, 8, 3), name="images")
    flat = keras.layers.Flatten()(images)
    for name, end in {
        "lambda": keras.layers.Lambda(lambda x: x * 2.0)(keras.layers.Dense(4)(flat)),
        "softmax": keras.layers.Dense(4, activation="softmax", name="head")(flat),
    }.items():
        keras.Model(images, end, name=name).save(tmp_path / f"{name}.keras")
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "empty").mkdir()
    for source, said in {
        tmp_path / "none.keras": "there is no file or run .*none.keras$",
        tmp_path / "text.keras": "text.keras is no .keras file; a teacher is one, or the folder of a run$",
        tmp_path / "lambda.keras": "lambda.keras holds a Lambda layer, whose code is not run from a file; ",
        tmp_path / "softmax.keras": "layer 'head' applies a softmax; build it with activation=None$",
        tmp_path / "empty": r"empty is no run folder \(it has no flags.json\)$",
        f"{root}/runs/pair": "pair has 2 networks, resnet8, resnet14; say which: .*pair:resnet8$",
        f"{root}/runs/pair:resnet15": "'resnet15' is none of resnet8, resnet14; nearest: resnet14$",
    }.items():
        with pytest.raises(ValueError, match=rf"^teacher: [^\n]*{said}"):
            teacher(source)
    with pytest.raises(
        ValueError, match=r"^teacher: must be a keras.Model, a .keras file or the folder of a run, not 3$"
    ):
        teacher(3)


def test_a_run_says_who_taught_it_and_keeps_nothing_else_of_them(root):
    results = json.loads((root / "runs/small/results.json").read_text())
    card = json.loads((root / "exports/small/resnet8/1/model_card.json").read_text())
    assert card["teachers"] == results["teachers"]
    assert [one["name"] for one in results["teachers"]] == ["resnet8_teacher", "resnet14"]
    assert [Path(one["source"]).name for one in results["teachers"]] == ["big", "pair:resnet14"]
    for one, (run, network) in zip(results["teachers"], (("big", "resnet8"), ("pair", "resnet14")), strict=True):
        own = json.loads((root / "runs" / run / "results.json").read_text())["networks"]
        assert one["scores"] == pytest.approx(next(row["last"] for row in own if row["name"] == network))
        assert one["fingerprint"] == fingerprint(teacher(f"{root}/runs/{run}:{network}"))
    assert [row["name"] for row in results["networks"]] == ["resnet8"]
    assert not [path for path in (root / "exports/small").glob("*") if path.is_dir() and path.name != "resnet8"]
    found = checkpoints.newest(root / "runs/small/checkpoints")
    assert not [name for name in found.arrays if "resnet14" in name or "teacher" in name]


def test_a_run_goes_on_with_the_same_teachers_only_wherever_they_lie(root, capsys):
    taught = ["--run=small", "--method=taught", "--networks=resnet8", "--epochs=2"]
    assert command(root, *taught, f"--teacher={root}/runs/big") == 2
    assert capsys.readouterr().err == (
        "train.py: error: teacher: the training was taught by resnet14, whose weights are not given; give the teachers "
        "that it has, or another --run\n"
    )
    model = teacher(f"{root}/runs/pair:resnet14")
    model.layers[-1].bias.assign_add(np.full(10, 1e-6, "float32"))
    model.save(root / "moved.keras")
    assert command(root, *taught, f"--teacher={root}/runs/big,{root}/moved.keras") == 2
    assert "was not taught by resnet14" in capsys.readouterr().err
    swapped = f"{root}/runs/pair:resnet14,{root}/runs/big"
    assert command(root, *taught, f"--teacher={swapped}") == 2
    given = f"--teacher={root}/runs/big,{root}/runs/pair:resnet14"
    assert f"in another order; give {given}\n" in capsys.readouterr().err
    (root / "runs/big").rename(root / "runs/elsewhere")
    assert command(root, *taught, f"--teacher={root}/runs/elsewhere,{root}/runs/pair:resnet14") == 0
    said = capsys.readouterr().out
    assert "going on from" in said and "teacher resnet14: test accuracy" in said
    (root / "runs/elsewhere").rename(root / "runs/big")


def test_a_teacher_that_a_run_cannot_use_is_refused_in_one_line(root, tmp_path, tiny_network, capsys):
    tiny_network("tiny", seed=1).save(tmp_path / "tiny.keras")
    for flags, said in {
        ("--method=dml", "--networks=resnet8,resnet8", f"--teacher={root}/runs/big"): (
            "teacher: method dml has no use for one; --method=distillation, --method=taught has, and any method with "
        ),
        (
            "--method=taught",
            f"--teacher={tmp_path}/tiny.keras",
        ): "tiny.keras: tiny tells 4 classes apart, digits has 10\n",
        ("--method=taught", f"--teacher={root}/runs/big", "--normalization=none"): "give both the same --normalization",
    }.items():
        assert command(tmp_path, *flags) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()
