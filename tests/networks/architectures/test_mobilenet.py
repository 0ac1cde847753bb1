import numpy as np
import pytest

from tfdistill.networks.architectures.mobilenet import mobilenet


@pytest.mark.parametrize(("strides", "channels"), [("ie_kd", (128, 256, 1024)), ("dcm", (256, 512, 1024))])
def test_counts_and_taps(strides, channels):
    network = mobilenet(classes=100, strides=strides)
    assert sum(variable.shape.num_elements() for variable in network.trainable_variables) == 3_309_476
    shapes = [network.output[f"stage{stage}"].shape[1:] for stage in (1, 2, 3)]
    assert shapes == [(side, side, width) for side, width in zip((32, 16, 8), channels, strict=True)]
    assert network.output["features"].shape[1:] == (8, 8, 1024)


def test_count_for_ten_classes_and_values():
    network = mobilenet(classes=10, seed=0)
    assert sum(variable.shape.num_elements() for variable in network.trainable_variables) == 3_217_226
    depthwise = network.get_layer("block13_depthwise").kernel.numpy()
    assert depthwise.shape == (3, 3, 1024, 1)
    assert abs(depthwise.std() / np.sqrt(2 / 9) - 1) < 0.05


def test_runs_on_small_grey_images():
    network = mobilenet(classes=3, image_shape=(8, 8, 1), seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32"), training=True)
    assert taps["logits"].shape == (2, 3)
    assert np.isfinite(taps["logits"]).all()
    assert (taps["features"].numpy() >= 0).all()


def test_refuses_unknown_strides():
    with pytest.raises(ValueError, match=r"^strides: 'iekd' is none of ie_kd, dcm; nearest: ie_kd$"):
        mobilenet(classes=10, strides="iekd")
