"""A run whose students answer by their teacher's classifier: cut off, and read where its teacher is gone."""

import json

import keras
import numpy as np
import pytest

from tfdistill.commands import evaluate, train
from tfdistill.runs import building, checkpoints, run_exports
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.teachers import teacher
from tfdistill.runs.trained import load_trained


def tiny_networks(data):
    """A convolution, its average and a classifier; the teacher, a resnet14, has more channels."""
    built = []
    for seed, one in enumerate(data.config.specifications):
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        images = keras.Input(data.image_shape, name="images")
        channels = 6 if one.architecture == "resnet14" else 3
        maps = keras.layers.Conv2D(channels, 3, 2, use_bias=False, kernel_initializer=draw, name="conv")(images)
        maps = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, name="norm")(maps))
        average = keras.layers.GlobalAveragePooling2D()(maps)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(average)
        built.append(keras.Model(images, {"features": maps, "logits": logits}, name=one.name))
    return built


@pytest.fixture(scope="module")
def command(tmp_path_factory, card_alone):
    root = tmp_path_factory.mktemp("sim_kd")
    where = [f"--runs_dir={root / 'runs'}", f"--export_dir={root / 'exports'}"]

    def run(name, *more):
        arguments = ["--train_examples=64", "--batch_size=16", "--epochs=2", "--checkpoint_seconds=0"]
        try:
            return train.main([*arguments, f"--run={name}", *where, *more])
        except SystemExit as ended:
            return int(str(ended.code))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_networks", tiny_networks)
        patch.setattr("tfdistill.runs.trained.build_networks", tiny_networks)
        patch.setattr(run_exports.export, "export_network", card_alone)
        run.root, run.runs = root, root / "runs"
        assert run("big", "--networks=resnet14", "--noexport") == 0
        yield run


TAUGHT = ("--method=sim_kd", "--networks=resnet8", "--validation_share=0.2", "--export_epoch=best")
# A transfer that builds a helper, which is in no export.
ADDED = ("--also=fitnet", "--fitnet.taps=features", "--sim_kd.label_weight=0.1")


@pytest.fixture(scope="module")
def whole(command):
    assert command("whole", *TAUGHT, *ADDED, f"--teacher={command.runs / 'big'}") == 0
    return checkpoints.newest(command.runs / "whole" / "checkpoints")


def test_cut_off_it_ends_in_the_same_bits_and_goes_on_with_its_own_teacher_only(command, whole, capsys):
    taught = (*TAUGHT, *ADDED, f"--teacher={command.runs / 'big'}")
    assert command("cut", *taught, "--steps=2", "--noexport") == 0
    capsys.readouterr()
    another = command.root / "another.keras"
    moved = teacher(command.runs / "big")
    moved.get_layer("logits").kernel.assign(moved.get_layer("logits").kernel + 1)
    moved.save(another)
    assert command("cut", *taught[:-1], f"--teacher={another}") != 0
    assert "was not taught by" in capsys.readouterr().err
    assert command("cut", *taught) == 0
    cut = checkpoints.newest(command.runs / "cut" / "checkpoints").arrays
    assert whole.arrays.keys() == cut.keys()
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, cut[name], err_msg=name)


def test_its_networks_are_read_without_the_teacher(command, whole, tmp_path, capsys):
    big = teacher(command.runs / "big")
    (command.runs / "big").rename(tmp_path / "gone")
    try:
        assert evaluate.main(["--run=whole", f"--runs_dir={command.runs}"]) == 0
        assert "resnet8" in capsys.readouterr().out
        (network,) = load_trained(RunFolder(command.runs / "whole"), "last").networks
        # A run like any other to whoever learns from it.
        teaching = teacher(command.runs / "whole")
    finally:
        (tmp_path / "gone").rename(command.runs / "big")
    state = {name: array for name, array in whole.arrays.items() if name.startswith("networks/")}
    for own, array in zip(network.variables, state.values(), strict=True):
        np.testing.assert_array_equal(own, array)
    assert list(teaching.output) == ["features", "embedding", "logits"]
    images = np.random.default_rng(0).normal(size=(5, *network.input_shape[1:])).astype("float32")
    taps, (kernel, bias) = network(images, training=False), big.get_layer("logits").get_weights()
    answers = np.mean(taps["features"], axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(taps["logits"], answers, rtol=1e-5, atol=1e-6)


def test_its_card_says_what_it_is_made_of(command, whole):
    (card,) = (command.root / "exports" / "whole").glob("resnet8/*/model_card.json")
    said = json.loads(card.read_text())
    (taught_by,) = said["teachers"]
    assert said["made_of"]["teacher_fingerprint"] == taught_by["fingerprint"]
    assert said["made_of"]["classifier"] == f"that of the teacher {taught_by['name']}, 70 parameters"
    assert said["made_of"]["projector"].endswith(" × 6, 132 parameters")


def test_a_branch_of_another_method_is_read_without_the_helpers_of_its_teacher(command):
    """What a transfer that was added has built from a teacher is none of what `one` delivers."""
    added = ("--also=fitnet", "--fitnet.taps=features", f"--teacher={command.runs / 'big'}")
    assert (
        command(
            "one", "--method=one", "--one.tap=features", "--networks=resnet8,resnet8", *added, "--steps=1", "--noexport"
        )
        == 0
    )
    found = load_trained(RunFolder(command.runs / "one"))
    assert [one.name for one in found.networks] == ["resnet8_1", "resnet8_2", "ensemble"]
