"""Tiny networks, and what the papers' algorithms are made of, in float64 and without anything of tfdistill."""

import keras
import numpy as np
import tensorflow as tf

from tfdistill.networks.layers import BatchNormalization
from tfdistill.optimizers import OptimizerSettings

RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4
IMAGE_SHAPE, CLASSES, BATCH = (4, 4, 2), 3, 6


def network(name, *, channels=4, pooling=1, seed=0):
    """Convolution, BatchNorm, ReLU, perhaps average pooling, and a linear classifier."""
    draw = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    images = keras.Input(IMAGE_SHAPE, name="images")
    maps = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer=draw, name="conv")(
        images
    )
    maps = keras.layers.ReLU()(BatchNormalization(name="norm")(maps))
    features = keras.layers.AveragePooling2D(pooling)(maps)
    logits = keras.layers.Dense(CLASSES, kernel_initializer=draw, name="logits")(
        keras.layers.GlobalAveragePooling2D()(features)
    )
    return keras.Model(images, {"features": features, "logits": logits}, name=name)


def batch(seed=0):
    draw = np.random.default_rng(seed)
    images = draw.normal(size=(BATCH, *IMAGE_SHAPE)).astype("float32")
    return {"images": tf.constant(images), "labels": tf.constant(draw.integers(0, CLASSES, BATCH), tf.int32)}


def weights_of(model):
    """A float64 copy of every weight, by layer and name; channel indices stay integers."""
    found = {}
    for layer in model.layers:
        for one in layer.variables:
            value = one.numpy()
            trainable = one.trainable and value.dtype.kind == "f"
            found[f"{layer.name}/{one.name}"] = tf.Variable(
                value.astype("float64") if value.dtype.kind == "f" else value, trainable=trainable
            )
    return found


def trainable(*groups):
    return [value for weights in groups for value in weights.values() if value.trainable]


def batch_norm(weights, layer, inputs):
    """Normalise by the batch, and move the running statistics by a tenth, the variance by its unbiased estimate."""
    axes = list(range(len(inputs.shape) - 1))
    mean, variance = tf.reduce_mean(inputs, axes), tf.math.reduce_variance(inputs, axes)
    count = np.prod(inputs.shape[:-1])
    running = {"moving_mean": mean, "moving_variance": variance * count / (count - 1)}
    for name, value in running.items():
        kept = weights[f"{layer}/{name}"]
        kept.assign(0.9 * kept + 0.1 * value)
    unit = (inputs - mean) / tf.sqrt(variance + 1e-5)
    return unit * weights[f"{layer}/gamma"] + weights[f"{layer}/beta"]


def convolve(weights, layer, inputs):
    return tf.nn.conv2d(inputs, weights[f"{layer}/kernel"], 1, "SAME")


def mean_pool(maps, size):
    """Mean over blocks, so that height and width become `size`."""
    examples, height, width, channels = maps.shape
    blocks = tf.reshape(maps, (examples, size, height // size, size, width // size, channels))
    return tf.reduce_mean(blocks, (2, 4))


def run_network(weights, images, pooled_size):
    """Features and logits of a `network` in training mode."""
    maps = tf.nn.relu(batch_norm(weights, "norm", convolve(weights, "conv", tf.cast(images, tf.float64))))
    features = mean_pool(maps, pooled_size)
    logits = tf.reduce_mean(features, (1, 2)) @ weights["logits/kernel"] + weights["logits/bias"]
    return features, logits


def log_softmax(logits):
    return logits - tf.reduce_logsumexp(logits, axis=1, keepdims=True)


def cross_entropy(labels, logits):
    picked = tf.one_hot(labels, CLASSES, dtype=tf.float64) * log_softmax(logits)
    return -tf.reduce_mean(tf.reduce_sum(picked, axis=1))


class NesterovSGD:
    """Momentum with Nesterov's look-ahead and L2 decay in the gradient, as PyTorch does it, in NumPy."""

    def __init__(self):
        self.buffers = {}

    def step(self, gradients, variables):
        for gradient, variable in zip(gradients, variables, strict=True):
            weight = variable.numpy()
            gradient = gradient.numpy() + DECAY * weight
            buffer = MOMENTUM * self.buffers.get(id(variable), 0.0) + gradient
            self.buffers[id(variable)] = buffer
            variable.assign(weight - RATE * (gradient + MOMENTUM * buffer))


def assert_weights(model, expected, atol=1e-4):
    """Every weight of the model, BatchNorm's running statistics included, is as the transcription has it."""
    found = weights_of(model)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), expected[name].numpy(), atol=atol, rtol=0, err_msg=name)


def assert_terms(logs, expected, prefix=""):
    """Every logged term is as the transcription has it, and large enough that another would be told from it."""
    for name, value in expected.items():
        np.testing.assert_allclose(logs[f"{prefix}{name}"], value, rtol=1e-4, err_msg=name)
        assert value > 1e-4


def train(distiller, steps, batch):
    """`steps` optimizer steps of the engine on one batch; returns the epoch's logs."""
    settings = OptimizerSettings(learning_rate=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY)
    distiller.compile({"networks": settings}, xla="off")
    data = tf.data.Dataset.from_tensors(batch).repeat(steps)
    return {name: values[-1] for name, values in distiller.fit(data, verbose=0, shuffle=False).history.items()}
