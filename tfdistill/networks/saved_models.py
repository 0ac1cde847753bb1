"""A SavedModel as a network that gives logits alone: whoever wrote it."""

from __future__ import annotations

import os
from typing import Any

import keras
import tensorflow as tf

from tfdistill.networks.probabilities import require_logits
from tfdistill.networks.reasons import reason_of

SIGNATURE = "serving_default"


class SavedNetwork(keras.layers.Layer):
    """The signature of a SavedModel as a layer from images to logits, which nothing trains.

    Its weights are copies of the SavedModel's variables, so that it can be told by them; it computes with the
    SavedModel's own.

    Args:
        loaded: the SavedModel, as TensorFlow loads it.
        signature: the function of it that is called.
        answer: the name of the output that is the logits.
        **settings: what every `keras.layers.Layer` takes.
    """

    def __init__(self, loaded: Any, signature: Any, answer: str, **settings: Any) -> None:
        super().__init__(trainable=False, **settings)
        # The signature does not keep the variables alive; the loaded object does. In a tuple Keras looks for none.
        self._kept = lambda: loaded
        self._signature, self._answer = signature, answer
        ((self._reads, _),) = signature.structured_input_signature[1].items()
        for variable in signature.variables:
            if variable.dtype.is_floating or variable.dtype.is_integer:
                name = variable.name.split(":")[0].replace("/", "_")
                copied = self.add_weight(name=name, shape=variable.shape, dtype=variable.dtype.name, trainable=False)
                copied.assign(variable)

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return self._signature(**{self._reads: images})[self._answer]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self._signature.structured_outputs[self._answer].shape[-1])


def network_of_saved_model(path: str | os.PathLike, *, name: str) -> keras.Model:
    """A SavedModel as a network that gives logits alone.

    Args:
        path: the folder with `saved_model.pb`.
        name: of the network.

    Returns:
        a model from images, of the size and type that the signature takes, to the dict of "logits".

    Raises:
        ValueError: it does not load, has no signature from one batch of images to logits, or gives probabilities.
    """
    try:
        loaded = tf.saved_model.load(os.fspath(path))
    except Exception as error:  # whatever TensorFlow raises for what is in the folder
        raise ValueError(f"{path} holds a SavedModel that does not load: {reason_of(error)}") from error
    signatures = loaded.signatures
    signature = signatures.get(SIGNATURE) or (next(iter(signatures.values())) if len(signatures) == 1 else None)
    if signature is None:
        raise ValueError(f"{path} holds a SavedModel without the signature {SIGNATURE!r}; it has {_listed(signatures)}")
    images, answer = _images_of(path, signature), _answer_of(path, signature)
    layer = SavedNetwork(loaded, signature, answer, dtype="float32", autocast=False, name="saved_model")
    network = keras.Model(images, {"logits": layer(images)}, name=name)
    try:
        require_logits(images, network.output["logits"], name)
    except ValueError as error:
        raise ValueError(
            f"{path} holds a SavedModel that gives probabilities, which cannot be taken off there; export the model "
            "without its last softmax or sigmoid"
        ) from error
    return network


def _images_of(path: str | os.PathLike, signature: Any) -> keras.KerasTensor:
    inputs = signature.structured_input_signature[1]
    shape = next(iter(inputs.values())).shape if len(inputs) == 1 else None
    if shape is None or shape.rank != 4 or shape[0] is not None or shape[3] is None:
        taken = ", ".join(f"{name} {one.shape}" for name, one in inputs.items())
        raise ValueError(
            f"{path} holds a SavedModel that reads {taken or 'nothing'}; a teacher reads one batch of images, "
            "[None, height, width, channels]"
        )
    return keras.Input(shape[1:], dtype=next(iter(inputs.values())).dtype.name, name="images")


def _answer_of(path: str | os.PathLike, signature: Any) -> str:
    outputs = signature.structured_outputs
    answer = "logits" if "logits" in outputs else next(iter(outputs)) if len(outputs) == 1 else ""
    if not answer:
        raise ValueError(f"{path} holds a SavedModel of which no output is called logits; it gives {_listed(outputs)}")
    shape = outputs[answer].shape
    if shape.rank != 2 or shape[1] is None:
        raise ValueError(f"{path} holds a SavedModel that gives {answer} {shape}; logits are [None, classes]")
    return answer


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
