"""Architectures of `keras.applications` as networks, and the weights that Keras trained for them on ImageNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import keras
    import numpy as np

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The mean of ImageNet's training images, RGB in 0..255, that Keras' ResNets subtract.
RESNET_MEAN = (123.68, 116.779, 103.939)


# What Keras trained its networks on: pixels of 0..255 as blue, green, red, less `RESNET_MEAN`; of -1..1; normalized by
# ImageNet's mean and deviation; or divided by 128, less 1.
Pixels = Literal["caffe", "tf", "torch", "by_128"]


@dataclass(frozen=True)
class Application:
    """One of `keras.applications`.

    Args:
        builder: its name there.
        pixels: what images Keras trained it on.
        smallest: the least height and width of an image, in pixels.
        head: the layer of Keras' classifier behind the pooling, empty where Keras has other layers between them: such a
            network has no ImageNet classifier here.
        taps: from a tap to the layer whose output it is; they are found where there are none, and the layers are named
            anew then.
        first_conv: of "caffe", the layer that reads the images.
        settings: further ones of the builder.
        trained_size: height and width, in pixels, of the images that Keras trained it on.
    """

    builder: str
    pixels: Pixels
    smallest: int = 32
    head: str = "predictions"
    taps: Mapping[str, str] = field(default_factory=dict)
    first_conv: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    trained_size: int = 224

    def build(self, **settings: Any) -> keras.Model:
        """Keras' model."""
        import keras

        return getattr(keras.applications, self.builder)(**self.settings, **settings)

    def scale_and_offset(self, mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
        """The numbers that turn images normalized by `mean` and `std` into Keras' own: x * scale + offset."""
        if self.pixels == "caffe":
            return [255.0 * s for s in std], [255.0 * m - r for m, r in zip(mean, RESNET_MEAN, strict=True)]
        if self.pixels == "torch":
            scale = [s / own for s, own in zip(std, IMAGENET_STD, strict=True)]
            return scale, [(m - x) / y for m, x, y in zip(mean, IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        largest = 255.0 / 128.0 if self.pixels == "by_128" else 2.0
        return [largest * s for s in std], [largest * m - 1.0 for m in mean]


def _resnet(depth: int, blocks: tuple[int, int, int, int]) -> Application:
    stages = {f"stage{stage}": f"conv{stage + 1}_block{count}_out" for stage, count in enumerate(blocks, 1)}
    sums = {f"{tap}_preactivation": layer.replace("_out", "_add") for tap, layer in stages.items()}
    taps = {"stem": "pool1_pool", **stages, **sums, "features": stages["stage4"]}
    return Application(f"ResNet{depth}", "caffe", taps=taps, first_conv="conv1_conv")


_MOBILENET_V2_STAGES = {
    "stage1": "expanded_conv_project_BN",
    "stage2": "block_2_add",
    "stage3": "block_5_add",
    "stage4": "block_12_add",
    "stage5": "block_16_project_BN",
}
_MOBILENET_V2_TAPS = {
    "stem": "Conv1_relu",
    **_MOBILENET_V2_STAGES,
    **{f"{tap}_preactivation": layer for tap, layer in _MOBILENET_V2_STAGES.items()},
    "features": "out_relu",
}
# Their images come prepared.
_PREPARED = {"include_preprocessing": False}

APPLICATIONS = {
    "keras_resnet50": _resnet(50, (3, 4, 6, 3)),
    "keras_resnet101": _resnet(101, (3, 4, 23, 3)),
    "keras_resnet152": _resnet(152, (3, 8, 36, 3)),
    "keras_mobilenet_v2": Application("MobileNetV2", "tf", taps=_MOBILENET_V2_TAPS),
    "keras_resnet50_v2": Application("ResNet50V2", "tf"),
    "keras_resnet101_v2": Application("ResNet101V2", "tf"),
    "keras_resnet152_v2": Application("ResNet152V2", "tf"),
    "keras_vgg16": Application("VGG16", "caffe", head="", first_conv="block1_conv1"),
    "keras_vgg19": Application("VGG19", "caffe", head="", first_conv="block1_conv1"),
    "keras_densenet121": Application("DenseNet121", "torch"),
    "keras_densenet169": Application("DenseNet169", "torch"),
    "keras_densenet201": Application("DenseNet201", "torch"),
    "keras_inception_v3": Application("InceptionV3", "tf", smallest=75, trained_size=299),
    "keras_inception_resnet_v2": Application("InceptionResNetV2", "tf", smallest=75, trained_size=299),
    "keras_xception": Application("Xception", "tf", smallest=71, trained_size=299),
    "keras_nasnet_mobile": Application("NASNetMobile", "tf"),
    "keras_nasnet_large": Application("NASNetLarge", "tf", trained_size=331),
    "keras_mobilenet": Application("MobileNet", "tf", head="conv_preds"),
    "keras_mobilenet_v3_small": Application("MobileNetV3Small", "tf", head="", settings=_PREPARED),
    "keras_mobilenet_v3_large": Application("MobileNetV3Large", "tf", head="", settings=_PREPARED),
    **{
        f"keras_efficientnet_b{number}": Application(f"EfficientNetB{number}", "torch", trained_size=size)
        for number, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    **{
        f"keras_efficientnet_v2_b{number}": Application(
            f"EfficientNetV2B{number}", "torch", settings=_PREPARED, trained_size=size
        )
        for number, size in enumerate((224, 240, 260, 300))
    },
    "keras_efficientnet_v2_s": Application("EfficientNetV2S", "by_128", settings=_PREPARED, trained_size=384),
    "keras_efficientnet_v2_m": Application("EfficientNetV2M", "by_128", settings=_PREPARED, trained_size=480),
    "keras_efficientnet_v2_l": Application("EfficientNetV2L", "by_128", settings=_PREPARED, trained_size=480),
    "keras_convnext_tiny": Application("ConvNeXtTiny", "torch", head="", settings=_PREPARED),
    "keras_convnext_small": Application("ConvNeXtSmall", "torch", head="", settings=_PREPARED),
    "keras_convnext_base": Application("ConvNeXtBase", "torch", head="", settings=_PREPARED),
    "keras_convnext_large": Application("ConvNeXtLarge", "torch", head="", settings=_PREPARED),
    "keras_convnext_xlarge": Application("ConvNeXtXLarge", "torch", head="", settings=_PREPARED),
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

    Every network ends with a global average pooling and a linear classifier. VGG's and MobileNetV3's hidden layers
    behind the pooling, and what ConvNeXt normalizes behind it, are left out.

    The first layer turns images as the run normalizes them into what Keras trained with, so that all networks of a
    run read the same images. The kernels start from N(0, 2 / fan_out), the classifier's weight from PyTorch's
    default, all biases from zero.

    Args:
        architecture: a name in `APPLICATIONS`.
        classes: the number of classes, at least 2.
        image_shape: (height, width, 3), at least 32 x 32 pixels; 71 x 71 for Xception, 75 x 75 for Inception.
        mean: the normalization of the images that the network is going to read, in 0..1 for red, green, blue.
        std: likewise.
        seed: of the initial weights; None draws new ones at every call.
        name: the model's name, `architecture` by default.

    Returns:
        a network with the taps of `imagenet_resnet` or `mobilenet_v2`; others have "stage1", "stage2", ... as
            `found_taps` finds them, "features", "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.
    """
    # Here, because flags and lists need the names alone.
    import keras

    from tfdistill.networks.adapters import network_from
    from tfdistill.networks.found_taps import found_taps
    from tfdistill.networks.initialization import ZERO_BIAS, LayerSeeds
    from tfdistill.networks.keras_backbones import draw_kernels, named_and_seeded
    from tfdistill.networks.layers import classify, image_input

    application, seeds = APPLICATIONS[architecture], LayerSeeds(seed, ZERO_BIAS)
    images = image_input(image_shape, classes, smallest=application.smallest)
    scaled = as_keras_trained(architecture, images, mean, std)
    if application.taps:
        backbone = application.build(input_tensor=scaled, include_top=False, weights=None)
        maps = backbone.output
    else:
        built = application.build(input_shape=tuple(image_shape), include_top=False, weights=None)
        backbone = named_and_seeded(built, seeds)
        maps = backbone(scaled)
    draw_kernels(backbone, seeds)
    head = classify(maps, classes, seeds=seeds)
    model = keras.Model(images, head["logits"])
    taps = {**(application.taps or found_taps(model)), "embedding": "embedding"}
    taps["logits"] = taps.pop("logits", "logits")  # the last, as of every network
    network = network_from(model, taps, name=name or architecture)
    network.architecture = architecture
    return network


def as_keras_trained(
    architecture: str, images: keras.KerasTensor, mean: Sequence[float], std: Sequence[float]
) -> keras.KerasTensor:
    """Images as a run normalizes them, turned into what Keras trained an architecture with by a layer of that name.

    Raises:
        ValueError: the images have other than 3 channels.
    """
    import keras

    if images.shape[-1] != 3:
        raise ValueError(f"image_shape must have 3 channels for {architecture}, got {images.shape[-1]}")
    scale, offset = APPLICATIONS[architecture].scale_and_offset(_three(mean), _three(std))
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="as_keras_trained")(images)


def imagenet_weights(architecture: str, *, classes: int) -> dict[str, np.ndarray]:
    """Keras' ImageNet weights of an architecture, downloaded once and cached as Keras does (~/.keras/models).

    Args:
        architecture: a name in `APPLICATIONS`, or a detector's whose backbone is one of them.
        classes: with 1000, the classifier is among them; a detector has none.

    Returns:
        from "<layer>/<variable>" of `keras_application` to array.

    Raises:
        ValueError: the weights are not cached and cannot be downloaded.
    """
    from tfdistill.networks.by_name import backbones_of
    from tfdistill.networks.graphs import layers_of
    from tfdistill.networks.keras_backbones import name_variables, own_names, prepares_images

    backbones = backbones_of(architecture)
    application = APPLICATIONS[backbones[0] if backbones else architecture]
    whole = classes == 1000 and bool(application.head) and not backbones
    try:
        trained = application.build(weights="imagenet", include_top=whole, input_shape=(224, 224, 3))
    except Exception as error:  # Keras raises a bare Exception where a download fails
        reason = " ".join(str(error).split())
        raise ValueError(f"Keras could not fetch its ImageNet weights: {reason}") from error
    name_variables(trained)
    names = {} if application.taps else own_names(trained)
    arrays: dict[str, np.ndarray] = {}
    for layer in layers_of(trained):
        if not prepares_images(layer):
            name = "logits" if layer.name == application.head else names.get(layer.name, layer.name)
            arrays |= {f"{name}/{one.name}": one.numpy() for one in layer.weights}
    if whole:
        # MobileNet's classifier is a convolution of one pixel.
        arrays["logits/kernel"] = arrays["logits/kernel"].reshape(-1, classes)
    if application.pixels == "caffe":
        # The images stay red, green, blue: the kernel reads them in the other order instead.
        kernel = f"{application.first_conv}/kernel"
        arrays[kernel] = arrays[kernel][:, :, ::-1, :]
    return arrays


def _three(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(values) * 3 if len(values) == 1 else tuple(values)
