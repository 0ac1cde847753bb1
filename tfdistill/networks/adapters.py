"""Any functional Keras model as a network: name its taps."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from tfdistill import keras_settings
from tfdistill.bounds import nearest
from tfdistill.networks.found_taps import found_taps
from tfdistill.networks.graphs import closed_models, flat_graph, is_functional, outputs_by_layer
from tfdistill.networks.probabilities import require_logits

TAP_RANKS = {"features": 4, "embedding": 2, "logits": 2}


def network_from(model: keras.Model, taps: Mapping[str, str] | None = None, *, name: str | None = None) -> keras.Model:
    """Makes a network of a functional model: the same layers and weights, with named taps as outputs.

    Nothing is cloned: training the network trains the model. The network is one graph of the model's layers from an
    input "images", so that methods can split it: a functional model inside the model (a backbone, say) is opened, and
    its layers can be taps. Logits of lower precision come out cast to float32.

    Example:
        backbone = keras.applications.ResNet50(weights=None, classes=100, classifier_activation=None)
        network = network_from(backbone, {"stage4": "conv5_block3_out", "logits": "predictions"})

    Args:
        model: a functional `keras.Model` (or a built Sequential) with one input, [batch, height, width,
            channels].
        taps: from the name of a tap to the name of the layer whose output it is; see `found_taps` for those that are
            found if none are given. "logits" is required;
            "features" must be a map [batch, height, width, channels], "embedding" and "logits" [batch, size].
        name: the network's name, the model's by default.

    Returns:
        a `keras.Model` from images to the dict of taps, in the order given.

    Raises:
        ValueError: the model has no layer of that name, the tap has the wrong rank, "logits" is missing or
            behind a softmax or sigmoid, the model is not functional with a single image input, or Keras is set to
            channels_first.
    """
    keras_settings.require_buildable()
    require_single_image_input(model)
    if taps is None:
        taps = found_taps(model)
    if "logits" not in taps:
        raise ValueError(f'taps must name the layer of "logits", got {sorted(taps)}')
    graph = flat_graph(model)
    outputs = {tap: _layer_output(graph, tap, layer) for tap, layer in taps.items()}
    require_logits(graph.inputs[0], outputs["logits"], f"taps['logits'] of {model.name!r}")
    if outputs["logits"].dtype != "float32":
        to_float32 = keras.layers.Activation("linear", dtype="float32", name="logits_float32")
        outputs["logits"] = to_float32(outputs["logits"])
    return keras.Model(graph.inputs[0], outputs, name=name or model.name)


def require_single_image_input(model: keras.Model) -> None:
    """Raises ValueError unless a model is a graph of layers that reads one batch of images."""
    if not isinstance(model, keras.Model):
        raise ValueError(f"model must be a functional keras.Model, got {model!r:.80}")
    inputs = (getattr(model, "inputs", None) or []) if is_functional(model) else []
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ValueError(
            f"model {model.name!r} must be functional with one input [batch, height, width, channels], "
            f"got inputs of shapes {[tuple(one.shape) for one in inputs]}"
        )


def _layer_output(graph: keras.Model, tap: str, layer: str) -> keras.KerasTensor:
    found = outputs_by_layer(graph)
    if layer not in found:
        for inner in closed_models(graph):
            if layer in [one.name for one in inner.layers]:
                raise ValueError(
                    f"taps[{tap!r}]: layer {layer!r} lies inside model {inner.name!r} of {graph.name!r}, which cannot "
                    "be opened: it has a call() of its own, or layers whose names come twice"
                )
        raise ValueError(f"taps[{tap!r}]: {graph.name!r} has no layer {layer!r}; nearest: {nearest(layer, found)!r}")
    calls = found[layer]
    if len(calls) != 1 or len(calls[0]) != 1:
        raise ValueError(f"taps[{tap!r}]: layer {layer!r} must be called once and give one tensor")
    (output,) = calls[0]
    if tap in TAP_RANKS and len(output.shape) != TAP_RANKS[tap]:
        raise ValueError(f"taps[{tap!r}] must have rank {TAP_RANKS[tap]}, layer {layer!r} gives {output.shape}")
    return output
