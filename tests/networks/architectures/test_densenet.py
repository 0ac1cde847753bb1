import numpy as np
import pytest

from tfdistill.networks.architectures.densenet import densenet


def test_shapes_and_count():
    network = densenet(10, 4, classes=5, image_shape=(16, 16, 3))
    assert {name: tap.shape[1:] for name, tap in network.output.items() if "preactivation" not in name} == {
        "stem": (16, 16, 16),
        "stage1": (16, 16, 24),
        "transition1": (8, 8, 24),
        "stage2": (8, 8, 32),
        "transition2": (4, 4, 32),
        "stage3": (4, 4, 40),
        "features": (4, 4, 40),
        "embedding": (40,),
        "logits": (5,),
    }
    layers = sum(2 * channels + 9 * channels * 4 for channels in (16, 20, 24, 28, 32, 36))
    transitions = sum(2 * channels + channels**2 for channels in (24, 32))
    expected = 9 * 3 * 16 + layers + transitions + 2 * 40 + 41 * 5
    assert sum(variable.shape.num_elements() for variable in network.trainable_variables) == expected


def test_every_layer_reads_all_before_it_in_order():
    network = densenet(10, 4, classes=5, image_shape=(8, 8, 3), seed=0)
    taps = network(np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32"))
    np.testing.assert_array_equal(taps["stage1"][..., :16], taps["stem"])
    np.testing.assert_array_equal(taps["stage2"][..., :24], taps["transition1"])
    assert network.get_layer("stage1_layer2_norm").input is network.get_layer("stage1_layer1_concatenate").output


def test_a_transition_averages_four_pixels():
    network = densenet(7, 4, classes=5, image_shape=(8, 8, 3), seed=0)
    identity = np.eye(20, dtype="float32")[None, None]
    network.get_layer("transition1_conv").kernel.assign(identity)
    taps = network(np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32"))
    activated = np.maximum(taps["stage1_preactivation"], 0).reshape(2, 4, 2, 4, 2, 20)
    np.testing.assert_allclose(taps["transition1"], activated.mean((2, 4)), rtol=1e-5, atol=1e-6)


def test_refuses_a_growth_of_zero():
    with pytest.raises(ValueError, match=r"^growth must be at least 1, got 0$"):
        densenet(40, 0, classes=10)
