"""The taps of a model that names none, found by what its layers give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from tfdistill.networks.graphs import flat_graph, nodes_of, outputs_by_layer, sources_of, weights_of_operation

# They change the size of a map and compute nothing of it.
RESHAPING = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)
NORMALIZATION = keras.layers.BatchNormalization


def found_taps(model: keras.Model) -> dict[str, str]:
    """For `network_from`: from the name of a tap to the name of the layer whose output it is.

    "logits" is what the model gives. "embedding" is what the last layer with weights before it reads, "features" the
    last map `[batch, height, width, channels]` before that, and "stage1", "stage2", ... the last map of each height and
    width on the way there, from the first layer that learns on. "stage1_preactivation" and so on are these before their
    ReLU, see `preactivations`. A tap that the model has no such layer for is absent.

    Args:
        model: functional, with one input and one output; of a dict of outputs the one called "logits".

    Raises:
        ValueError: it has several outputs, and none is called "logits".
    """
    graph = flat_graph(model)
    logits = logits_of(graph)
    taps = {"logits": logits}
    before = list(_chain(logits))
    classifier = next(
        (place for place, one in enumerate(before) if weights_of_operation(one._keras_history.operation)), None
    )
    if classifier is not None and classifier + 1 < len(before):
        behind = before[classifier + 1 :]
        if len(behind[0].shape) == 2:
            taps["embedding"] = behind[0]
        if (features := next((one for one in behind if len(one.shape) == 4), None)) is not None:
            stages = _stages(graph, features)
            taps = {**stages, **preactivations(graph, stages), "features": features, **taps}
    calls = outputs_by_layer(graph)
    names = {tap: tensor._keras_history.operation.name for tap, tensor in taps.items()}
    # A layer that is called twice, or gives several tensors, names no one of them.
    return {tap: name for tap, name in names.items() if tap == "logits" or len(calls[name]) == len(calls[name][0]) == 1}


def preactivations(graph: keras.Model, stages: Mapping[str, keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """By "stage1_preactivation" and so on, what the ReLU reads that gives a stage.

    Where another layer gives it, and the only normalization that reads it goes into a ReLU, it is what that gives. A
    ReLU that is part of the layer, as in `Conv2D(activation="relu")`, has no tensor before it; such a stage has none.

    Args:
        graph: functional.
        stages: tensors of it, by the names of their taps.
    """
    readers: dict[int, list[Any]] = {}
    for node in nodes_of(graph):
        for one in node.arguments.keras_tensors:
            readers.setdefault(id(one), []).append(node)
    found = {}
    for tap, tensor in stages.items():
        if _is_relu(tensor._keras_history.operation):
            (found[f"{tap}_preactivation"],) = sources_of(tensor)
            continue
        norms = [one for one in readers.get(id(tensor), []) if isinstance(one.operation, NORMALIZATION)]
        if len(norms) == 1 and any(_is_relu(one.operation) for one in readers.get(id(norms[0].outputs[0]), [])):
            (found[f"{tap}_preactivation"],) = norms[0].outputs
    return found


def _is_relu(operation: Any) -> bool:
    """Whether it is ReLU, or ReLU6, and nothing else."""
    if isinstance(operation, keras.layers.ReLU):
        return not operation.negative_slope and not operation.threshold
    if isinstance(operation, keras.layers.Activation):
        return operation.activation in (keras.activations.relu, keras.activations.relu6)
    return type(operation).__name__ in ("Relu", "Relu6")  # what `keras.ops.relu(x)` makes


def logits_of(graph: keras.Model) -> keras.KerasTensor:
    """What a model gives; of a dict of outputs the one called "logits".

    Raises:
        ValueError: it has several outputs, and none is called "logits".
    """
    outputs = graph.output
    if isinstance(outputs, dict) and "logits" in outputs:
        return outputs["logits"]
    tensors = keras.tree.flatten(outputs)
    if len(tensors) != 1:
        layers = [one._keras_history.operation.name for one in tensors]
        raise ValueError(
            f"{graph.name!r} has {len(tensors)} outputs, of the layers {', '.join(layers)}; name that of its logits in "
            f"taps, as in logits:{layers[0]}"
        )
    return tensors[0]


def _chain(tensor: keras.KerasTensor) -> Iterator[keras.KerasTensor]:
    """The tensor, and what was before it as long as each was made of one other; the input is left out."""
    while sources := sources_of(tensor):
        yield tensor
        if len(sources) != 1:
            return
        (tensor,) = sources


def _stages(graph: keras.Model, features: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
    """By "stage1", "stage2", ... the last map of each size that `features` is computed from."""
    last: dict[tuple[int, int], keras.KerasTensor] = {}
    learned = False
    for operation in keras.Function(graph.inputs, features).operations:
        learned = learned or bool(getattr(operation, "trainable_variables", ()))
        if learned and not isinstance(operation, RESHAPING):
            for one in keras.tree.flatten(operation.output):
                # What is smaller than the end is beside the way, such as a block's squeezed map.
                if len(one.shape) == 4 and None not in one.shape[1:3] and one.shape[1] >= features.shape[1]:
                    # Its place is that of the last one: a gate beside the way may have the end's size.
                    last.pop(one.shape[1:3], None)
                    last[one.shape[1:3]] = one
    return {f"stage{number}": tensor for number, tensor in enumerate(last.values(), start=1)}
