"""From a network's name to the network."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tfdistill.bounds import nearest
from tfdistill.networks.catalogue import DETECTORS, NETWORKS, NetworkFamily
from tfdistill.networks.keras_applications import APPLICATIONS, keras_application

if TYPE_CHECKING:
    import keras

# Of the numbers in a name, far beyond any paper's: a slip of the keyboard must not take the machine's memory.
LARGEST = {"depth": 2_000, "width": 1_000, "growth": 1_000}
MOST_WEIGHTS = 1_000_000_000


def build(
    name: str,
    *,
    classes: int,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    seed: int | None = None,
    model_name: str | None = None,
) -> keras.Model:
    """Builds the network of that name, see `NETWORKS` and `DETECTORS` for the names.

    Args:
        name: such as "resnet32", "resnet110_a", "wide_resnet_28_10" or "mobilenet".
        classes: the number of classes, at least 2; of a detector at least 1, the background not counted.
        image_shape: (height, width, channels) in pixels.
        seed: of the initial weights; None draws new ones at every call.
        model_name: the model's name, `name` by default. Give peers of one architecture different ones.

    Returns:
        a network: a functional `keras.Model` from images to the dict of its taps. Its attribute `architecture` is
            `name`, for methods that design helpers by it.

    Raises:
        ValueError: no network has that name (the message has the nearest), or an argument is outside of its
            range.
    """
    network = builder_of(name)(classes=classes, image_shape=image_shape, seed=seed, name=model_name or name)
    network.architecture = name
    return network


def require_name(name: str) -> None:
    """Raises ValueError, with the nearest name, unless a network may be called `name`; builds nothing."""
    if name not in APPLICATIONS:
        _meant(name)


def is_detector(name: str) -> bool:
    """Whether the network of that name answers with boxes, and not with a class of the whole image.

    Raises:
        ValueError: as `require_name`.
    """
    return name not in APPLICATIONS and _meant(name)[0] in DETECTORS.values()


def imagenet_name(name: str) -> str:
    """The network meant where a name stands beside ImageNet: "resnet50" is imagenet_resnet50 there.

    Alone, "resnet50" is the CIFAR network of that depth; no weights of it come from ImageNet.

    Raises:
        ValueError: no network may be called `name`.
    """
    inside = f"imagenet_{name}"
    if inside in NETWORKS["imagenet_resnet"].examples:
        return inside
    if f"keras_{name}" not in APPLICATIONS:
        require_name(name)
    return name


def backbones_of(name: str) -> tuple[str, ...]:
    """The classifiers whose weights the backbone of that detector takes; none of what is no detector."""
    if name in APPLICATIONS:
        return ()
    try:
        family, numbers = _meant(name)
    except ValueError:
        return ()
    return tuple(re.sub(r"<(\w+)>", lambda found: str(numbers[found[1]]), one) for one in family.backbones)


def imagenet_detector(name: str) -> str:
    """The detector meant where a detector's name stands beside ImageNet: one on the network that Keras trained.

    Raises:
        ValueError: Keras has trained no such backbone; the line says what may stand in place of "imagenet".
    """
    found = f"ssd300_keras_{name.removeprefix('ssd300_').removeprefix('keras_')}"
    if found not in DETECTORS["ssd300_keras"].examples:
        raise ValueError(
            f"Keras has ImageNet weights for the backbone of 'ssd300_resnet50', none for {name!r}; its backbone takes "
            f"the weights of {backbones_of(name)[0]}: a run's, or a file's, such as {name}:PATH"
        )
    return found


def reads_as_keras(name: str) -> bool:
    """Whether the network of that name turns images into what Keras trained with, as builders with `mean` do."""
    return name in APPLICATIONS or name in DETECTORS["ssd300_keras"].examples


def builder_of(name: str) -> Callable[..., keras.Model]:
    """The function that builds the network of that name, from the keywords classes, image_shape, seed and name.

    Raises:
        ValueError: no network has that name; the message has the nearest.
    """
    if name in APPLICATIONS:
        return functools.partial(keras_application, name)
    family, numbers = _meant(name)
    return functools.partial(family.load_builder(), **family.arguments, **numbers)


def _meant(name: str) -> tuple[NetworkFamily, dict[str, int]]:
    """The family that a name belongs to, and the numbers in the name."""
    if name in ("resnet18", "resnet34", "resnet101"):
        raise ValueError(f"{name!r} has no depth of a CIFAR ResNet, 6n + 2; ImageNet's network is 'imagenet_{name}'")
    # A name without numbers to fill in goes before patterns: "resnet164" is no ResNet of basic blocks.
    for family in sorted([*NETWORKS.values(), *DETECTORS.values()], key=lambda family: "<" in family.pattern):
        numbers = family.numbers(name)
        if numbers is not None:
            _require_size(name, numbers)
            _require_depth(name, family, numbers)
            return family, numbers
    if not name.strip():
        raise ValueError(f"unknown network {name!r}: the name is empty, as after a comma too many")
    raise ValueError(f"unknown network {name!r}; nearest: {_nearest(name)!r}")


def _require_size(name: str, numbers: Mapping[str, int]) -> None:
    """Refuses what no machine could hold, before anything of it is built."""
    for argument, number in numbers.items():
        if number > LARGEST[argument]:
            named = name if len(name) < 40 else f"{name[:40]}…"
            raise ValueError(f"{named!r} has a {argument} beyond the largest, {LARGEST[argument]:,}")
    if name.startswith("wide_resnet"):
        # Blocks of two 3×3 convolutions in stages of 16, 32 and 64 times the width.
        weights = numbers["depth"] / 6 * 2 * 9 * (16**2 + 32**2 + 64**2) * numbers["width"] ** 2
    elif name.startswith("densenet"):
        # A layer reads half of what its block ends with, on average, and a third of that is of the block itself.
        weights = numbers["depth"] ** 2 / 2 * 9 * numbers["growth"] ** 2
    else:
        return
    if weights > MOST_WEIGHTS:
        raise ValueError(f"{name!r} would have about {weights:,.0f} weights; {MOST_WEIGHTS:,} are the most")


def _require_depth(name: str, family: NetworkFamily, numbers: Mapping[str, int]) -> None:
    if family.depths and "depth" in numbers:
        try:
            family.depths(numbers["depth"])
        except ValueError as error:
            raise ValueError(f"{name!r}: {error}") from None


def _nearest(name: str) -> str:
    families = [*NETWORKS.values(), *DETECTORS.values()]
    names = [*(example for family in families for example in family.examples), *APPLICATIONS]
    # The patterns filled with the name's own numbers come first: "wrn_40_4" means wide_resnet_40_4.
    numbers = re.findall(r"[1-9][0-9]*", name)
    filled = [
        re.sub(r"<\w+>", "{}", family.pattern).format(*numbers)
        for family in families
        if numbers and family.pattern.count("<") == len(numbers)
    ]
    return nearest(name, filled + names)
