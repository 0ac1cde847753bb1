"""Weights by name: the arrays of a file, told to fit a network or why they do not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfdistill.bounds import and_more, like
from tfdistill.networks.graphs import layers_of
from tfdistill.networks.torch_names import from_torch
from tfdistill.networks.weight_files import READERS, UNREADABLE

# Of a reader's own words, which may quote the file.
LONGEST_REASON = 200
CLASSIFIER = ("logits/kernel", "logits/bias")
# A detector's convolutions that say classes, one for each of its maps.
_CLASS_HEAD = re.compile(r"map\d+_classes/(kernel|bias)")


def weights_of(network: keras.Model) -> dict[str, keras.Variable]:
    """The weights of a network as "<layer>/<variable>", such as "stem/kernel"; running statistics are among them.

    Raises:
        ValueError: two layers have one name.
    """
    named = {f"{layer.name}/{one.name}": one for layer in layers_of(network) for one in layer.weights}
    if len(named) != len(network.weights):
        raise ValueError(f"the layers of {network.name} that have weights must have different names")
    return named


def assign_weights(network: keras.Model, arrays: Mapping[str, np.ndarray], *, source: str) -> list[str]:
    """Gives a network the weights of the same names, after checking that all of them fit.

    A classifier (the layer "logits") of another number of classes, or one that `arrays` lack, leaves the network's own
    as it is; so do a detector's convolutions for another number of classes. Everything else has to fit one to one.

    Args:
        network: whose weights to set.
        arrays: from "<layer>/<variable>" to array, as `read_weights` returns it.
        source: where the arrays come from, for messages.

    Returns:
        what there is to tell: a line if the classifier stays new, else nothing.

    Raises:
        ValueError: a name is missing or unexpected, a shape differs (both shapes are named), or a value is not finite;
            no weight was touched.
    """
    variables, arrays = weights_of(network), dict(arrays)
    told = _without_other_classifier(variables, arrays, network.name, source)
    assign_named(variables, arrays, network.name, source)
    return told


def assign_named(
    variables: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], network: str, source: str
) -> None:
    """Gives variables the arrays of the same names, after checking that all of them fit one to one.

    Args:
        variables: all or some of a network's, as `weights_of` names them.
        arrays: from the same names to array.
        network: its name, for messages.
        source: where the arrays come from, for messages.

    Raises:
        ValueError: as of `assign_weights`.
    """
    _check_names(variables, arrays, network, source)
    for name, variable in variables.items():
        shape, found = tuple(variable.shape), tuple(arrays[name].shape)
        if shape != found:
            raise ValueError(f"{source} does not fit {network}: '{name}' has shape {found} there, {shape} here")
        if arrays[name].dtype.kind != "f":
            raise ValueError(f"{source} does not fit {network}: '{name}' is {arrays[name].dtype}, not floating")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{source} does not fit {network}: '{name}' has values that are not finite")
    for name, variable in variables.items():
        variable.assign(arrays[name].astype(np.float32))


def read_weights(path: Path, network: keras.Model, architecture: str) -> dict[str, np.ndarray]:
    """The arrays of a weights file, under the names that they have in `network`.

    Args:
        path: a ".keras" or ".weights.h5" file as Keras 3 writes them, an ".npz" of arrays named as in `weights_of`,
            or a ".safetensors" file with those names, torchvision's or timm's. Nothing in the file is executed, no
            other file that it names is opened, and what does not fit `network` is not read.
        network: the one to read for; it tells how Keras numbers a layer's weights.
        architecture: its name in `NETWORKS`, which decides the map from torchvision's and timm's names.

    Returns:
        from "<layer>/<variable>" to array, all floats as float32. What has no place in `network` keeps the name that
        it has in the file; an array of another shape than the network's has that shape, and no values.

    Raises:
        ValueError: the file has another suffix, or cannot be read as what its suffix says.
    """
    suffix = next((one for one in READERS if path.name.endswith(one)), None)
    if suffix is None:
        raise ValueError(f"{path} is no weights file: its name must end with one of {', '.join(READERS)}")
    try:
        arrays = READERS[suffix](path, _shapes(network))
    except UNREADABLE as error:
        reason = str(error).splitlines()[0][:LONGEST_REASON] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read as a {suffix} file: {reason}") from error
    if suffix in (".weights.h5", ".keras"):
        return _named_as_in(network, arrays)
    if suffix == ".safetensors":
        return from_torch(architecture, arrays)
    return arrays


def _shapes(network: keras.Model) -> dict[str, tuple[int, ...]]:
    """Shapes of all variables, by name and by place among the layer's variables, as files name them."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers_of(network):
        for position, one in enumerate(layer.weights):
            shapes |= dict.fromkeys((f"{layer.name}/{one.name}", f"{layer.name}/{position}"), tuple(one.shape))
    return shapes


def _without_other_classifier(
    variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray], network: str, source: str
) -> list[str]:
    """Takes what tells classes apart out of both where theirs is for other classes or is not there, and says so."""
    if not all(name in variables for name in CLASSIFIER):
        return _without_other_class_heads(variables, arrays, network, source)
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


def _without_other_class_heads(
    variables: dict[str, keras.Variable], arrays: dict[str, np.ndarray], network: str, source: str
) -> list[str]:
    own = [name for name in variables if _CLASS_HEAD.fullmatch(name)]
    if all(name not in arrays or arrays[name].shape[-1:] == tuple(variables[name].shape[-1:]) for name in own):
        return []
    for name in own:
        variables.pop(name)
        arrays.pop(name, None)
    first, last = (own[place].partition("/")[0] for place in (0, -1))
    return [
        f"{network}: starts from {source} without its {first} to {last} for another number of classes; they are new"
    ]


def _check_names(wanted: Mapping[str, object], found: Mapping[str, object], network: str, source: str) -> None:
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing:
        rest = and_more(missing) + like(missing[0], unexpected)
        raise ValueError(f"{source} does not fit {network}: it lacks '{missing[0]}'{rest}")
    if unexpected:
        raise ValueError(
            f"{source} does not fit {network}, which has no place for '{unexpected[0]}'{and_more(unexpected)}"
        )


def _named_as_in(network: keras.Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    names: dict[str, str] = {}
    for layer in layers_of(network):
        names |= {f"{layer.name}/{position}": f"{layer.name}/{one.name}" for position, one in enumerate(layer.weights)}
    return {names.get(name, name): array for name, array in arrays.items()}
