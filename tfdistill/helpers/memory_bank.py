"""What a contrastive transfer remembers: an embedding of every training example, by the learner and by its source."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.networks import initialization

NOT_SET = -1.0
NORM_EPSILON = 1e-12


class MemoryBank(keras.Model):
    """Two embeddings of every training example, which no optimizer moves: a batch moves those of its examples.

    Its variables are the whole of its state: both banks, the two normalizers, and how often negatives were drawn. Each
    of several replicas has a bank of its own.

    The banks have `2 · N · units · 4` bytes. A batch of B examples takes `2 · B · N · 4` bytes more for its
    products with all of both banks, 102 MB at B = 256 and N = 50,000, and as many for their gradients; each tensor
    of what is drawn has `B · M · 4`. The embeddings that are drawn are never gathered: `2 · B · M · units · 4` would be
    4.3 GB at M = 16,384.

    Args:
        classes: of the training example at each index, integers; -1 at an index that no training example has.
        units: length of an embedding.
        negatives: M, how many examples of other classes each example is told from.
        temperature: of the likelihoods.
        momentum: share of a remembered embedding that stays when its example comes again, 0..1, without 1.
        seed: of the draws.
        seeds: of the first embeddings, one for each bank.
        name: of the model.

    Raises:
        ValueError: all examples are of one class.
    """

    def __init__(
        self,
        classes: np.ndarray,
        units: int,
        *,
        negatives: int,
        temperature: float,
        momentum: float,
        seed: int,
        seeds: initialization.LayerSeeds,
        name: str,
    ) -> None:
        super().__init__(name=name)
        indices = np.flatnonzero(classes >= 0)
        self.examples, self.negatives = len(indices), negatives
        self.temperature, self.momentum, self.seed = temperature, momentum, seed % 2**31
        # A row behind those of the examples takes what is not remembered.
        self._row_of = np.full(len(classes) + 1, self.examples, np.int32)
        self._row_of[indices] = np.arange(self.examples)
        found, places = np.unique(classes[indices], return_inverse=True)
        if len(found) < 2:
            raise ArgumentError("examples", "negatives are examples of other classes, and all of these are of one")
        counts = np.bincount(places)
        self._by_class = np.argsort(places, kind="stable").astype(np.int32)
        # For each row, where the examples of its class begin in that order, and how many they are.
        self._begin, self._count = (
            np.append(one[places], 0).astype(np.int64) for one in (np.cumsum(counts) - counts, counts)
        )
        limit = (3.0 / units) ** 0.5
        self.banks = {
            side: self._state(
                (self.examples + 1, units), keras.initializers.RandomUniform(-limit, limit, seed=next(seeds)), side
            )
            for side in ("learner", "source")
        }
        self.normalizers = self._state((2,), keras.initializers.Constant(NOT_SET), "normalizers")
        self.draws = self._state((), "zeros", "draws")
        self.built = True

    def _state(self, shape: tuple[int, ...], initializer: object, name: str) -> keras.Variable:
        return self.add_weight(
            shape=shape, initializer=initializer, dtype="float32", trainable=False, autocast=False, name=name
        )

    def rows(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Where the examples of a batch are remembered, int32 [batch], and which of them are, bool [batch]."""
        last = len(self._row_of) - 1
        places = tf.where((index >= 0) & (index < last), index, tf.cast(last, index.dtype))
        rows = tf.gather(tf.constant(self._row_of), places)
        return rows, rows < self.examples

    def drawn(self, rows: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        """Rows of M examples of other classes for each row, each as likely; one may come twice.

        A function of the seed, of how often was drawn before, and of the batch.

        Args:
            rows: of a batch, int32 [batch].
            index: of its examples; of equal draws on several replicas the first one tells them apart.

        Returns:
            int32 [batch, M].
        """
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(tf.convert_to_tensor(self.draws), tf.int32)])
        seed = tf.random.fold_in(seed, tf.cast(index[0], tf.int32), alg="philox")
        shape = [tf.shape(rows)[0], self.negatives]
        bits = tf.random.stateless_uniform(shape, seed, None, None, tf.int32, alg="philox")
        own = tf.gather(tf.constant(self._count), rows)[:, None]
        # Among all examples but those of the row's own class, which lie together in this order.
        places = tf.math.floormod(tf.cast(bits, tf.int64) + 2**31, self.examples - own)
        places += tf.where(places >= tf.gather(tf.constant(self._begin), rows)[:, None], own, tf.zeros_like(own))
        return tf.gather(tf.constant(self._by_class), places)

    def likelihoods(self, learner: tf.Tensor, source: tf.Tensor, rows: tf.Tensor, negatives: tf.Tensor) -> tf.Tensor:
        """How likely each embedding goes with its own example and with its negatives, as the other bank has them.

        The first batch sets the normalizers.

        Args:
            learner: embeddings of length 1, [batch, units].
            source: the same.
            rows: int32 [batch].
            negatives: int32 [batch, M].

        Returns:
            float32 [2, batch, 1 + M], of the learner's embeddings and of the source's.
        """
        taken = tf.concat([rows[:, None], negatives], axis=1)
        known = tf.cast(rows < self.examples, tf.float32)
        found, normalizers = [], []
        for place, (embeddings, other) in enumerate(((learner, "source"), (source, "learner"))):
            products = tf.matmul(embeddings, tf.convert_to_tensor(self.banks[other]), transpose_b=True)
            scores = tf.exp(tf.gather(products, taken, batch_dims=1) / self.temperature)
            mean = tf.math.divide_no_nan(tf.reduce_sum(known * tf.reduce_mean(scores, axis=1)), tf.reduce_sum(known))
            kept = tf.convert_to_tensor(self.normalizers)[place]
            first = tf.where(mean > 0.0, tf.stop_gradient(mean) * self.examples, NOT_SET)
            normalizer = tf.where(kept > 0.0, kept, first)
            normalizers.append(normalizer)
            found.append(scores / tf.abs(normalizer))
        self.normalizers.assign(tf.stack(normalizers))
        return tf.stack(found)

    def remember(self, learner: tf.Tensor, source: tf.Tensor, rows: tf.Tensor) -> None:
        """Moves what is remembered of the examples towards their present embeddings, and counts the draw.

        Args:
            learner: embeddings, [batch, units].
            source: the same.
            rows: int32 [batch]; of an example that comes twice the last one counts.
        """
        order = tf.range(tf.shape(rows)[0])
        again = tf.reduce_any((rows[:, None] == rows[None, :]) & (order[:, None] < order[None, :]), axis=1)
        places = tf.where(again, self.examples, rows)[:, None]
        for side, embeddings in (("learner", learner), ("source", source)):
            bank = tf.convert_to_tensor(self.banks[side])
            moved = self.momentum * tf.gather(bank, rows) + (1.0 - self.momentum) * tf.stop_gradient(embeddings)
            moved = tf.math.l2_normalize(moved, axis=1, epsilon=NORM_EPSILON)
            self.banks[side].assign(tf.tensor_scatter_nd_update(bank, places, moved))
        self.draws.assign_add(1.0)
