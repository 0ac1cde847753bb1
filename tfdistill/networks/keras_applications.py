"""Architectures of `keras.applications` as networks, and the weights that Keras trained for them on ImageNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The mean of ImageNet's training images, RGB in 0..255, that Keras' ResNets subtract.
RESNET_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Application:
    """One of `keras.applications`.

    Args:
        builder: its name there.
        taps: from a tap to the layer whose output it is.
        first_conv: the layer that reads the images.
        blue_first: whether it reads the channels as blue, green, red.
    """

    builder: str
    taps: dict[str, str]
    first_conv: str
    blue_first: bool

    def build(self, **settings: Any) -> keras.Model:
        import keras

        return getattr(keras.applications, self.builder)(**settings)

    def scale_and_offset(self, mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
        """Of x in (x * scale + offset), from images normalized by `mean` and `std` to what Keras trained with."""
        if self.blue_first:  # 0..255 less the mean, not divided
            return [255.0 * s for s in std], [255.0 * m - r for m, r in zip(mean, RESNET_MEAN, strict=True)]
        return [2.0 * s for s in std], [2.0 * m - 1.0 for m in mean]  # -1..1


def _resnet(depth: int, blocks: tuple[int, int, int, int]) -> Application:
    stages = {f"stage{stage}": f"conv{stage + 1}_block{count}_out" for stage, count in enumerate(blocks, 1)}
    sums = {f"{tap}_preactivation": layer.replace("_out", "_add") for tap, layer in stages.items()}
    taps = {"stem": "pool1_pool", **stages, **sums, "features": stages["stage4"]}
    return Application(f"ResNet{depth}", taps, "conv1_conv", blue_first=True)


_MOBILENET_V2_STAGES = {
    "stage1": "expanded_conv_project_BN",
    "stage2": "block_2_add",
    "stage3": "block_5_add",
    "stage4": "block_12_add",
    "stage5": "block_16_project_BN",
}

APPLICATIONS = {
    "keras_resnet50": _resnet(50, (3, 4, 6, 3)),
    "keras_resnet101": _resnet(101, (3, 4, 23, 3)),
    "keras_resnet152": _resnet(152, (3, 8, 36, 3)),
    "keras_mobilenet_v2": Application(
        "MobileNetV2",
        {
            "stem": "Conv1_relu",
            **_MOBILENET_V2_STAGES,
            **{f"{tap}_preactivation": layer for tap, layer in _MOBILENET_V2_STAGES.items()},
            "features": "out_relu",
        },
        "Conv1",
        blue_first=False,
    ),
}


def keras_application(
    architecture: str,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (224, 224, 3),
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """An architecture of `keras.applications` as a network, without Keras' weights; see `imagenet_weights`.

    It is not the network of the same name without "keras_": a ResNet of Keras halves the resolution in a stage's
    first 1 x 1 convolution (its paper's version, "v1") and has biases in its convolutions; MobileNetV2 pads strided
    convolutions at the end only. The normalization's constants are Keras' own, and so are its running statistics
    under a strategy: a read outside of a replica gives the first replica's.

    The first layer turns images as the run normalizes them into what Keras trained with, so that all networks of a
    run read the same images. The kernels start from N(0, 2 / fan_out), the classifier's weight from PyTorch's
    default, all biases from zero.

    Args:
        architecture: a name in `APPLICATIONS`.
        classes: the number of classes, at least 2.
        image_shape: (height, width, 3), at least 32 x 32 pixels.
        mean: the normalization of the images that the network is going to read, in 0..1 for red, green, blue.
        std: likewise.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, `architecture` by default.

    Returns:
        a network with the taps of `imagenet_resnet` or `mobilenet_v2`.

    Raises:
        ValueError: an argument is outside of its range.
    """
    # Here, because flags and lists need the names alone.
    import keras

    from tfdistill.networks.adapters import network_from
    from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds
    from tfdistill.networks.layers import classify, image_input

    application, seeds = APPLICATIONS[architecture], LayerSeeds(seed, ZERO_BIAS)
    images = image_input(image_shape, classes, smallest=32)
    if image_shape[-1] != 3:
        raise ValueError(f"image_shape must have 3 channels for {architecture}, got {image_shape[-1]}")
    scale, offset = application.scale_and_offset(_three(mean), _three(std))
    scaled = keras.layers.Rescaling(scale, offset, dtype="float32", name="as_keras_trained")(images)
    backbone = application.build(input_tensor=scaled, include_top=False, weights=None)
    # `keras.applications` takes no seed.
    for variable in backbone.trainable_variables:
        if len(variable.shape) > 1:
            drawn_from = seeds.initialization
            # A depthwise kernel's last axis is the channels that each channel becomes.
            draw = drawn_from.depthwise if variable.shape[-1] == 1 else drawn_from.convolution
            variable.assign(draw(next(seeds))(variable.shape))
    head = classify(backbone.output, classes, seeds=seeds)
    taps = {**application.taps, "embedding": "embedding", "logits": "logits"}
    network = network_from(keras.Model(images, head["logits"]), taps, name=name or architecture)
    network.architecture = architecture
    return network


def imagenet_weights(architecture: str, *, classes: int) -> dict[str, np.ndarray]:
    """Keras' ImageNet weights of an architecture, downloaded once and cached as Keras does (~/.keras/models).

    Args:
        architecture: a name in `APPLICATIONS`.
        classes: with 1000, the classifier is among them.

    Returns:
        from "<layer>/<variable>" of `keras_application` to array.

    Raises:
        ValueError: the weights are not cached and cannot be downloaded.
    """
    application = APPLICATIONS[architecture]
    try:
        trained = application.build(weights="imagenet", include_top=classes == 1000, input_shape=(224, 224, 3))
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = " ".join(str(error).split())
        raise ValueError(f"Keras could not fetch its ImageNet weights: {reason}") from error
    arrays = {
        f"{layer.name}/{one.name}".replace("predictions/", "logits/"): one.numpy()
        for layer in trained.layers
        for one in layer.weights
    }
    if application.blue_first:
        # The images stay red, green, blue: the kernel reads them in the other order instead.
        kernel = f"{application.first_conv}/kernel"
        arrays[kernel] = arrays[kernel][:, :, ::-1, :]
    return arrays


def _three(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values) * 3 if len(values) == 1 else tuple(values)
