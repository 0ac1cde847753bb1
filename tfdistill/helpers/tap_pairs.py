"""Which taps of a learner and of its source are compared, and at which size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.helpers import factors
from tfdistill.networks.taps import before_relu_of, map_of, stages_of, tap_of
from tfdistill.taps import Taps


@dataclass(frozen=True)
class TapPair:
    """A tap of the learner and a tap of its source.

    Attributes:
        own: the name of the learner's tap.
        source: the name of the source's.
        own_shape: of the learner's tensor without batch, as `tensors` gives it: three numbers of a map.
        source_shape: of the source's, likewise.
        size: height and width that maps are averaged down to; `None` where they stay as they are.
    """

    own: str
    source: str
    own_shape: Any
    source_shape: Any
    size: tuple[int, int] | None

    def tensors(self, own: Taps, source: Taps) -> tuple[tf.Tensor, tf.Tensor]:
        """The learner's and the source's tensor, `[batch, *own_shape]` and `[batch, *source_shape]`."""
        found = own[self.own], source[self.source]
        if self.size is None:
            return found
        return factors.pooled(found[0], self.size), factors.pooled(found[1], self.size)


def map_pairs(
    taps: str, learner: keras.Model, source: keras.Model, *, before_relu: bool = False
) -> tuple[TapPair, ...]:
    """Pairs of feature maps that are compared position by position: the larger is averaged down to the smaller.

    Args:
        taps: as `named_pairs` takes them.
        learner: the network that learns.
        source: the network that it learns from.
        before_relu: whether each tap stands for the map before its last ReLU, where the network has that.

    Raises:
        ValueError: a tap that is missing or no map, or maps of which one is no multiple of the other.
    """
    found = []
    for own, other in named_pairs(taps, learner, source):
        if before_relu:
            own, other = before_relu_of(learner, own), before_relu_of(source, other)
        own_shape, other_shape = map_of(learner, own).shape[1:], map_of(source, other).shape[1:]
        size = factors.smaller(own_shape, other_shape)
        found.append(TapPair(own, other, (*size, own_shape[-1]), (*size, other_shape[-1]), size))
    return tuple(found)


def feature_pairs(taps: str, learner: keras.Model, source: keras.Model) -> tuple[TapPair, ...]:
    """Pairs of taps of any shape, whose examples are compared as a whole.

    Args:
        taps: as `named_pairs` takes them.
        learner: the network that learns.
        source: the network that it learns from.

    Raises:
        ValueError: a tap that is missing.
    """
    return tuple(
        TapPair(own, other, tap_of(learner, own).shape[1:], tap_of(source, other).shape[1:], None)
        for own, other in named_pairs(taps, learner, source)
    )


def doubling_sum(levels: Sequence[tf.Tensor]) -> tf.Tensor:
    """The sum of what each level gives, the last whole, the one before by half, and so on."""
    return tf.add_n([2.0 ** (place - len(levels)) * one for place, one in enumerate(levels, 1)])


def named_pairs(taps: str, learner: keras.Model, source: keras.Model) -> list[tuple[str, str]]:
    """The names of the taps that are compared, the learner's and the source's.

    Args:
        taps: names with commas between them. "stage2" is that tap of both; "stage2:stage3" the learner's stage2 and the
            source's stage3; "stages" every stage, the last with the last, as far as both have some; "middle" the stage
            in the middle of each, the earlier of two.
        learner: the network that learns.
        source: the network that it learns from.

    Raises:
        ValueError: no name between two commas, a pair twice, or stages that a network does not have.
    """
    found: list[tuple[str, str]] = []
    for word in taps.split(","):
        own, _, other = word.strip().partition(":")
        if not own or (":" in word and not other.strip()):
            raise ArgumentError("taps", f"{taps!r} has no name before or behind a comma or colon")
        if word.strip() in ("stages", "middle"):
            stages = [_stages(network) for network in (learner, source)]
            found += _of_stages(word.strip(), *stages)
        else:
            found.append((own.strip(), other.strip() or own.strip()))
    if double := [pair for pair in found if found.count(pair) > 1]:
        raise ArgumentError("taps", f"{taps!r} has the pair {':'.join(double[0])} twice")
    return found


def _stages(network: keras.Model) -> list[str]:
    stages = stages_of(network)
    if not stages:
        raise ArgumentError(
            "networks", f"{network.name} has no stages; it has {', '.join(network.output)}: name some of these as taps"
        )
    return stages


def _of_stages(word: str, own: list[str], source: list[str]) -> list[tuple[str, str]]:
    if word == "middle":
        return [(own[(len(own) - 1) // 2], source[(len(source) - 1) // 2])]
    common = min(len(own), len(source))
    return list(zip(own[-common:], source[-common:], strict=True))
