"""What training images may go through, and the constants that images are normalised by; `usual` does it."""

from __future__ import annotations

from dataclasses import dataclass

PAD_MODES = ("reflect", "zero")

# What training images may go through, in this order.
AUGMENTATIONS = {
    "standard": "pad, crop and flip, or a random crop, as is usual for the data set; boxes move with their images",
    "randaugment": "operations drawn for each image: --randaugment_operations, --randaugment_magnitude",
    "cutout": "a square of each image blanked: --cutout_size",
    "cutmix": "a rectangle of each image from another, labels mixed by area: --cutmix_alpha",
    "mixup": "each image blended with another, and their labels: --mixup_alpha",
    "none": "nothing: images as evaluation sees them",
}


@dataclass(frozen=True)
class Normalization:
    """Per-channel affine map of images in scale 0..1: `(image - mean) / std`.

    Args:
        mean: one value per channel, in scale 0..1; a single value serves every channel.
        std: as many values as `mean`, each above 0, in scale 0..1.

    Raises:
        ValueError: if the lengths differ or a `std` is not positive.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise ValueError(f"mean and std need one value per channel each, got {len(self.mean)} and {len(self.std)}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be positive in every channel, got {self.std}")

    def require_channels(self, channels: int) -> None:
        """Raises ValueError unless there is one value, or one per channel of the images."""
        if len(self.mean) not in (1, channels):
            raise ValueError(
                f"normalization is for {len(self.mean)} channels but the images have {channels}; "
                "give one value per channel, or a single one for all"
            )


@dataclass(frozen=True)
class Augmentation:
    """Random shift and mirror of training images: pad, crop back to the old size, flip left-right.

    Args:
        pad: pixels added on every side before the crop, 0 or more; 0 means no shift.
        mode: what the padding holds: "reflect" (the image mirrored about its outermost pixels) or "zero".
        flip: whether to mirror half of the images left-right.

    Raises:
        ValueError: if `pad` is negative or `mode` is unknown.
    """

    pad: int
    mode: str
    flip: bool

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad must be 0 or more pixels, got {self.pad}")
        if self.mode not in PAD_MODES:
            raise ValueError(f"mode must be one of {', '.join(PAD_MODES)}, got {self.mode!r}")

    def require_size(self, height: int, width: int) -> None:
        """Raises ValueError if images of this size have too few pixels to mirror."""
        if self.mode == "reflect" and self.pad >= min(height, width):
            raise ValueError(f"pad must be below the image's {height}x{width} pixels to reflect, got {self.pad}")


@dataclass(frozen=True)
class BoxAugmentation:
    """What training images with boxes go through.

    Args:
        zoom_out: how many times wider and higher than the image its surroundings are at most, 1 or more; half of the
            images are zoomed out of. 1 for none.
        crop: whether images are cropped.
        mirror: whether half of the images are mirrored left-right.
        photometric: whether brightness, contrast, saturation and hue change, see `photometric.distorted`.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016, Sections 2.2 and 3.6.
    """

    zoom_out: float = 4.0
    crop: bool = True
    mirror: bool = True
    photometric: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.zoom_out < 100:
            raise ValueError(f"zoom_out must be in 1..100 (100 excluded), got {self.zoom_out}")

    def require_size(self, height: int, width: int) -> None:
        """Images of any size will do."""


def _of_255(*values: float) -> tuple[float, ...]:
    return tuple(value / 255 for value in values)


# The constants that published CIFAR results were obtained with differ; each is kept under its own name.
NORMALIZATIONS = {
    # CIFAR-10 statistics of the Wide ResNet code; DCM uses them for CIFAR-100 too.
    "c10wrn": Normalization(_of_255(125.3, 123.0, 113.9), _of_255(63.0, 62.1, 66.7)),
    # CIFAR-100 statistics (IE-KD, FFL).
    "c100": Normalization(_of_255(129.3, 124.1, 112.4), _of_255(68.2, 65.4, 70.4)),
    # CIFAR-10 means with per-image averaged deviations, from Kuang Liu's CIFAR code (KL vs MSE, ONE, FT).
    "kuang": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    # RepDistiller's and mdistiller's CIFAR-100 statistics.
    "rep": Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # Mean and standard deviation over all pixels of the digits training split.
    "digits": Normalization((0.3058024445,), (0.3760534895,)),
    # The same of the digit scenes.
    "digit_scenes": Normalization((0.1340868136,), (0.1591798749,)),
    # Pixels stay in 0..1.
    "none": Normalization((0.0,), (1.0,)),
    # Pixels in -1..1, as many of Keras' networks want them.
    "symmetric": Normalization((0.5,), (0.5,)),
    # Pixels in 0..255, for networks that do the rest themselves.
    "raw": Normalization((0.0,), (1 / 255,)),
}
