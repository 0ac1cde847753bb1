"""Layer-wise relevance propagation: how much each pixel contributes to the logit of a class."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.analysis.explained import Classes, Explained, batches, explained, joined
from tfdistill.analysis.heat_maps import Column, Found, HeatMaps, Pictured
from tfdistill.analysis.relevance.canonical import canonical
from tfdistill.analysis.relevance.composites import COMPOSITES, Composite
from tfdistill.analysis.relevance.plan import plan
from tfdistill.analysis.relevance.propagation import Ended, PixelRange, Propagation
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError, choose
from tfdistill.columns import aligned
from tfdistill.networks import graphs
from tfdistill.networks.taps import tap_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPOSITE = "epsilon_gamma_bounded"
WHOLE = "whole"


@dataclass(frozen=True, eq=False)
class Relevance:
    """The relevance of the pixels of some images, and where the rest of it has gone.

    `explained.scores = totals + biases + stabilizer + removed`, but for rounding, which is `error`.

    Attributes:
        maps: float32 [images, height, width], in logits: the sum over the channels of the image. Above zero what speaks
            for the class, below what speaks against it.
        totals: float64 [images], the sum of each map.
        biases: float64 [images], what the constants of layers absorb: biases, and shifts of normalizations.
        stabilizer: float64 [images], what epsilon absorbs.
        removed: float64 [images], the relevance of the channels that were left out.
        explained: the classes, and what the network says of them.
    """

    maps: np.ndarray
    totals: np.ndarray
    biases: np.ndarray
    stabilizer: np.ndarray
    removed: np.ndarray
    explained: Explained

    @property
    def error(self) -> np.ndarray:
        """float64 [images], the part of the logit that nothing accounts for: rounding."""
        known = self.totals + self.biases + self.stabilizer + self.removed
        return self.explained.scores.astype(np.float64) - known


def lrp(
    network: keras.Model,
    images: Any,
    classes: Classes,
    *,
    composite: str | Composite = COMPOSITE,
    pixel_range: PixelRange | None = None,
    channels: Sequence[int] | None = None,
    tap: str = "features",
    batch_size: int = 32,
) -> Relevance:
    """The relevance of pixels for the logit of a class.

    The network is brought to a form in which each layer is linear or an activation (`canonical`), and the logit is
    handed down: a sum gives its relevance to its parts in proportion, by the rules of the composite.

    Args:
        network: functional, from images to a dict of taps with "logits".
        images: [images, height, width, channels], as the network reads them.
        classes: for each image, one for all, or "predicted".
        composite: which rule where, by name or as it is.
        pixel_range: the least and the largest value of pixels as the network reads them, for each channel or for all;
            the bounded rule needs it.
        channels: those of `tap` whose relevance goes on down; that of the others is set to zero there. All if None.
        tap: where `channels` are the last axis.
        batch_size: the images that are computed at a time; the result does not depend on it.

    Raises:
        ValueError: there is no rule for a layer of the network; it has no such tap or channels; images, classes or an
            argument do not fit.

    Source: Bach et al., "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation", PLOS ONE 2015; Montavon et al., "Layer-Wise Relevance Propagation: An Overview", 2019. Halves of the
    last map: Huang et al., "Revisiting Knowledge Distillation: An Inheritance and Exploration Framework", CVPR 2021,
    Figures 1 and 3.
    """
    chosen = choose("composite", composite, COMPOSITES) if isinstance(composite, str) else composite
    model = canonical(network, ["logits"] if channels is None else list(dict.fromkeys([tap, "logits"])))
    mask = {} if channels is None else {tap: _mask(network, tap, channels)}
    kept = {id(tap_of(model, name)): one for name, one in mask.items()}
    shape = np.shape(images)[1:]
    propagation, parts = None, []
    for part, wanted in batches(network, images, classes, batch_size):
        propagation = propagation or Propagation(model, chosen, shape, _checked_range(chosen, pixel_range, shape))
        parts.append(_explained(network, model, propagation, part, wanted, kept))
    return _joined(*zip(*parts, strict=True))


def _explained(
    network: keras.Model,
    model: keras.Model,
    propagation: Propagation,
    images: tf.Tensor,
    classes: Classes,
    kept: dict[int, tf.Tensor],
) -> tuple[Explained, Ended]:
    logits = id(model.output["logits"])
    values = propagation.values(images)
    answers = explained(network, values[logits], classes)
    start = values[logits] * tf.one_hot(answers.classes, values[logits].shape[-1])
    return answers, propagation.back(values, {logits: start}, kept)


def _joined(answers: Sequence[Explained], ended: Sequence[Ended]) -> Relevance:
    maps = np.concatenate([tf.reduce_sum(one.pixels, axis=-1).numpy() for one in ended])
    biases, stabilizer, removed = (np.concatenate([one[place].numpy() for one in ended]) for place in (1, 2, 3))
    return Relevance(maps, maps.sum(axis=(1, 2), dtype=np.float64), biases, stabilizer, removed, joined(answers))


def _mask(network: keras.Model, tap: str, channels: Sequence[int]) -> tf.Tensor:
    count, chosen = tap_of(network, tap).shape[-1], [int(one) for one in channels]
    if not chosen or min(chosen) < 0 or max(chosen) >= count:
        raise ArgumentError("channels", f"must be one or more in 0..{count - 1}, those of {tap!r}, not {chosen}")
    return tf.reduce_max(tf.one_hot(chosen, count), axis=0)


def _checked_range(composite: Composite, given: PixelRange | None, shape: tuple[int, ...]) -> PixelRange:
    if given is None:
        if composite.pixels == "bounded":
            raise ArgumentError("pixel_range", "the bounded rule needs the least and the largest value of pixels")
        return np.zeros(1), np.ones(1)
    low, high = (np.asarray(one, np.float32) for one in given)
    if any(one.shape not in ((), (1,), shape[-1:]) for one in (low, high)) or not (low < high).all():
        raise ArgumentError("pixel_range", f"must be the least and the largest value of each channel, not {given!r}")
    return low, high


class LRP(HeatMaps):
    """Relevance of pixels, a column for each network and for each half of its last map."""

    title = "Layer-wise relevance propagation"
    paper = "Huang et al., Revisiting Knowledge Distillation (CVPR 2021), Figs. 1 and 3"

    def columns(self, study: Study) -> list[Column]:
        given = composite_of(study)
        asked = study.options.channels or (() if study.options.halves else (WHOLE,))
        parted = [one for one in study.subjects if one.halves]
        if set(asked) - {WHOLE} and not parted:
            said = "has channels that inherit and explore, as IE-KD's methods train them; give whole"
            raise ArgumentError("channels", f"no network of {', '.join(study.labels)} {said}")
        found = []
        for subject in study.subjects:
            subject.require_gradients("relevance")
            _require_rules(subject, given)
            for half, channels in _halves(subject, asked):
                look = functools.partial(_look, subject.network, channels, given, _range_of(study))
                found.append(Column(subject.label, "" if half == WHOLE else half, look))
        return found

    def lines(self, found: Mapping[str, Found]) -> list[str]:
        heads = ["network", "images", "logit", "pixels", "biases", "epsilon", "other half", "largest error"]
        rows = [[*heads]]
        for title, one in found.items():
            means = [one.explained.scores.mean(), *(one.numbers[name].mean() for name in LEDGER)]
            error = np.abs(one.numbers["error"]).max()
            rows.append([title, f"{len(one.explained.scores):,}", *(f"{mean:.3f}" for mean in means), f"{error:.0e}"])
        said = "conservation, means over images: the logit is what pixels, biases, epsilon and the other half have"
        return [said, *aligned(rows, right=range(1, len(heads)))]

    def draw(self, pictured: Pictured) -> Mapping[str, Figure]:
        from tfdistill.analysis.pictures.heat_maps import relevances

        return {"": relevances(pictured)}


LEDGER = ("pixels", "biases", "epsilon", "other_half")


def composite_of(study: Study) -> Composite:
    """The composite that the user has chosen, with what was changed of it."""
    options = study.options
    changes = {name: getattr(options, name) for name in ("lower", "gamma", "epsilon")}
    return replace(COMPOSITES[options.composite], **{name: one for name, one in changes.items() if one is not None})


def _require_rules(subject: Subject, composite: Composite) -> None:
    logits = {"logits": subject.network.output["logits"]}
    graph = graphs.flat_graph(keras.Model(subject.network.input, logits, name=subject.network.name))
    try:
        plan(graph, composite)
    except ArgumentError as error:
        raise ArgumentError(subject.argument, f"{subject.label}: {error.said}") from error


def _halves(subject: Subject, asked: Sequence[str]) -> Iterator[tuple[str, Sequence[int] | None]]:
    """What of a network is drawn: names of halves, and their channels; all channels are None."""
    chosen = [one for one in asked or (WHOLE, *subject.halves) if one == WHOLE or subject.halves.get(one)]
    for half in dict.fromkeys(chosen or [WHOLE]):
        yield half, None if half == WHOLE else subject.halves[half]


def _range_of(study: Study) -> PixelRange:
    mean, std = (np.array(one, np.float32) for one in (study.normalization.mean, study.normalization.std))
    return (0.0 - mean) / std, (1.0 - mean) / std


def _look(
    network: keras.Model,
    channels: Sequence[int] | None,
    composite: Composite,
    pixel_range: PixelRange,
    images: np.ndarray,
    classes: Classes,
) -> Found:
    found = lrp(network, images, classes, composite=composite, pixel_range=pixel_range, channels=channels)
    values = (found.totals, found.biases, found.stabilizer, found.removed)
    return Found(found.maps, found.explained, dict(zip(LEDGER, values, strict=True)) | {"error": found.error})
