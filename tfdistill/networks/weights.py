"""Weights by name: the arrays of a file, told to fit a network or why they do not."""

from __future__ import annotations

import difflib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tfdistill.networks.torch_names import from_torch

SUFFIXES = (".keras", ".weights.h5", ".npz", ".safetensors")
# What the readers raise for a file that is damaged, or is something else.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, SafetensorError)
CLASSIFIER = ("logits/kernel", "logits/bias")


def weights_of(network: keras.Model) -> dict[str, keras.Variable]:
    """The weights of a network as "<layer>/<variable>", such as "stem/kernel"; running statistics are among them.

    Raises:
        ValueError: two layers have one name.
    """
    named = {f"{layer.name}/{one.name}": one for layer in _layers(network) for one in layer.weights}
    if len(named) != len(network.weights):
        raise ValueError(f"the layers of {network.name} that have weights must have different names")
    return named


def assign_weights(network: keras.Model, arrays: Mapping[str, np.ndarray], *, source: str) -> list[str]:
    """Gives a network the weights of the same names, after checking that all of them fit.

    A classifier (the layer "logits") of another number of classes, or one that `arrays` lack, leaves the network's own
    as it is. Everything else has to fit one to one.

    Args:
        network: whose weights to set.
        arrays: from "<layer>/<variable>" to array, as `read_weights` returns it.
        source: where the arrays come from, for messages.

    Returns:
        what there is to tell: a line if the classifier stays new, else nothing.

    Raises:
        ValueError: a name is missing or unexpected, or a shape differs (both shapes are named); no weight was touched.
    """
    variables, arrays = weights_of(network), dict(arrays)
    told = _without_other_classifier(variables, arrays, network.name, source)
    _check_names(variables, arrays, network.name, source)
    for name, variable in variables.items():
        shape, found = tuple(variable.shape), tuple(arrays[name].shape)
        if shape != found:
            raise ValueError(f"{source} does not fit {network.name}: '{name}' has shape {found} there, {shape} here")
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"{source} does not fit {network.name}: '{name}' is {arrays[name].dtype}, not floating")
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(np.float32))
    return told


def read_weights(path: Path, network: keras.Model, architecture: str) -> dict[str, np.ndarray]:
    """The arrays of a weights file, under the names that they have in `network`.

    Args:
        path: a ".keras" or ".weights.h5" file as Keras 3 writes them, an ".npz" of arrays named as in `weights_of`,
            or a ".safetensors" file with those names, torchvision's or timm's. Nothing in the file is executed.
        network: the one to read for; it tells how Keras numbers a layer's weights.
        architecture: its name in `NETWORKS`, which decides the map from torchvision's and timm's names.

    Returns:
        from "<layer>/<variable>" to array, all floats as float32. What has no place in `network` keeps the name that
        it has in the file.

    Raises:
        ValueError: the file has another suffix, or cannot be read as what its suffix says.
    """
    readers: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
        ".npz": _read_npz,
        ".safetensors": load_file,
        ".weights.h5": _read_h5,
        ".keras": _read_keras,
    }
    suffix = next((one for one in SUFFIXES if path.name.endswith(one)), None)
    if suffix is None:
        raise ValueError(f"{path} is no weights file: its name must end with one of {', '.join(SUFFIXES)}")
    try:
        arrays = readers[suffix](path)
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read as a {suffix} file: {reason}") from error
    if suffix in (".weights.h5", ".keras"):
        return _named_as_in(network, arrays)
    if suffix == ".safetensors":
        return from_torch(architecture, arrays)
    return arrays


def _without_other_classifier(
    variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray], network: str, source: str
) -> list[str]:
    """Takes the classifier out of both where theirs is for other classes or is not there, and says so."""
    if not all(name in variables for name in CLASSIFIER):
        return []
    kernel, classes = arrays.get(CLASSIFIER[0]), variables[CLASSIFIER[0]].shape[-1]
    absent = not any(name in arrays for name in CLASSIFIER)
    if kernel is not None and kernel.ndim == 2 and kernel.shape[-1] != classes:
        theirs = f" without its classifier for {kernel.shape[-1]} classes"
    elif absent:
        theirs = ", which has no classifier"
    else:
        return []
    for name in CLASSIFIER:
        variables.pop(name)
        arrays.pop(name, None)
    return [f"{network}: starts from {source}{theirs}; the one for {classes} classes is new"]


def _check_names(wanted: Mapping[str, object], found: Mapping[str, object], network: str, source: str) -> None:
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing:
        close = difflib.get_close_matches(missing[0], unexpected, n=1)
        nearest = f"; the nearest it has is '{close[0]}'" if close else ""
        raise ValueError(f"{source} does not fit {network}: it lacks '{missing[0]}'{_more(missing)}{nearest}")
    if unexpected:
        raise ValueError(
            f"{source} does not fit {network}, which has no place for '{unexpected[0]}'{_more(unexpected)}"
        )


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model, and of models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


# Readers: each from a path to its arrays.


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _read_keras(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        return _read_h5(io.BytesIO(archive.read("model.weights.h5")))


def _read_h5(file: Path | io.BytesIO) -> dict[str, np.ndarray]:
    """Arrays as "<layer>/<position>": Keras 3 writes a group "vars" per layer, its attribute "name" the layer's."""
    arrays: dict[str, np.ndarray] = {}

    def collect(path: str, group: h5py.Group | h5py.Dataset) -> None:
        is_layer = path.endswith("/vars") and not path.startswith("optimizer") and "name" in group.attrs
        if is_layer:
            arrays.update({f"{group.attrs['name']}/{key}": np.asarray(group[key]) for key in group})

    with h5py.File(file, "r") as content:
        content.visititems(collect)
        if not arrays and "layer_names" in {*content.attrs, *content.get("model_weights", content).attrs}:
            raise ValueError("it is in the format of Keras 2")
    return arrays


def _named_as_in(network: keras.Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names: dict[str, str] = {}
    for layer in _layers(network):
        names |= {f"{layer.name}/{position}": f"{layer.name}/{one.name}" for position, one in enumerate(layer.weights)}
    return {names.get(name, name): array for name, array in arrays.items()}
