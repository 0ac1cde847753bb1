"""Weights by name, from every kind of file, and what is said where they do not fit."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tfdistill import networks
from tfdistill.networks.specification import Specification, require_network
from tfdistill.networks.weights import assign_weights, read_weights, weights_of


def tiny(name="wide_resnet_10_1_dropout", *, seed, classes=4):
    return networks.build(name, classes=classes, image_shape=(8, 8, 3), seed=seed)


@pytest.fixture(scope="module")
def trained():
    """A network whose running statistics have moved, and with a random state that is no weight."""
    network = tiny(seed=1)
    network(np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32"), training=True)
    return network


def values(network):
    return {name: variable.numpy() for name, variable in weights_of(network).items()}


def assert_same(network, expected):
    found = values(network)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def write(network, path):
    if path.name.endswith(".keras"):
        network.save(path)
    elif path.name.endswith(".h5"):
        network.save_weights(path)
    elif path.suffix == ".npz":
        np.savez(path, **values(network))
    else:
        save_file(values(network), path)


def test_names_are_layer_and_variable(trained):
    names = list(weights_of(trained))
    assert len(names) == len(trained.weights) == len(trained.variables) - 3  # three generators of dropout
    assert names[0] == "stem/kernel"
    assert {"final_norm/moving_variance", "logits/kernel", "logits/bias"} < set(names)


@pytest.mark.parametrize("name", ["one.keras", "one.weights.h5", "one.npz", "one.safetensors"])
def test_every_kind_of_file(trained, tmp_path, name):
    write(trained, tmp_path / name)
    network = tiny(seed=2)
    arrays = read_weights(tmp_path / name, network, "wide_resnet_10_1_dropout")
    assert assign_weights(network, arrays, source=name) == []
    assert_same(network, values(trained))


def test_a_compiled_keras_file_and_a_model_inside_a_model(tmp_path):
    def build():
        images = keras.Input((8, 8, 3), name="pixels")
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, name="conv")(images))
        model = keras.Model(images, keras.layers.Dense(3, name="head")(pooled))
        return networks.network_from(model, {"logits": "head"}, name="own")

    one, other = build(), build()
    one.compile("adam", "mse")
    one.optimizer.build(one.trainable_variables)
    one.save(tmp_path / "one.keras")
    assert (values(other)["head/kernel"] != values(one)["head/kernel"]).any()
    assign_weights(other, read_weights(tmp_path / "one.keras", other, "own"), source="one.keras")
    assert_same(other, values(one))


def test_a_classifier_for_other_classes_starts_anew(trained):
    network = tiny(seed=2, classes=7)
    own = {name: array for name, array in values(network).items() if name.startswith("logits/")}
    (line,) = assign_weights(network, values(trained), source="the file")
    assert line == (
        "wide_resnet_10_1_dropout: starts from the file without its classifier for 4 classes; "
        "the one for 7 classes is new"
    )
    assert_same(network, {**values(trained), **own})


def test_a_classifier_that_is_not_there_starts_anew(trained):
    network = tiny(seed=2)
    own = {name: array for name, array in values(network).items() if name.startswith("logits/")}
    headless = {name: array for name, array in values(trained).items() if not name.startswith("logits/")}
    (line,) = assign_weights(network, headless, source="the file")
    assert line.endswith("starts from the file, which has no classifier; the one for 4 classes is new")
    assert_same(network, {**headless, **own})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stem/kernel": np.zeros((3, 3, 3, 8))}, "'stem/kernel' has shape (3, 3, 3, 8) there, (3, 3, 3, 16) here"),
        ({"stem/kernel": None}, "it lacks 'stem/kernel'"),
        ({"stem/kernel": None, "final_norm/beta": None}, "it lacks 'stem/kernel' (and 1 more)"),
        ({"final_norm/beta": None, "final_nrm/beta": np.zeros(64)}, "'final_norm/beta'; the nearest it has is 'final_"),
        ({"stem/bias": np.zeros(16)}, "which has no place for 'stem/bias'"),
        ({"final_norm/beta": np.zeros(64, np.int32)}, "'final_norm/beta' is int32, not floating"),
        ({"logits/bias": None}, "it lacks 'logits/bias'"),
        ({"final_norm/beta": np.full(64, np.nan, np.float32)}, "'final_norm/beta' has values that are not finite"),
        ({"logits/bias": np.array([0, 1, np.inf, 2], np.float32)}, "'logits/bias' has values that are not finite"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_touched(trained, change, message):
    arrays = values(trained) | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    network = tiny(seed=2)
    before = values(network)
    with pytest.raises(ValueError) as caught:
        assign_weights(network, arrays, source="the file")
    assert str(caught.value).startswith("the file does not fit wide_resnet_10_1_dropout")
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert_same(network, before)


@pytest.mark.parametrize("name", ["one.keras", "one.weights.h5", "one.npz", "one.safetensors"])
def test_a_file_that_is_none_is_refused_in_one_line(trained, tmp_path, name):
    for content in (b"", b"no weights in here, whatever its name says"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError) as caught:
            read_weights(tmp_path / name, trained, "wide_resnet_10_1_dropout")
        assert "cannot be read as a ." in str(caught.value) and name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_other_suffixes_are_refused(trained, tmp_path):
    with pytest.raises(
        ValueError, match=r"one\.pth is no weights file: .*\.keras, \.weights\.h5, \.npz, \.safetensors$"
    ):
        read_weights(tmp_path / "one.pth", trained, "wide_resnet_10_1_dropout")


@pytest.mark.parametrize(
    ("text", "name", "source", "label"),
    [
        ("resnet20", "resnet20", "", "resnet20"),
        ("resnet50:imagenet", "resnet50", "imagenet", "resnet50-imagenet"),
        ("resnet20:runs/my_run", "resnet20", "runs/my_run", "resnet20-my_run"),
        ("resnet20:/data/best one.weights.h5", "resnet20", "/data/best one.weights.h5", "resnet20-best_one"),
        ("resnet20:runs/ab:resnet20_2", "resnet20", "runs/ab:resnet20_2", "resnet20-ab_resnet20_2"),
        ("resnet20:..", "resnet20", "..", "resnet20-.."),
    ],
)
def test_specifications(text, name, source, label):
    one = Specification.parse(text)
    assert (one.written, one.source, one.label) == (name, source, label)


def test_a_specification_with_nothing_behind_the_colon():
    with pytest.raises(ValueError, match=r"^'resnet20:' names no source; write resnet20:imagenet, resnet20:PATH, or"):
        Specification.parse("resnet20:")


@pytest.mark.parametrize(
    ("text", "architecture"),
    [
        ("resnet50", "resnet50"),
        ("resnet50:imagenet", "keras_resnet50"),
        ("resnet101:imagenet", "keras_resnet101"),
        ("imagenet_resnet152:imagenet", "keras_resnet152"),
        ("keras_resnet50:imagenet", "keras_resnet50"),
        ("keras_resnet50:runs/first", "keras_resnet50"),
        ("mobilenet_v2:imagenet", "keras_mobilenet_v2"),
        ("mobilenet_v2:a.safetensors", "mobilenet_v2"),
    ],
)
def test_what_a_specification_means(text, architecture):
    assert Specification.parse(text).architecture == architecture


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet18:imagenet", "Keras has ImageNet weights for its own networks, none for 'resnet18'; nearest"),
        ("wide_resnet_28_10:imagenet", "Keras has ImageNet weights for .*none for 'wide_resnet_28_10'"),
        ("resnett50:imagenet", "unknown network 'resnett50'; nearest: 'resnet50'"),
        ("keras_resnet5:runs/a", "unknown network 'keras_resnet5'; nearest: 'keras_resnet50'"),
    ],
)
def test_a_specification_of_nothing(text, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        require_network(text)


def written_h5(network, path):
    network.save_weights(path)
    return h5py.File(path, "r+")


def first_vars(file):
    found = []
    file.visititems(lambda path, one: found.append(one) if path.endswith("/vars") and len(one) else None)
    return found[0]


@pytest.mark.parametrize("how", ["external link", "soft link", "raw storage", "virtual", "huge pieces"])
def test_an_h5_file_that_would_read_other_files_is_refused(trained, tmp_path, how):
    trained.save_weights(tmp_path / "right.weights.h5")
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(10_000))
    with written_h5(trained, tmp_path / "bad.weights.h5") as file:
        group = first_vars(file)
        shape, inside = group["0"].shape, f"{group.name}/0"
        del group["0"]
        if how == "external link":
            group["0"] = h5py.ExternalLink(str(tmp_path / "right.weights.h5"), inside)
        elif how == "soft link":
            group["0"] = h5py.SoftLink("/elsewhere")
        elif how == "raw storage":
            group.create_dataset("0", shape, "f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif how == "virtual":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource(str(tmp_path / "right.weights.h5"), inside, shape)
            group.create_virtual_dataset("0", layout)
        else:
            side = round(1e8 ** (1 / len(shape)))
            group.create_dataset("0", shape, "f4", chunks=(side,) * len(shape), maxshape=(None,) * len(shape))
    with pytest.raises(ValueError) as caught:
        read_weights(tmp_path / "bad.weights.h5", trained, "wide_resnet_10_1_dropout")
    assert f"'{inside}' is" in str(caught.value) or f"'{inside}' lies in another file" in str(caught.value)
    if how == "external link":
        assert "right.weights.h5" in str(caught.value)


def claiming(path, network, shape):
    """A file of that kind whose first array says that it has `shape`, and has hardly a value."""
    if path.name.endswith(".npz"):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("stem/kernel.npy", header.getvalue() + bytes(64))
        return
    h5 = path.with_name("inner.weights.h5")
    with written_h5(network, h5) as file:
        group = first_vars(file)
        del group["0"]
        group.create_dataset("0", shape, "f4", chunks=(1000,) * len(shape))
    if path.name.endswith(".keras"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(h5, "model.weights.h5")
    else:
        h5.rename(path)


@pytest.mark.parametrize("name", ["claims.npz", "claims.weights.h5", "claims.keras"])
def test_a_claim_of_a_million_million_values_takes_no_memory(trained, tmp_path, name):
    claiming(tmp_path / name, trained, (10**6, 10**6))
    arrays = read_weights(tmp_path / name, trained, "wide_resnet_10_1_dropout")
    claimed = next(array for array in arrays.values() if array.shape == (10**6, 10**6))
    assert claimed.strides == (0, 0)
    with pytest.raises(ValueError, match=r"lacks|has shape \(1000000, 1000000\) there"):
        assign_weights(trained, arrays, source=name)


def test_a_keras_file_that_unpacks_to_much_more_is_refused(trained, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(120_000_000))
    with pytest.raises(ValueError, match="its weights claim 120,000,000 bytes, more than a network of this kind has"):
        read_weights(tmp_path / "bomb.keras", trained, "wide_resnet_10_1_dropout")


@pytest.mark.parametrize("name", ["one.keras", "one.weights.h5", "one.npz", "one.safetensors"])
def test_damage_is_read_as_it_is_or_refused_in_one_line(trained, tmp_path, name):
    """Never anything else: whatever byte is wrong, and wherever the file ends."""
    write(trained, tmp_path / name)
    whole, draw = (tmp_path / name).read_bytes(), np.random.default_rng(3)
    refused = 0
    for index in range(30):
        content = bytearray(whole)
        places = draw.integers(0, len(content), 1 + index)
        # Where the structure is: what is said of the arrays lies at the ends of the file.
        places = np.concatenate([places, draw.integers(0, 400, index % 3), -draw.integers(1, 400, index % 2)])
        for place in places:
            content[place] ^= int(draw.integers(1, 256))
        (tmp_path / name).write_bytes(content[: len(content) // (1 + index % 2)])
        try:
            read_weights(tmp_path / name, trained, "wide_resnet_10_1_dropout")
        except ValueError as error:
            refused += 1
            assert name in str(error) and "\n" not in str(error)
    assert refused > 10
