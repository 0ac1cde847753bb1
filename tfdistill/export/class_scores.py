"""What a classifier is served to answer: logits, probabilities and the class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from tfdistill.data.transforms.readings import Reading
from tfdistill.export.answers import Compared, FilesRead
from tfdistill.export.encoded import Shape, chosen_reading, read_batch
from tfdistill.networks.probabilities import require_logits


@dataclass(frozen=True)
class ClassScores:
    """`logits` and `probabilities`, float32 [batch, classes], and `classes`, int64 [batch]; see `Answer`."""

    taps = ("logits",)
    taps_signature = ""

    def classes(self, network: keras.Model) -> int:
        """How many logits there are; see `Answer`."""
        outputs = network.output
        if not isinstance(outputs, dict) or "logits" not in outputs:
            names = sorted(outputs) if isinstance(outputs, dict) else type(outputs).__name__
            raise ValueError(f"network must return a dict with 'logits'; it returns {names}")
        logits = outputs["logits"].shape
        if len(logits) != 2 or logits[1] is None:
            raise ValueError(f"network must return logits of shape [None, classes]; theirs is {tuple(logits)}")
        return int(logits[1])

    def require_values(self, network: keras.Model) -> None:
        """Refuses probabilities, which would be served with a softmax of a softmax; see `Answer`."""
        require_logits(network.inputs[0], network.output["logits"], "network")

    def reading(self, reading: Reading | str, image_shape: Shape) -> Reading:
        """The reading itself, or the one of a style's name; see `Answer`."""
        return chosen_reading(reading, image_shape)

    def outputs(self, taps: Mapping[str, tf.Tensor], image_shape: Shape) -> dict[str, tf.Tensor]:
        """Scores of each class, and the class of the highest; see `Answer`."""
        logits = taps["logits"]
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "classes": tf.argmax(logits, axis=-1, output_type=tf.int64),
        }

    def read(self, encoded: tf.Tensor, image_shape: Shape, reading: Reading) -> FilesRead:
        """The images alone; see `Answer`."""
        return FilesRead(*read_batch(encoded, image_shape, reading))

    def of_files(self, outputs: Mapping[str, tf.Tensor], read: FilesRead) -> dict[str, tf.Tensor]:
        """The outputs; see `Answer`."""
        return dict(outputs)

    def unread(self, outputs: Mapping[str, tf.Tensor], valid: tf.Tensor) -> dict[str, tf.Tensor]:
        """Zeros, and class -1, which no name belongs to; see `Answer`."""
        zeroed = {name: tf.where(valid[:, None], outputs[name], 0.0) for name in ("logits", "probabilities")}
        return {**zeroed, "classes": tf.where(valid, outputs["classes"], -1)}

    def sizes(self, files: Sequence[bytes], image_shape: Shape, reading: Reading) -> None:
        """Not asked for; see `Answer`."""

    def compared(
        self,
        taps: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        sizes: np.ndarray | None,
        tolerance: float,
    ) -> Compared:
        """Both kinds of scores, and whether the class is that of the highest; see `Answer`."""
        expected = {"logits": taps["logits"], "probabilities": tf.nn.softmax(taps["logits"]).numpy()}
        differences = {name: _largest_difference(outputs[name], value) for name, value in expected.items()}
        is_highest = np.array_equal(outputs["classes"], outputs["logits"].argmax(axis=-1))
        return Compared(differences, None if is_highest else ("classes", "are not those of its highest logits"))

    def facts(self) -> dict[str, object]:
        """Nothing beside the signatures; see `Answer`."""
        return {}


def _largest_difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference relative to max(1, |expected|)."""
    return float(np.max(np.abs(actual - expected) / np.maximum(1.0, np.abs(expected)), initial=0.0))
