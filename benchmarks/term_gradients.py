"""How hard each term of a method pulls at a student, beside the labels: the ratio of two gradients, and their cosine.

python benchmarks/term_gradients.py --flagfile=configs/small_student.toml:rkd --seed=1 --teacher=runs/TEACHER
python benchmarks/term_gradients.py --flagfile=configs/small_student.toml:rkd --seed=1 --teacher=runs/TEACHER \
    --weights_of=runs/small_student-rkd-seed1     # networks and helpers as a run has them in its newest checkpoint

The flags are those of a training, of which nothing is trained or written. Gradients are those of the weighted terms of
the last phase, for the weights of the first network alone, on each of a few training batches: the ratio is that of the
mean norms, the cosine is the mean over the batches. A ratio far above 1 says that the term turns the first steps, one
far below 1 that the network does not feel it. The last line has the norms of the network's convolution kernels.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import tfdistill.startup  # noqa: F401  (before TensorFlow)

import keras
import numpy as np
import tensorflow as tf

from tfdistill.commands import command_line
from tfdistill.commands.train import train_flags
from tfdistill.engine.distiller import Distiller
from tfdistill.runs import checkpoints
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.prepared import Prepared
from tfdistill.taps import without_labels

LABELS = "labels"


def beside(gradients: Sequence[np.ndarray], labels: Sequence[np.ndarray]) -> tuple[float, float]:
    """The ratio of the mean norms of two gradients, and the mean cosine, each over batches."""
    norms = [[float(np.linalg.norm(one)) for one in each] for each in (gradients, labels)]
    products = [float(one @ other) for one, other in zip(gradients, labels, strict=True)]
    cosines = [product / (own * other) for product, own, other in zip(products, *norms, strict=True)]
    return float(np.mean(norms[0]) / np.mean(norms[1])), float(np.mean(cosines))


class Pulls:
    """The gradients of a distiller's terms in the last phase, for its first network; its state stays as it is.

    Args:
        distiller: after `prepare`.
    """

    def __init__(self, distiller: Distiller) -> None:
        self.distiller, self.network = distiller, distiller.networks[0]
        distiller.phase_index = len(distiller.plan) - 1
        self._compute = tf.function(self._gradients, autograph=False)

    def on(self, data: Mapping[str, tf.Tensor]) -> dict[str, tuple[float, np.ndarray]]:
        """By term, and for the labels at weight 1, the weighted value and the gradient as one vector."""
        state = self.distiller.state()
        before = {name: np.asarray(variable) for name, variable in state.items()}
        batch, _ = self.distiller.task.readied(self.distiller.batch_of(data), self.distiller.classes)
        found = {name: (float(value), gradient.numpy()) for name, (value, gradient) in self._compute(batch).items()}
        for name, variable in state.items():
            variable.assign(before[name])
        return found

    def _gradients(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        distiller, owned = self.distiller, [variable.value for variable in self.network.trainable_variables]
        (this_round,) = distiller.phase.rounds
        update = next(one for one in this_round.updates if self.network in one.models)
        with tf.GradientTape(persistent=True) as tape:
            taps = distiller.call_all(batch, distiller.call_model)
            terms = this_round.terms(without_labels(batch), taps)[update.name]
            means = {LABELS: tf.reduce_mean(distiller.task.loss(batch, taps[self.network.name]))}
            for name, weight in update.terms.items():
                weight = weight(distiller.epoch_value()) if callable(weight) else weight
                means[name] = weight * tf.reduce_mean(terms[name])
        zero = tf.UnconnectedGradients.ZERO
        each = {name: tape.gradient(mean, owned, unconnected_gradients=zero) for name, mean in means.items()}
        flat = {name: tf.concat([tf.reshape(one, [-1]) for one in own], axis=0) for name, own in each.items()}
        return {name: (means[name], flat[name]) for name in means}


def load(distiller: Distiller, folder: Path) -> None:
    """Gives networks and helpers what the newest checkpoint of a run has of them."""
    found = checkpoints.newest(folder / "checkpoints")
    if found is None:
        raise SystemExit(f"term_gradients.py: {folder} has no checkpoint")
    wanted = {
        name: variable
        for name, variable in distiller.state().items()
        if name in found.arrays and name.startswith(("networks/", "helpers/"))
    }
    checkpoints.assign(wanted, {name: found.arrays[name] for name in wanted})


def report(pulls: Pulls, batches: Sequence[Mapping[str, tf.Tensor]]) -> list[str]:
    """A line for the labels and for every term, and one for the kernels."""
    found = [pulls.on(batch) for batch in batches]
    labels = [one[LABELS][1] for one in found]
    lines = [f"{'term':24} {'value':>10} {'ratio':>8} {'cosine':>7}"]
    for name in found[0]:
        ratio, cosine = beside([one[name][1] for one in found], labels)
        value = np.mean([one[name][0] for one in found])
        lines.append(f"{name:24} {value:10.4f} {ratio:8.3f} {cosine:7.2f}")
    convolutions = [layer for layer in pulls.network.layers if isinstance(layer, keras.layers.Conv2D)]
    kernels = [float(np.linalg.norm(layer.kernel)) for layer in convolutions]
    return [*lines, f"kernels: root mean square of {len(kernels)} norms {np.sqrt(np.mean(np.square(kernels))):.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights_of", type=Path, help="a run's folder: networks and helpers are as it has them")
    parser.add_argument("--batches", type=int, default=4, help="how many training batches")
    arguments, flags = parser.parse_known_args()
    values = train_flags()
    with tempfile.TemporaryDirectory() as folder, command_line.one_line_errors("term_gradients.py"):
        command_line.parse(values, [*flags, f"--runs_dir={folder}", "--run=unwritten", "--noexport"])
        prepared = Prepared(command_line.run_config(values), RunFolder(Path(folder) / "unwritten"))
        if arguments.weights_of:
            load(prepared.distiller, arguments.weights_of)
        batches = list(itertools.islice(iter(prepared.feeding.training(0)), arguments.batches))
        print("\n".join(report(Pulls(prepared.distiller), batches)))


if __name__ == "__main__":
    main()
