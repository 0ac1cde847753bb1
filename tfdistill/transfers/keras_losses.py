"""The losses of `keras.distillation` as transfers, and transfers as losses of `keras.distillation`."""

from __future__ import annotations

import inspect
import re
from typing import Any

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError, RampedWeight, checked
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.logit_transfer import LogitTransfer
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class KerasLoss(Transfer):
    """A loss of `keras.distillation` is what the learner takes from the source.

    A list of transfers takes such a loss as it is; this gives it a weight and a name of its own. A layer that the loss
    names has to be a tap of the network, by the tap's name or by the layer's; without one it gets the logits. Keras'
    loss is one number for a batch, which every example gets: with several replicas each has its own.

    >>> loss = keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence())
    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.transfers.KerasLoss(loss, weight=0.9)])
    >>> list(distiller.phase.updates()[0].terms)
    ['cross_entropy', 'logits_distillation']

    Args:
        loss: an instance of `keras.distillation.DistillationLoss`.
        weight: weight of the term; in Python also a function of the epoch.
        name: of the term in the logs; made of the loss's class if not given.

    Raises:
        ValueError: no such loss; a layer that is no tap; feature maps of two shapes; or `loss="kl_divergence"` in a
            Keras that takes the divergence of logits as if they were probabilities, as 3.15.1 does.
    """

    paper = "the loss's own"

    @checked
    def __init__(
        self, loss: keras.distillation.DistillationLoss, *, weight: RampedWeight = 1.0, name: str = ""
    ) -> None:
        if not isinstance(loss, keras.distillation.DistillationLoss):
            raise ArgumentError("loss", f"must be a keras.distillation.DistillationLoss, not {loss!r:.80}")
        _require_a_softmax(loss)
        super().__init__(name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(loss).__name__).lower(), weight)
        self.loss = loss

    def lesson(self, pairing: Pairing) -> Lesson:
        own_tap = _tap_of(pairing.learner, getattr(self.loss, "student_layer_name", None))
        source_tap = _tap_of(pairing.source, getattr(self.loss, "teacher_layer_name", None))
        self._require_one_shape(pairing, own_tap, source_tap)

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            theirs, ours = tf.cast(source[source_tap], tf.float32), tf.cast(own[own_tap], tf.float32)
            self.loss.validate_outputs(theirs, ours)
            value = tf.convert_to_tensor(self.loss.compute_loss(theirs, ours))
            if value.shape.rank != 0:
                raise ValueError(f"{self.name}: a loss of keras.distillation is one number, not of shape {value.shape}")
            return {self.name: tf.fill(tf.shape(ours)[:1], tf.cast(value, tf.float32))}

        return Lesson({self.name: self.weight}, terms)

    def _require_one_shape(self, pairing: Pairing, own_tap: str, source_tap: str) -> None:
        own, source = pairing.learner.output[own_tap].shape, pairing.source.output[source_tap].shape
        keras_own = keras.distillation.LogitsDistillation | keras.distillation.FeatureDistillation
        if isinstance(self.loss, keras_own) and own[1:] != source[1:]:
            raise ArgumentError(
                "networks",
                f"{self.name} compares {own_tap} of {pairing.learner.name}, {tuple(own)}, with {source_tap} of "
                f"{pairing.source.name}, {tuple(source)}; they must be of one shape",
            )


