"""What a detector is served to answer: the objects that it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import keras
import numpy as np
import tensorflow as tf

from tfdistill import boxes
from tfdistill.data.transforms.decoding import decode
from tfdistill.data.transforms.readings import Reading
from tfdistill.export.answers import Compared, FilesRead
from tfdistill.export.encoded import Shape, chosen_reading, read_batch_and_sizes
from tfdistill.export.suppression import Candidates, compared_objects

WORDS = (
    "top, left, bottom, right in pixels: serving_default, of the image that it is given; encoded_images, of the image "
    "file as it is seen, upright as EXIF data says, before it is resized. The surest comes first. From `count` on, "
    "boxes and scores are 0 and classes -1."
)


@dataclass(frozen=True)
class Detections:
    """`boxes` float32 [batch, most, 4], `scores` float32 [batch, most], `classes` int64 [batch, most], `count` [batch].

    Boxes are top, left, bottom and right in pixels of the image given. Class by class, a box goes that overlaps a surer
    one of the class by more than `overlap`; see `boxes.detections`.

    Args:
        least_score: the least probability of a class, 0 to 1, above 0.
        overlap: the largest intersection over union of two boxes of a class, 0 to 1.
        most: how many objects of an image are answered, 1 or more.

    Raises:
        ValueError: an argument is out of range.
    """

    least_score: float = 0.01
    overlap: float = 0.45
    most: int = 200

    taps = ("offsets", "class_logits", "default_boxes")
    taps_signature = "raw_answers"

    def __post_init__(self) -> None:
        if not 0 < self.least_score <= 1:
            raise ValueError(f"least_score must be a probability above 0; got {self.least_score}")
        if not 0 <= self.overlap <= 1:
            raise ValueError(f"overlap must be 0 to 1; got {self.overlap}")
        if self.most < 1:
            raise ValueError(f"most must be 1 or more; got {self.most}")

    def classes(self, network: keras.Model) -> int:
        """How many classes a detector tells apart, the background not counted; see `Answer`."""
        outputs = network.output
        if missing := [tap for tap in self.taps if not isinstance(outputs, dict) or tap not in outputs]:
            raise ValueError(f"network must be a detector, whose answer is {', '.join(self.taps)}; it lacks {missing}")
        offsets, logits, default_boxes = (tuple(outputs[tap].shape) for tap in self.taps)
        count, last = offsets[1] if len(offsets) == 3 else None, logits[-1] or 0
        if count is None or offsets[1:] != (count, 4) or default_boxes[1:] != (count, 4):
            raise ValueError(f"network must return offsets and default_boxes [None, boxes, 4]; not {offsets}")
        if len(logits) != 3 or logits[1] != count or last < 2:
            raise ValueError(f"network must return class_logits [None, {count}, 1 + classes]; not {logits}")
        return int(last) - 1

    def require_values(self, network: keras.Model) -> None:
        """Nothing is refused, as for `Detection` in training; see `Answer`."""

    def reading(self, reading: Reading | str, image_shape: Shape) -> Reading:
        """ "resize" alone: a box is a share of the whole image; see `Answer`."""
        chosen = Reading("resize") if reading == "auto" else chosen_reading(reading, image_shape)
        if chosen.style != "resize":
            raise ValueError(
                f"reading must be resize for a detector, which says boxes in whole images; got {chosen.style}"
            )
        return chosen

    def outputs(self, taps: Mapping[str, tf.Tensor], image_shape: Shape) -> dict[str, tf.Tensor]:
        """The objects of each image, in its pixels; see `Answer`."""
        answer = (taps[tap] for tap in self.taps)
        found = boxes.detections(*answer, least_score=self.least_score, overlap=self.overlap, most=self.most)
        height, width = image_shape[:2]
        return {
            "boxes": found["boxes"] * np.array([height, width] * 2, np.float32),
            "scores": found["scores"],
            "classes": tf.cast(found["classes"], tf.int64),
            "count": tf.cast(found["count"], tf.int64),
        }

    def read(self, encoded: tf.Tensor, image_shape: Shape, reading: Reading) -> FilesRead:
        """The images and the sizes that they had; see `Answer`."""
        images, sizes, valid = read_batch_and_sizes(encoded, image_shape, reading)
        return FilesRead(images, valid, sizes)

    def of_files(self, outputs: Mapping[str, tf.Tensor], read: FilesRead) -> dict[str, tf.Tensor]:
        """The boxes in pixels of the files; see `Answer`."""
        growth = tf.cast(read.sizes, tf.float32) / tf.cast(tf.shape(read.images)[1:3], tf.float32)
        return {**outputs, "boxes": outputs["boxes"] * tf.tile(growth, [1, 2])[:, None, :]}

    def unread(self, outputs: Mapping[str, tf.Tensor], valid: tf.Tensor) -> dict[str, tf.Tensor]:
        """No objects; see `Answer`."""
        return {
            "boxes": tf.where(valid[:, None, None], outputs["boxes"], 0.0),
            "scores": tf.where(valid[:, None], outputs["scores"], 0.0),
            "classes": tf.where(valid[:, None], outputs["classes"], -1),
            "count": tf.where(valid, outputs["count"], 0),
        }

    def sizes(self, files: Sequence[bytes], image_shape: Shape, reading: Reading) -> np.ndarray:
        """Height and width of what is decoded; see `Answer`."""
        decoded = (decode(tf.constant(one), image_shape[2], reading.max_pixels) for one in files)
        return np.array([one.shape[:2] for one in decoded])

    def compared(
        self,
        taps: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        sizes: np.ndarray | None,
        tolerance: float,
    ) -> Compared:
        """The objects, and the taps where these are given; see `Answer` and `compared_objects`.

        A difference is relative to the largest number of its tap, and an object's to the largest of all taps.
        """
        # One of 35,000 offsets may be a small difference of large sums, and is rounded as these are.
        largest = {tap: max(1.0, float(np.abs(taps[tap]).max(initial=0.0))) for tap in self.taps}
        said = {
            tap: float(np.abs(outputs[tap] - taps[tap]).max(initial=0.0)) / largest[tap]
            for tap in self.taps
            if tap in outputs
        }
        corners = boxes.decoded(tf.constant(taps["offsets"]), tf.constant(taps["default_boxes"])).numpy()
        scores = tf.nn.softmax(taps["class_logits"]).numpy()[..., 1:]
        assert sizes is not None
        shares = outputs["boxes"] / np.tile(sizes, 2)[:, None, :]
        differences, is_right = compared_objects(
            Candidates(corners, scores, self.least_score, self.overlap, self.most),
            {**outputs, "boxes": shares},
            tolerance * max(largest.values()),
        )
        differences = {name: value / max(largest.values()) for name, value in differences.items()}
        fault = None if is_right else ("objects", "are not those that non-maximum suppression leaves of its boxes")
        return Compared({**said, **differences}, fault)

    def facts(self) -> dict[str, object]:
        """How objects are chosen, and what the numbers of a box are; see `Answer`."""
        return {"detections": {**asdict(self), "boxes": WORDS}}
