"""The SavedModel itself: one network with its preprocessing, behind two signatures."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.encoded import BadImages, chosen_reading, read_batch, refuse_bad
from tfdistill.networks.graphs import layers_of

RAW_SIGNATURE = "serving_default"
ENCODED_SIGNATURE = "encoded_images"
LABELS_FILE = "labels.txt"


def network_shapes(network: keras.Model) -> tuple[tuple[int, int, int], int]:
    """Returns the image shape (height, width, channels) that a network takes and the number of its classes.

    Raises:
        ValueError: the network does not take one batch of images of a fixed size, or has no logits of shape
            [batch, classes].
    """
    if not isinstance(network, keras.Model) or hasattr(network, "networks"):
        raise ValueError(f"network must be one keras.Model, such as distiller.networks[0]; it is {network!r:.80}")
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(f"network must take one input [None, height, width, channels]; it takes {shape}")
    if shape[3] not in (1, 3, 4):
        raise ValueError(f"network must take images of 1, 3 or 4 channels, to decode them; it takes {shape[3]}")
    outputs = network.output
    if not isinstance(outputs, dict) or "logits" not in outputs:
        names = sorted(outputs) if isinstance(outputs, dict) else type(outputs).__name__
        raise ValueError(f"network must return a dict with 'logits'; it returns {names}")
    logits = outputs["logits"].shape
    if len(logits) != 2 or logits[1] is None:
        raise ValueError(f"network must return logits of shape [None, classes]; theirs is {tuple(logits)}")
    return tuple(shape[1:]), int(logits[1])


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
    ) -> None:
        super().__init__(name="serving")
        image_shape, _ = network_shapes(network)
        self.network_variables = [weight.value for weight in network.weights]
        self.labels = tf.saved_model.Asset(str(labels_file))
        # Constants of the signatures, not variables: the SavedModel's variables are the network's alone.
        scale, shift = normalisation(mean, std)

        def score(images: tf.Tensor) -> dict[str, tf.Tensor]:
            count = tf.shape(images)[0]
            # Of an empty batch oneDNN's convolutions give the shape of their input instead of their output's
            # (TensorFlow 2.21), so the network never sees one: it gets a black image, and its scores are cut off.
            images = tf.pad(images, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
            outputs = network(images * scale + shift, training=False)
            logits = tf.cast(outputs["logits"], tf.float32)[:count]
            return {
                "logits": logits,
                "probabilities": tf.nn.softmax(logits),
                "classes": tf.argmax(logits, axis=-1, output_type=tf.int64),
            }

        chosen = chosen_reading(reading, image_shape)

        def score_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            images, valid = read_batch(encoded, image_shape, chosen)
            # Calls the function below, so that the network is traced and stored once for both signatures.
            if bad_images == "mark":
                return _marked(self.score(tf.cast(images, tf.float32)), valid)
            with tf.control_dependencies([refuse_bad(encoded, valid, chosen)]):
                return self.score(tf.cast(images, tf.float32))

        images_spec = tf.TensorSpec([None, *image_shape], tf.float32, name="images")
        self.score = tf.function(score, input_signature=[images_spec], jit_compile=False, autograph=False)
        encoded_spec = tf.TensorSpec([None], tf.string, name="encoded")
        self.score_encoded = tf.function(
            score_encoded, input_signature=[encoded_spec], jit_compile=False, autograph=False
        )

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Returns the concrete function of each signature by the signature's name."""
        return {
            RAW_SIGNATURE: self.score.get_concrete_function(),
            ENCODED_SIGNATURE: self.score_encoded.get_concrete_function(),
        }


def _marked(outputs: dict[str, tf.Tensor], valid: tf.Tensor) -> dict[str, tf.Tensor]:
    """The outputs with an image that could not be read at zeros and class -1, which no name belongs to."""
    zeroed = {name: tf.where(valid[:, None], outputs[name], 0.0) for name in ("logits", "probabilities")}
    return {**zeroed, "classes": tf.where(valid, outputs["classes"], -1), "valid": valid}


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
