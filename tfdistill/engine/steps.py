"""One step: the rounds of the present phase on a batch, and the scores of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfdistill.engine import batches, logged
from tfdistill.engine.network_checks import SPREADING
from tfdistill.engine.passes import ForwardPasses
from tfdistill.engine.updates import Round, Update
from tfdistill.taps import Taps, without_labels

if TYPE_CHECKING:
    from tfdistill.engine.stateful import Stateful


class Steps:
    """What `train_step` and `test_step` of a distiller do, for as long as one `compile` holds.

    Args:
        distiller: whose networks, phase, task, optimizers and metrics they use.
        xla: whether the forward and backward pass of a round is compiled, and its updates where that can be, see
            `_apply`.
    """

    def __init__(self, distiller: Stateful, *, xla: bool) -> None:
        self.distiller = distiller
        self._xla = xla
        self._compiled: dict[tuple[int, int], Callable] = {}
        self._compiled_updates: dict[str, Callable] = {}

    def forget_updates(self) -> None:
        """Drops what is compiled of the updates, where optimizers or their schedules have changed."""
        self._compiled_updates.clear()

    def train(self, data: Any) -> None:
        """Every round of the present phase on one batch: gradients of the round, then its updates in order."""
        distiller, rounds = self.distiller, self.distiller.phase.rounds
        given = self.given(data)
        batch, wrong = distiller.task.readied(given, distiller.classes)
        if wrong is not None:
            distiller.guard.labels.note(distiller.task.to_name(given["labels"], distiller.classes), wrong)
        share = batches.share_of(batch, distiller.distribute_strategy.num_replicas_in_sync)
        compute = self._compiled_round if self._xla else functools.partial(self._round, self._passes(rounds))
        # What is scored on the training batch, unlike a term, is no mean over examples without a label.
        metrics = distiller.task.training_metric_names
        scored = {f"{network.name}/{metric}" for network in distiller.networks for metric in metrics}
        labelled = share.values(share.batch["labelled"]) if "labelled" in batch else None
        with share.keeping(distiller.kept_by_replicas()):
            for position, this_round in enumerate(rounds):
                values, gradients = compute(position, share)
                for update, gradient in zip(this_round.updates, gradients, strict=True):
                    self._apply(update, share.gradients(gradient))
                for key, value in values.items():
                    counted = labelled if key in scored else None
                    distiller.trackers[key].update_state(share.values(value), sample_weight=counted)

    def score(self, data: Any) -> None:
        """Metrics of every network and of their ensemble; `batch["weight"]` 0 leaves a padding example out."""
        self._score(data, self._outputs_of_networks, self.distiller.evaluation_trackers)

    def score_and_count(self, data: Any, totals: Mapping[str, logged.Total]) -> None:
        """As `score`, and adds the task's tables of every network and of their ensemble to `totals`."""
        self._score(data, self._outputs_of_networks, self.distiller.evaluation_trackers, totals)

    def score_teachers(self, data: Any) -> None:
        """Metrics of every teacher, as `score` gives those of the networks; one in a lower precision is compared."""
        distiller = self.distiller
        share, scored = self._score(data, self._outputs_of_teachers, distiller.teacher_trackers)
        weight = share.batch.get("weight")
        images = share.batch["images"]
        counts = tf.ones(tf.shape(images)[:1], tf.bool) if weight is None else weight != 0
        for name, teacher in distiller.teachers.lowered.items():
            both = [
                {tap: share.values(value) for tap, value in taps.items()}
                for taps in (scored[name], teacher(images, training=False))
            ]
            distiller.agreements[name].note(*both, share.values(counts))

    def _outputs_of_networks(self, images: tf.Tensor) -> dict[str, Taps]:
        taps = self.distiller(images, training=False)
        names = {network.name for network in self.distiller.networks}
        # What is scored and is no network is all of them together.
        return {name: taps[name] if name in names else self.distiller.ensemble(taps) for name in self.distiller.scored}

    def _outputs_of_teachers(self, images: tf.Tensor) -> dict[str, Taps]:
        return {name: model(images, training=False) for name, model in self.distiller.teachers.called.items()}

    def _score(
        self,
        data: Any,
        outputs_of: Callable[[tf.Tensor], dict[str, Taps]],
        trackers: Mapping[str, keras.metrics.Metric],
        totals: Mapping[str, logged.Total] | None = None,
    ) -> tuple[batches.Share, dict[str, Taps]]:
        distiller = self.distiller
        given = self.given(data)
        batch, wrong = distiller.task.readied(given, distiller.classes)
        batch = batches.labelled_as_weight(batch)
        if wrong is not None:
            counted = wrong if "weight" not in batch else wrong & (batch["weight"] != 0)
            distiller.guard.scored_labels.note(distiller.task.to_name(given["labels"], distiller.classes), counted)
        share = batches.share_of(batch, distiller.distribute_strategy.num_replicas_in_sync, summed=False)
        weight = share.values(share.batch["weight"]) if "weight" in batch else None
        scored = outputs_of(share.batch["images"])
        found = {name: distiller.task.metrics(share.batch, outputs) for name, outputs in scored.items()}
        values = {f"{name}/{metric}": value for name, own in found.items() for metric, value in own.items()}
        if logged.LOSS in trackers:
            supervised = [found[network.name][distiller.task.loss_name] for network in distiller.networks]
            values[logged.LOSS] = tf.stack(supervised, axis=1)
        for key, value in values.items():
            trackers[key].update_state(share.values(value), sample_weight=weight)
        if totals:
            own = {name: share.values(value) for name, value in share.batch.items() if name != "images"}
            for name, outputs in scored.items():
                tables = distiller.task.tables(own, {tap: share.values(value) for tap, value in outputs.items()})
                for table, values_of in tables.items():
                    totals[f"{name}/{table}"].update_state(values_of)
        return share, scored

    def given(self, data: Any) -> dict[str, tf.Tensor]:
        """A batch by name, as it was given.

        Raises:
            ValueError: it has no form of a batch, or its images do not fit the networks.
        """
        found = batches.as_batch(data)
        batches.require_images(found["images"], self.distiller.networks[0].input_shape[1:])
        return found

    def _passes(self, rounds: Sequence[Round]) -> ForwardPasses:
        return ForwardPasses(self.distiller.phase, rounds, self.distiller.call_model)

    def _compiled_round(self, position: int, share: batches.Share) -> tuple[dict, list]:
        """The forward and backward pass of a round under XLA.

        What the compiler has fused cannot be taken over by the next round: each makes its forward passes itself.
        """
        key = (self.distiller.phase_index, position)
        if key not in self._compiled:
            this_round = self.distiller.phase.rounds[position]

            def compute(batch: Mapping[str, tf.Tensor], total: tf.Tensor | None) -> tuple[dict, list]:
                return self._round(self._passes([this_round]), 0, batches.Share(batch, total))

            self._compiled[key] = tf.function(compute, jit_compile=True, autograph=False)
        return self._compiled[key](share.batch, share.total)

    def _apply(self, update: Update, gradients: Sequence[tf.Tensor]) -> None:
        """Moves what an update owns; under XLA compiled too, where that can be.

        Otherwise a GPU runs several small kernels for each variable: for two ResNet-32, 12 of the 27 ms of a step. A
        strategy that spreads the training sums the gradients of replicas in between, even where it has one.
        """
        optimizers, strategy = self.distiller.optimizers, self.distiller.distribute_strategy
        if not self._xla or isinstance(strategy, SPREADING) or not optimizers.can_be_compiled(update):
            optimizers.apply(update, gradients)
            return
        if update.name not in self._compiled_updates:
            apply = functools.partial(optimizers.apply, update)
            self._compiled_updates[update.name] = tf.function(apply, jit_compile=True, autograph=False)
        self._compiled_updates[update.name](list(gradients))

    def _round(self, passes: ForwardPasses, position: int, share: batches.Share) -> tuple[dict, list]:
        """What to log, each value per example, and the gradients of each update of the round at `position`."""
        distiller, batch = self.distiller, share.batch
        this_round = passes.rounds[position]
        with passes.recording(position) as tapes:
            taps = distiller.call_all(batch, passes.call_model)
            terms = this_round.terms(without_labels(batch), taps)
            totals = this_round.totals(terms, distiller.epoch_value())
            means = {
                update.name: distiller.optimizers.scaled(update, self._mean(totals[update.name], share))
                for update in this_round.updates
            }
        gradients = []
        for update, tape in zip(this_round.updates, tapes, strict=True):
            owned = [variable.value for variable in update.variables()]
            gradients.append(update.require_all(tape.gradient(means[update.name], owned)))
        values = {f"{name}/loss": total for name, total in totals.items()}
        values |= {f"{name}/{term}": value for name, named in terms.items() for term, value in named.items()}
        moved = logged.moved_in(this_round, distiller.networks)
        for network in moved:
            metrics = distiller.task.training_metrics(batch, taps[network.name])
            values |= {f"{network.name}/{metric}": value for metric, value in metrics.items()}
        if moved:
            values[logged.LOSS] = tf.stack([distiller.task.loss(batch, taps[one.name]) for one in moved], axis=1)
        return values, gradients

    def _mean(self, values: tf.Tensor, share: batches.Share) -> tf.Tensor:
        """The replica's part of the mean over the global batch, of values per example."""
        total = share.total
        if total is None:
            images = share.batch["images"]
            total = images.shape[0] or tf.shape(images)[0]
            total *= self.distiller.distribute_strategy.num_replicas_in_sync
        return tf.reduce_sum(values) / tf.cast(total, tf.float32)
