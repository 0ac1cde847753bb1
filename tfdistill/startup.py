"""What TensorFlow reads from the environment while it is imported: the package imports this module before TensorFlow.

`TF_ENABLE_ONEDNN_OPTS`: by itself TensorFlow takes oneDNN's kernels only on processors with instructions for neural
networks (AVX-512 VNNI and newer); with AVX2 alone they are about twice as fast as its own too (docs/speed.md). They are
switched on here, unless the variable says otherwise. A program that imports TensorFlow or Keras before tfdistill
comes too late for it, and has to set the variable itself.

`TF_SET_ONEDNN_FPMATH_MODE`: with BF16, oneDNN may round the factors of float32 convolutions to bfloat16 where that is
faster (docs/precision.md). The commands set it as --products says, before TensorFlow is imported.

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
PRODUCTS = "TF_SET_ONEDNN_FPMATH_MODE"
# What the variable says, by what --products says.
_MODES = {"float32": "", "bfloat16": "BF16"}

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


def products() -> str:
    """What factors of float32 products may be rounded to on the processor, by this process's environment.

    Returns:
        "bfloat16" or "float32".
    """
    allowed = os.environ.get(PRODUCTS, "") == _MODES["bfloat16"] and os.environ.get(ONEDNN, "") != "0"
    return "bfloat16" if allowed else "float32"


def set_products(name: str) -> str:
    """Has TensorFlow compute products so, which has not been imported yet.

    Args:
        name: "float32" or "bfloat16".

    Returns:
        What to tell the user where the environment said otherwise; empty where it did not.

    Raises:
        ValueError: it is too late for that, or oneDNN is switched off.
    """
    found, wanted = os.environ.get(PRODUCTS, ""), _MODES[name]
    if wanted and os.environ.get(ONEDNN) == "0":
        raise ValueError(
            f"products: {name} products are oneDNN's, which {ONEDNN}=0 switches off; leave one of them out"
        )
    if found == wanted:
        return ""
    if "tensorflow" in sys.modules:
        raise ValueError(
            f"products: TensorFlow is imported already, for products in {products()}; {name} needs {PRODUCTS}={wanted} "
            "in the environment before"
        )
    os.environ[PRODUCTS] = wanted
    return f"{PRODUCTS}={found} is set aside, as --products={name} is what the run says" if found else ""
