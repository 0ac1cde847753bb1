"""What networks answer, put in other words: some of their classes in another order, or the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdistill.networks.names import distinct

# Networks whose names an ensemble's name has; of more it has the number.
MOST_NAMES = 3


@keras.saving.register_keras_serializable(package="tfdistill")
class ChosenClasses(keras.layers.Layer):
    """The logits of some classes, in the order given.

    Args:
        places: of the classes among the logits that come in.
        **settings: what every `keras.layers.Layer` takes.
    """

    def __init__(self, places: Sequence[int], **settings: Any) -> None:
        super().__init__(**settings)
        self.places = [int(one) for one in places]

    def call(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.gather(logits, tf.constant(self.places, tf.int32), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "places": self.places}


@keras.saving.register_keras_serializable(package="tfdistill")
class TwoLogits(keras.layers.Layer):
    """The logits of two classes, 0 and z, of the one logit z that a sigmoid reads: `softmax(0, z)[1] = sigmoid(z)`."""

    def call(self, logit: tf.Tensor) -> tf.Tensor:
        return tf.concat([tf.zeros_like(logit), logit], axis=-1)


def answering(network: keras.Model, places: Sequence[int]) -> keras.Model:
    """The same network, layers and other taps, whose logits are those of some classes.

    Args:
        network: functional, from images to a dict of taps with "logits".
        places: of the classes among its logits, in the order wanted.

    Returns:
        the network itself where these are its classes in their order.
    """
    logits = network.output["logits"]
    if list(places) == list(range(logits.shape[-1])):
        return network
    chosen = ChosenClasses(places, dtype="float32", name="chosen_classes")(logits)
    answers = keras.Model(network.input, {**network.output, "logits": chosen}, name=network.name)
    answers.architecture = getattr(network, "architecture", None)
    return answers


def mean_of_logits(networks: Sequence[keras.Model], image_shape: Sequence[int]) -> keras.Model:
    """Several networks as one that gives the mean of their logits, and no other tap.

    Args:
        networks: functional, from the same images to dicts of taps with "logits" of the same classes; they are renamed
            where two have one name.
        image_shape: (height, width, channels).
    """
    for network, name in zip(networks, distinct([one.name for one in networks]), strict=True):
        network.name = name
    images = keras.Input(tuple(image_shape), name="images")
    mean = keras.layers.Average(dtype="float32", name="mean_of_logits")
    several = len(networks) > MOST_NAMES
    name = f"mean_of_{len(networks)}" if several else "_and_".join(one.name for one in networks)
    return keras.Model(images, {"logits": mean([one(images)["logits"] for one in networks])}, name=name)
