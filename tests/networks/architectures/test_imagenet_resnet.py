import keras
import numpy as np
import pytest

from tfdistill.networks.architectures.imagenet_resnet import imagenet_resnet


def test_basic_blocks():
    network = imagenet_resnet(18, classes=5, image_shape=(64, 64, 3), seed=0)
    shapes = [network.output[tap].shape[1:] for tap in ("stem", "stage1", "stage2", "stage3", "stage4")]
    assert shapes == [(16, 16, 64), (16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 512)]
    names = [layer.name for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [name for name in names if name.endswith("shortcut")] == [f"stage{s}_block1_shortcut" for s in (2, 3, 4)]


def test_the_stem_pads_as_pytorch_does():
    network = imagenet_resnet(18, classes=5, image_shape=(32, 32, 1), seed=0)
    image = np.random.default_rng(0).normal(size=(32, 32)).astype("float32")
    kernel = network.get_layer("stem").kernel.numpy()[:, :, 0]

    padded = np.pad(image, 3)
    steps = range(0, 32, 2)
    mapped = np.array([[np.tensordot(padded[i : i + 7, j : j + 7], kernel, 2) for j in steps] for i in steps])
    activated = np.pad(np.maximum(mapped / np.sqrt(1 + 1e-5), 0), [(1, 1), (1, 1), (0, 0)])
    steps = range(0, 16, 2)
    pooled = [[activated[i : i + 3, j : j + 3].max((0, 1)) for j in steps] for i in steps]

    taps = network(image[None, ..., None])
    np.testing.assert_allclose(taps["stem"][0], pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("strided_conv", "strides"), [(2, [1, 2, 1]), (1, [2, 1, 1])])
def test_bottlenecks_and_their_strides(strided_conv, strides):
    network = imagenet_resnet(50, classes=5, image_shape=(32, 32, 3), strided_conv=strided_conv)
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        assert network.get_layer(f"stage{stage}_block{blocks}_add").output.shape[-1] == 256 * 2 ** (stage - 1)
        convolutions = [network.get_layer(f"stage{stage}_block1_conv{index}") for index in (1, 2, 3)]
        assert [one.strides[0] for one in convolutions] == (strides if stage > 1 else [1, 1, 1])
        assert network.get_layer(f"stage{stage}_block1_shortcut").strides[0] == (2 if stage > 1 else 1)


def test_refuses_another_strided_convolution():
    with pytest.raises(ValueError, match=r"^strided_conv must be 1 or 2, got 3$"):
        imagenet_resnet(50, classes=10, strided_conv=3)
