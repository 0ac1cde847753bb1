"""Wide residual networks for CIFAR-sized images, of any depth 6n + 4 and any width."""

from __future__ import annotations

import functools
from typing import Literal

import keras

from tfdistill.bounds import choose
from tfdistill.networks.architectures.stages import three_stages
from tfdistill.networks.depths import wide_blocks
from tfdistill.networks.initialization import DCM_WIDE_RESNET, ZERO_BIAS, LayerSeeds
from tfdistill.networks.layers import Dropout, classify, conv, image_input, norm_relu
from tfdistill.networks.taps import tapped

INITIALIZATIONS = {"usual": ZERO_BIAS, "dcm": DCM_WIDE_RESNET}


def wide_resnet(
    depth: int,
    width: int,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    dropout: float = 0.0,
    initialization: Literal["usual", "dcm"] = "usual",
    seed: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """A wide residual network of three stages of n pre-activation blocks, where depth = 6n + 4.

    A block is norm - ReLU - conv - norm - ReLU - (dropout) - conv, added to its input, or, where the number
    of channels changes, to a 1 x 1 convolution of its normalized and rectified input. The stages have 16, 32
    and 64 times `width` channels; the second and the third halve the resolution.

    The convolutions start from N(0, 2 / fan_out), the classifier's weight from PyTorch's default and its bias
    from zero, as in the code of IE-KD and of the KL-vs-MSE paper; DCM's authors draw both weights from
    N(0, 2 / fan_in) and the normalizations' scales from U(0, 1) instead.

    Args:
        depth: the number of weighted layers: 10, 16, 22, 28, ..., 40, ...
        width: the factor that widens the 16, 32 and 64 channels, at least 1.
        classes: the number of classes, at least 2.
        image_shape: (height, width, channels), at least 4 x 4 pixels.
        dropout: the probability, in 0 to below 1, with which a value before a block's second convolution is
            dropped. DCM's WRN-28-10(+) has 0.3.
        initialization: what the first weights are drawn from, "usual" or "dcm".
        seed: of the initial weights and the dropout; None draws new ones at every call.
        name: the model's name, "wide_resnet_<depth>_<width>" by default.

    Returns:
        a network with the taps "stem", "stage1", "stage2", "stage3" (each the stage's raw sum, before any
        normalization), "stage1_preactivation" to "stage3_preactivation" (that sum behind the normalization of
        the next stage's first block, the last behind the final one, before ReLU), "features" (after the final
        normalization and ReLU), "embedding" and "logits".

    Raises:
        ValueError: an argument is outside of its range.

    Source: Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, Section 2.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must be at least 0 and below 1, got {dropout!r}")
    chosen = choose("initialization", initialization, INITIALIZATIONS)
    blocks = wide_blocks(depth)
    seeds = LayerSeeds(seed, chosen)
    images = image_input(image_shape, classes, smallest=4)
    x = conv(images, 16, 3, seeds=seeds, name="stem")
    block = functools.partial(wide_block, dropout=dropout)
    taps = {"stem": x, **three_stages(block, x, 16 * width, blocks, seeds=seeds)}
    taps |= classify(norm_relu(taps["stage3"], seeds=seeds, name="final"), classes, seeds=seeds)
    norms = ["stage2_block1_conv1_norm", "stage3_block1_conv1_norm", "final_norm"]
    named = name or f"wide_resnet_{depth}_{width}"
    kind = ("_dropout" if dropout else "") + ("_dcm" if initialization == "dcm" else "")
    architecture = f"wide_resnet_{depth}_{width}{kind}" if dropout in (0.0, 0.3) else None
    return tapped(images, taps, preactivations=norms, name=named, architecture=architecture)


def wide_block(
    x: keras.KerasTensor, filters: int, *, strides: int, seeds: LayerSeeds, name: str, dropout: float = 0.0
) -> keras.KerasTensor:
    """Two 3 x 3 convolutions to `filters` channels, each behind normalization and ReLU; dropout as of `wide_resnet`.

    Returns:
        the sum, before any normalization; `norm_relu` of it, with the same seeds, ends a network.
    """
    activated = norm_relu(x, seeds=seeds, name=f"{name}_conv1")
    residual = conv(activated, filters, 3, strides=strides, seeds=seeds, name=f"{name}_conv1")
    residual = norm_relu(residual, seeds=seeds, name=f"{name}_conv2")
    if dropout:
        residual = Dropout(dropout, seed=next(seeds), name=f"{name}_dropout")(residual)
    residual = conv(residual, filters, 3, seeds=seeds, name=f"{name}_conv2")
    if x.shape != residual.shape:
        x = conv(activated, filters, 1, strides=strides, seeds=seeds, name=f"{name}_shortcut")
    return keras.layers.Add(name=f"{name}_add")([residual, x])
