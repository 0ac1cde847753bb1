"""The optimizer of every update: made, told where its schedule stands, applied, and brought to its end."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from tfdistill import optimizers
from tfdistill.engine.calendar import Calendar, settings_in
from tfdistill.engine.updates import Phase, Update
from tfdistill.networks.graphs import layers_of

Choice: TypeAlias = keras.optimizers.Optimizer | optimizers.OptimizerSettings
Schedule: TypeAlias = keras.optimizers.schedules.LearningRateSchedule


class UpdateOptimizers:
    """Creates every optimizer, built on the variables that its update moves; under the strategy's scope.

    Args:
        plan: the method's phases.
        calendar: their epochs.
        choose: an update's settings, or an optimizer of the user's own.
        steps_per_epoch: what turns epochs of the schedules into steps.
        epochs: length of the run, for schedules that depend on it.
        replicas: how many sum their gradients.

    Raises:
        ValueError: what was chosen is no optimizer, serves two updates, or carries what cannot be had here.
    """

    def __init__(
        self,
        plan: Sequence[Phase],
        calendar: Calendar,
        choose: Callable[[Update], Choice],
        *,
        steps_per_epoch: int,
        epochs: int,
        replicas: int,
    ) -> None:
        self.by_name: dict[str, keras.optimizers.Optimizer] = {}
        self.steps_per_epoch, self.epochs = steps_per_epoch, epochs
        self._plan, self._calendar = plan, calendar
        self._takes_sums: set[str] = set()
        self._made_here: set[str] = set()
        self._schedules: dict[tuple[str, int], tuple[Schedule, int]] = {}
        self._told = False
        self._begun: dict[str, int] = {}
        self._given: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()
        used: list[Choice] = []
        for phase, phase_epochs in zip(plan, calendar.lengths, strict=True):
            for update in phase.updates():
                chosen = choose(update)
                if any(chosen is one for one in used if not isinstance(one, optimizers.OptimizerSettings)):
                    raise ValueError(f"optimizers: one cannot serve two updates; give {update.name!r} its own")
                used.append(chosen)
                if isinstance(chosen, optimizers.OptimizerSettings):
                    self._made_here.add(update.name)
                    chosen = settings_in(phase, phase_epochs, chosen)
                    chosen = optimizers.build(chosen, steps_per_epoch=steps_per_epoch, epochs=phase_epochs)
                self._add(update, chosen, replicas)
        moved = [(one.name, self.by_name[one.name], one.variables()) for phase in plan for one in phase.updates()]
        optimizers.require_one_average(moved)

    def _add(self, update: Update, optimizer: keras.optimizers.Optimizer, replicas: int) -> None:
        optimizers.require_optimizer(optimizer, update.name)
        if any(layer.compute_dtype == "float16" for model in update.models for layer in layers_of(model)):
            optimizer = optimizers.with_loss_scale(optimizer)
        optimizer.build(update.variables())
        if replicas > 1 and optimizers.fit_for_replicas(optimizer, update.name, replicas):
            self._takes_sums.add(update.name)
        self.by_name[update.name] = optimizer
        for index, rule in enumerate(optimizers.rules_of(optimizer)):
            if isinstance(rule._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
                self._schedules[update.name, index] = rule._learning_rate, 0

    def scaled(self, update: Update, loss: tf.Tensor) -> tf.Tensor:
        """The loss whose gradients `apply` takes: scaled where the optimizer divides by a scale."""
        return self.by_name[update.name].scale_loss(loss)

    def apply(self, update: Update, gradients: Sequence[tf.Tensor]) -> None:
        """Moves what the update owns; in a replica, with the replica's gradients."""
        if update.name in self._takes_sums:
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        self.by_name[update.name].apply_gradients(zip(gradients, update.variables(), strict=True))

    def can_be_compiled(self, update: Update) -> bool:
        """Whether XLA knows all operations of `apply`; one of the user's own, or its schedule, may have others."""
        return update.name in self._made_here

    def begin(self, epoch: int, epochs: int) -> bool:
        """When `fit` begins: brings the schedules of the learning rates to where ramps and phases are.

        Where the optimizers' own count of steps is in `epoch` already, as in a run that goes on, nothing changes. A
        second `fit` from epoch 0 goes on with the rates, as Keras does, and is told so if ramps or phases begin anew.

        Args:
            epoch: the first, from 0.
            epochs: the last, from 1.

        Returns:
            Whether a schedule was moved, which functions that are traced already do not see.
        """
        links = len(set(self._calendar.link_begins))
        if epochs > self.epochs and (self._schedules or links > 1):
            made = "links of a chain" if links > 1 else "learning rates' schedules"
            self._tell(
                f"fit: the {made} are made for {self.epochs} epochs, not {epochs}; compile() again, "
                "or prepare() with the whole length, makes others"
            )
        moved = False
        for update, first in self._updates_at(epoch):
            for index, rule in enumerate(optimizers.rules_of(self.by_name[update.name])):
                if (update.name, index) not in self._schedules:
                    continue
                schedule, ahead = self._schedules[update.name, index]
                taken, wanted = int(rule._iterations.numpy()), (epoch - first) * self.steps_per_epoch
                come_to = taken + ahead + self._skipped[update.name]
                if come_to // self.steps_per_epoch == wanted // self.steps_per_epoch:
                    continue
                if epoch == 0:
                    self._tell_of_ramps(come_to)
                    continue
                self._skipped[update.name] = 0
                self._schedules[update.name, index] = schedule, wanted - taken
                rule.learning_rate = optimizers.later(schedule, wanted - taken)
                moved = True
        self._begun = {name: int(optimizer.iterations.numpy()) for name, optimizer in self.by_name.items()}
        self._given.clear()
        return moved

    def give(self, phase: Phase, steps: int) -> None:
        """Counts steps that the updates of a phase were given, whether they moved anything or not."""
        self._given.update({update.name: steps for update in phase.updates()})

    def end(self) -> None:
        """When `fit` ends: counts the steps of float16 networks that moved nothing, because gradients were infinite.

        The optimizers do not count those, so their schedules come after the epochs, as in Keras; a `fit` that goes on
        must not take that for a place to be brought to.
        """
        for name, begun in self._begun.items():
            # Fewer than none: weights were loaded in between, with a count of their own.
            self._skipped[name] += max(0, self._given[name] - (int(self.by_name[name].iterations.numpy()) - begun))
        self._begun = {}

    def finalize(self, phase: Phase) -> None:
        """At the end of a phase's training: weights become their averages where an optimizer has `use_ema`."""
        for update in phase.updates():
            self.by_name[update.name].finalize_variable_values(update.variables())

    def _updates_at(self, epoch: int) -> Iterator[tuple[Update, int]]:
        """The updates of the phase of an epoch, with the phase's first epoch."""
        place = self._calendar.at(epoch)
        yield from ((update, self._calendar.begins[place]) for update in self._plan[place].updates())

    def _tell_of_ramps(self, taken: int) -> None:
        ramps = any(
            callable(weight) for phase in self._plan for one in phase.updates() for weight in one.terms.values()
        )
        if ramps or len(self._plan) > 1:
            self._tell(
                f"fit: ramps and phases begin at epoch 0, the learning rates go on from step {taken}; "
                f"initial_epoch={taken // self.steps_per_epoch} goes on with both, compile() begins both anew"
            )

    def _tell(self, line: str) -> None:
        if not self._told:
            warnings.warn(line, stacklevel=4)
        self._told = True
