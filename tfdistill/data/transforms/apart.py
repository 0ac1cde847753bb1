"""What few images need, kept out of the way of the many."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

STRING, NUMBER = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)
PICTURE = tf.TensorSpec([None, None, None], tf.uint8)


def apart(*signature: tf.TensorSpec) -> Callable[[Callable], Callable]:
    """Decorator: a function that is one node in each graph that calls it, and is built once in a process.

    Of a branch that is not taken TensorFlow still hands every node on as dead, image by image, and it writes a
    function's nodes into the graph that calls it unless the function forbids it. So rare formats would slow down common
    ones. The attribute goes into a SavedModel too.

    Args:
        signature: shapes and types of the arguments; tensors only.
    """
    return tf.function(input_signature=signature, autograph=False, experimental_attributes={"_noinline": True})
