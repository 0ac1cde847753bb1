"""Epochs that a run keeps: what cuts it off costs none, and each is a teacher, a beginning, a score, an export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tfdistill.commands import evaluate, export, train
from tfdistill.runs import best_epoch, building, checkpoints, run_exports, trained
from tfdistill.runs.config import RunConfig
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.initial_weights import load_initial_weights
from tfdistill.runs.kept_epochs import folder_of, kept, path_and_epoch
from tfdistill.runs.teacher_texts import members
from tfdistill.runs.teachers import teacher

# What the epochs are made to score: the second is the best.
SCORES = {1: 0.5, 2: 0.7, 3: 0.6, 4: 0.6}
BASE = (
    "--train_examples=64",
    "--batch_size=16",
    "--epochs=4",
    "--nocheck_terms",
    "--checkpoint_seconds=0",
    "--noexport",
)


def tiny_networks(data):
    built = []
    for one in data.config.specifications:
        images = keras.Input(data.image_shape, name="images")
        draw = keras.initializers.HeNormal(seed=one.seed)
        logits = keras.layers.Dense(10, kernel_initializer=draw, name="logits")(keras.layers.Flatten()(images))
        built.append(keras.Model(images, {"logits": logits}, name=one.name))
    return built


@pytest.fixture(scope="module", autouse=True)
def _made_up(card_alone):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "build_networks", tiny_networks)
        patch.setattr(trained, "build_networks", tiny_networks)
        patch.setattr(run_exports.export, "export_network", card_alone)
        patch.setattr(best_epoch, "mean_headline", lambda row, names, headline: SCORES.get(row["epoch"]))
        yield


def command(root: Path, run: str, *more: str) -> int:
    """The exit status of a training of two networks for four epochs of four steps, of which two are kept."""
    flags = ["--networks=resnet8,resnet14", "--validation_share=0.2", "--keep_epochs=3,1", "--export_epoch=best"]
    try:
        return train.main([*BASE, *flags, f"--runs_dir={root}", f"--export_dir={root}/exports", f"--run={run}", *more])
    except SystemExit as ended:
        return int(str(ended.code))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A whole run, and one that ended where the third epoch does."""
    root = tmp_path_factory.mktemp("runs")
    assert command(root, "whole") == command(root, "short", "--steps=12", "--keep_epochs=") == 0
    return root


def arrays_of(folder: Path) -> dict[str, np.ndarray]:
    found = checkpoints.newest(folder)
    return {name: array for name, array in found.arrays.items() if name.startswith("networks/")}


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys() and one
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_kept_epoch_has_the_weights_of_a_run_that_ended_there(root):
    assert kept(root / "whole") == [1, 3] and kept(root / "short") == []
    third = checkpoints.newest(folder_of(root / "whole", 3))
    assert (third.step, third.metadata["rows"][-1]["epoch"]) == (12, 3)
    # What is exported, and nothing that only training needs.
    assert all(name.startswith("networks/") for name in third.arrays)
    assert_equal(arrays_of(folder_of(root / "whole", 3)), arrays_of(root / "short" / "checkpoints"))


def test_whatever_cuts_a_run_off_the_epoch_is_the_same(root, capsys):
    # Within the epoch: its row is there then, and the epoch is not.
    assert command(root, "cut", "--steps=10") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"kept epochs 1, 3 in {root}/cut/kept_epochs, 0.0 MB each; --steps stops before epoch 3" in said
    assert kept(root / "cut") == [1]
    assert command(root, "cut") == 0
    assert_equal(arrays_of(folder_of(root / "cut", 3)), arrays_of(folder_of(root / "whole", 3)))
    # A start without the flag leaves them, and a save that was killed is put in order.
    first = next(folder_of(root / "cut", 1).iterdir())
    first.rename(first.with_name(first.name + ".replaced"))
    (folder_of(root / "cut", 3) / "step_00000012.writing").mkdir()
    (root / "cut" / "results.json").unlink()
    assert command(root, "cut", "--keep_epochs=") == 0
    assert kept(root / "cut") == [1, 3] and first.is_dir() and len(list(folder_of(root / "cut", 3).iterdir())) == 1


def test_an_epoch_that_a_run_has_passed_is_refused_before_it_goes_on(root, capsys):
    assert command(root, "past", "--steps=8", "--keep_epochs=") == 0
    assert command(root, "past", "--keep_epochs=1") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"keep_epochs: {root}/past is at step 8, after epoch 1 (step 4)" in said
    # The epoch at whose end it is was not passed.
    assert command(root, "past", "--steps=10", "--keep_epochs=2") == 0 and kept(root / "past") == [2]
    assert command(root, "whole", "--keep_epochs=1,2,4") == 0
    assert "keep_epochs: the run is finished and has not kept 2, 4; give another --run" in capsys.readouterr().err


