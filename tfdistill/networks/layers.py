"""The layers and helpers that the networks share: PyTorch's BatchNorm and padding, in Keras.

The papers trained in PyTorch. Three of its conventions differ from Keras' defaults and change results:
BatchNorm's constants and running variance, the symmetric padding of strided convolutions, and the initial
weights. They live here and in `initialization.py`, so that a network's file reads as its architecture and nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import keras_settings
from tfdistill.networks import convolutions
from tfdistill.networks.initialization import LayerSeeds, bias_uniform


@keras.saving.register_keras_serializable(package="tfdistill")
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization by TensorFlow's fused kernel, with PyTorch's constants and running statistics.

    y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, where training takes the batch's mean and biased
    variance, and moves running <- momentum * running + (1 - momentum) * batch with the batch's *unbiased*
    variance. Inputs may be float32, bfloat16 or float16; statistics and parameters stay float32 under a mixed
    policy.

    Under `tf.distribute` each replica moves a copy of the running statistics of its own, without
    communication in the step; outside of a replica (evaluation on the host, checkpoint, export) they read as
    the replicas' mean.

    A mask, `axis` other than the last, `renorm`, `synchronized` and float64 have no fused kernel: they take
    Keras' own computation, whose running variance is the biased one.

    Args:
        axis: the axis of the channels.
        momentum: the share of the running statistics that an update keeps (PyTorch's 0.1 is 0.9 here).
        epsilon: added to the variance.
        **settings: everything else that `keras.layers.BatchNormalization` takes.

    Source: Ioffe and Szegedy, "Batch Normalization", ICML 2015, Algorithm 1.
    """

    def __init__(self, axis: int = -1, momentum: float = 0.9, epsilon: float = 1e-5, **settings: Any) -> None:
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **settings)

    def add_weight(self, *args: Any, trainable: bool = True, **settings: Any) -> keras.Variable:
        if trainable:
            return super().add_weight(*args, trainable=True, **settings)
        # Keras gives running statistics no aggregation: each replica would still move its own copy, but every
        # read outside of a replica, a checkpoint's among them, would be the first replica's. Keras'
        # `add_weight` cannot ask for more, hence the variable itself; setting it as an attribute tracks it.
        return keras.Variable(
            settings["initializer"],
            shape=settings["shape"],
            dtype=self.variable_dtype,
            trainable=False,
            autocast=False,
            synchronization="on_read",
            aggregation="mean",
            name=settings["name"],
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        if mask is not None or not self._has_fused_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        if inputs.dtype == tf.bfloat16 and not convolutions.has_bfloat16_kernels():
            inputs = tf.cast(inputs, tf.float32)
        training = bool(training and self.trainable)
        channels = inputs.shape[-1]
        moving_mean = tf.cast(self.moving_mean, tf.float32)
        moving_variance = tf.cast(self.moving_variance, tf.float32)
        # The kernel takes rank 4 only; any other rank is the same sum over all but the last axis. The raw op,
        # because `tf.compat.v1.nn.fused_batch_norm` raises an epsilon of 1e-5 to 1.001e-5.
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs if inputs.shape.rank == 4 else tf.reshape(inputs, [-1, 1, 1, channels]),
            scale=tf.cast(self.gamma, tf.float32) if self.scale else tf.ones([channels]),
            offset=tf.cast(self.beta, tf.float32) if self.center else tf.zeros([channels]),
            mean=tf.zeros([0]) if training else moving_mean,
            variance=tf.zeros([0]) if training else moving_variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0,
            is_training=training,
        )
        if training:
            kept = self.momentum
            self.moving_mean.assign(moving_mean * kept + mean * (1.0 - kept))
            self.moving_variance.assign(moving_variance * kept + variance * (1.0 - kept))
        if inputs.shape.rank != 4:
            outputs = tf.ensure_shape(tf.reshape(outputs, tf.shape(inputs)), inputs.shape)
        return tf.cast(outputs, self.compute_dtype)

    def _has_fused_kernel(self, inputs: tf.Tensor) -> bool:
        last_axis = self.axis in (-1, inputs.shape.rank - 1)
        fused_type = inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
        return last_axis and fused_type and not self.renorm and not self.synchronized


