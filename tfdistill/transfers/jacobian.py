"""Jacobian matching: the gradients of the answers for the images."""

from __future__ import annotations

import tensorflow as tf

from tfdistill import losses
from tfdistill.bounds import ArgumentError, RampedWeight, TapNames, checked
from tfdistill.helpers.input_gradients import input_gradients, require_input_gradients
from tfdistill.helpers.tap_pairs import TapPair, map_pairs
from tfdistill.networks.second_order import TwiceDifferentiable
from tfdistill.taps import Batch, CallModel, Taps, Terms
from tfdistill.transfers.transfer import Lesson, Pairing, Transfer


class Jacobian(Transfer):
    """The learner's answer changes with the image as the source's does, and the learner looks where the source looks.

    `weight · ‖g_l / ‖g_l‖ − g_s / ‖g_s‖‖²` with g the gradient of the logit z_c for the image, the learner's and the
    source's, and c the source's most probable class; and `activation_weight` times the attention maps' distance, as
    `AT` has it. Both are the same for a learner whose answers and maps are multiplied by a positive number.

    The activations that are matched beside the gradients are attention maps, as in the paper's matching for other
    tasks: like the gradients they are divided by their norm, so that no scale has to be met. The other choice is the
    squared error of logits, the transfer `MSE`; `activation_weight` 0 leaves the maps out, and networks that give
    logits alone will do.

    Gradients are for the images of the batch: augmented and normalized as the learner sees them. Where a source has a
    normalization or a size of its own, its gradient goes through these too. Both networks are called once more for it,
    each in the mode that it has anyway, and the call moves no state: a learner's batch normalization takes the batch's
    statistics, as in the pass that its labels' loss is of, and its gradient includes how an image moves them; dropout
    draws other masks. The learner's gradient is differentiated exactly, but for Keras' layer and group normalization,
    see `networks.second_order`. A source in bfloat16 gives gradients in float32 that are exact to two or three digits.

    A step has about 9 multiply-adds where KD has 3 for those of a forward pass of the learner, and 2 of the source's
    where KD has 1: it takes 2 to 3 times as long. It keeps three times KD's maps of the learner for the backward pass.

    >>> student, teacher = (tfdistill.networks.resnet8(classes=10, name=name) for name in ("student", "teacher"))
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.Jacobian()])
    >>> [list(update.terms) for update in distiller.phase.updates()]
    [['cross_entropy', 'jacobian', 'jacobian_activations']]

    Args:
        weight: weight of the gradients' term, which is in 0..4; in Python also a function of the epoch.
        activation_weight: weight of the attention maps' term; likewise.
        taps: names of the taps whose attention is compared, with commas between them: "stage2", of both networks;
            "stage2:stage3", the learner's and the source's; "stages", all, the last with the last; "middle", the middle
            stage of each.
        name: how the terms in the logs begin.

    Raises:
        ValueError: a negative weight, a tap that one of two networks does not have, or a network that
            cannot be differentiated by its images, such as one that rounds pixels.

    Source: Srinivas and Fleuret, "Knowledge Transfer with Jacobian Matching", ICML 2018, Eq. 10, here of one logit. No
    code of the authors was found, and the paper's text was not at hand: the weight 1 is ours, that of attention `AT`'s.
    """

    paper = "Srinivas and Fleuret, Knowledge Transfer with Jacobian Matching (ICML 2018)"
    calls_source = True

    @checked
    def __init__(
        self,
        *,
        weight: RampedWeight = 1.0,
        activation_weight: RampedWeight = 1000.0,
        taps: TapNames = "stages",
        name: str = "jacobian",
    ) -> None:
        super().__init__(name, weight)
        self.activation_weight, self.taps = activation_weight, taps

    def lesson(self, pairing: Pairing) -> Lesson:
        learner, model = pairing.learner, pairing.source
        for network in (learner, model):
            require_input_gradients(network)
        differentiated = TwiceDifferentiable(learner)
        weights, activations = {self.name: self.weight}, f"{self.name}_activations"
        pairs = self._pairs(pairing) if self.activation_weight else ()
        if pairs:
            weights[activations] = self.activation_weight

        def terms(batch: Batch, own: Taps, source: Taps, call: CallModel) -> Terms:
            taps, classes, taught = input_gradients(model, batch["images"], call)
            _, _, gradients = input_gradients(differentiated, batch["images"], call, classes)
            # What an update moves is no target for it, and nobody else can see to that: the source is called here.
            found = {self.name: losses.jacobian_distance(gradients, tf.stop_gradient(taught))}
            if pairs:
                constant = {name: tf.stop_gradient(value) for name, value in taps.items()}
                each = [losses.attention_distance(*pair.tensors(own, constant)) for pair in pairs]
                found[activations] = tf.add_n(each)
            return found

        return Lesson(weights, terms)

    def _pairs(self, pairing: Pairing) -> tuple[TapPair, ...]:
        try:
            return map_pairs(self.taps, pairing.learner, pairing.source)
        except ArgumentError as error:
            if error.argument != "networks":
                raise
            said = f"{error.said}; or give {self.name} the activation_weight 0, which leaves maps out"
            raise ArgumentError("networks", said) from error
