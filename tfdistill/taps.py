"""What passes between networks, methods and the engine: names for mappings of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
"""`"images"`, `[batch, height, width, channels]`, and `"labels"` as the task's losses take them."""
Taps = Mapping[str, tf.Tensor]
"""What a network returns, by name: `"logits"`, `"embedding"`, `"features"`, `"stage1"`, ..."""
Terms = Mapping[str, tf.Tensor]
"""The terms of a loss by name, each `[batch]`."""
CallModel = Callable[[keras.Model, Any], Any]
"""Calls a network or a helper on its inputs, in the mode of the present phase, and gives its outputs."""