@keras.saving.register_keras_serializable(package="tfdistill")
class Dropout(keras.layers.Dropout):
    """Dropout whose mask differs between the replicas of a strategy, and is the same with XLA and without.

    Keras' own draws one mask for all replicas, and its generator's stream depends on the compiler.

    Args:
        rate: the probability, in 0 to below 1, of a value to be dropped; the others grow by 1 / (1 - rate).
        noise_shape: shape of the mask, None or 1 for each axis: along an axis of 1 all values are dropped together,
            such as a whole example by (None, 1, 1, 1). Every value by itself if None.
        seed: of the masks; None draws a new one.
        **settings: what every `keras.layers.Layer` takes.

    Raises:
        ValueError: `noise_shape` has another entry than None or 1, or `rate` is outside of its range.

    Source: Srivastava et al., "Dropout", JMLR 15, 2014, Section 4, scaled in training.
    """

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: int | None = None, **settings: Any
    ) -> None:
        if noise_shape is not None and not set(noise_shape) <= {None, 1}:
            raise ValueError(f"noise_shape must have None or 1 for each axis, got {noise_shape!r}")
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"rate must be at least 0 and below 1, got {rate!r}")
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **settings)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or self.rate == 0:
            return inputs
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        seed = tf.random.experimental.stateless_fold_in(seed, tf.cast(replica, tf.int32), alg="philox")
        # Integers, because XLA makes other floats of the same Philox bits.
        shape = tf.shape(inputs)
        if self.noise_shape is not None:
            shape = tf.stack([shape[axis] if size is None else 1 for axis, size in enumerate(self.noise_shape)])
        bits = tf.random.stateless_uniform(shape, seed, None, None, dtype=tf.int32, alg="philox")
        kept = bits >= int(self.rate * 2**32) - 2**31
        return tf.where(kept, inputs / (1.0 - self.rate), tf.zeros_like(inputs))


