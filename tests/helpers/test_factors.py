"""Factor coders: their size, what they compute, and which channels they read."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdistill.helpers import factors
from tfdistill.networks.initialization import LayerSeeds


def trainable_weights(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def build(shape, channels, **arguments):
    return factors.coder(shape, channels, name="coder", seeds=LayerSeeds(0), **arguments)


def test_sizes_are_those_of_the_authors_code():
    # By hand: 9*(64*64 + 64*32 + 32*32) + 2*(64 + 32 + 32), and so on.
    encoder, decoder = build((8, 8, 64), 32), build((8, 8, 32), 64)
    assert trainable_weights(encoder) == 64_768
    assert trainable_weights(encoder) + trainable_weights(decoder) == 129_600
    assert trainable_weights(build((8, 8, 32), 32)) == 27_840
    assert trainable_weights(build((8, 8, 64), 32, indices=range(10, 42))) == 27_840


def test_an_encoder_is_what_it_says(tiny):
    model = build((4, 4, 3), 2)
    maps = np.random.default_rng(0).normal(size=(5, 4, 4, 3)).astype("float32")
    weights = tiny.weights_of(model)
    expected = tf.constant(maps, tf.float64)
    expected = tf.where(expected > 0, expected, 0.1 * expected)
    for position in (1, 2, 3):
        convolved = tiny.convolve(weights, f"conv{position}", expected)
        expected = tiny.batch_norm(weights, f"norm{position}", convolved)
        expected = tf.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(model(maps, training=True), expected, atol=1e-4)


def test_an_encoder_is_what_the_authors_code_gives():
    draw, model = np.random.default_rng(52), build((8, 8, 64), 32)
    for position, (read, made) in enumerate(((64, 64), (64, 32), (32, 32)), start=1):
        kernel = 0.1 * draw.normal(size=(made, read, 3, 3))
        scale, shift = (0.1 * draw.normal(size=made) for _ in range(2))
        model.get_layer(f"conv{position}").kernel.assign(kernel.transpose(2, 3, 1, 0))
        model.get_layer(f"norm{position}").gamma.assign(1 + scale)
        model.get_layer(f"norm{position}").beta.assign(shift)
    found = model(np.random.default_rng(53).normal(size=(4, 8, 8, 64)).astype("float32"), training=True).numpy()
    np.testing.assert_allclose([found.sum(), np.linalg.norm(found)], [2922.4045379744166, 65.07693212779375], rtol=1e-4)
    first = [-0.09148560406427358, 0.4805525321687287, 0.20996525514154438, 0.11407777140539564, 0.023890108017964505]
    np.testing.assert_allclose(found[0, 0, 0, :5], first, atol=1e-5)


def test_a_plain_coder_has_biases_and_starts_as_pytorch_does(tiny):
    model = build((4, 4, 3), 2, leading_activation=False, normalized=False)
    assert trainable_weights(model) == 9 * (3 * 3 + 3 * 2 + 2 * 2) + 3 + 2 + 2
    for position, read in ((1, 3), (2, 3), (3, 2)):
        for one in model.get_layer(f"conv{position}").trainable_variables:
            assert 0 < np.abs(one).max() <= (9 * read) ** -0.5
    maps, weights = np.random.default_rng(0).normal(size=(5, 4, 4, 3)), tiny.weights_of(model)
    expected = tf.constant(maps)
    for position in (1, 2, 3):
        expected = tiny.convolve(weights, f"conv{position}", expected) + weights[f"conv{position}/bias"]
        expected = tf.where(expected > 0, expected, 0.1 * expected)
    np.testing.assert_allclose(model(maps.astype("float32"), training=True), expected, atol=1e-5)


def test_the_leading_activation_can_be_left_out():
    maps = tf.random.stateless_normal((2, 4, 4, 3), (0, 1))
    plain, leading = build((4, 4, 3), 2, leading_activation=False), build((4, 4, 3), 2)
    bent = tf.where(maps > 0, maps, 0.1 * maps)
    np.testing.assert_allclose(plain(bent), leading(maps), atol=1e-6)
    assert np.abs(plain(maps) - leading(maps)).max() > 1e-3


def test_weights_follow_the_seed():
    one, same = build((4, 4, 3), 2), build((4, 4, 3), 2)
    other = factors.coder((4, 4, 3), 2, name="coder", seeds=LayerSeeds(1))
    kernels = [model.get_layer("conv1").kernel.numpy() for model in (one, same, other)]
    assert np.array_equal(kernels[0], kernels[1]) and not np.array_equal(kernels[0], kernels[2])
    assert next(itertools.islice(LayerSeeds(None), 3, None)) is None


def test_a_selection_reads_its_state_and_survives_a_file(tmp_path):
    layer = factors.ChannelSelection([2, 0])
    maps = tf.reshape(tf.range(24.0), (1, 2, 3, 4))
    np.testing.assert_array_equal(layer(maps), maps.numpy()[..., [2, 0]])
    layer.indices.assign([1, 3])
    np.testing.assert_array_equal(layer(maps), maps.numpy()[..., [1, 3]])
    assert layer.trainable_variables == [] and layer.indices.dtype == "int64"
    model = build((4, 4, 6), 2, indices=[5, 1, 0])
    model.get_layer("selection").indices.assign([4, 3, 2])
    model.save(tmp_path / "coder.keras")
    loaded = keras.saving.load_model(tmp_path / "coder.keras")
    images = tf.random.stateless_normal((2, 4, 4, 6), (1, 2))
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)
    assert loaded.get_layer("selection").indices.numpy().tolist() == [4, 3, 2]


@pytest.mark.parametrize(("share", "inherited"), [(0.0, 0), (0.3, 3), (0.5, 5), (0.99, 10), (1.0, 11)])
def test_a_split_is_disjoint_and_whole(share, inherited):
    first, second = factors.split_channels(11, share, seed=4)
    assert len(first) == inherited
    assert sorted(first + second) == list(range(11))
    natural = factors.split_channels(11, share)
    assert natural[0] + natural[1] == list(range(11))
    assert first + second != list(range(11))


def test_a_share_written_in_decimals_takes_the_channels_it_names():
    # 0.29 * 100 and 0.57 * 100 lie just below 29 and 57 in binary.
    assert [len(factors.split_channels(100, share)[0]) for share in (0.29, 0.57, 0.7)] == [29, 57, 70]


def test_maps_are_compared_at_the_smaller_size():
    assert factors.smaller((8, 8, 3), (4, 2, 5)) == (4, 2)
    assert factors.smaller((8, 2, 3), (4, 4, 5)) == (4, 2)
    with pytest.raises(ValueError, match=r"^networks: feature maps \(8, 8, 3\) and \(6, 6, 3\) do not divide"):
        factors.smaller((8, 8, 3), (6, 6, 3))


def test_pooling_is_the_mean_of_blocks():
    maps = tf.reshape(tf.range(32.0), (1, 4, 4, 2))
    assert factors.pooled(maps, (4, 4)) is maps
    blocks = maps.numpy().reshape(1, 2, 2, 2, 2, 2).mean((2, 4))
    np.testing.assert_allclose(factors.pooled(maps, (2, 2)), blocks)
    np.testing.assert_allclose(factors.pooled(maps, (4, 2)), maps.numpy().reshape(1, 4, 2, 2, 2).mean(3))
