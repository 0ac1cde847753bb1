"""What passes between networks, methods and the engine: names for mappings of tensors."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
"""`"images"`, `[batch, height, width, channels]`, and `"labels"` as the task's losses take them."""
Taps = Mapping[str, tf.Tensor]
"""What a network returns, by name: `"logits"`, `"embedding"`, `"features"`, `"stage1"`, ..."""
Terms = Mapping[str, tf.Tensor]
"""The terms of a loss by name, each `[batch]`."""