@keras.saving.register_keras_serializable(package="tfdistill")
class SubsampledShortcut(keras.layers.Layer):
    """The parameter-free shortcut (option A): every `strides`-th pixel, and zero channels up to `filters`.

    Half of the zero channels comes before the input's channels, half after, as IE-KD's authors do it.

    Args:
        filters: the number of channels that come out, at least as many as come in.
        strides: the distance in pixels between the pixels kept, at least 1.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Section 3.3 (A).
    """

    def __init__(self, filters: int, strides: int = 2, **settings: Any) -> None:
        super().__init__(**settings)
        self.filters = filters
        self.strides = strides

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        missing = self.filters - inputs.shape[-1]
        kept = inputs[:, :: self.strides, :: self.strides, :]
        return tf.pad(kept, [[0, 0], [0, 0], [0, 0], [missing // 2, missing - missing // 2]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


def conv(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    seeds: LayerSeeds,
    name: str,
    strides: int = 1,
    use_bias: bool = False,
    is_padded: bool = True,
) -> keras.KerasTensor:
    """A convolution padded by `kernel_size // 2` on every side as in PyTorch (odd kernels); a bias starts at zero."""
    x, padding = _symmetric_padding(x, kernel_size, strides, name) if is_padded else (x, "valid")
    return convolutions.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=seeds.initialization.convolution(next(seeds)),
        name=name,
    )(x)


def depthwise_conv(
    x: keras.KerasTensor, kernel_size: int, *, seeds: LayerSeeds, name: str, strides: int = 1
) -> keras.KerasTensor:
    """A convolution of each channel alone, without bias, padded by `kernel_size // 2` on every side."""
    x, padding = _symmetric_padding(x, kernel_size, strides, name)
    return convolutions.DepthwiseConv2D(
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        depthwise_initializer=seeds.initialization.depthwise(next(seeds)),
        name=name,
    )(x)


def _symmetric_padding(
    x: keras.KerasTensor, kernel_size: int, strides: int, name: str
) -> tuple[keras.KerasTensor, str]:
    # With a stride, TensorFlow's "same" pads an even size only at the end and so samples other pixels.
    if strides == 1:
        return x, "same"
    if kernel_size == 1:
        return x, "valid"
    return keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_padding")(x), "valid"


def norm_relu(x: keras.KerasTensor, *, name: str, seeds: LayerSeeds | None = None) -> keras.KerasTensor:
    """Batch normalization, then ReLU; `name` is the prefix of both layers' names.

    The scale starts at one, or, with `seeds` of an initialization that draws it, is drawn.
    """
    draw = seeds.initialization.scale if seeds else None
    scale = draw(next(seeds)) if seeds and draw else "ones"
    return keras.layers.ReLU(name=f"{name}_relu")(BatchNormalization(gamma_initializer=scale, name=f"{name}_norm")(x))


def classify(features: keras.KerasTensor, classes: int, *, seeds: LayerSeeds) -> dict[str, keras.KerasTensor]:
    """Global average pooling and a linear classifier, both in float32 whatever the precision policy.

    Args:
        features: the last feature map, [batch, height, width, channels].
        classes: the number of classes.
        seeds: the network's layer seeds; its initialization says what weight and bias are drawn from.

    Returns:
        the taps "features", "embedding" [batch, channels] and "logits" [batch, classes].
    """
    embedding = global_average(features)
    logits = linear_classifier(embedding, classes, seeds=seeds)
    return {"features": features, "embedding": embedding, "logits": logits}


def global_average(features: keras.KerasTensor) -> keras.KerasTensor:
    """The layer "embedding": the mean over height and width, in float32."""
    return keras.layers.GlobalAveragePooling2D(name="embedding", dtype="float32")(features)


def linear_classifier(units: keras.KerasTensor, classes: int, *, seeds: LayerSeeds) -> keras.KerasTensor:
    """The layer "logits" on [batch, units], in float32; for the arguments see `classify`."""
    initialization, uniform = seeds.initialization, bias_uniform(units.shape[-1], next(seeds))
    return keras.layers.Dense(
        classes,
        kernel_initializer=initialization.classifier(next(seeds)),
        bias_initializer="zeros" if initialization.zero_bias else uniform,
        name="logits",
        dtype="float32",
    )(units)


def image_input(
    image_shape: tuple[int, int, int], classes: int, *, smallest: int, fewest: int = 2
) -> keras.KerasTensor:
    """The input "images" of a network, once its image shape and its number of classes are checked.

    Args:
        image_shape: (height, width, channels).
        classes: the number of classes, at least `fewest`.
        smallest: the least height and width in pixels.
        fewest: 2 for a classifier, 1 for a detector.

    Raises:
        ValueError: `image_shape` is not three positive integers, the images are too small, `classes` is below
            `fewest`, or Keras is set to channels_first or float16.
    """
    keras_settings.require_buildable()
    if isinstance(classes, bool) or not isinstance(classes, (int, np.integer)) or classes < fewest:
        raise ValueError(f"classes must be an integer of at least {fewest}, got {classes!r}")
    try:
        height, width, channels = (operator.index(size) for size in image_shape)
    except (TypeError, ValueError):
        height = width = channels = 0
    if min(height, width, channels) < 1:
        raise ValueError(f"image_shape must be (height, width, channels), each at least 1, got {image_shape!r}")
    if min(height, width) < smallest:
        raise ValueError(f"image_shape must be at least {smallest} x {smallest} pixels, got {height} x {width}")
    return keras.Input((height, width, channels), name="images")
