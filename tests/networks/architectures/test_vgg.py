import keras
import numpy as np
import pytest

from tfdistill.networks.architectures.vgg import vgg
from tfdistill.networks.convolutions import Conv2D
from tfdistill.networks.layers import BatchNormalization, Dropout

CONVOLUTIONS = {11: 8, 13: 10, 16: 13, 19: 16}


@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_convolutions_and_shapes(depth):
    network = vgg(depth, classes=5, batch_norm=True)
    kinds = [type(layer) for layer in network.layers]
    assert kinds.count(Conv2D) == kinds.count(BatchNormalization) == CONVOLUTIONS[depth]
    shapes = [network.output[f"stage{stage}"].shape[1:] for stage in range(1, 6)]
    assert shapes == [(32, 32, 64), (16, 16, 128), (8, 8, 256), (4, 4, 512), (2, 2, 512)]
    assert network.output["features"] is network.output["stage5"]


def test_the_last_map_is_pooled_before_its_average():
    network = vgg(11, classes=5, batch_norm=True, seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32"))
    np.testing.assert_allclose(taps["embedding"], taps["features"].numpy().max((1, 2)), rtol=1e-6)
    dense = network.get_layer("logits")
    logits = taps["embedding"].numpy() @ dense.kernel.numpy() + dense.bias.numpy()
    np.testing.assert_allclose(taps["logits"], logits, rtol=1e-4, atol=1e-5)


def test_without_normalization_the_head_has_two_hidden_layers_with_dropout():
    network = vgg(11, classes=5, seed=0)
    assert not any(isinstance(layer, BatchNormalization) for layer in network.layers)
    assert [layer.units for layer in network.layers if isinstance(layer, keras.layers.Dense)] == [4096, 4096, 5]
    dropouts = [layer for layer in network.layers if isinstance(layer, Dropout)]
    assert [layer.rate for layer in dropouts] == [0.5, 0.5]
    assert dropouts[-1].output is network.get_layer("logits").input
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.use_bias and not layer.bias.numpy().any()
