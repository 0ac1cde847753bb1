"""Runs that start from given weights: where they are looked for, and when they are not."""

import dataclasses
import json

import numpy as np
import pytest

from tfdistill import networks
from tfdistill.engine.state import network_state
from tfdistill.networks.specification import specified
from tfdistill.networks.weights import weights_of
from tfdistill.runs import checkpoints
from tfdistill.runs.building import build_networks
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.initial_weights import load_initial_weights
from tfdistill.runs.run import Run


def built(name="resnet8", *, model_name=None, seed=1, classes=4):
    return networks.build(name, classes=classes, image_shape=(8, 8, 3), seed=seed, model_name=model_name)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of three networks, at two steps, and the networks of each step."""
    folder, steps = tmp_path_factory.mktemp("runs") / "first", {}
    texts = ["resnet8", "resnet8", "wide_resnet_10_1_dropout:elsewhere.keras"]
    for step in (3, 5):
        models = [
            built("resnet8", model_name="resnet8_1", seed=step),
            built("resnet8", model_name="resnet8_2", seed=step + 1),
            built("wide_resnet_10_1_dropout", seed=step),
        ]
        arrays = {name: variable.numpy() for name, variable in network_state(models).items()}
        checkpoints.save(folder / "checkpoints", step, {**arrays, "metrics/x": np.zeros(1)}, {"rows": []})
        steps[step] = {model.name: model for model in models}
    (folder / "flags.json").write_text(json.dumps({"networks": texts}))
    return folder, steps


def same(network, other):
    return all(np.array_equal(a, b) for a, b in zip(network.get_weights(), other.get_weights(), strict=True))


def test_the_only_network_of_that_name_at_the_newest_step(run):
    folder, steps = run
    network = built("wide_resnet_10_1_dropout", seed=9)
    (line,) = load_initial_weights([network], specified([f"wide_resnet_10_1_dropout:{folder}"]))
    assert line == (f"wide_resnet_10_1_dropout: starts from wide_resnet_10_1_dropout of {folder}, step 5")
    assert same(network, steps[5]["wide_resnet_10_1_dropout"])


def test_peers_of_the_same_names_take_each_their_own(run):
    folder, steps = run
    peers = [built(model_name=name, seed=9) for name in ("resnet8_1", "resnet8_2")]
    assert len(load_initial_weights(peers, specified([f"resnet8:{folder}"] * 2))) == 2
    assert same(peers[0], steps[5]["resnet8_1"]) and same(peers[1], steps[5]["resnet8_2"])


def test_a_network_by_name_and_a_checkpoint_by_folder(run):
    folder, steps = run
    network = built(seed=9)
    for path in (folder, folder / "checkpoints"):
        load_initial_weights([network], specified([f"resnet8:{path}:resnet8_2"]))
        assert same(network, steps[5]["resnet8_2"])
    load_initial_weights([network], specified([f"resnet8:{folder / 'checkpoints' / 'step_00000003'}:resnet8_1"]))
    assert same(network, steps[3]["resnet8_1"])


def test_a_file_and_a_network_without_a_source(tmp_path):
    first, second, saved = built(seed=1), built(seed=2, model_name="other"), built(seed=3)
    before = second.get_weights()
    saved.save_weights(tmp_path / "a:b.weights.h5")
    lines = load_initial_weights([first, second], specified([f"resnet8:{tmp_path / 'a:b.weights.h5'}", "resnet8"]))
    assert lines == [f"resnet8: starts from {tmp_path / 'a:b.weights.h5'}"]
    assert same(first, saved)
    assert all(np.array_equal(a, b) for a, b in zip(before, second.get_weights(), strict=True))


def test_other_classes(run):
    folder, steps = run
    network = built(seed=9, classes=7)
    (line,) = load_initial_weights([network], specified([f"resnet8:{folder}:resnet8_1"]))
    assert line.endswith("step 5 without its classifier for 4 classes; the one for 7 classes is new")
    source = steps[5]["resnet8_1"]
    assert np.array_equal(network.get_layer("stem").kernel, source.get_layer("stem").kernel)


def test_a_detector_starts_its_backbone_from_a_runs_classifier_or_all_of_it_from_a_runs_detector(run, tmp_path):
    folder, steps = run
    detector, other = (networks.ssd96_resnet8(classes=3, seed=seed) for seed in (9, 8))
    heads = detector.get_layer("map1_offsets").get_weights()
    (line,) = load_initial_weights([detector], specified([f"ssd96_resnet8:{folder}:resnet8_2"]))
    assert line == (
        f"ssd96_resnet8: its backbone starts from resnet8_2 of {folder}, step 5 (45 arrays, 78,064 numbers); the other "
        "46 arrays (154,912 numbers) are new"
    )
    given = steps[5]["resnet8_2"]
    for layer in given.layers:
        if layer.weights and layer.name != "logits":
            pairs = zip(detector.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True)
            assert all(np.array_equal(*pair) for pair in pairs), layer.name
    assert all(map(np.array_equal, detector.get_layer("map1_offsets").get_weights(), heads))

    arrays = {name: variable.numpy() for name, variable in network_state([detector]).items()}
    checkpoints.save(tmp_path, 1, arrays, {})
    (line,) = load_initial_weights([other], specified([f"ssd96_resnet8:{tmp_path}"]))
    assert line == f"ssd96_resnet8: starts from ssd96_resnet8 of {tmp_path}, step 1" and same(other, detector)
    with pytest.raises(ValueError, match=r"resnet8_1 of .* is resnet8, neither ssd96_resnet14 nor .* of, resnet14$"):
        load_initial_weights([networks.ssd96_resnet14(classes=3)], specified([f"ssd96_resnet14:{folder}:resnet8_1"]))


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("resnet8", "{run}", "{run} has no resnet8, but resnet8_1, resnet8_2, wide_resnet_10_1_dropout; say which: "),
        ("resnet8", "{run}:resnet9", "{run} has no resnet9, but resnet8_1, "),
        ("resnet8", "{run}/absent", "there is no {run}/absent"),
        ("resnet8", "{run}/..", "{run}/.. has no checkpoint"),
        ("resnet8", "{run}/flags.json", "{run}/flags.json is no weights file: its name must end with"),
        (
            "resnet14",
            "{run}:resnet8_1",
            "resnet8_1 of {run} is resnet8, not resnet14; write resnet8:{run}:resnet8_1",
        ),
        ("resnet8_a", "{run}/checkpoints/step_00000003:resnet8_2", "resnet8_2 of {run}/checkpoints/step_00000003 is "),
    ],
)
def test_what_is_not_there_is_one_line(run, name, source, message):
    source = source.format(run=run[0])
    with pytest.raises(ValueError) as caught:
        load_initial_weights([built(name)], specified([f"{name}:{source}"]))
    assert str(caught.value).startswith(f"networks: {name}:{source}: {message.format(run=run[0])}")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_size_is_refused_with_both_shapes(run, tmp_path):
    narrow = networks.cifar_resnet(8, classes=4, image_shape=(8, 8, 3), width=4, name="resnet8")
    arrays = {name: variable.numpy() for name, variable in network_state([narrow]).items()}
    checkpoints.save(tmp_path, 1, arrays, {})
    with pytest.raises(ValueError, match=r"'stem/kernel' has shape \(3, 3, 3, 4\) there, \(3, 3, 3, 16\) here$"):
        load_initial_weights([built()], specified([f"resnet8:{tmp_path}"]))


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    folder = checkpoints.save(tmp_path, 1, {"networks/resnet8/0000/kernel": np.zeros(3, np.float32)}, {})
    (folder / "arrays.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^networks: resnet8:.*: checkpoint .*step_00000001 is damaged: "):
        load_initial_weights([built()], specified([f"resnet8:{folder}"]))


CONFIG = RunConfig(networks=("resnet8:runs/a b", "resnet8", "mobilenet_v2:imagenet"), seed=3)


def test_a_run_is_named_without_paths_and_its_networks_without_sources():
    assert CONFIG.run_name == "supervised-resnet8-a_b+resnet8+mobilenet_v2-imagenet-digits-seed3"
    assert RunConfig(run=CONFIG.run_name)


def test_networks_are_built_without_their_sources(monkeypatch):
    class Dataset:
        name, class_names, image_shape = "tiny", ("a", "b", "c"), (32, 32, 3)

        class normalization:
            mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)

    peers = build_networks(RunData(CONFIG, Dataset))
    assert [peer.name for peer in peers] == ["resnet8_1", "resnet8_2", "mobilenet_v2"]
    plain = build_networks(RunData(dataclasses.replace(CONFIG, networks=("resnet8",)), Dataset))
    assert same(peers[0], plain[0])
    scale = peers[2].get_layer("as_keras_trained")
    np.testing.assert_allclose(scale.scale, [0.4, 0.5, 0.6], rtol=1e-6)
    np.testing.assert_allclose(scale.offset, [0.0, -0.2, -0.4], atol=1e-6)


def test_a_run_that_goes_on_reads_its_checkpoint_and_not_the_source(tmp_path, capsys):
    source = tmp_path / "source.npz"
    given = networks.build("resnet8", classes=10, image_shape=(8, 8, 1), seed=5)
    np.savez(source, **{name: variable.numpy() for name, variable in weights_of(given).items()})
    config = RunConfig(networks=(f"resnet8:{source}",), batch_size=8, strategy="one")
    first = Run(config, RunFolder(tmp_path / "run"))
    assert capsys.readouterr().out == f"resnet8: starts from {source}\n"
    assert same(first.distiller.networks[0], given)

    arrays = {name: np.asarray(variable) for name, variable in first.distiller.state().items()}
    checkpoints.save(first.folder.checkpoints, 1, arrays, {"rows": []})
    source.unlink()
    Run(config, RunFolder(tmp_path / "run"))
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="there is no"):
        Run(config, RunFolder(tmp_path / "other"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet8:", "networks: 'resnet8:' names no source"),
        ("resnt8:runs/a", "networks: unknown network 'resnt8'; nearest: 'resnet8'"),
        ("resnet18:imagenet", "networks: Keras has ImageNet weights for its own networks, "),
    ],
)
def test_a_config_refuses_what_no_network_is(text, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        RunConfig(networks=(text,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "{flags}: is damaged: "),
        ("[]", "{flags}: is damaged: it is no JSON object; write back what was edited"),
        ('{"networks": "resnet8"}', "{flags}: networks: must be a list, not resnet8"),
        ('{"networks": ["resnt8", "resnet8"]}', "{flags}: networks: unknown network 'resnt8'; nearest: 'resnet8'"),
    ],
)
def test_an_edited_flags_file_of_the_source_is_named(tmp_path, content, message):
    arrays = {
        name: variable.numpy() for name, variable in network_state([built("resnet8", model_name="resnt8")]).items()
    }
    checkpoints.save(tmp_path / "checkpoints", 1, arrays, {})
    flags = tmp_path / "flags.json"
    flags.write_text(content)
    with pytest.raises(ValueError) as caught:
        load_initial_weights([built()], specified([f"resnet8:{tmp_path}:resnt8"]))
    assert message.format(flags=flags) in str(caught.value) and "\n" not in str(caught.value)
