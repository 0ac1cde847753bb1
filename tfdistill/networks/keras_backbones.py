"""Models of `keras.applications` made fit for a run: layers of fixed names, dropout and kernels by a seed."""

from __future__ import annotations

import re
from collections import Counter

import keras
import numpy as np

from tfdistill.networks.graphs import layers_of
from tfdistill.networks.initialization import LayerSeeds
from tfdistill.networks.layers import Dropout


def prepares_images(layer: keras.Layer) -> bool:
    """Whether a layer of one of Keras' applications only brings pixels to what the others were trained on."""
    return isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization)


def own_names(model: keras.Model) -> dict[str, str]:
    """Names for the layers that Keras has named by counting, which go on counting from model to model.

    Args:
        model: one of `keras.applications`; with or without its classifier, which comes last.

    Returns:
        from the names of such layers to "conv2d_1", "conv2d_2", ..., counted within this model.
    """
    counts: Counter[str] = Counter()
    names = {}
    for layer in model.layers:
        # As Keras makes a name of a class: "Conv2D" is "conv2d", "BatchNormalization" "batch_normalization".
        words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
        if re.fullmatch(rf"{kind}(_\d+)?", layer.name):
            counts[kind] += 1
            names[layer.name] = f"{kind}_{counts[kind]}"
    return names


def named_and_seeded(model: keras.Model, seeds: LayerSeeds) -> keras.Model:
    """The same layers anew: named by `own_names`, dropping by the seeds, without those that prepare images.

    Args:
        model: one of `keras.applications`, without its classifier.
        seeds: one is taken for each layer that drops.
    """
    names = own_names(model)

    def renewed(layer: keras.Layer) -> keras.Layer:
        config = {**layer.get_config(), "name": names.get(layer.name, layer.name)}
        if prepares_images(layer):
            return keras.layers.Identity(name=config["name"])
        if type(layer) is keras.layers.Dropout:
            return Dropout.from_config({**config, "seed": next(seeds)})
        return type(layer).from_config(config)

    renewed_model = keras.models.clone_model(model, clone_function=renewed)
    name_variables(renewed_model)
    return renewed_model


def name_variables(model: keras.Model) -> None:
    """Names the variables to which a layer gives no name, as ConvNeXt's scales, "variable_1", ... within their layer.

    Keras counts them on from model to model, while weights and checkpoints know variables by their names.
    """
    for layer in layers_of(model):
        unnamed = [one for one in layer.variables if re.fullmatch(r"variable(_\d+)?", one.name)]
        for number, variable in enumerate(unnamed, start=1):
            variable._name = f"variable_{number}"


def draw_kernels(backbone: keras.Model, seeds: LayerSeeds) -> None:
    """Draws the first kernels by the seeds; `keras.applications` takes none.

    Args:
        backbone: the model; a seed is taken for each of its kernels, in their order.
        seeds: of the kernels; their initialization says what is drawn.
    """
    drawn_from = seeds.initialization
    grouped = {id(one.kernel) for one in layers_of(backbone) if getattr(one, "groups", 1) > 1}
    for variable in backbone.trainable_variables:
        shape = tuple(variable.shape)
        if len(shape) < 2:
            continue
        if id(variable) in grouped:
            # A convolution of each channel alone, whose kernel has the channels on its last axis.
            drawn = np.asarray(drawn_from.depthwise(next(seeds))((*shape[:2], shape[3], shape[2])))
            variable.assign(drawn.swapaxes(2, 3))
            continue
        # A depthwise kernel's last axis is the channels that each channel becomes.
        draw = drawn_from.depthwise if shape[-1] == 1 else drawn_from.convolution
        variable.assign(draw(next(seeds))(shape))
