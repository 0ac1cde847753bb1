"""A chain by the command: cut off in either link and at their border it ends in the same bits, and says where it is."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfdistill.commands import train
from tfdistill.runs import building, checkpoints, run_exports
from tfdistill.runs.config import RunConfig
from tfdistill.runs.continuing import refusal

# Two epochs of four steps for each of two networks.
EPOCH, LINK, WHOLE = 4, 8, 16


def tiny_networks(data):
    """A convolution with statistics that a teacher is folded by, and a classifier."""
    built = []
    for seed, one in enumerate(data.config.specifications):
        draw = keras.initializers.HeNormal(seed=seed + data.config.seed)
        images = keras.Input(data.image_shape, name="images")
        maps = keras.layers.Conv2D(3, 3, 2, use_bias=False, kernel_initializer=draw)(images)
        maps = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(maps))
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(maps))
        built.append(keras.Model(images, {"logits": logits}, name=one.name))
    return built


@pytest.fixture
def command(tmp_path, monkeypatch, card_alone):
    def exported(network, folder, *, card, **others):
        run.exported.append((network.name, card["step"], network.get_weights()))
        return card_alone(network, folder, card=card)

    def run(name, *more):
        arguments = ["--chain", "--networks=resnet8,resnet14", "--links=kd:temperature=2:weight=0.5+mse:weight=0.1"]
        arguments += ["--train_examples=64", "--batch_size=16", "--epochs=2", "--validation_share=0.2"]
        arguments += ["--export_epoch=best", "--checkpoint_seconds=0", f"--run={name}", *folders, *more]
        assert train.main(arguments) == 0
        return checkpoints.newest(tmp_path / "runs" / name / "checkpoints").arrays

    folders = [f"--runs_dir={tmp_path / 'runs'}", f"--export_dir={tmp_path / 'exports'}"]
    run.exported, run.runs = [], tmp_path / "runs"
    monkeypatch.setattr(building, "build_networks", tiny_networks)
    monkeypatch.setattr(run_exports.export, "export_network", exported)
    return run


def test_cut_off_in_each_link_and_between_them_it_ends_in_the_same_bits(command, capsys):
    whole = command("whole")
    shown = capsys.readouterr().out
    assert "in phases: resnet8 from labels 2, resnet14 from resnet8 2" in shown
    assert "method      chain with kd:temperature=2:weight=0.5+mse:weight=0.1 at every link" in shown
    assert f"epoch 2/4 (resnet8 from labels) step {LINK}/{WHOLE}: resnet8/accuracy" in shown
    assert f"epoch 3/4 (resnet14 from resnet8) step {LINK + EPOCH}/{WHOLE}: resnet14/accuracy" in shown
    rows = list(csv.DictReader((command.runs / "whole" / "epochs.csv").open()))
    assert [row["phase"] for row in rows] == ["1", "1", "2", "2"]
    events = EventAccumulator(str(command.runs / "whole" / "logs" / "training")).Reload()
    assert [tf.make_ndarray(one.tensor_proto).item() for one in events.Tensors("phase")] == [1, 1, 2, 2]
    # Every network is scored every epoch: one before its turn as it begins, one after it as it stands.
    first, second = ([row[f"val_{name}/accuracy"] for row in rows] for name in ("resnet8", "resnet14"))
    assert first[1] == first[2] == first[3] and second[0] == second[1] and "val_ensemble/accuracy" not in rows[0]
    assert [bool(row["learning_rate/resnet14"]) for row in rows] == [False, False, True, True]
    assert [row["resnet14/kd"] != "" for row in rows] == [False, False, True, True]

    for steps in (2, LINK, LINK + 3):
        command("cut", f"--steps={steps}", "--noexport")
    cut = command("cut")
    assert whole.keys() == cut.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, cut[name], err_msg=name)

    # The best epoch is one of the last link's, and the network that taught is exported as it has taught.
    exported, results = command.exported[:2], json.loads((command.runs / "whole" / "results.json").read_text())
    assert [name for name, _, _ in exported] == ["resnet8", "resnet14"]
    assert results["exported_epoch"]["epoch"] in (3, 4) and exported[0][1] == results["exported_epoch"]["step"]
    end = [array for name, array in whole.items() if name.startswith("networks/resnet8/")]
    assert sorted(map(np.sum, end)) == pytest.approx(sorted(map(np.sum, exported[0][2])), rel=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--networks=resnet8"], "networks: a chain of one has nobody to learn from; give two or more, or a teacher"),
        (["--links=kd,mse"], "links: has 2 values for 1 links; give one for all, or one each"),
        (["--links=kd,"], "links: '': transfer: '' is none of kd, "),
        (
            ["--links=kd:temprature=3"],
            "links: kd:temprature=3: kd hyper-parameter: 'temprature' is none of temperature, ",
        ),
        (["--links=kd:temperature=0"], "links: kd:temperature=0: temperature: must be a number in 0.001..1,000, not 0"),
        (["--links=kd:rescaled"], "links: kd:rescaled: rescaled: has no value; write kd:rescaled=VALUE"),
        (["--links=kd+mse+kd"], "links: kd+mse+kd has a transfer twice"),
        (["--links=kd", "--also=mse"], "links: says of each link what --also says of all; leave one of them out"),
        (["--links=kd", "--mse.weight=2"], "mse.weight: belongs to --also=mse, which is not given; add it, or leave"),
        (["--chain.label_weight=1,0"], "chain.label_weight: has 2 values for 1 links; give one for all, or one each"),
        (
            ["--method=dml"],
            "chain: goes with --method=distillation or a transfer's name, for each link, not with dml; ",
        ),
        (
            ["--method=dml", "--nochain", "--links=kd"],
            "links: is for --chain, which is --method=chain, not for dml; leav",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(command, flags, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        train.main(["--chain", "--networks=resnet8,resnet14", f"--runs_dir={tmp_path / 'runs'}", "--run=a", *flags])
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and message in line
    assert not (tmp_path / "runs").exists()


def test_flags_become_transfers_of_each_link():
    config = RunConfig(
        method="chain",
        networks=("resnet8", "resnet14", "resnet20"),
        links=("kd:temperature=3", "kd:rescaled=true+mse:reduction=sum"),
        hyperparameters={"kd.temperature": 7.0, "label_weight": (0.0, 0.5)},
    )
    (first,), (second, other) = building.links_of(config)
    assert (first.temperature, first.rescaled, second.temperature, second.rescaled) == (3.0, False, 7.0, True)
    assert other.reduction == "sum"
    assert config.planned_epochs == 3 * config.chosen_protocol().epochs
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))).links == config.links
    longer = RunConfig(**{**vars(config), "epochs": 2 * config.chosen_protocol().epochs})
    assert "--epochs=320 (it was 160; every network of a chain has as many" in refusal(config.to_dict(), longer)
