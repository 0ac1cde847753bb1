"""Networks and teachers that are .keras files, in runs of the command: trained, cut off, gone on with, read again."""

import json

import keras
import numpy as np
import pytest

from tfdistill.commands import train
from tfdistill.engine.teachers import fingerprint
from tfdistill.runs import checkpoints, prepared, run_exports
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.trained import load_trained

L = keras.layers


def save(path, classes: int, activation: str = "relu", channels: int = 1) -> None:
    """A plain Sequential classifier of Keras with batch normalization, which ends with a softmax."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, channels)),
            L.Conv2D(4, 3, strides=2, name="conv"),
            L.BatchNormalization(name="norm"),
            L.Activation(activation, name="relu"),
            L.GlobalAveragePooling2D(name="pool"),
            L.Dense(classes, "softmax", name="head"),
        ]
    )
    model.get_layer("norm").moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    model.save(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, card_alone):
    """A run from file to file, whole and cut off after two steps; the teachers that these had, and what was said."""
    root, teachers, said = tmp_path_factory.mktemp("files"), [], []
    save(root / "my net.keras", classes=4)
    save(root / "big.keras", classes=10, channels=3)  # of colours, and it teaches on grey images
    load = prepared.load_teachers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_exports.export, "export_network", card_alone)
        patch.setattr(prepared, "load_teachers", lambda *given: teachers.extend(found := load(*given)) or found)
        patch.setattr("builtins.print", lambda *texts, **settings: said.append(" ".join(map(str, texts))))
        small = [
            *("--method=distillation", "--also=map_distance,kd", f"--networks={root}/my net.keras", "--nocheck_terms"),
            *(f"--teacher={root}/big.keras", "--teacher_normalization=raw", "--epochs=1", "--train_examples=64"),
            *("--batch_size=16", f"--runs_dir={root}/runs", f"--export_dir={root}/exports", "--taps=stage1:conv"),
        ]
        assert train.main([*small, "--run=whole"]) == 0
        assert train.main([*small, "--run=cut", "--steps=2"]) == 0
        assert train.main([*small, "--run=cut"]) == 0
    return root, teachers, said


def test_a_file_is_a_network_that_is_trained_and_gone_on_with_exactly(trained):
    root, _, said = trained
    begun = [line for line in said if "starts from" in line]
    assert begun == [begun[0]] * 2 and begun[0].startswith(f"my_net: starts from {root}/my net.keras without its ")
    assert begun[0].endswith("for 4 classes; the one for 10 classes is new; the softmax of layer 'head' is taken off")
    whole, cut = (checkpoints.newest(root / "runs" / run / "checkpoints") for run in ("whole", "cut"))
    assert whole.step == cut.step == 4
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, cut.arrays[name], err_msg=name)
    (network,) = load_trained(RunFolder(root / "runs/whole")).networks
    assert network.name == "my_net" and network.output["logits"].shape == (None, 10)
    assert network.output["stage1"].shape == (None, 3, 3, 4)
    own = [array for name, array in whole.arrays.items() if name.startswith("networks/my_net/")]
    assert all(np.array_equal(one, other) for one, other in zip(own, network.get_weights(), strict=True))


def test_no_bit_of_a_teacher_moves_and_none_is_kept(trained):
    root, teachers, _ = trained
    source = keras.saving.load_model(root / "big.keras")
    assert len(teachers) == 3
    for one, run in zip(teachers, ("whole", "cut", "cut"), strict=True):
        for before, after in zip(source.get_weights(), one.get_weights(), strict=True):
            assert before.tobytes() == after.tobytes()
        (told,) = json.loads((root / "runs" / run / "results.json").read_text())["teachers"]
        assert told["fingerprint"] == fingerprint(one) and told["source"] == f"{root}/big.keras"
    found = checkpoints.newest(root / "runs/whole/checkpoints")
    assert {name.split("/")[1] for name in found.arrays if name.startswith("networks/")} == {"my_net"}
    assert not [name for name in found.arrays if name.split("/")[1] == "big"]
    assert [one.name for one in (root / "exports/whole").iterdir() if one.is_dir()] == ["my_net"]


def test_another_architecture_in_the_file_is_another_training(trained):
    root, *_ = trained
    path, folder = root / "my net.keras", RunFolder(root / "runs/whole")
    kept = path.read_bytes()
    save(path, classes=4, activation="tanh")
    with pytest.raises(ValueError, match="the file of my_net has another architecture than when the training began"):
        load_trained(folder)
    path.write_bytes(kept)
    assert load_trained(folder).step == 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--networks=none.keras",), "networks: none.keras for digits: there is no file none.keras\n"),
        (("--networks=resnet8", "--taps=features:conv"), "taps: is for networks and teachers from .keras files, and "),
        (("--networks={root}/my net.keras", "--taps=features:comv"), "has no layer 'comv'; nearest: 'conv'\n"),
        (("--networks={root}/my net.keras", "--dataset=digits", "--taps=embedding:conv"), "must have rank 2, layer "),
    ],
)
def test_a_file_that_is_no_network_is_refused_in_one_line(trained, capsys, flags, said):
    root, *_ = trained
    with pytest.raises(SystemExit):
        train.main([*(flag.format(root=root) for flag in flags), f"--runs_dir={root}/none"])
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (root / "none").exists()
