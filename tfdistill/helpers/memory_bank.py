"""What a contrastive transfer remembers: an embedding of every training example, by the learner and by its source."""

from __future__ import annotations

import functools

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

    The banks have `2 · N · units · 4` bytes. A batch of B examples is multiplied with all of both banks, and how often
    each row was drawn is counted. That takes about six tensors of `B · N · 4` bytes at a time, 51 MB each at B = 256
    and N = 50,000. What is drawn is never gathered: the embeddings would be `2 · B · M · units · 4` bytes, 4.3 GB at
    M = 16,384, and products one by one take longer than all of them in a row.

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
            np.append(one[places], 0).astype(np.int32) for one in (np.cumsum(counts) - counts, counts)
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
        own, begin = (tf.gather(tf.constant(one), rows)[:, None] for one in (self._count, self._begin))
        # Among all examples but those of the row's own class, which lie together in this order. The remainder is exact
        # in float64, of numbers below 2^32, and takes less time than one of int64.
        drawn, others = tf.cast(bits, tf.float64) + 2.0**31, tf.cast(self.examples - own, tf.float64)
        places = tf.cast(drawn - tf.floor(drawn / others) * others, tf.int32)
        places += tf.where(places >= begin, own, 0)
        return tf.gather(tf.constant(self._by_class), places)

    def counts(self, negatives: tf.Tensor) -> tf.Tensor:
        """How often each row was drawn for each example, float32 [batch, 1 + N], of the drawn rows [batch, M]."""
        rows = self.examples + 1
        kind = tf.int32 if (negatives.shape[0] or 2**31) * rows < 2**31 else tf.int64
        batch = tf.shape(negatives, out_type=kind)[0]
        places = tf.cast(negatives, kind) + tf.range(batch)[:, None] * rows
        ones = tf.ones(tf.size(places, out_type=kind)[None])
        return tf.reshape(tf.math.unsorted_segment_sum(ones, tf.reshape(places, [-1]), batch * rows), [-1, rows])

    def log_odds(
        self, learner: tf.Tensor, source: tf.Tensor, rows: tf.Tensor, counts: tf.Tensor
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """How many times likelier than noise each embedding goes with what the other bank remembers, by logarithms.

        The first batch sets the normalizers.

        Args:
            learner: embeddings of length 1, [batch, units].
            source: the same.
            rows: of the batch's examples, int32 [batch].
            counts: of the negatives, as `counts` gives them.

        Returns:
            Of the learner's embeddings and of the source's, with their own examples, float32 [batch], and with every
            row, [batch, 1 + N].
        """
        found, normalizers = [], []
        for place, (embeddings, other) in enumerate(((learner, "source"), (source, "learner"))):
            bank = tf.convert_to_tensor(self.banks[other])
            scaled = embeddings / self.temperature
            own = tf.reduce_sum(scaled * tf.gather(bank, rows), axis=1)
            first = functools.partial(self._first, scaled, own, bank, rows, counts)
            kept = tf.convert_to_tensor(self.normalizers)[place]
            normalizer = tf.cond(kept > 0.0, lambda kept=kept: kept, first)
            normalizers.append(normalizer)
            offset = -tf.math.log(tf.abs(normalizer) * self.noise)
            found.append((own + offset, tf.matmul(scaled, bank, transpose_b=True) + offset))
        self.normalizers.assign(tf.stack(normalizers))
        return found

    @property
    def noise(self) -> float:
        """M / N, how likely a pair is that tells nothing."""
        return self.negatives / self.examples

    def _first(
        self, scaled: tf.Tensor, own: tf.Tensor, bank: tf.Tensor, rows: tf.Tensor, counts: tf.Tensor
    ) -> tf.Tensor:
        """N times the mean of a first batch, of the examples that are remembered; `NOT_SET` where there is none."""
        sums = tf.exp(own) + tf.reduce_sum(counts * tf.exp(tf.matmul(scaled, bank, transpose_b=True)), axis=1)
        known = tf.cast(rows < self.examples, tf.float32)
        pairs = tf.reduce_sum(known) * (1.0 + self.negatives)
        mean = tf.math.divide_no_nan(tf.reduce_sum(known * sums), pairs)
        return tf.stop_gradient(tf.where(mean > 0.0, mean * self.examples, NOT_SET))

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