def test_an_epoch_of_another_training_gives_way(root):
    stale = folder_of(root / "again", 1) / "step_00000009"
    shutil.copytree(next(folder_of(root / "whole", 1).iterdir()), stale)
    assert command(root, "again", "--steps=4") == 0
    assert [path.name for path in folder_of(root / "again", 1).iterdir()] == ["step_00000004"]


def test_a_kept_epoch_is_a_teacher_and_a_beginning(root):
    run, own = root / "whole", arrays_of(folder_of(root / "whole", 3))
    kernels = [own[f"networks/{name}/0000/kernel"] for name in ("resnet8", "resnet14")]
    for source, kernel in (
        (f"{run}@3:resnet14", kernels[1]),
        (f"resnet8:{run}@3", kernels[0]),
        (f"resnet14:{run}@3:resnet14", kernels[1]),
    ):
        np.testing.assert_array_equal(teacher(source).get_layer("logits").kernel.numpy(), kernel)
    config = RunConfig(networks=(f"resnet8:{run}@3", "resnet14"))
    begun = tiny_networks(trained.load_trained(RunFolder(run)).data)
    (line,) = load_initial_weights(begun, config.specifications)
    assert line == f"resnet8: starts from resnet8 of {run}@3, step 12"
    np.testing.assert_array_equal(begun[0].get_layer("logits").kernel.numpy(), kernels[0])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("RUN/whole@2:resnet8", "RUN/whole keeps no epoch 2, but 1, 3; --keep_epochs=2 keeps it while the run trains"),
        ("RUN/short@3:resnet8", "RUN/short keeps no epoch 3; --keep_epochs=3 keeps it while the run trains"),
        ("RUN/whole@3", "RUN/whole has 2 networks, resnet8, resnet14; say which: RUN/whole@3:resnet8"),
        ("RUN@3", "RUN is no run folder (it has no flags.json), and @3 is an epoch of a run"),
        ("resnet20:RUN/whole@3:resnet8", "write resnet8:RUN/whole:resnet8"),
        ("RUN/whole@last", "there is no file or run RUN/whole@last"),
    ],
)
def test_an_epoch_that_is_not_there_is_one_line(root, source, said):
    with pytest.raises(ValueError) as caught:
        teacher(source.replace("RUN", str(root)))
    assert said.replace("RUN", str(root)) in str(caught.value) and "\n" not in str(caught.value)


def test_networks_are_told_the_same_of_an_epoch_that_is_not_there(root):
    meant = RunConfig(networks=(f"resnet8:{root}/whole@2",)).specifications
    with pytest.raises(ValueError, match=r"^networks: resnet8:.*/whole@2: .*/whole keeps no epoch 2, but 1, 3; "):
        load_initial_weights([keras.Sequential(name="resnet8")], meant)


def test_an_at_in_a_path_that_is_there_is_part_of_it(tmp_path):
    (tmp_path / "old@3").mkdir()
    assert path_and_epoch(tmp_path / "old@3") == (tmp_path / "old@3", None)
    assert path_and_epoch("old@12") == (Path("old"), 12)
    assert path_and_epoch("@3") == (Path("@3"), None) and path_and_epoch("a@b@3") == (Path("a@b"), 3)
    joined = f"{tmp_path}/one+two@3+{tmp_path}/old@3"
    (tmp_path / "one+two").mkdir()
    assert members(joined) == [f"{tmp_path}/one+two@3", f"{tmp_path}/old@3"]


def test_a_kept_epoch_is_scored_and_exported_though_the_run_exports_its_best(root, tmp_path, capsys):
    folders = [f"--runs_dir={root}", "--run=whole@3"]
    assert evaluate.main(folders) == 0
    assert "whole, epoch 3 (step 12), which the run has kept, on 360 test examples" in capsys.readouterr().out
    loaded = trained.load_trained(RunFolder(root / "whole"), kept=3).networks[0].get_layer("logits").kernel.numpy()
    np.testing.assert_array_equal(loaded, arrays_of(folder_of(root / "whole", 3))["networks/resnet8/0000/kernel"])
    assert export.main([*folders, f"--export_dir={tmp_path}"]) == 0
    card = json.loads((tmp_path / "whole/resnet8/1/model_card.json").read_text())
    assert card["exported_epoch"] == {"choice": "kept", "epoch": 3, "step": 12} and card["step"] == 12
    for main in (evaluate.main, export.main):
        for more, said in (
            (["--export_epoch=best"], "export_epoch: --run=whole@3 says the epoch already; leave one of them out"),
            (["--run=whole@2"], f"run: {root}/whole keeps no epoch 2, but 1, 3"),
            (["--run=hole@3"], "run: there is no 'hole' in "),
        ):
            with pytest.raises(SystemExit) as ended:
                main([*folders, *more])
            assert ended.value.code == 2 and said in capsys.readouterr().err
