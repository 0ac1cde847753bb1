"""Teachers of a run: where they are found, what refuses them, and what a run says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdistill
from tfdistill import Distiller
from tfdistill.commands import train
from tfdistill.data import NORMALIZATIONS, load
from tfdistill.engine.teachers import fingerprint
from tfdistill.engine.updates import Phase, Update, alternating
from tfdistill.methods import METHODS
from tfdistill.networks import keras_application, network_from
from tfdistill.networks.weights import weights_of
from tfdistill.runs import building, checkpoints, run_exports
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.teacher_images import differing_names, fitted, perhaps_of_pixels
from tfdistill.runs.teacher_sources import Found, Reader
from tfdistill.runs.teacher_texts import members
from tfdistill.runs.teachers import like_guessing, load_teachers, teacher


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


def test_a_run_that_has_not_come_to_its_end_is_told_of(root, tmp_path):
    shutil.copytree(root / "runs/big", tmp_path / "big")
    assert Reader().read(str(tmp_path / "big")).told == []
    (tmp_path / "big/results.json").unlink()
    assert Reader().read(str(tmp_path / "big")).told == ["is not trained to its end; its weights are those of step 4"]


def test_a_keras_model_or_file_comes_with_the_taps_that_are_found(tmp_path, tiny_network):
    network = tiny_network("own", seed=1)
    bare = keras.Model(network.input, network.output["logits"], name="bare")
    assert teacher(network) is network
    stages = {"stage1", "stage2", "stage1_preactivation", "stage2_preactivation"}
    assert set(teacher(bare).output) == {*stages, "features", "embedding", "logits"}
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
        "mean": keras.layers.Average()([keras.layers.Dense(4, activation="softmax")(flat) for _ in range(2)]),
    }.items():
        keras.Model(images, end, name=name).save(tmp_path / f"{name}.keras")
    diverged = dense(4, "diverged")
    diverged.layers[-1].bias.assign([0, 0, np.nan, 0])
    for name in ("text.keras", "text.txt"):
        (tmp_path / name).write_text("no model")
    (tmp_path / "empty").mkdir()
    for source, said in {
        tmp_path / "none.keras": "there is no file or run .*none.keras$",
        tmp_path / "text.keras": "text.keras is no .keras file$",
        tmp_path / "text.txt": "text.txt is no .keras file; a teacher is the folder of a run, .* or a SavedModel$",
        tmp_path / "lambda.keras": "lambda.keras holds code, such as a Lambda layer's, .* give trust_code$",
        tmp_path / "mean.keras": "layer 'average.*' gives probabilities, rows that sum to 1; give logits$",
        tmp_path / "empty": r"empty is no run folder \(it has no flags.json\) and no SavedModel$",
        "resnet8:none.npz": "there is no file or run none.npz$",
        f"resnet14:{root}/runs/pair:resnet8": "resnet8 of .*pair is resnet8, not resnet14; write ",
        f"{root}/runs/pair": "pair has 2 networks, resnet8, resnet14; say which: .*pair:resnet8$",
        f"{root}/runs/pair:resnet15": "'resnet15' is none of resnet8, resnet14; nearest: resnet14$",
        "resnet8": "resnet8 is a network without weights; give them, as in resnet8:runs/NAME$",
        "": "a source is empty; write them as A,B for two teachers, as A[+]B for one of two sources$",
        diverged: "its variable dense.*/bias holds NaN or infinity$",
    }.items():
        with pytest.raises(ValueError, match=rf"^teacher: [^\n]*{said}"):
            teacher(source)
    with pytest.raises(ValueError, match=r"^teacher: must be a keras.Model, the folder of a run, .*SavedModel, not 3$"):
        teacher(3)
    with pytest.raises(ValueError, match=r"^teacher: normalization and classes are for data; give data="):
        teacher(f"{root}/runs/big", normalization="raw")


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


def test_a_teacher_that_a_run_cannot_use_is_refused_in_one_line(root, tmp_path, capsys):
    dense(4, "four").save(tmp_path / "four.keras")
    (tmp_path / "names.txt").write_text("zero\n1\n2\n3\n")
    four = ("--method=taught", f"--teacher={tmp_path}/four.keras")
    for flags, said in {
        ("--method=dml", "--networks=resnet8,resnet8", f"--teacher={root}/runs/big"): (
            "teacher: method dml has no use for one; --method=distillation, --method=chain, "
            "--method=sim_kd, --method=taught has, and any method with "
        ),
        four: "four.keras: four tells 4 classes apart, digits has 10\n",
        (*four, "--teacher_classes=by_name"): "four.keras: no names of its classes are recorded; give a text file ",
        (*four, f"--teacher_classes={tmp_path}/names.txt"): "it knows no class 0 of digits; nearest: ",
        (*four, "--teacher_classes=none.txt"): "must be same, by_name or a text file with their names, not none.txt\n",
        (*four, "--teacher_normalization=c100"): "it has a normalization for 3 channels, and digits has 1\n",
        (*four, "--teacher_normalization=c101"): "teacher_normalization: 'c101' is none of own, ",
        (*four, "--teacher_normalization=raw,raw"): "has 2 values for 1 teachers; give one for all, or one each\n",
        (*four, "--taps=features"): "taps: must be TAP:LAYER or NAME.TAP:LAYER, not features\n",
        (*four, "--taps=five.features:conv"): "taps: five.features:conv is for five, and the files are four\n",
        ("--method=taught", f"--teacher={root}/runs/big", "--teacher_normalization=raw"): "; write own for it\n",
        ("--method=taught", f"--teacher={root}/runs/big+{root}/runs/pair", "--run=x"): "pair has 2 networks, resnet8, ",
        ("--method=taught", "--teacher=runs/resnet8-seed1"): (
            "there is no file or run runs/resnet8-seed1; this trains one: python launch/train.py --run=resnet8-seed1 "
            "--networks=resnet8 --dataset=digits\n"
        ),
        ("--method=taught", "--teacher=runs/resnet8-seed1@10"): (
            "there is no file or run runs/resnet8-seed1@10; this trains one: python launch/train.py "
            "--run=resnet8-seed1 --networks=resnet8 --dataset=digits --keep_epochs=10\n"
        ),
        ("--teacher_classes=by_name",): "teacher_classes: is for --teacher; leave it out\n",
        ("--run=x", "--method=taught", f"--teacher=resnet8:{tmp_path}/runs/x"): "x is the run that is to learn; name ",
        ("--run=x", "--method=taught", f"--teacher={tmp_path}/runs/x@3"): "x@3 is the run that is to learn; name ",
        ("--teacher_precision=bfloat16",): "teacher_precision: is for --teacher; leave it out\n",
        ("--teacher_ahead=on",): "teacher_ahead: is for --teacher; leave it out\n",
        ("--method=taught", f"--teacher={root}/runs/big", "--teacher_ahead=on", "--xla=on"): (
            "teacher_ahead: teachers cannot be asked ahead: XLA compiles a teacher together with the step, to other "
            "bits; leave it out\n"
        ),
        (*four, "--teacher_precision=half"): "teacher_precision: 'half' is none of float32, bfloat16",
    }.items():
        assert command(tmp_path, *flags) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_teacher_in_bfloat16_says_how_far_it_agrees_and_goes_on_in_it_alone(tmp_path, capsys):
    images = keras.Input((8, 8, 1), name="images")
    maps = keras.layers.Conv2D(8, 3, use_bias=False, kernel_initializer="he_normal")(images)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization()(maps)))
    keras.Model(images, keras.layers.Dense(10)(pooled)).save(tmp_path / "maps.keras")
    taught = ["--run=one", "--method=taught", "--networks=resnet8", f"--teacher={tmp_path}/maps.keras"]
    assert command(tmp_path, *taught, "--teacher_precision=bfloat16") == 0
    (one,) = json.loads((tmp_path / "runs/one/results.json").read_text())["teachers"]
    assert one["fingerprint"] == fingerprint(teacher(tmp_path / "maps.keras"))
    same, difference = one["agreement"]["same_answers"], one["agreement"]["largest_difference"]
    # A convolution that rounds images, kernel and result by 2^-9 each.
    assert same > 0.9 and 0 < difference < 3 * 2**-9
    said = f"; in bfloat16 {same:.2%} of the answers are those of its own precision, and its logits differ by "
    printed = capsys.readouterr().out
    assert printed.count(said) == 1 and "; maps of maps in bfloat16" in " ".join(printed.split())
    assert command(tmp_path, *taught, "--epochs=2") == 2
    assert "--teacher_precision=float32 (it was bfloat16)" in capsys.readouterr().err


def test_a_run_whose_teacher_is_asked_ahead_ends_with_the_same_bits_also_where_it_was_cut_off(
    root, monkeypatch, capsys
):
    call, called = Distiller.call_model, []
    monkeypatch.setattr(Distiller, "call_model", lambda *given: called.append(given[1].name) or call(*given))
    taught = ["--method=distillation", "--also=kd", "--networks=resnet8", f"--teacher={root}/runs/pair:resnet14"]
    taught += ["--augmentation=mixup", "--unlabelled_rest", "--unlabelled_batch_size=8", "--epochs=2"]
    assert command(root, "--run=within", *taught) == 0
    assert "meanwhile" not in capsys.readouterr().out and called.count("resnet14")
    called.clear()
    assert command(root, "--run=ahead", "--teacher_ahead=on", "--steps=3", *taught) == 0
    assert "asked about the next batch meanwhile" in " ".join(capsys.readouterr().out.split())
    assert command(root, "--run=ahead", "--teacher_ahead=auto", "--steps_per_execution=3", *taught) == 0
    assert set(called) == {"resnet8"}
    within, ahead = (checkpoints.newest(root / "runs" / run / "checkpoints") for run in ("within", "ahead"))
    assert within.step == ahead.step == 8 and within.arrays.keys() == ahead.arrays.keys()
    assert all(array.tobytes() == ahead.arrays[name].tobytes() for name, array in within.arrays.items())


def logits_on_digits(model: keras.Model, normalization: str, count: int = 20) -> np.ndarray:
    """Logits of the first test digits, normalized so."""
    chosen, pixels = NORMALIZATIONS[normalization], load("digits").test.images[:count]
    return np.asarray(model((pixels / 255 - chosen.mean) / chosen.std)["logits"])


def taught_by(*sources: str, **flags) -> list[keras.Model]:
    """The teachers that a run with these flags has."""
    config = RunConfig(method="distillation", also=("kd",), networks=("resnet8",), teacher=sources, **flags)
    return load_teachers(RunData.read(config), tf.distribute.get_strategy())


def dense(classes: int, name: str, activation: str | None = None) -> keras.Model:
    """A plain model of Keras, one layer on the pixels of digits."""
    images = keras.Input((8, 8, 1))
    answers = keras.layers.Dense(classes, activation, kernel_initializer="he_normal")(keras.layers.Flatten()(images))
    return keras.Model(images, answers, name=name)


def test_a_teacher_gets_the_images_that_it_was_trained_on(root, tmp_path):
    own = teacher(f"{root}/runs/big")
    expected = logits_on_digits(own, "digits")
    (same,) = taught_by(f"{root}/runs/big")
    assert not [layer for layer in same.layers if layer.name == "own_images"]
    (other,) = taught_by(f"resnet8:{root}/runs/big", normalization="symmetric")
    np.testing.assert_allclose(logits_on_digits(other, "symmetric"), expected, atol=1e-4)
    assert fingerprint(other) == fingerprint(same) == fingerprint(own)
    raw = dense(10, "raw")
    raw.save(tmp_path / "raw.keras")
    first, second = taught_by(f"{root}/runs/big", f"{tmp_path}/raw.keras", teacher_normalization=("own", "raw"))
    np.testing.assert_allclose(logits_on_digits(first, "digits"), expected, atol=1e-5)
    pixels = np.asarray(raw(load("digits").test.images[:20].astype("float32")))
    np.testing.assert_allclose(logits_on_digits(second, "digits"), pixels, rtol=1e-4, atol=1e-3)


def test_a_teacher_that_seems_to_read_pixels_is_warned_of_and_one_that_must_gets_them():
    digits = load("digits")
    whole, shifted, unscaled = (
        Found(network_from(keras.Sequential([keras.Input((8, 8, 1), dtype=kind), first, keras.layers.Flatten(), last])))
        for kind, first, last in (
            ("uint8", keras.layers.Rescaling(1 / 255), keras.layers.Dense(10)),
            ("float32", keras.layers.Rescaling(1 / 127.5, offset=-1), keras.layers.Dense(10)),
            ("float32", keras.layers.Rescaling(2.0), keras.layers.Dense(10)),
        )
    )
    pixels = digits.test.images[:20].astype("uint8")
    found = logits_on_digits(fitted(whole, digits), "digits")
    np.testing.assert_allclose(found, np.asarray(whole.model(pixels)["logits"]), atol=1e-5)
    said = perhaps_of_pixels(shifted, digits, "own")
    assert "a Rescaling by 0.00784, as if it read pixels of 0..255, and it gets the networks' normalized images" in said
    assert not perhaps_of_pixels(shifted, digits, "raw") and not perhaps_of_pixels(unscaled, digits, "own")


def test_an_ensemble_is_one_teacher_with_the_mean_of_the_logits(root):
    sources = (f"{root}/runs/big", f"{root}/runs/pair:resnet14")
    (one,) = taught_by("+".join(sources), normalization="none")
    members = [logits_on_digits(teacher(source), "digits") for source in sources]
    np.testing.assert_allclose(logits_on_digits(one, "none"), np.mean(members, axis=0), atol=2e-2)
    assert one.name == "resnet8_and_resnet14" and list(one.output) == ["logits"]
    in_python = teacher(list(sources), name="both", data=tfdistill.load_data("digits"))
    assert in_python.name == "both"
    np.testing.assert_allclose(logits_on_digits(in_python, "digits"), np.mean(members, axis=0), atol=1e-5)


def test_a_saved_model_gives_logits_for_raw_pixels_alone(root, tmp_path):
    flat = dense(10, "plain")
    flat.export(tmp_path / "plain", verbose=False)
    (one,) = taught_by(f"{tmp_path}/plain")
    pixels = load("digits").test.images[:20].astype("float32")
    np.testing.assert_allclose(logits_on_digits(one, "digits"), np.asarray(flat(pixels)), rtol=1e-4, atol=1e-3)
    assert (one.name, list(one.output), one.count_params()) == ("plain", ["logits"], 650)
    dense(10, "soft", "softmax").export(tmp_path / "soft", verbose=False)
    with pytest.raises(ValueError, match=r"^teacher: [^\n]*soft holds a SavedModel that gives probabilities, which "):
        teacher(tmp_path / "soft")
    with pytest.raises(ValueError, match=r"^[^\n]*plain[^\n]*has no tap 'features'; it has logits$"):
        tfdistill.Distillation(networks_of_shape(), one, [tfdistill.MapDistance()])


def networks_of_shape() -> keras.Model:
    return tfdistill.networks.resnet8(classes=10, image_shape=(8, 8, 1))


def test_classes_in_another_order_are_refused_and_mapped_by_name_on_request(tmp_path):
    dense(12, "twelve").save(tmp_path / "twelve.keras")
    names = [*"9876543210", "ten", "eleven"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    (one,) = taught_by(f"{tmp_path}/twelve.keras", teacher_classes=(f"{tmp_path}/names.txt",))
    whole = logits_on_digits(teacher(tmp_path / "twelve.keras"), "digits")
    np.testing.assert_array_equal(logits_on_digits(one, "digits"), whole[:, 9::-1])
    digits = load("digits")
    found = Found(network_from(dense(10, "ten")), class_names=list("9876543210"))
    with pytest.raises(ValueError, match=r"the classes of digits in another order; --teacher_classes=by_name takes"):
        fitted(found, digits)
    assert fitted(found, digits, classes="by_name").get_layer("chosen_classes").places == list(range(9, -1, -1))
    assert not differing_names(Found(network_from(dense(10, "ten")), class_names=list("0123456789")), digits, "same")
    said = differing_names(Found(network_from(dense(10, "ten")), class_names=["zero", *"123456789"]), digits, "same")
    assert said.startswith("1 of its 10 classes have other names than those of digits, such as zero for 0; ")


def test_a_network_by_name_teaches_with_the_weights_of_a_file_or_a_checkpoint(root, tmp_path):
    network = networks_of_shape()
    network.save_weights(tmp_path / "own.weights.h5")
    (one,) = taught_by(f"resnet8:{tmp_path}/own.weights.h5", teacher_normalization=("raw",))
    pixels = load("digits").test.images[:20].astype("float32")
    np.testing.assert_allclose(logits_on_digits(one, "digits"), network(pixels)["logits"], rtol=1e-3, atol=1e-3)
    other = tfdistill.networks.resnet8(classes=4, image_shape=(8, 8, 1))
    other.save_weights(tmp_path / "four.weights.h5")
    with pytest.raises(ValueError, match=r"^teacher: .*h5 has no classifier for the 10 classes of digits$"):
        taught_by(f"resnet8:{tmp_path}/four.weights.h5")


@pytest.mark.parametrize(("accuracy", "warned"), [(0.1, True), (0.14, True), (0.2, False), (None, False)])
def test_a_teacher_that_guesses_is_warned_of(accuracy, warned):
    assert bool(like_guessing(accuracy, chance=0.1, classes=10, examples=360)) is warned


def test_plus_joins_sources_and_may_be_part_of_a_path(tmp_path):
    for name in ("a", "a+b", "c"):
        (tmp_path / name).mkdir()
    a, both, c = (f"{tmp_path}/{name}" for name in ("a", "a+b", "c"))
    assert members(both) == [both]
    assert members(f"{both}:net+{c}+keras_resnet50:imagenet") == [f"{both}:net", c, "keras_resnet50:imagenet"]
    assert members(f"{a}+{c}") == [a, c]


def test_a_network_that_keras_trained_sees_the_size_that_keras_trained_it_at(monkeypatch):
    given = {"classes": 1000, "image_shape": (224, 224, 3), "mean": (0.5,), "std": (0.5,)}
    trained = keras_application("keras_mobilenet", **given, seed=3)
    arrays = {name: variable.numpy() for name, variable in weights_of(trained).items()}
    monkeypatch.setattr("tfdistill.runs.teacher_sources.imagenet_weights", lambda name, classes: dict(arrays))
    images = SimpleNamespace(
        name="made up",
        image_shape=(40, 40, 3),
        class_names=[str(one) for one in range(1000)],
        normalization=NORMALIZATIONS["symmetric"],
    )
    shown = np.random.default_rng(0).uniform(-1, 1, size=(1, 40, 40, 3)).astype("float32")
    model = fitted(Reader(images).read("mobilenet:imagenet"), images)
    expected = trained(tf.image.resize(shown, (224, 224)))["logits"]
    np.testing.assert_allclose(model(shown)["logits"], expected, rtol=1e-3, atol=1e-4)
    images.class_names = list("abc")
    with pytest.raises(
        ValueError, match=r"^Keras trained it for ImageNet's 1000 classes, and made up has 3; train it "
    ):
        Reader(images).read("mobilenet:imagenet")
    with pytest.raises(
        ValueError, match=r"^Keras trained its backbone alone; train it on made up first: --networks=ss"
    ):
        Reader(images).read("ssd300_resnet50:imagenet")
