"""Batches as the engine takes them: in one form, and shared out to replicas so that every example counts once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.taps import with_supervised_weight

NO_EXAMPLES = "data: a batch holds no example; leave empty batches out"


def as_batch(data: Any) -> dict[str, tf.Tensor]:
    """A batch as a dict of `images`, `labels` and, if given, `weight`, from a dict or from Keras' tuples.

    Raises:
        ValueError: neither a dict with `images` and `labels` nor a tuple of two or three tensors, or tensors without
            a known number of dimensions.
    """
    if isinstance(data, Mapping) and {"images", "labels"} <= set(data):
        batch = dict(data)
    elif isinstance(data, tuple) and len(data) in (2, 3):
        found = dict(zip(("images", "labels", "weight"), data, strict=False))
        batch = {name: value for name, value in found.items() if value is not None}
    else:
        raise ValueError(
            "data: a batch must be a dict with 'images' and 'labels', or a tuple (images, labels[, weight])"
        )
    for name, value in batch.items():
        if isinstance(value, tf.Tensor) and value.shape.rank is None:
            raise ValueError(f"data: the {name} of a batch have no known shape; say it in an output_signature")
    return batch


def require_images(images: tf.Tensor, shape: Sequence[int | None]) -> None:
    """Refuses images of another shape than the networks take, before Keras says so in many lines.

    Args:
        images: of a batch.
        shape: of one image; `None` where any size will do.

    Raises:
        ValueError: says both shapes, and the usual reason.
    """
    found, expected = tf.TensorShape(images.shape), tf.TensorShape([None, *shape])
    if found.is_compatible_with(expected):
        return
    remedy = ""
    if found.rank == expected.rank - 1:
        remedy = "; these have no batch axis: data.batch(size) adds it to a tf.data.Dataset"
    raise ValueError(f"images: the networks take batches of shape {expected}, not {found}{remedy}")


def require_finite_images(images: Any, place: str = "example", at_once: int = 1024) -> None:
    """Refuses an array of images of which one is no number; of a data set nothing is read here.

    Args:
        images: of all examples.
        place: what an entry is, for the message.
        at_once: examples that are looked at together.

    Raises:
        ValueError: names the first such image.
    """
    if not isinstance(images, np.ndarray) or images.dtype.kind != "f" or not images.ndim:
        return
    for first in range(0, len(images), at_once):
        part = images[first : first + at_once]
        finite = np.isfinite(part).all(axis=tuple(range(1, part.ndim)))
        if not finite.all():
            raise ValueError(f"images: {place} {first + int(np.argmin(finite))} holds NaN or infinity")


def steps_in(x: Any, y: Any, batch_size: int | None, share: float) -> int | None:
    """How many steps an epoch of `fit(x, y)` has; `None` where only the data knows.

    Args:
        x: a `tf.data.Dataset`, a `keras.utils.PyDataset`, or an array of examples.
        y: labels, with an array.
        batch_size: of `fit`, with an array.
        share: of the examples that training keeps from `validation_split`.

    Raises:
        ValueError: there are no examples, or images without labels.
    """
    if isinstance(x, tf.data.Dataset):
        cardinality = int(x.cardinality())
        if cardinality == 0:
            raise ValueError("data: the data set is empty")
        return cardinality if cardinality > 0 else None
    steps = None
    if isinstance(x, keras.utils.PyDataset):
        steps = x.num_batches
    elif hasattr(x, "shape"):
        if y is None:
            raise ValueError("data: labels are missing; give fit(images, labels), or a data set of such pairs")
        steps = math.ceil(math.floor(len(x) * share) / (batch_size or 32))
    if steps == 0:  # Keras would ask for the first of them for ever.
        raise ValueError("data: there are no examples to train on")
    return steps


def require_scores(scores: Mapping[str, Any]) -> None:
    """Refuses the scores that Keras gives for data without examples, which are none.

    Raises:
        ValueError: there are no scores.
    """
    if not scores:
        raise ValueError("data: there are no examples to score")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Says in one line what TensorFlow wraps in the graph's many.

    Raises:
        ValueError: a batch without examples.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if NO_EXAMPLES not in str(error):
            raise
        raise ValueError(NO_EXAMPLES) from None


@dataclass(frozen=True)
class Share:
    """What a replica has of a global batch.

    Where the batches' size is not static, a last batch may leave one replica fewer examples than another, or none. Then
    the replicas add up how many there are, and a replica that has none computes on a stand-in, an example of zeros: no
    gradient, no logged value and no move of a running statistic of it is kept.

    Attributes:
        batch: what to compute on; never empty.
        total: examples of all replicas, float32 scalar; `None`: as many on every replica as here.
        count: examples of this replica; `None`: all of `batch`.
    """

    batch: Mapping[str, tf.Tensor]
    total: tf.Tensor | None = None
    count: tf.Tensor | None = None

    def values(self, values: tf.Tensor) -> tf.Tensor:
        """Those of the replica's own examples, of values per example, `[batch]`."""
        return values if self.count is None else values[: self.count]

    def gradients(self, gradients: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
        """The gradients, 0 where the replica has no example."""
        count = self.count
        if count is None:
            return gradients
        # A choice and not a product: what the stand-in gives may be no number.
        return [tf.where(count > 0, one, tf.zeros_like(one)) for one in map(tf.convert_to_tensor, gradients)]

    @contextlib.contextmanager
    def keeping(self, variables: Sequence[keras.Variable]) -> Iterator[None]:
        """Gives this replica's variables their values back after the block where it has no example."""
        count = self.count
        if count is None:
            yield
            return
        before = [tf.identity(tf.convert_to_tensor(one)) for one in variables]
        yield
        for variable, value in zip(variables, before, strict=True):
            variable.assign(tf.where(count > 0, tf.convert_to_tensor(variable), value))


def share_of(batch: Mapping[str, tf.Tensor], replicas: int, *, summed: bool = True) -> Share:
    """The share that `batch` is of the global one; to be called in a replica, by all of them.

    Args:
        batch: with `images`. Where some examples have no label (`labelled`), those of all replicas are counted, and
            terms that read labels are weighed by it, see `taps.on_labelled`.
        replicas: how many share.
        summed: whether the total is needed.

    Raises:
        ValueError: a batch of static size 0.
    """
    count = batch["images"].shape[0]
    if count == 0 and (summed or replicas == 1):
        raise ValueError(NO_EXAMPLES)
    if count:
        return Share(_weighed(batch, count * replicas, replicas) if summed else batch)
    count = tf.shape(batch["images"])[0]
    if replicas == 1:
        with tf.control_dependencies([tf.debugging.assert_positive(count, NO_EXAMPLES)]):
            batch = {**batch, "images": tf.identity(batch["images"])}
            return Share(_weighed(batch, count, replicas))
    total = _sum(tf.cast(count, tf.float32), replicas) if summed else None
    missing = tf.maximum(0, 1 - count)
    filled = {name: tf.pad(value, [[0, missing], *[[0, 0]] * (len(value.shape) - 1)]) for name, value in batch.items()}
    return Share(filled if total is None else _weighed(filled, total, replicas), total, count)


def labelled_as_weight(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """A batch for scoring: an example without a label weighs 0."""
    found = dict(batch)
    if "labelled" in found:
        labelled = found.pop("labelled")
        found["weight"] = labelled * found["weight"] if "weight" in found else labelled
    return found


def _weighed(batch: Mapping[str, tf.Tensor], total: Any, replicas: int) -> Mapping[str, tf.Tensor]:
    """The batch with what terms that read labels are multiplied by; `total` is how many examples all replicas have."""
    if "labelled" not in batch:
        return batch
    labelled = _sum(tf.reduce_sum(batch["labelled"]), replicas)
    return with_supervised_weight(batch, tf.cast(total, tf.float32), labelled)


def _sum(own: tf.Tensor, replicas: int) -> tf.Tensor:
    """The sum over the replicas."""
    if replicas == 1:
        return own
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)
