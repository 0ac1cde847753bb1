"""What the devices here compute fast."""

from __future__ import annotations

import functools
import re

import tensorflow as tf

from tfdistill import startup
from tfdistill.networks import convolutions

# NVIDIA's first generation with units for bfloat16 is Ampere.
FIRST_CAPABILITY = (8, 0)


@functools.cache
def device_with_bfloat16() -> str:
    """Which device computes in bfloat16 faster than in float32: "this GPU", "this processor", or neither, "".

    A GPU is looked at where there is one. An x86 processor has the instructions if Linux says so, and TensorFlow uses
    them through oneDNN alone.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "this GPU" if tuple(capability) >= FIRST_CAPABILITY else ""
    found = re.search(r"\b(avx512_bf16|amx_bf16)\b", convolutions.processor_information())
    return "this processor" if found and startup.onednn() != "disabled" else ""
