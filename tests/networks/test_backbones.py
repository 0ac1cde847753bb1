"""A detector's backbone from a classifier: of every kind of source, and what is said where one does not fit."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfdistill import networks
from tfdistill.networks import Specification, by_name
from tfdistill.networks.backbones import assign_detector_or_backbone, read_detector_or_backbone
from tfdistill.networks.keras_applications import imagenet_weights
from tfdistill.networks.torch_names import resnet_layers
from tfdistill.networks.weights import weights_of


def values(network):
    return {name: variable.numpy() for name, variable in weights_of(network).items()}


def differing(detector, arrays):
    """The names in both whose arrays are not the same."""
    return [name for name, array in values(detector).items() if name in arrays and (array != arrays[name]).any()]


@pytest.fixture(scope="module")
def trained():
    """A classifier whose running statistics have moved."""
    network = networks.resnet8(classes=5, image_shape=(8, 8, 3), seed=9)
    network(np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32"), training=True)
    return network


def detector(classes=3):
    return networks.ssd96_resnet8(classes=classes, seed=4)


def test_the_backbone_starts_as_the_classifier_of_that_seed_and_takes_the_weights_of_another(trained, tmp_path):
    ours = detector()
    before = values(ours)
    assert differing(ours, values(networks.resnet8(classes=5, seed=4))) == []
    backbone = [name for name in values(trained) if not name.startswith("logits")]
    assert len(differing(ours, values(trained))) == 27, "kernels and running statistics"
    for name in ("trained.keras", "trained.weights.h5", "trained.npz", "trained.safetensors"):
        path = tmp_path / name
        write = {"keras": trained.save, "h5": trained.save_weights}.get(
            name.rpartition(".")[2], lambda path: np.savez(path, **values(trained))
        )
        save_file(values(trained), path) if name.endswith("safetensors") else write(path)
        for variable, array in zip(ours.weights, before.values(), strict=True):
            variable.assign(array)
        (line,) = networks.load_backbone(ours, path)
        assert line == (
            f"ssd96_resnet8: its backbone starts from {path} (45 arrays, 78,064 numbers); the other 46 arrays "
            "(154,912 numbers) are new"
        )
        assert differing(ours, values(trained)) == []
        behind = {name: array for name, array in before.items() if name not in backbone}
        assert differing(ours, behind) == [] and len(behind) == 46
        # A command does not say whether a file is a classifier's or a detector's.
        assert assign_detector_or_backbone(
            ours, read_detector_or_backbone(path, ours, "ssd96_resnet8"), source=str(path)
        ) == [line]
    networks.load_backbone(ours, networks.resnet8(classes=5, seed=4))
    assert len(differing(ours, values(trained))) == 27
    networks.load_backbone(ours, trained)
    assert differing(ours, values(trained)) == []


def test_a_source_that_does_not_fit_changes_nothing(trained):
    ours = detector()
    before = values(ours)
    with pytest.raises(ValueError, match=r"^wide_resnet_10_1 does not fit ssd96_resnet8: it lacks 'stem_norm/gamma'"):
        networks.load_backbone(ours, networks.wide_resnet_10_1(classes=5))
    gray = networks.resnet8(classes=5, image_shape=(8, 8, 1), seed=1)
    with pytest.raises(ValueError, match=r"'stem/kernel' has shape \(3, 3, 1, 16\) there, \(3, 3, 3, 16\) here$"):
        assign_detector_or_backbone(ours, values(gray), source="the file")
    assert differing(ours, before) == []
    with pytest.raises(ValueError, match=r"^resnet8 is no detector that a backbone is known for"):
        networks.load_backbone(trained, trained)


def test_a_whole_detector_is_taken_whole_but_for_other_classes(tmp_path):
    source, ours, other = detector(), networks.ssd96_resnet8(classes=3, seed=5), networks.ssd96_resnet8(classes=4)
    source.save_weights(tmp_path / "whole.weights.h5")
    arrays = read_detector_or_backbone(tmp_path / "whole.weights.h5", ours, "ssd96_resnet8")
    assert assign_detector_or_backbone(ours, arrays, source="the file") == []
    assert differing(ours, values(source)) == []
    heads = {name: array for name, array in values(other).items() if "_classes/" in name}
    (line,) = assign_detector_or_backbone(
        other, read_detector_or_backbone(tmp_path / "whole.weights.h5", other, "ssd96_resnet8"), source="the file"
    )
    assert line == (
        "ssd96_resnet8: starts from the file without its map1_classes to map4_classes for another number of classes; "
        "they are new"
    )
    same = {name: array for name, array in values(source).items() if name not in heads}
    assert differing(other, {**same, **heads}) == [] and len(heads) == 8


def test_a_detector_takes_torchvisions_names_for_its_backbone(tmp_path):
    detector = networks.ssd300_resnet18(classes=2, seed=0)
    ours, generator, arrays = weights_of(detector), np.random.default_rng(0), {}
    for theirs, layer in resnet_layers(18).items():
        if f"{layer}/kernel" in ours:
            size, _, inputs, outputs = ours[f"{layer}/kernel"].shape
            arrays[f"{theirs}.weight"] = generator.normal(size=[outputs, inputs, size, size]).astype("float32")
        elif f"{layer}/gamma" in ours:
            for name in ("weight", "bias", "running_mean", "running_var"):
                arrays[f"{theirs}.{name}"] = generator.normal(size=ours[f"{layer}/gamma"].shape).astype("float32")
    arrays["layer4.0.conv1.weight"] = np.zeros([512, 256, 3, 3], "float32")
    save_file(arrays, tmp_path / "resnet18.safetensors")
    networks.load_backbone(detector, tmp_path / "resnet18.safetensors")
    np.testing.assert_array_equal(ours["stem/kernel"], arrays["conv1.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(ours["stage3_block2_conv2_norm/moving_variance"], arrays["layer3.1.bn2.running_var"])


def test_keras_weights_give_keras_maps_for_images_as_the_run_normalizes_them(monkeypatch, tmp_path):
    """Beside Keras' own ResNet-50 whose fourth group keeps its resolution; its weights are drawn here."""
    built, build = [], keras.applications.ResNet50

    def drawn(*, weights, **settings):
        model = build(weights=None, **settings | {"input_shape": (300, 300, 3)})
        generator = np.random.default_rng(0)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_mean.assign(generator.normal(0, 0.1, layer.gamma.shape))
                layer.moving_variance.assign(generator.uniform(0.5, 1.5, layer.gamma.shape))
            elif isinstance(layer, keras.layers.Conv2D):
                layer.bias.assign(generator.normal(0, 0.1, layer.bias.shape))
        built.append(model)
        return model

    monkeypatch.setattr(keras.applications, "ResNet50", drawn)
    architecture = Specification.parse("ssd300_resnet50:imagenet").architecture
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    ours = by_name.builder_of(architecture)(classes=20, mean=mean, std=std, seed=0)
    arrays = imagenet_weights(architecture, classes=20)
    (line,) = assign_detector_or_backbone(ours, arrays, source="Keras' ImageNet weights")
    assert line.startswith("ssd300_keras_resnet50: its backbone starts from Keras' ImageNet weights (")

    (trained,) = built
    for name in ("conv4_block1_0_conv", "conv4_block1_1_conv"):
        trained.get_layer(name).strides = (1, 1)
    slope = np.linspace(0, 255, 300, dtype="float32")
    pixels = np.stack(np.broadcast_arrays(slope[:, None], slope[None, ::-1] / 2, np.float32(30)), -1)[None]
    layers = {"stage1": "conv2_block3_out", "stage2": "conv3_block4_out", "stage3": "conv4_block6_out"}
    maps = keras.Model(trained.input, {tap: trained.get_layer(layer).output for tap, layer in layers.items()})
    expected = maps(keras.applications.resnet.preprocess_input(pixels.copy()))
    taps = ours((pixels / 255 - np.float32(mean)) / np.float32(std))
    for tap, own in expected.items():
        np.testing.assert_allclose(taps[tap], own, rtol=1e-3, atol=1e-3 * np.std(own), err_msg=tap)
    assert taps["stage3"].shape == (1, 38, 38, 1024)

    # So do the weights of a classifier on that network that was trained here, as a file has them.
    np.savez(tmp_path / "classifier.npz", **arrays)
    again = by_name.builder_of(architecture)(classes=20, mean=mean, std=std, seed=1)
    networks.load_backbone(again, tmp_path / "classifier.npz")
    assert differing(again, {name: one for name, one in values(ours).items() if name.startswith("st")}) == []


@pytest.mark.parametrize("name", ["ssd300_resnet18", "ssd96_resnet8"])
def test_detectors_that_keras_has_no_backbone_for_are_told_what_to_give(name):
    with pytest.raises(ValueError) as caught:
        _ = Specification.parse(f"{name}:imagenet").architecture
    classifier = {"ssd300_resnet18": "imagenet_resnet18", "ssd96_resnet8": "resnet8"}[name]
    assert str(caught.value) == (
        f"Keras has ImageNet weights for the backbone of 'ssd300_resnet50', none for '{name}'; its backbone takes the "
        f"weights of {classifier}: a run's, or a file's, such as {name}:PATH"
    )