@keras.saving.register_keras_serializable(package="tfdistill")
class TransferLoss(keras.distillation.DistillationLoss):
    """A transfer that compares logits is a loss for `keras.distillation.Distiller`.

    >>> loss = tfdistill.transfers.TransferLoss(tfdistill.KD(temperature=4.0))
    >>> float(loss.compute_loss([[1.0, 2.0, 3.0]], [[2.0, 3.0, 4.0]])) < 1e-5
    True

    Args:
        transfer: such as `KD`, `KDLimit`, `MSE`, `SmoothL1` or `DIST`, whose weight is a number.

    Raises:
        ValueError: a transfer of another kind, one that reads labels, which Keras does not pass on, or whose weight is
            a function of the epoch, which Keras does not know.
    """

    def __init__(self, transfer: LogitTransfer) -> None:
        if not isinstance(transfer, LogitTransfer):
            raise ArgumentError("transfer", f"must be one that compares logits, such as KD(), not {transfer!r:.80}")
        if transfer.reads_labels or callable(transfer.whole_weight()):
            lacking = "the labels" if transfer.reads_labels else "the epoch"
            raise ArgumentError(
                "transfer",
                f"{transfer.name} reads {lacking}, which keras.distillation does not pass on; use Distillation",
            )
        self.transfer = transfer

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Keras' check, of the logits alone: feature maps among the outputs may differ."""
        super().validate_outputs(_logits_of(teacher_outputs), _logits_of(student_outputs))

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> tf.Tensor:
        """The weighted term in the mean over the batch.

        Args:
            teacher_outputs: logits `[batch, classes]`, or a dict of taps with `"logits"`.
            student_outputs: the same.
            **kwargs: not read.
        """
        sides = {"logits": _logits_of(student_outputs)}, {"logits": _logits_of(teacher_outputs)}
        (term,) = self.transfer.terms({}, *sides, lambda model, inputs: model(inputs)).values()
        return tf.convert_to_tensor(self.transfer.whole_weight() * tf.reduce_mean(term))

    def get_config(self) -> dict[str, Any]:
        """The transfer's name in `TRANSFERS`, and its arguments.

        Raises:
            ValueError: a transfer that is not there.
        """
        from tfdistill.transfers import TRANSFERS

        kind = type(self.transfer)
        key = next((name for name in TRANSFERS if TRANSFERS[name] is kind), None)
        if key is None:
            raise ArgumentError("transfer", f"{kind.__name__} is none of {', '.join(TRANSFERS)}, and cannot be written")
        return {
            "transfer": key,
            "arguments": {name: getattr(self.transfer, name) for name in inspect.signature(kind).parameters},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TransferLoss:
        """The loss that `get_config` has described."""
        from tfdistill.transfers import TRANSFERS

        made: Any = TRANSFERS[config["transfer"]]
        return cls(made(**config["arguments"]))


def _logits_of(outputs: Any) -> tf.Tensor:
    return tf.convert_to_tensor(outputs["logits"] if isinstance(outputs, dict) else outputs)


def _tap_of(network: keras.Model, layer: str | None) -> str:
    """The tap of a layer, by the tap's name or the layer's; the logits where no layer is named."""
    taps = network.output
    if layer is None or layer in taps:
        return layer or "logits"
    own = {one.name: one for one in network.layers}
    outputs = own[layer].output if layer in own else None
    for name, tap in taps.items():
        if tap is outputs:
            return name
    raise ArgumentError(
        "networks",
        f"{network.name} has no tap of layer {layer!r}; it has {', '.join(taps)}; see network_from(model, taps)",
    )


def _require_a_softmax(loss: keras.distillation.DistillationLoss) -> None:
    """Refuses Keras' divergence of logits where it takes no softmax: what is added to all logits must not count."""
    if not isinstance(loss, keras.distillation.LogitsDistillation):
        return
    if not any(one is keras.losses.kl_divergence for one in keras.tree.flatten(loss.loss)):
        return
    # Within 0..1 after the division by the temperature: as probabilities they would be clipped there.
    logits = loss.temperature * tf.constant([[0.1, 0.2, 0.3]])
    if abs(float(loss.compute_loss(logits, logits + 0.5 * loss.temperature))) > 1e-3:
        raise ArgumentError(
            "loss",
            "LogitsDistillation(loss='kl_divergence') takes logits for probabilities in this Keras; give it "
            "loss=keras.losses.KLDivergence(), or take KD(temperature=...)",
        )
