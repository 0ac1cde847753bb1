"""What Keras takes from its own file and from the environment, and what of it networks here cannot do with.

Keras reads `keras.json` (in KERAS_HOME, else in ~/.keras) and variables of the environment while it is imported. They
can turn every layer to channels_first, to float16, or to another library than TensorFlow. A command owns its process,
and `own_process` sets these things aside there. A program that imports tfdistill owns itself: it is told, and nothing
is changed behind its back.

It needs Python alone, as commands run it before anything is imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACKEND = "KERAS_BACKEND"
NEEDED: dict[str, Any] = {
    "backend": "tensorflow",
    "image_data_format": "channels_last",
    "floatx": "float32",
    "epsilon": 1e-7,
}
# What Keras refuses with a traceback while it is imported.
VALID: dict[str, Callable[[Any], bool]] = {
    "backend": lambda value: isinstance(value, str),
    "image_data_format": lambda value: value in ("channels_last", "channels_first"),
    "floatx": lambda value: value in ("float16", "float32", "float64"),
    "epsilon": lambda value: isinstance(value, float),
}
# They end every `fit` early, whatever it was asked for.
LIMITS = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")


def settings_file() -> Path:
    """Where Keras looks for its settings."""
    home = os.path.expanduser("~")
    default = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", default)), "keras.json")


def settings() -> dict[str, Any]:
    """What the file says of `NEEDED`; nothing where there is no file, or none that Keras would read.

    Raises:
        ValueError: in one line, a value at which Keras itself would stop.
    """
    path = settings_file()
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        raise ValueError(f"{path}: must hold a JSON object; correct the file, or delete it")
    for name, valid in VALID.items():
        if name in found and not valid(found[name]):
            raise ValueError(f"{path}: {name} cannot be {found[name]!r}; write {NEEDED[name]!r}, or delete the line")
    return {name: found[name] for name in NEEDED if name in found}


def own_process() -> list[str]:
    """Gives this process the settings that a command needs. Call it before TensorFlow is imported; then `apply`.

    Returns:
        a line for each thing that the user's file or environment says otherwise.

    Raises:
        ValueError: as `settings` does.
    """
    said, told = settings(), []
    chosen = os.environ.get(BACKEND)
    if chosen and chosen != NEEDED["backend"]:
        told.append(f"{BACKEND}={chosen} is set aside: this command runs on {NEEDED['backend']}")
    os.environ[BACKEND] = NEEDED["backend"]
    for name in LIMITS:
        if name in os.environ:
            told.append(f"{name}={os.environ.pop(name)} is set aside: this command runs as long as it is told to")
    for name, value in said.items():
        if value != NEEDED[name] and not (name == "backend" and chosen):
            told.append(f"{settings_file()}: {name} {value!r} is set aside: this command runs with {NEEDED[name]!r}")
    return told


def apply() -> None:
    """Sets what Keras has read from its file to what is needed, once `own_process` has chosen the backend."""
    import keras

    keras.config.set_image_data_format(NEEDED["image_data_format"])
    keras.config.set_floatx(NEEDED["floatx"])
    keras.config.set_epsilon(NEEDED["epsilon"])


def require_tensorflow() -> None:
    """Refuses another backend of Keras, before or after Keras is imported.

    Raises:
        ImportError: in one line, what says so, and what to do.
    """
    if config := getattr(sys.modules.get("keras"), "config", None):  # there is none while Keras is being imported
        backend, origin = config.backend(), "Keras, which is imported already,"
    elif os.environ.get(BACKEND):
        backend, origin = os.environ[BACKEND], BACKEND
    else:
        try:
            backend, origin = settings().get("backend", NEEDED["backend"]), str(settings_file())
        except ValueError as error:
            raise ImportError(str(error)) from None
    if backend != NEEDED["backend"]:
        raise ImportError(
            f"tfdistill needs Keras' backend 'tensorflow', but {origin} says {backend!r}; "
            f"set {BACKEND}=tensorflow in the environment before Keras is imported"
        )


def require_buildable() -> None:
    """Refuses to build networks while Keras would make their layers of another kind than they are written for.

    Raises:
        ValueError: in one line, what Keras' setting is, what has set it, and what to do.
    """
    import keras

    present = {"image_data_format": keras.config.image_data_format(), "floatx": keras.config.floatx()}
    for name, value in present.items():
        if value in (NEEDED[name], "float64"):
            continue
        try:
            origin = f", as {settings_file()} says" if settings().get(name) == value else ""
        except ValueError:  # written after Keras was imported
            origin = ""
        raise ValueError(
            f"Keras' {name} is {value!r}{origin}; networks here are {NEEDED[name]}: "
            f"call keras.config.set_{name}({NEEDED[name]!r}) before any is built"
        )
