"""Where and how exactly a run computes: devices, precision, seeds, versions."""

from __future__ import annotations

import difflib
import os
import platform
from importlib import metadata

import keras
import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16")
STRATEGIES = ("auto", "one", "mirrored")


def make_strategy(name: str = "auto", replicas: int = 0) -> tf.distribute.Strategy:
    """The strategy to create networks and distiller under.

    Args:
        name: "auto": every GPU, or one device where there are fewer than two; "one": the first device; "mirrored":
            `replicas` devices, GPUs if there are enough of them, else logical CPU devices (for tests: they share the
            processor).
        replicas: with "mirrored", how many; 0: every GPU, or two on CPU.

    Raises:
        ValueError: an unknown name, replicas below 0, or replicas with a strategy that has one device.
        RuntimeError: logical CPU devices after TensorFlow has started; ask for the strategy first.
    """
    if name not in STRATEGIES:
        raise ValueError(
            f"strategy: {name!r} is none of {', '.join(STRATEGIES)}; nearest: {_nearest(name, STRATEGIES)}"
        )
    if replicas < 0:
        raise ValueError(f"replicas: must be 0 or more, not {replicas}")
    if replicas and name != "mirrored":
        raise ValueError(f"replicas: {replicas} needs strategy 'mirrored', not {name!r}")
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one"
    if name == "one":
        return tf.distribute.get_strategy()
    count = replicas or len(gpus) or 2
    if len(gpus) >= count:
        return tf.distribute.MirroredStrategy([f"GPU:{index}" for index in range(count)])
    cpu = tf.config.list_physical_devices("CPU")[0]
    if tf.config.get_logical_device_configuration(cpu) is None:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(count)])


def set_precision(name: str) -> None:
    """Sets Keras' global policy; losses and optimizers stay in float32 under "mixed_bfloat16".

    Raises:
        ValueError: an unknown name.
    """
    if name not in PRECISIONS:
        raise ValueError(
            f"precision: {name!r} is none of {', '.join(PRECISIONS)}; nearest: {_nearest(name, PRECISIONS)}"
        )
    keras.config.set_dtype_policy(name)


def versions() -> dict[str, str]:
    """What the run's numbers depend on besides the flags: packages, Python, machine, devices."""
    packages = ("tfdistill", "tensorflow", "keras", "numpy", "tensorflow-datasets")
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed as a package"
    devices = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()]
    return {
        **found,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "devices": ", ".join(devices),
    }


def _nearest(name: str, choices: tuple[str, ...]) -> str:
    return difflib.get_close_matches(name, choices, n=1, cutoff=0.0)[0]
