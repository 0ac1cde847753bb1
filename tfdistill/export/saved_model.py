"""The SavedModel itself: one network with its preprocessing, behind its signatures."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.answers import Answer
from tfdistill.export.encoded import BadImages, refuse_bad
from tfdistill.export.kinds import answer_of, image_shape_of
from tfdistill.networks.graphs import layers_of

RAW_SIGNATURE = "serving_default"
ENCODED_SIGNATURE = "encoded_images"
LABELS_FILE = "labels.txt"


def precision(network: keras.Model) -> str:
    """Returns the lowest precision that a layer computes in: "bfloat16" or "float16", otherwise "float32"."""
    used = {layer.compute_dtype for layer in layers_of(network)}
    return next((dtype for dtype in ("bfloat16", "float16") if dtype in used), "float32")


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 scale and shift per channel: images * scale + shift = (images / 255 - mean) / std.

    One product and one sum round alike everywhere. TensorFlow's graph optimizer replaces a division by a
    constant with a product by its reciprocal, which eager execution and NumPy do not; the last bit that this
    moves in an input grows to more than 1e-5 in the logits of a ResNet-32.
    """
    mean64, std64 = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return (1 / (255 * std64)).astype(np.float32), (-mean64 / std64).astype(np.float32)


class ServingModule(tf.Module):
    """What is saved: the network's variables, the class names as an asset, and a function for each signature.

    The network itself is only traced, not attached, so that loading needs neither Keras nor custom layers.
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        labels_file: pathlib.Path,
        reading: Reading | str = "auto",
        bad_images: BadImages = "fail",
        answer: Answer | None = None,
    ) -> None:
        super().__init__(name="serving")
        image_shape = image_shape_of(network)
        answer = answer or answer_of(network)
        self.taps_signature = answer.taps_signature
        self.network_variables = [weight.value for weight in network.weights]
        self.labels = tf.saved_model.Asset(str(labels_file))
        # Constants of the signatures, not variables: the SavedModel's variables are the network's alone.
        scale, shift = normalisation(mean, std)

        def answer_taps(images: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(images)[0]
            # Of an empty batch oneDNN's convolutions give the shape of their input instead of their output's
            # (TensorFlow 2.21), so the network never sees one: it gets a black image, and its scores are cut off.
            padded = tf.pad(images, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
            # The graph has lost the shape, which converters of convolutions need, LiteRT's among them.
            images = tf.reshape(padded, [-1, *image_shape])
            outputs = network(images * scale + shift, training=False)
            return {tap: tf.cast(outputs[tap], tf.float32)[:count] for tap in answer.taps}

        chosen = answer.reading(reading, image_shape)

        def score_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            read = answer.read(encoded, image_shape, chosen)
            # Calls the function below, so that the network is traced and stored once for all signatures.
            if bad_images == "mark":
                outputs = answer.of_files(self.score(tf.cast(read.images, tf.float32)), read)
                return {**answer.unread(outputs, read.valid), "valid": read.valid}
            with tf.control_dependencies([refuse_bad(encoded, read.valid, chosen)]):
                return answer.of_files(self.score(tf.cast(read.images, tf.float32)), read)

        images_spec = tf.TensorSpec([None, *image_shape], tf.float32, name="images")
        of_images = functools.partial(tf.function, input_signature=[images_spec], jit_compile=False, autograph=False)
        self.answer_taps = of_images(answer_taps) if answer.taps_signature else answer_taps
        self.score = of_images(lambda images: answer.outputs(self.answer_taps(images), image_shape))
        encoded_spec = tf.TensorSpec([None], tf.string, name="encoded")
        self.score_encoded = tf.function(
            score_encoded, input_signature=[encoded_spec], jit_compile=False, autograph=False
        )

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Returns the concrete function of each signature by the signature's name."""
        functions = {RAW_SIGNATURE: self.score, ENCODED_SIGNATURE: self.score_encoded}
        if self.taps_signature:
            functions[self.taps_signature] = self.answer_taps
        return {name: function.get_concrete_function() for name, function in functions.items()}


def describe_signatures(module: ServingModule) -> dict[str, dict[str, dict[str, dict[str, object]]]]:
    """Returns every signature's inputs and outputs as plain data: dtype and shape by name; None is free."""

    def described(specs: dict[str, tf.TensorSpec]) -> dict[str, dict[str, object]]:
        return {name: {"dtype": spec.dtype.name, "shape": spec.shape.as_list()} for name, spec in specs.items()}

    description = {}
    for name, function in module.signatures().items():
        (inputs,), _ = function.structured_input_signature
        outputs = function.structured_outputs
        description[name] = {"inputs": described({inputs.name: inputs}), "outputs": described(outputs)}
    return description


def write_saved_model(module: ServingModule, folder: pathlib.Path) -> None:
    """Writes the module into an empty folder, without the gradients that a served network never takes."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=module.signatures(), options=options)
