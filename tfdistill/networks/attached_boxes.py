"""The default boxes of a detector as one of its taps, so that whoever has its taps can read its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.networks.default_boxes import DefaultBoxes


@keras.saving.register_keras_serializable(package="tfdistill")
class AttachedBoxes(keras.layers.Layer):
    """Default boxes beside each example: from offsets `[batch, boxes, 4]` to `[batch, boxes, 4]` in centre form.

    Peers and teachers may have different default boxes; each tap's numbers are read by the boxes of the same network.

    Args:
        boxes: what the boxes are, or the fields of `DefaultBoxes` by name, as a saved model has them.
        **settings: what every `keras.layers.Layer` takes.
    """

    def __init__(self, boxes: DefaultBoxes | dict[str, Any], **settings: Any) -> None:
        super().__init__(**{"dtype": "float32"} | settings)
        self.boxes = boxes if isinstance(boxes, DefaultBoxes) else DefaultBoxes(**_as_tuples(boxes))
        self._values: np.ndarray = self.boxes.centre_form()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(tf.constant(self._values), [tf.shape(inputs)[0], *self._values.shape])

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return input_shape[0], *self._values.shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "boxes": vars(self.boxes)}


def _as_tuples(value: Any) -> Any:
    """Lists become tuples, as JSON has no tuples."""
    if isinstance(value, dict):
        return {name: _as_tuples(one) for name, one in value.items()}
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list | tuple) else value
