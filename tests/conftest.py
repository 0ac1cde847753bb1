"""What the tests share: two logical CPU devices, and tiny networks."""

import functools
import gc
import importlib.util
import os
from pathlib import Path
from types import ModuleType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# XLA's programs run for a few steps here: without LLVM's optimizations they compile in less time.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import pytest
import tensorflow as tf

# Before anything touches the device: tests with two replicas then need no process of their own.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


def make_tiny_network(
    name: str, *, seed: int, channels: int = 8, batch_norm: bool = True, size: int = 8, preactivations: bool = False
) -> keras.Model:
    """A network of two convolutions for images of size×size×3 and 4 classes, with the taps that methods read.

    With `preactivations` it has those of its stages too.
    """
    images = keras.Input((size, size, 3), name="images")
    maps, stages, before = images, {}, {}
    for index, strides in enumerate((1, 2)):
        initializer = keras.initializers.HeNormal(seed=seed + index)
        maps = keras.layers.Conv2D(
            channels, 3, strides, "same", use_bias=not batch_norm, kernel_initializer=initializer, name=f"conv{index}"
        )(maps)
        if batch_norm:
            maps = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{index}")(maps)
        if preactivations:
            before[f"stage{index + 1}_preactivation"] = maps
        maps = stages[f"stage{index + 1}"] = keras.layers.ReLU(name=f"relu{index}")(maps)
    embedding = keras.layers.GlobalAveragePooling2D(name="embedding")(maps)
    initializer = keras.initializers.HeNormal(seed=seed + 9)
    logits = keras.layers.Dense(4, kernel_initializer=initializer, name="logits")(embedding)
    taps = {**stages, **before, "features": maps, "embedding": embedding, "logits": logits}
    return keras.Model(images, taps, name=name)


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage():
    """The million objects of TensorFlow's import are not looked through again at every collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _graphs_are_freed(_imports_are_no_garbage):
    """Traced graphs are cycles, which hold gigabytes by the end of the suite where nobody looks for them."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def tiny_network():
    return make_tiny_network


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module `transcription.py` beside this file: tiny networks, a batch, and plain float64 building blocks."""
    path = Path(__file__).with_name("transcription.py")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def predict() -> ModuleType:
    """The module of the command `predict`."""
    from tfdistill.standalone import predict

    return predict


@pytest.fixture(scope="session")
def config_of():
    """The run that a flagfile, or a table's row as TABLE.toml:ROW, describes."""
    from tfdistill.commands import command_line

    @functools.cache
    def described(flagfile):
        values = command_line.run_flags()
        command_line.parse(values, [f"--flagfile={flagfile}"])
        return command_line.run_config(values)

    return described


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def plain_decoding(monkeypatch):
    """Exports and their proof read images in few operations: all that a file may be takes seconds to trace and save."""
    from tfdistill.export import encoded, verify

    def squeezed(content: tf.Tensor, image_shape: tuple[int, int, int], reading: object) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=image_shape[2], expand_animations=False)
        resized = tf.image.resize(image, image_shape[:2], antialias=True)
        return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), image_shape)

    def squeezed_and_size(content: tf.Tensor, image_shape: tuple[int, int, int], max_pixels: int) -> tuple:
        size = tf.shape(tf.io.decode_image(content, channels=image_shape[2], expand_animations=False))[:2]
        return squeezed(content, image_shape, None), size

    monkeypatch.setattr(encoded, "evaluated", squeezed)
    monkeypatch.setattr(verify, "evaluated", squeezed)
    monkeypatch.setattr(encoded, "whole_and_size", squeezed_and_size)
    monkeypatch.setattr(encoded, "_fault", lambda content, reading: tf.constant("is damaged"))
