"""Grad-CAM: where in an image a network finds what speaks for a class."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.analysis.explained import Classes, Explained, batches, explained, joined
from tfdistill.analysis.heat_maps import Column, Found, HeatMaps, Pictured
from tfdistill.analysis.study import Study
from tfdistill.analysis.walk import walk
from tfdistill.bounds import ArgumentError
from tfdistill.columns import aligned
from tfdistill.networks import graphs
from tfdistill.networks.taps import tap_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USUAL_TAP = "features"


@dataclass(frozen=True, eq=False)
class ActivationMaps:
    """What Grad-CAM shows of some images.

    Attributes:
        maps: float32 [images, height, width] of the size of the images, 0..1; each from its least value to its
            greatest. All zeros where a map is the same everywhere, as where nothing speaks for the class.
        peaks: float32 [images], the greatest value of each map before it was brought to 0..1, in logits.
        explained: the classes, and what the network says of them.
    """

    maps: np.ndarray
    peaks: np.ndarray
    explained: Explained


def grad_cam(
    network: keras.Model, images: Any, classes: Classes, *, tap: str = "features", batch_size: int = 64
) -> ActivationMaps:
    """Grad-CAM of images: `ReLU(sum_c w_c A_c)` with `w_c` the mean over positions of `dz_y / dA_c`.

    A is the map of a tap and z_y the logit of the class. The result is resized bilinearly to the size of the image and
    brought to 0..1, image by image. The network is asked as in inference.

    Args:
        network: functional, from images to a dict of taps with "logits".
        images: [images, height, width, channels], as the network reads them.
        classes: for each image, one for all, or "predicted".
        tap: the name of a map [batch, height, width, channels].
        batch_size: the images that are computed at a time; the result does not depend on it.

    Raises:
        ValueError: the network has no such map, its logits do not depend on it, or images or classes do not fit.

    Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV
    2017, Eqs. 1 and 2.
    """
    taps = {tap: _map_of(network, tap), "logits": network.output["logits"]}
    graph = graphs.flat_graph(keras.Model(network.input, taps, name=network.name))
    maps, peaks, said = [], [], []
    for part, wanted in batches(network, images, classes, batch_size):
        found, answers = _maps(graph, tap, part, wanted)
        peaks.append(tf.reduce_max(found, axis=(1, 2)).numpy())
        maps.append(_shown(found, part.shape[1:3]))
        said.append(answers)
    return ActivationMaps(np.concatenate(maps), np.concatenate(peaks), joined(said))


def _map_of(network: keras.Model, tap: str) -> keras.KerasTensor:
    """The symbolic map of a tap; its height and width may be free."""
    found = tap_of(network, tap)
    if len(found.shape) != 4:
        said = f"{tap!r} of {network.name} must be [batch, height, width, channels], not {tuple(found.shape)}"
        raise ArgumentError("tap", said)
    return found


def _maps(graph: keras.Model, tap: str, images: tf.Tensor, classes: Classes) -> tuple[tf.Tensor, Explained]:
    """`ReLU(sum_c w_c A_c)`, [images, height, width] of the map."""
    maps, logits = graph.output[tap], graph.output["logits"]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        # What comes before the map is not recorded: neither time nor memory goes into its gradient.
        values = walk(
            graphs.nodes_in_order(graph),
            {id(graph.inputs[0]): images},
            lambda tensor, value: tape.watch(value) if tensor is maps else None,
        )
        answers = explained(graph, values[id(logits)], classes)
        scores = tf.gather(values[id(logits)], answers.classes, batch_dims=1)
    gradient = tape.gradient(scores, values[id(maps)])
    if gradient is None:
        raise ArgumentError("tap", f"the logits of {graph.name} do not depend on {tap!r}; give another")
    weights = tf.reduce_mean(tf.cast(gradient, tf.float32), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * tf.cast(values[id(maps)], tf.float32), axis=-1)), answers


def _shown(maps: tf.Tensor, size: tf.TensorShape) -> np.ndarray:
    resized = tf.image.resize(maps[..., None], size, "bilinear")[..., 0]
    least, most = (reduce(resized, axis=(1, 2), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    return tf.math.divide_no_nan(resized - least, most - least).numpy()


class GradCAM(HeatMaps):
    """Grad-CAM of images, a column for each network and tap."""

    title = "Grad-CAM"
    paper = "Chung et al., Feature-map-level Online Adversarial Knowledge Distillation (ICML 2020), Fig. 3"

    def columns(self, study: Study) -> list[Column]:
        found, taps = [], study.options.taps or (USUAL_TAP,)
        for subject in study.subjects:
            subject.require_gradients("Grad-CAM")
            for tap in dict.fromkeys(taps):
                subject.require_map(tap)
                look = functools.partial(_look, subject.network, tap)
                found.append(Column(subject.label, tap if taps != (USUAL_TAP,) else "", look))
        return found

    def lines(self, found: Mapping[str, Found]) -> list[str]:
        rows = [["network", "images", "says the class", "nothing speaks for the class", "mean greatest value"]]
        for title, one in found.items():
            peaks = one.numbers["peak"]
            said = np.sum(one.explained.predicted == one.explained.classes)
            rows.append([title, f"{len(peaks):,}", f"{said:,}", f"{np.sum(peaks <= 0):,}", f"{peaks.mean():.3f}"])
        return aligned(rows, right=range(1, 5))

    def draw(self, pictured: Pictured) -> Mapping[str, Figure]:
        from tfdistill.analysis.pictures.heat_maps import activations

        return {"": activations(pictured, over=True), "alone": activations(pictured, over=False)}


def _look(network: keras.Model, tap: str, images: np.ndarray, classes: Classes) -> Found:
    found = grad_cam(network, images, classes, tap=tap)
    return Found(found.maps, found.explained, {"peak": found.peaks})
