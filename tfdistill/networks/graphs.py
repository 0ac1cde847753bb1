"""The graph of layers behind a functional model, with nested models opened."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras


def is_functional(model: Any) -> bool:
    """Whether it is a model whose whole computation is a graph of layers: functional, or a built Sequential."""
    return _function_of(model) is not None


def flat_graph(model: keras.Model) -> keras.Model:
    """The same layers as one graph from an input "images", in which nested functional models are opened.

    Methods split networks between layers, and export and checkpoints name variables by layers: a model inside a model
    would be one layer to them. Nothing is cloned, and what each layer computes stays what it was.

    Args:
        model: functional, with one input.

    Returns:
        the model itself, where it is such a graph already; else another with the same layers. Nested models stay
        closed where they are no graph (a subclass with a `call` of its own), or where layers would share a name.
    """
    inner, (given,) = list(_openable(model)), model.inputs
    if not inner and given.name == "images" and not isinstance(model, keras.Sequential):
        return model
    images = keras.Input(given.shape[1:], dtype=given.dtype, name="images")
    opened = {id(one) for one in inner}
    return keras.Model(images, _run(model, images, opened), name=model.name)


def of_one_size(model: keras.Model, image_shape: Sequence[int]) -> keras.Model:
    """The same layers for images of one height and width, so that the shapes of all maps are known.

    Args:
        model: functional, with one input.
        image_shape: (height, width, channels), which the model reads.

    Returns:
        the model itself, where its input has a size.
    """
    if None not in model.inputs[0].shape[1:]:
        return model
    images = keras.Input(tuple(image_shape), dtype=model.inputs[0].dtype, name="images")
    return flat_graph(keras.Model(images, model(images), name=model.name))


def nodes_of(model: keras.Model) -> list[Any]:
    """The calls of operations in a functional model, each with its `operation`, `arguments` and `outputs`."""
    return [node for nodes in _function_of(model)._nodes_by_depth.values() for node in nodes if not node.is_input]


def nodes_in_order(model: keras.Model) -> list[Any]:
    """As `nodes_of`, each behind those whose outputs it reads."""
    by_depth = _function_of(model)._nodes_by_depth
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth] if not node.is_input]


def run_through(model: keras.Model, images: Any, call: Callable[..., Any]) -> Any:
    """The outputs of a functional model with one input, where `call(operation, ...)` stands in for every operation.

    Args:
        model: functional, with one input.
        images: what it is given.
        call: gets each operation in an order in which its inputs are there, and its arguments; returns its outputs.
    """
    return _one_or_all(_function_of(model)._run_through_graph([images], call_fn=call))


def called_in_part(model: keras.Model, inputs: Any, trained: Sequence[keras.Model]) -> Any:
    """The outputs of a model whose layers are called as in training only where one of `trained` has them too.

    The others are called with `training=False`, so that no running statistic of theirs moves. A model that shares no
    layer with `trained` is called as in training, and so is one that is no graph.

    Args:
        model: any.
        inputs: what it is given.
        trained: functional models, such as a network's layers up to a tap.
    """
    function = _function_of(model)
    moving = {id(operation) for one in trained for operation in _function_of(one).operations}
    if function is None or not any(id(operation) in moving for operation in function.operations):
        return model(inputs, training=True)

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if "training" in getattr(operation, "_call_context_args", ()):
            keywords = {"training": id(operation) in moving, **keywords}
        return operation(*arguments, **keywords)

    return _one_or_all(function._run_through_graph(_cast(function, inputs), call_fn=call))


def closed_models(model: keras.Model) -> Iterator[keras.Model]:
    """The models that are layers of a model, at any depth."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.Model):
            yield layer
            yield from closed_models(layer)


def layers_of(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers of a model and of the models in it, which are not among them."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        else:
            yield layer


def trainable_parameters(models: Iterable[keras.Model]) -> int:
    """What papers count: how many numbers training may change in the models, those that several share counted once."""
    return count_parameters(variable for model in models for variable in model.trainable_variables)


def count_parameters(variables: Iterable[keras.Variable]) -> int:
    """How many numbers the variables hold, one that comes twice counted once."""
    unique = {id(variable): variable for variable in variables}
    return sum(math.prod(variable.shape) for variable in unique.values())


def outputs_by_layer(model: keras.Model) -> dict[str, list[list[keras.KerasTensor]]]:
    """The tensors that each layer of a functional model gives, by its name; one list for each call of the layer."""
    found: dict[str, list[list[keras.KerasTensor]]] = {}
    for nodes in _function_of(model)._nodes_by_depth.values():
        for node in nodes:
            found.setdefault(node.operation.name, []).append(node.outputs)
    return found


def sources_of(tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    """The symbolic tensors that the layer read which gave this one."""
    operation, node, _ = tensor._keras_history
    return operation._inbound_nodes[node].input_tensors


def weights_of_operation(operation: Any) -> Sequence[keras.Variable]:
    """The weights of a layer; none for a function such as `keras.ops.relu`, which stands in a graph too."""
    return getattr(operation, "weights", ())


def _function_of(model: Any) -> Any:
    """The Keras function that holds the graph; None where there is none, or a `call` beside it."""
    if isinstance(model, keras.Sequential):
        return model._functional
    if isinstance(model, keras.Model) and isinstance(model, keras.Function):
        return model if type(model).call is _call_of_functional() else None
    return None


@functools.cache
def _call_of_functional() -> Callable[..., Any]:
    # Keras does not export the class.
    one = keras.Input((1,))
    return type(keras.Model(one, one)).call


def _openable(model: keras.Model) -> Iterator[keras.Model]:
    """The nested functional models, at any depth, whose layers' names are theirs alone."""
    names = Counter(_operations(model).values())

    def inside(outer: keras.Model) -> Iterator[keras.Model]:
        for layer in outer.layers:
            if is_functional(layer) and all(names[name] == 1 for name in _operations(layer).values()):
                yield layer
                yield from inside(layer)

    return inside(model)


def _operations(model: keras.Model) -> dict[int, str]:
    """By id, the names of all operations that would be there if every nested functional model were opened."""
    found: dict[int, str] = {}
    for operation in _function_of(model).operations:
        if is_functional(operation):
            found |= _operations(operation)
        elif not isinstance(operation, keras.layers.InputLayer):
            found[id(operation)] = operation.name
    return found


def _run(model: keras.Model, inputs: Any, opened: set[int], training: bool | None = None) -> Any:
    """Calls the layers of a model anew, on `inputs`; those of the models in `opened` one by one."""

    def call(operation: Any, *arguments: Any, **keywords: Any) -> Any:
        if training is not None and "training" in getattr(operation, "_call_context_args", ()):
            keywords = {"training": training, **keywords}
        if id(operation) in opened:
            given = arguments[0] if arguments else keywords["inputs"]
            return _run(operation, given, opened, keywords.get("training"))
        return operation(*arguments, **keywords)

    function = _function_of(model)
    return _one_or_all(function._run_through_graph(_cast(function, inputs), call_fn=call))


def _cast(function: Any, inputs: Any) -> list[Any]:
    """What a function is given, as its inputs are declared: a model casts likewise."""
    return [
        one if one.dtype == declared.dtype else keras.ops.cast(one, declared.dtype)
        for one, declared in zip(keras.tree.flatten(inputs), function.inputs, strict=True)
    ]


def _one_or_all(outputs: Any) -> Any:
    """What a model gives, where Keras has a single tensor in a list."""
    return outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else outputs
