"""What a run will take of memory at least, said before it is taken."""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

GIB = 2**30
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
LESS = "give a smaller --batch_size, --image_size or --networks"


def machine_memory() -> int:
    """Bytes of main memory that this process may have: the machine's, or its container's or its own limit if less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, CGROUP_LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        found += [int(text)] if text.isdecimal() else []
    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    found += [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min(found)


def require_for_images(batch_size: int, image_size: int) -> None:
    """Refuses images of which a single batch would not fit into the machine.

    Args:
        batch_size: of the run.
        image_size: height and width.

    Raises:
        ValueError: names the flags, says how much it takes and how much there is.
    """
    taken, there = batch_size * image_size**2 * 3 * 4, machine_memory()
    if taken > there:
        raise ValueError(
            f"image_size: a batch of {batch_size:,} images of {image_size:,}×{image_size:,} pixels takes "
            f"{_gib(taken)}, and this machine has {_gib(there)}; {LESS}"
        )


def require_for_training(networks: Sequence[keras.Model], batch_size: int, helpers: Sequence[keras.Model] = ()) -> None:
    """Refuses networks and a batch that cannot be trained in the machine's memory.

    Counted is what backpropagation cannot do without: the outputs of every layer with weights for the whole batch; and
    of every weight its value, gradient and momentum. So a run that is refused could not have gone; one that is not may
    still run out of memory.

    Args:
        networks: of the run.
        batch_size: the examples of a step that this machine computes.
        helpers: models that the method trains beside them.

    Raises:
        ValueError: names the flags, says how much it takes and how much there is.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return  # TensorFlow does not say how much memory a GPU has; it says in one line when that is full.
    taken, there = training_memory([*networks, *helpers], batch_size), machine_memory()
    if taken > there:
        names = ",".join(network.name for network in networks)
        raise ValueError(
            f"batch_size: training {names} on batches of {batch_size:,} takes {_gib(taken)} at least, and this machine "
            f"has {_gib(there)}; {LESS}"
        )


def training_memory(models: Sequence[keras.Model], batch_size: int) -> int:
    """Bytes, as `require_for_training` counts them."""
    import keras

    from tfdistill.networks.graphs import trainable_parameters

    bytes_of_value = 2 if keras.config.dtype_policy().compute_dtype in ("bfloat16", "float16") else 4
    # A trunk that networks share runs once for all of them.
    layers = {id(layer): layer for model in models for layer in model.layers if layer.weights}
    kept = sum(map(_values, layers.values()))
    return 3 * 4 * trainable_parameters(models) + batch_size * bytes_of_value * kept


def _values(layer: keras.Layer) -> int:
    """Number of values in the layer's output for one example; 0 where it has no size yet."""
    import keras

    shapes = [tuple(one.shape[1:]) for one in keras.tree.flatten(layer.output)]
    return sum(math.prod(shape) for shape in shapes if None not in shape)


def _gib(amount: int) -> str:
    return f"{amount / GIB:,.1f} GiB"


def out_of_memory(error: BaseException) -> str:
    """One line on an error that says that memory is full; empty for any other."""
    if not is_out_of_memory(error):
        return ""
    told = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"batch_size, image_size, networks: out of memory ({told[:200]}); {LESS}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, the machine's or a device's; imports nothing to find out."""
    tensorflow = sys.modules.get("tensorflow")  # which has not raised anything where it is not imported
    return isinstance(error, MemoryError) or (
        tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)
    )
