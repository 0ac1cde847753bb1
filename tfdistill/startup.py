"""What TensorFlow reads from the environment while it is imported: the package imports this module before TensorFlow.

`TF_ENABLE_ONEDNN_OPTS`: by itself TensorFlow takes oneDNN's kernels only on processors with instructions for neural
networks (AVX-512 VNNI and newer); with AVX2 alone they are about twice as fast as its own too (docs/speed.md). They are
switched on here, unless the variable says otherwise. A program that imports TensorFlow or Keras before tfdistill
comes too late for it, and has to set the variable itself.

Another backend of Keras than TensorFlow is refused when Keras is imported, before anything is built on it; see
`keras_settings`. Not sooner, as the commands set another backend aside, and are part of the package themselves.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from tfdistill import keras_settings, lazy

ONEDNN = "TF_ENABLE_ONEDNN_OPTS"

if "tensorflow" not in sys.modules:
    os.environ.setdefault(ONEDNN, "1")


@contextlib.contextmanager
def _if_it_runs_on_tensorflow() -> Iterator[None]:
    keras_settings.require_tensorflow()
    yield


if "keras" in sys.modules:
    keras_settings.require_tensorflow()
else:
    lazy.around_import("keras", _if_it_runs_on_tensorflow)


def onednn() -> str:
    """What the run's record says: "enabled", "disabled", or "TensorFlow's choice" where nobody has chosen."""
    return {"1": "enabled", "0": "disabled"}.get(os.environ.get(ONEDNN, ""), "TensorFlow's choice")
