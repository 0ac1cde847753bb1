"""The networks that are exported: what images they take, and of which kind they are, by their taps."""

from __future__ import annotations

import keras

from tfdistill.export.answers import Answer
from tfdistill.export.class_scores import ClassScores
from tfdistill.export.detections import Detections
from tfdistill.export.encoded import Shape


def image_shape_of(network: keras.Model) -> Shape:
    """Returns the shape (height, width, channels) of the images that a network takes.

    Raises:
        ValueError: the network does not take one batch of images of a fixed size.
    """
    if not isinstance(network, keras.Model) or hasattr(network, "networks"):
        raise ValueError(f"network must be one keras.Model, such as distiller.networks[0]; it is {network!r:.80}")
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:]:
        raise ValueError(f"network must take one input [None, height, width, channels]; it takes {shape}")
    if shape[3] not in (1, 3, 4):
        raise ValueError(f"network must take images of 1, 3 or 4 channels, to decode them; it takes {shape[3]}")
    return shape[1:]


def answer_of(network: keras.Model) -> Answer:
    """What a network is served to answer: objects where it has a detector's taps and no logits, else class scores.

    Raises:
        ValueError: it is none that could be served, see `image_shape_of`.
    """
    image_shape_of(network)
    outputs = network.output
    is_detector = isinstance(outputs, dict) and "logits" not in outputs and set(Detections.taps) <= outputs.keys()
    return Detections() if is_detector else ClassScores()
