"""Where and how exactly a run computes: devices, precision, seeds, versions."""

from __future__ import annotations

import os
import platform
import re

import keras
import tensorflow as tf
from absl import logging

from tfdistill import startup
from tfdistill.bounds import choose
from tfdistill.devices.cluster import EXAMPLE, cluster_of_environment, connect
from tfdistill.devices.names import PRECISIONS, STRATEGIES, Strategy
from tfdistill.devices.packages import package_versions
from tfdistill.networks.convolutions import processor_information


def make_strategy(name: Strategy = "auto", replicas: int = 0) -> tf.distribute.Strategy:
    """The strategy to create networks and distiller under.

    Args:
        name: "auto": "multi_worker" where TF_CONFIG names several workers, else every GPU, or one device where there
            are fewer than two; "one": the first device; "mirrored": `replicas` devices, GPUs if there are enough of
            them, else logical CPU devices (for tests: they share the processor); "multi_worker": every GPU of every
            host that TF_CONFIG names, the processor where there is none.
        replicas: with "mirrored", how many; 0: every GPU, or two on CPU.

    Raises:
        ValueError: an unknown name, replicas below 0, more of them than the processor has a use for, replicas with a
            strategy that takes no number of them, or a TF_CONFIG that does not say what it should.
        RuntimeError: logical CPU devices, or several workers, after TensorFlow has started; ask for the strategy
            first.
    """
    choose("strategy", name, dict.fromkeys(STRATEGIES))
    if replicas < 0:
        raise ValueError(f"replicas: must be 0 or more, not {replicas}")
    if replicas and name != "mirrored":
        raise ValueError(f"replicas: {replicas} needs strategy 'mirrored', not {name!r}")
    if name in ("auto", "multi_worker"):
        cluster = cluster_of_environment()
        if cluster is not None and len(cluster.addresses) > 1:
            return connect(cluster)
        if name == "multi_worker":
            raise ValueError(f"strategy: multi_worker needs two workers or more in TF_CONFIG, such as {EXAMPLE}")
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    count = replicas or len(gpus) or 2
    if gpus and count > len(gpus):
        logging.warning("replicas: %d are more than the %d GPUs here; the processor computes them", count, len(gpus))
    if len(gpus) >= count:
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(count)])
    if count > (most := max(8, os.cpu_count() or 1)):
        raise ValueError(f"replicas: must be {most} at most where the processor computes them, not {count}")
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)])


def set_precision(name: str) -> None:
    """Sets Keras' global policy; losses and optimizers stay in float32 under "mixed_bfloat16".

    Raises:
        ValueError: an unknown name.
    """
    choose("precision", name, dict.fromkeys(PRECISIONS))
    keras.config.set_dtype_policy(name)


def require_products(name: str) -> None:
    """Refuses a process whose products are others than a run is to say of itself.

    Raises:
        ValueError: they are.
    """
    if (found := startup.products()) != name:
        raise ValueError(
            f"products: this process computes them in {found}, not {name}; see {startup.PRODUCTS} in docs/precision.md"
        )


def why_products_stay() -> str:
    """Why products in bfloat16 are those of float32 here; empty where they may differ.

    On x86 oneDNN rounds the factors of a float32 convolution only for AMX, the instructions that multiply tiles of
    matrices; AVX-512's own for bfloat16 leave it to the bit what it was.
    """
    if tf.config.list_physical_devices("GPU"):
        return "a GPU computes, without oneDNN"
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    information = processor_information()
    return "" if not information or re.search(r"\bamx_bf16\b", information) else "this processor has no AMX"


def set_determinism(seed: int) -> None:
    """From here on the same program gives the same bits on the same machine, on GPUs too, where that costs time.

    TensorFlow then takes algorithms without a random order of summation, XLA included, tells XLA to choose kernels
    without timing them, and refuses operations that have no such algorithm. Call it before anything is built.

    Args:
        seed: of what draws without a seed of its own, which TensorFlow would refuse otherwise.
    """
    keras.utils.set_random_seed(seed % 2**32)
    tf.config.experimental.enable_op_determinism()


def versions() -> dict[str, str]:
    """What the run's numbers depend on besides the flags: packages, Python, machine, devices, oneDNN, TF32."""
    devices = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    return {
        **package_versions(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "devices": ", ".join(devices),
        "onednn": startup.onednn(),
        # What oneDNN may round the factors of float32 products to.
        "onednn_products": startup.products(),
        # Whether NVIDIA GPUs from Ampere on may round the factors of float32 products to 10 bits; TensorFlow's default.
        "tensor_float_32": "enabled" if tf.config.experimental.tensor_float_32_execution_enabled() else "disabled",
    }
