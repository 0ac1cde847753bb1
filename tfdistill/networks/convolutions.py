"""Convolutions that a processor without kernels for bfloat16 computes in float32.

Without AVX-512, TensorFlow multiplies bfloat16 on x86 processors one value at a time, and a training step takes more
than ten times as long as in float32. The factors here are rounded to bfloat16, multiplied and summed in float32,
and the result rounded, which is what kernels for bfloat16 do as well.
"""

from __future__ import annotations

import functools
import pathlib
import platform
import re
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

CPU_INFORMATION = pathlib.Path("/proc/cpuinfo")


@keras.saving.register_keras_serializable(package="tfdistill")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, fast in bfloat16 on every processor."""

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return _convolved(super().convolution_op, inputs, kernel)


@keras.saving.register_keras_serializable(package="tfdistill")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`keras.layers.DepthwiseConv2D` without bias and activation, fast in bfloat16 on every processor.

    Raises:
        ValueError: a bias or an activation is asked for.
    """

    def __init__(self, kernel_size: int, *, use_bias: bool = False, activation: Any = None, **settings: Any) -> None:
        if use_bias or keras.activations.get(activation) is not keras.activations.linear:
            raise ValueError("DepthwiseConv2D has neither bias nor activation here; add them as layers")
        super().__init__(kernel_size, use_bias=False, **settings)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _convolved(self._depthwise, inputs, self.kernel)

    def _depthwise(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return keras.ops.depthwise_conv(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )


def _convolved(convolve: Callable[[Any, Any], Any], inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    kernel = tf.convert_to_tensor(kernel)
    if kernel.dtype != tf.bfloat16 or has_bfloat16_kernels():
        return convolve(inputs, kernel)
    return tf.cast(convolve(tf.cast(inputs, tf.float32), tf.cast(kernel, tf.float32)), tf.bfloat16)


@functools.cache
def has_bfloat16_kernels() -> bool:
    """Whether there is a GPU, or a processor for which TensorFlow has them; true where nothing tells."""
    if tf.config.list_physical_devices("GPU") or platform.machine() not in ("x86_64", "AMD64"):
        return True
    information = processor_information()
    return not information or re.search(r"\b(avx512f|avx_ne_convert)\b", information) is not None


def processor_information() -> str:
    """What Linux says of the processor, its instructions among it; empty where nothing is said."""
    try:
        return CPU_INFORMATION.read_text()
    except OSError:
        return ""
