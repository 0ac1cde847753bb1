"""A `.keras` file of any functional or Sequential model as a network: to teach, or to learn."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras

from tfdistill.networks.adapters import network_from, require_single_image_input
from tfdistill.networks.answers import TwoLogits
from tfdistill.networks.found_taps import found_taps, logits_of, preactivations
from tfdistill.networks.graphs import flat_graph, is_functional, of_one_size, outputs_by_layer, sources_of
from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds
from tfdistill.networks.layers import linear_classifier
from tfdistill.networks.own_images import reads_whole_numbers
from tfdistill.networks.reasons import reason_of
from tfdistill.networks.specification import FILE, name_of_file
from tfdistill.networks.without_probabilities import without_probabilities

# What Keras calls a model by itself, with a number that counts them.
UNNAMED = r"(functional|sequential)(_\d+)?"


def load_file(path: str | os.PathLike, *, trust_code: bool = False) -> keras.Model:
    """The model in a `.keras` file.

    Args:
        path: the file.
        trust_code: whether code in it, that of Lambda layers, may run.

    Raises:
        ValueError: there is no such file, it is none of Keras', holds code that may not run, or does not load.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix != FILE or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no .keras file")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not trust_code)
    except Exception as error:  # whatever Keras and the layers in the file raise
        if "safe_mode" in str(error) and not trust_code:
            raise ValueError(
                f"{path} holds code, such as a Lambda layer's, which is not run; if you trust who made the file, give "
                "trust_code"
            ) from error
        raise ValueError(f"{path} cannot be loaded by Keras: {reason_of(error)}") from error


def network_of_file(
    path: str | os.PathLike,
    *,
    taps: Mapping[str, str] | None = None,
    trust_code: bool = False,
    name: str | None = None,
) -> tuple[keras.Model, list[str]]:
    """The network in a `.keras` file: its taps found, the softmax or sigmoid at its end taken off.

    Args:
        path: the file, with a functional model or a Sequential.
        taps: from a tap to the name of the layer whose output it is; they go before those that are found.
        trust_code: whether code in the file may run.
        name: of the network; the model's own if not given, and the file's where Keras has named the model.

    Returns:
        the network, and what there is to tell of it.

    Raises:
        ValueError: as `load_file` and `network_from`.
    """
    model = load_file(path, trust_code=trust_code)
    if not is_functional(model):
        raise ValueError(
            f"{path} holds a {type(model).__name__} that is no graph of layers; save a functional keras.Model, or a "
            "Sequential that begins with keras.Input(shape)"
        )
    require_single_image_input(model)
    if name is None and re.fullmatch(UNNAMED, model.name):
        name = name_of_file(path)
    model, taps = _of_one_answer(model, taps or {})
    model, told = without_probabilities(model)
    return with_taps(model, taps, name), [told] if told else []


def _of_one_answer(model: keras.Model, taps: Mapping[str, str]) -> tuple[keras.Model, Mapping[str, str]]:
    """The model with the one of its outputs whose layer the taps name as the logits', and the other taps."""
    named = [one for one in model.outputs if one._keras_history.operation.name == taps.get("logits")]
    if len(model.outputs) == 1 or len(named) != 1:
        return model, taps
    others = {tap: layer for tap, layer in taps.items() if tap != "logits"}
    return keras.Model(model.input, named[0], name=model.name), others


def with_taps(model: keras.Model, taps: Mapping[str, str], name: str | None = None) -> keras.Model:
    """A functional model as a network with the taps that it gives, or that are found; those in `taps` go before these.

    Raises:
        ValueError: as `network_from`.
    """
    model = flat_graph(model)
    named = isinstance(model.output, dict) and "logits" in model.output
    if named and not taps:
        return model if name in (None, model.name) else keras.Model(model.input, model.output, name=name)
    known = found_taps(model)
    if named:
        known |= {tap: tensor._keras_history.operation.name for tap, tensor in model.output.items()}
    known |= taps
    # What was before the ReLU of a stage that is found is not before that of another one.
    for stage in taps:
        if f"{stage}_preactivation" not in taps:
            known.pop(f"{stage}_preactivation", None)
    known |= _before_relu(model, taps)
    logits = known.pop("logits")  # the last, as of every network
    return network_from(model, {**known, "logits": logits}, name=name)


def _before_relu(graph: keras.Model, taps: Mapping[str, str]) -> dict[str, str]:
    """The layers that give the maps before the ReLU of the stages that are named, where none is named for that."""
    calls = outputs_by_layer(graph)
    stages = {
        tap: calls[layer][0][0]
        for tap, layer in taps.items()
        if re.fullmatch(r"stage\d+", tap) and f"{tap}_preactivation" not in taps and layer in calls
    }
    names = {tap: one._keras_history.operation.name for tap, one in preactivations(graph, stages).items()}
    return {tap: name for tap, name in names.items() if len(calls[name]) == len(calls[name][0]) == 1}


def learner_of_file(
    path: str | os.PathLike,
    *,
    classes: int,
    image_shape: Sequence[int],
    seed: int | None = None,
    taps: Mapping[str, str] | None = None,
    trust_code: bool = False,
    name: str | None = None,
) -> keras.Model:
    """The network in a `.keras` file with its weights, to be trained on.

    A classifier for another number of classes is replaced by a new one, PyTorch's default with a bias from zero.

    Args:
        path: the file.
        classes: how many classes it is to tell apart.
        image_shape: (height, width, channels) of the images that it is to read; a model of free height and width takes
            any.
        seed: of a new classifier; None draws a new one.
        taps: as for `network_of_file`.
        trust_code: likewise.
        name: of the network.

    Returns:
        the network; its attribute `starts_from` says what it starts from, in one line.

    Raises:
        ValueError: it reads other images, or it has another number of classes and no Dense layer that gives them.
    """
    network, told = network_of_file(path, taps=taps, trust_code=trust_code, name=name)
    own = tuple(network.inputs[0].shape[1:])
    if any(there not in (None, wanted) for there, wanted in zip(own, image_shape, strict=True)):
        sizes = ["×".join("any" if one is None else str(one) for one in shape) for shape in (own, image_shape)]
        raise ValueError(f"it reads images of {sizes[0]}, not {sizes[1]}")
    if reads_whole_numbers(network):
        raise ValueError(
            f"it reads {network.inputs[0].dtype}, and a network that learns is given float32 images; save it with a "
            "float32 input"
        )
    theirs = logits_of(network).shape[-1]
    said = [f"{network.name}: starts from {path}", *told]
    if theirs != classes:
        network = _with_new_classifier(network, classes, seed)
        said[0] += f" without its classifier for {theirs} classes; the one for {classes} classes is new"
    network = of_one_size(network, image_shape)
    network.starts_from = "; ".join(said)
    return network


def _with_new_classifier(network: keras.Model, classes: int, seed: int | None) -> keras.Model:
    tensor = network.output["logits"]
    while isinstance(layer := tensor._keras_history.operation, keras.layers.Activation | TwoLogits):
        (tensor,) = sources_of(tensor)
    embedding = sources_of(tensor)[0]
    if not isinstance(layer, keras.layers.Dense) or len(embedding.shape) != 2:
        raise ValueError(
            f"it tells {tensor.shape[-1]} classes apart, not {classes}, and its last layer {layer.name!r} is no Dense "
            "layer for which a new one could stand"
        )
    logits = linear_classifier(embedding, classes, seeds=LayerSeeds(seed, ZERO_BIAS))
    taps = {tap: logits if tap == "logits" else one for tap, one in network.output.items()}
    return keras.Model(network.input, taps, name=network.name)
