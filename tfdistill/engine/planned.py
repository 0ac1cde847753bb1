"""The table of updates at work: its phases, what is frozen in each, its optimizers and what is logged of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfdistill import optimizers as optimizer_settings
from tfdistill.bounds import ArgumentError
from tfdistill.engine import logged
from tfdistill.engine.calendar import Calendar, links_of
from tfdistill.engine.network_checks import check_shared_layers, require_unchanged
from tfdistill.engine.optimizers_as_one import OptimizersAsOne
from tfdistill.engine.roles import Roles
from tfdistill.engine.update_optimizers import Choice, UpdateOptimizers
from tfdistill.engine.updates import (
    Phase,
    PreparationPhase,
    Update,
    check_plan,
    owned_by_update,
    require_terms,
    without_idle_updates,
)
from tfdistill.networks.graphs import called_in_part


class Planned(Roles):
    """The table of updates of a `Distiller`, the phase that it is in, and an optimizer for each update."""

    protocol: ClassVar[str]
    """Name of the training protocol (`optimizers.PROTOCOLS`) of a run that says none: the paper's, or see below."""
    protocol_note: ClassVar[str] = ""
    """A sentence for where that is not the protocol of the method's own paper: whose it is, and why."""
    source: ClassVar[str]
    """The paper that the method comes from."""
    trains_in_turn: ClassVar[bool] = False
    """Whether each network has a training of its own, one after another: a run is so many times as long."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.update_optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.epoch = self.phase_index = 0
        self.phases_trained: set[int] = set()
        self.steps_left: int | None = None
        self.calendar = Calendar.of([Phase(())], 1)  # until `prepare` knows the run's
        self._choose: Callable[[Update], Choice]
        self._epoch = tf.Variable(0.0, trainable=False, name="epoch")
        self._table: tuple[Phase, ...] | None = None
        self._plan: tuple[Phase, ...] | None = None
        self.trackers: dict[str, keras.metrics.Mean] = {}
        self.evaluation_trackers: dict[str, keras.metrics.Metric] = {}
        self.teacher_trackers: dict[str, keras.metrics.Metric] = {}

    def phases(self) -> tuple[Phase, ...]:
        """The method's table. Called once, after construction."""
        raise TypeError(f"{type(self).__name__} must say its phases()")

    def recipe(
        self, networks: optimizer_settings.OptimizerSettings | None = None, *, stretch: float = 1.0
    ) -> dict[str, optimizer_settings.OptimizerSettings]:
        """Optimizer settings per group of updates, as the protocol says; one group, `"networks"`, by default.

        Args:
            networks: the settings of that group in this run; the method's protocol's if not given.
            stretch: how many times as long as its protocol's the run is. Milestones that the method says in epochs of
                such a run are stretched by it; those of `networks` are the run's already.
        """
        return {"networks": networks or optimizer_settings.PROTOCOLS[self.protocol].settings}

    def amend(
        self, change: Callable[[tuple[Phase, ...]], tuple[Phase, ...]], helpers: Sequence[keras.Model] = ()
    ) -> None:
        """Changes the method's table and takes the helpers that this needs, as for what is added to a method.

        Args:
            change: from the table to another one.
            helpers: with names that no helper of the method has.

        Raises:
            ValueError: a name that is taken, a table that cannot be, or `compile` was called before.
        """
        self._require_not_compiled()
        if taken := sorted({one.name for one in helpers} & set(self.helpers)):
            raise ArgumentError("helpers", f"the method has {', '.join(taken)} already")
        table = change(self._table or self.phases())
        check_plan(table)
        self._table, self._plan = table, None
        self.helpers |= {one.name: one for one in helpers}

    @property
    def plan(self) -> tuple[Phase, ...]:
        """The table without the updates that have nothing to move, by what is frozen when `compile` is called."""
        if self._plan is None:
            if self._table is None:
                self._table = self.phases()
                check_plan(self._table)
            self._owned = owned_by_update(self._table)
            plan = without_idle_updates(self._table)
            require_terms(plan)
            check_shared_layers(self.networks, plan)
            self._teachers.require_unmoved(plan)
            with tf.init_scope(), self._scope():
                names = logged.training_names(plan, self.networks, self.task.training_metric_names)
                self.trackers = logged.means(names)
                meters = functools.partial(logged.meters, task=self.task, classes=self.classes)
                self.evaluation_trackers = meters(self.metrics_names, "val_")
                taught_by = logged.score_names([one.name for one in self.teachers], self.task.metric_names)
                self.teacher_trackers = meters(taught_by, "teacher_")
            self._plan = plan
        return self._plan

    @property
    def phase(self) -> Phase:
        """The phase that is being trained."""
        return self.plan[self.phase_index]

    def is_in_last_link(self, epoch: int) -> bool:
        """Whether the last link is trained in an epoch, from 0: before that some network has not had its turn."""
        return self.plan[self.calendar.at(epoch)].link == links_of(self.plan)[-1]

    def prepare(self, *, steps_per_epoch: int, epochs: int) -> None:
        """Creates every optimizer, built on its own variables. `fit` does it where it has not been done.

        Args:
            steps_per_epoch: what turns epochs of the schedules into steps.
            epochs: length of the run, for phases and schedules that depend on it.

        Raises:
            ValueError: `compile` was not called, an optimizer does not fit, what may move has changed since, or the
                links of a chain cannot share the epochs.
        """
        if not self.compiled:
            raise ValueError("prepare: call compile() first; without arguments it takes the paper's recipe")
        plan = self.plan
        require_unchanged(self._owned, owned_by_update(self._table or ()))
        if self.update_optimizers:
            return
        self.calendar = Calendar.of(plan, epochs)
        with self._scope():
            self.optimizers = UpdateOptimizers(
                plan,
                self.calendar,
                self._choose,
                steps_per_epoch=steps_per_epoch,
                epochs=epochs,
                replicas=self.distribute_strategy.num_replicas_in_sync,
            )
        self.update_optimizers = self.optimizers.by_name
        self.optimizer = OptimizersAsOne(self.update_optimizers)

    def start_epoch(self, epoch: int, steps: int | None) -> None:
        """Chooses the phase of `epoch` (from 0) and says how many steps it has."""
        self.epoch, self.steps_left = epoch, steps
        index = self.calendar.at(epoch)
        self._epoch.assign(epoch - self.calendar.ramp_begins[index])
        if index != self.phase_index:
            self._finalize()
        self.phase_index = index

    def _finalize(self) -> None:
        """Ends what `fit` has trained of the present phase."""
        if self.phase_index in self.phases_trained:
            with self._scope():
                self.optimizers.finalize(self.phase)

    def call_model(self, model: keras.Model, inputs: Any) -> Any:
        """Calls a network, helper or teacher in the mode of the present phase: frozen ones with `training=False`.

        A teacher's copy answers for it, see `Teachers.called`. Where a preparation moves a network in part, the mode is
        each layer's.
        """
        phase, moves = self.phase, self.phase.moves(model)
        if moves and isinstance(phase, PreparationPhase) and phase.parts:
            return called_in_part(model, inputs, phase.parts)
        return self._teachers.called_for(model)(inputs, training=moves)

    def epoch_value(self) -> tf.Tensor:
        """The present epoch, from 0 where its link's training begins, as weights of terms take it: a float32 scalar."""
        return self._epoch.value()

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*self.trackers.values(), *self.evaluation_trackers.values(), *self.teacher_trackers.values()]

    @property
    def metrics_names(self) -> list[str]:
        """The scores that `evaluate` gives, in its order; without the prefix `val_` that `fit` gives them."""
        return [logged.LOSS, *logged.score_names(self.scored, self.task.metric_names)]

    def _scope(self) -> contextlib.AbstractContextManager:
        return self.distribute_strategy.scope()
