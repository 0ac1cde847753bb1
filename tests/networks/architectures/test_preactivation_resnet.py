import keras
import numpy as np

from tfdistill.networks.architectures.preactivation_resnet import preactivation_resnet


def test_blocks():
    network = preactivation_resnet(20, classes=5, image_shape=(16, 16, 3), seed=0)
    names = [layer.name for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [name for name in names if name.endswith("shortcut")] == [f"stage{s}_block1_shortcut" for s in (1, 2, 3)]
    assert len(names) == 1 + 2 * 9 + 3
    for stage, strides in ((1, 1), (2, 2), (3, 2)):
        block = f"stage{stage}_block1"
        assert network.get_layer(f"{block}_shortcut").input is network.get_layer(f"{block}_conv1_relu").output
        steps = [network.get_layer(f"{block}_{part}").strides[0] for part in ("conv1", "conv2", "conv3", "shortcut")]
        assert steps == [1, strides, 1, strides]
    assert network.get_layer("stage1_block2_conv1_norm").input is network.get_layer("stage1_block1_add").output
    assert {name: tap.shape[1:] for name, tap in network.output.items() if name.startswith("stage")} == {
        f"stage{stage}{suffix}": (side, side, channels)
        for stage, side, channels in ((1, 16, 64), (2, 8, 128), (3, 4, 256))
        for suffix in ("", "_preactivation")
    }


def test_a_block_adds_its_residual_to_its_input():
    network = preactivation_resnet(20, classes=5, image_shape=(8, 8, 3), seed=0)
    network.get_layer("stage1_block2_conv3").kernel.assign(np.zeros((1, 1, 16, 64)))
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    before = keras.Model(network.inputs[0], network.get_layer("stage1_block1_add").output)
    np.testing.assert_array_equal(network(images)["stage1"], before(images))
    assert not network.get_layer("logits").bias.numpy().any()
