"""From a split to batches: an endless resumable stream for training, one exact pass for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from tfdistill.data.augmented import make_augmented_reader, stream_of
from tfdistill.data.balance import Balance, class_weights, require_balance
from tfdistill.data.dataset import Split
from tfdistill.data.order import balanced, shuffled
from tfdistill.data.reading import make_reader
from tfdistill.data.rows import Places, rows_of_part
from tfdistill.data.transforms.augmentation import Augmentation, BoxAugmentation, Normalization
from tfdistill.data.transforms.labels import check_smoothing, smooth_labels
from tfdistill.data.transforms.mixing import Cutout, Mixing, mix
from tfdistill.data.transforms.randaugment import RandAugment
from tfdistill.data.transforms.usual import normalize

Batch = dict[str, tf.Tensor]
Along = Callable[[tf.Tensor, tf.Tensor], Mapping[str, tf.Tensor]]
"""From a view, an int64 scalar, and positions in a split, int64 [B], to what goes into the batch of these examples."""


def training_batches(
    split: Split,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | BoxAugmentation | None,
    normalization: Normalization,
    randaugment: RandAugment | None = None,
    cutout: Cutout | None = None,
    mixing: Mixing | None = None,
    label_smoothing: float = 0.0,
    classes: int = 0,
    balance: Balance = "none",
    first_step: int = 0,
    steps: int | None = None,
    source: tf.data.Dataset | None = None,
    part: int = 0,
    parts: int = 1,
    views: int = 0,
    along: Along | None = None,
) -> tf.data.Dataset:
    """Shuffled, augmented batches, each a pure function of (seed, step), so that a run resumes at any step.

    An epoch is `len(split) // batch_size` steps: a permutation of its own, cut into batches. What is left
    over is dropped, so every batch is full and no example comes twice in an epoch; with `balance` "sampling" every
    class comes as often as any other instead, see `order.balanced`. Images go through what is
    given, in this order: shift and mirror, RandAugment, normalisation, cut-out, mixing. Labels are smoothed,
    then mixed; with either they are distributions over the classes.

    Args:
        split: the training examples.
        batch_size: examples per batch over all replicas, 1..len(split).
        seed: 0..2^63-1.
        augmentation: how training images are shifted and mirrored, or, where labels are boxes, how these move along;
            None for not at all.
        normalization: per-channel mean and deviation.
        randaugment: number and strength of RandAugment's operations; None for none.
        cutout: the square that is blanked; None for none.
        mixing: cut-mix, mixup, or one of them for each batch; None for neither.
        label_smoothing: probability taken from the label and shared among the other classes, 0..1, without 1.
        classes: K; needed for `mixing`, `label_smoothing` and `balance` "loss".
        balance: how classes of unequal size are evened out: "none"; "loss" gives each example a weight in the
            supervised loss, see `balance.class_weights`; "sampling" draws every class as often, see `order.balanced`.
        first_step: the step that the stream starts at, 0 or more.
        steps: how many batches; endless if not given.
        source: the steps themselves, int64 scalars, where they do not simply follow each other from `first_step` on.
        part: which of several equal, contiguous parts of each batch to make, 0..parts-1, for one of several workers.
        parts: how many, a divisor of `batch_size`. The parts together are the batch, whatever is random.
        views: in how many ways an example is augmented at most: what is drawn for it is a function of the seed, its
            place in the split and the epoch modulo `views`, so that its images come again after so many epochs. 0 for
            another image in every epoch. Mixing and `balance` "sampling" know no such images.
        along: with `views`, what else goes into each batch.

    Returns:
        Batches {"images": float32 [B, H, W, C], "labels": int32 [B], "index": int64 [B]}, `index` being the
        examples' positions in the original split; with `mixing` or `label_smoothing` "labels": float32 [B, K]; with
        `balance` "loss" also "weight": float32 [B], of a distribution over classes the mean of their weights.
        Of a part, B is `batch_size / parts`.

    Raises:
        ValueError: if an argument is out of range, or would change the labels of objects as if they were classes.
    """
    _check(split, batch_size, normalization)
    _check_training(split, batch_size, seed, first_step, steps)
    require_balance(balance)
    _check_views(views, mixing, balance, along)
    soft = mixing is not None or label_smoothing != 0
    if split.labels.ndim != 1 and (soft or balance != "none"):
        raise ValueError("labels: mixing, label_smoothing and balance are for one class per image, not for objects")
    if soft:
        check_smoothing(label_smoothing, classes)
    # An image is mixed with the next one of the batch, so the last one of a part needs one more.
    rows = rows_of_part(part, parts, batch_size, and_the_next=mixing is not None)
    read = make_augmented_reader(split, augmentation, normalization, randaugment, cutout)
    if balance == "sampling":
        positions_of = balanced(seed, batch_size, split.labels)
    else:
        positions_of = shuffled(seed, batch_size, len(split))

    weight_of = class_weights(split.labels, classes) if balance == "loss" else None

    def batch(step: tf.Tensor) -> Batch:
        positions = positions_of(step)
        positions = positions if rows is None else rows.of(positions)
        view = step // (len(split) // batch_size) % max(views, 1)
        draws = tf.stack([seed, view if views else step])
        examples = read(positions, draws, Places(positions) if views else rows)
        images, labels = examples["images"], examples["labels"]
        if soft:
            labels = smooth_labels(labels, classes, label_smoothing)
        if mixing is not None:
            images, labels = mix(images, labels, stream_of(draws, 3), mixing, rows)
        made = {**examples, "images": images, "labels": labels, **(along(view, positions) if along else {})}
        if weight_of is not None:
            made["weight"] = tf.linalg.matvec(labels, weight_of) if soft else tf.gather(weight_of, labels)
        return made if rows is None else {name: value[: batch_size // parts] for name, value in made.items()}

    if source is None:
        numbers = tf.data.Dataset
        source = numbers.counter(first_step) if steps is None else numbers.range(first_step, first_step + steps)
    return _mapped(source, batch)


def view_batches(
    split: Split,
    view: int,
    *,
    batch_size: int,
    seed: int,
    augmentation: Augmentation | BoxAugmentation | None,
    normalization: Normalization,
    randaugment: RandAugment | None = None,
    cutout: Cutout | None = None,
) -> tf.data.Dataset:
    """The image of every example, in the split's order, that `training_batches` with `views` shows in one view.

    Args:
        split: the training examples.
        view: 0 or more.
        batch_size: 1 or more; the last batch is filled up with copies of the last example.
        seed: as for `training_batches`, like what follows.
        augmentation: how images are shifted and mirrored; None for not at all.
        normalization: per-channel mean and deviation.
        randaugment: number and strength of RandAugment's operations; None for none.
        cutout: the square that is blanked; None for none.

    Returns:
        `ceil(len(split) / batch_size)` batches {"images": float32 [B, H, W, C], "labels": int32 [B], "index": int64
        [B]}.

    Raises:
        ValueError: if the split is empty or an argument is out of range.
    """
    _check(split, batch_size, normalization)
    read = make_augmented_reader(split, augmentation, normalization, randaugment, cutout)

    def batch(step: tf.Tensor) -> Batch:
        positions = tf.minimum(step * batch_size + tf.range(batch_size, dtype=tf.int64), len(split) - 1)
        return read(positions, tf.constant([seed, view], tf.int64), Places(positions))

    return _mapped(tf.data.Dataset.range(-(-len(split) // batch_size)), batch)


def evaluation_batches(
    split: Split,
    *,
    batch_size: int,
    normalization: Normalization,
    endless: bool = False,
    part: int = 0,
    parts: int = 1,
) -> tf.data.Dataset:
    """One pass in the split's order, all batches full, every example with weight 1 exactly once.

    The last batch is filled up with copies of the last example that weigh 0, so one graph serves all batches.

    Args:
        split: the examples to evaluate.
        batch_size: examples per batch over all replicas, 1 or more.
        normalization: per-channel mean and deviation.
        endless: whether batches in which all weighs 0 follow the last one.
        part: which of several equal, contiguous parts of each batch to make, 0..parts-1, for one of several workers.
        parts: how many, a divisor of `batch_size`.

    Returns:
        `ceil(len(split) / batch_size)` batches {"images": float32 [B, H, W, C], "labels": int32 [B],
        "index": int64 [B], "weight": float32 [B]}.

    Raises:
        ValueError: if the split is empty or an argument is out of range.
    """
    _check(split, batch_size, normalization)
    read = make_reader(split, training=False)
    rows = rows_of_part(part, parts, batch_size)

    def batch(step: tf.Tensor) -> Batch:
        positions = step * batch_size + tf.range(batch_size, dtype=tf.int64)
        positions = positions if rows is None else rows.of(positions)
        examples = read(tf.minimum(positions, len(split) - 1))
        return {
            **examples,
            "images": normalize(examples["images"], normalization),
            "weight": tf.cast(positions < len(split), tf.float32),
        }

    source = tf.data.Dataset.counter() if endless else tf.data.Dataset.range(-(-len(split) // batch_size))
    return _mapped(source, batch)


def _check(split: Split, batch_size: int, normalization: Normalization) -> None:
    if len(split) == 0:
        raise ValueError("split has no examples; give one with at least one")
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    normalization.require_channels(split.image_shape[-1])


def _check_training(split: Split, batch_size: int, seed: int, first_step: int, steps: int | None) -> None:
    if batch_size > len(split):
        raise ValueError(f"batch_size must be at most the {len(split)} training examples, got {batch_size}")
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be in 0..2^63-1, got {seed}")
    if first_step < 0 or (steps is not None and steps < 1):
        raise ValueError(f"first_step must be 0 or more and steps 1 or more, got {first_step} and {steps}")


def _check_views(views: int, mixing: Mixing | None, balance: Balance, along: Along | None) -> None:
    if views < 0:
        raise ValueError(f"views must be 0 or more, got {views}")
    if along is not None and not views:
        raise ValueError("along must be left out without views")
    if views and mixing is not None:
        raise ValueError("views: an image that is mixed with others of its batch does not come again; leave mixing out")
    if views and balance == "sampling":
        raise ValueError("views: sampling draws some examples several times an epoch; give balance 'loss' or 'none'")


def _mapped(source: tf.data.Dataset, batch: Callable[[tf.Tensor], Batch]) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # A stream without files to part: with several workers each takes its share of every global batch.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # AutoGraph has nothing to convert here, and would take a second of every start to find that out.
    batch = tf.autograph.experimental.do_not_convert(batch)
    batches = source.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
