"""What a distiller's future depends on: its variables by name, as a checkpoint takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tfdistill.devices import replicas
from tfdistill.devices.workers import Workers
from tfdistill.engine import logged
from tfdistill.engine.guard import Guard, require_finite
from tfdistill.engine.planned import Planned
from tfdistill.engine.state import keyed, network_state


class Stateful(Planned):
    """The state of a `Distiller`, of all its replicas and workers, and the guard that lets no NaN into it."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.steps_trained = 0
        self.workers = Workers(self.distribute_strategy)
        self.guard = Guard(self)

    def state(self) -> dict[str, keras.Variable]:
        """Every variable that the future of training depends on, under a key that is the same in every process."""
        owners: dict[str, Sequence[keras.Variable]] = {
            **{f"helpers/{name}": helper.variables for name, helper in self.helpers.items()},
            **{f"optimizers/{name}": optimizer.variables for name, optimizer in self.update_optimizers.items()},
            # The mean of all learners is for Keras' callbacks; a run's record has no column of it.
            **{f"metrics/{key}": one.variables for key, one in self.trackers.items() if key != logged.LOSS},
        }
        return {**network_state(self.networks), **keyed(owners)}

    def start_epoch(self, epoch: int, steps: int | None) -> None:
        """Chooses the phase of `epoch`; what does not move in it has the mean of the replicas' statistics from then on.

        With several workers all have to call it, at the same step.
        """
        super().start_epoch(epoch, steps)
        if len(self.plan) > 1:
            still = [model for model in (*self.networks, *self.helpers.values()) if not self.phase.moves(model)]
            self._average([variable for model in still for variable in model.non_trainable_variables])

    def kept_by_replicas(self) -> list[keras.Variable]:
        """What no optimizer moves: running statistics, and the state of generators."""
        models = (*self.networks, *self.helpers.values())
        return list({id(one): one for model in models for one in model.non_trainable_variables}.values())

    def synchronize(self) -> None:
        """Averages what replicas keep for themselves (BatchNorm statistics); nothing to do on one device.

        With several workers all have to call it, at the same step.
        """
        self._average(self.kept_by_replicas())

    def _average(self, variables: Sequence[keras.Variable]) -> None:
        for variable, mean in self._means(variables):
            variable.assign(mean)

    def _means(self, variables: Sequence[keras.Variable]) -> list[tuple[keras.Variable, np.ndarray]]:
        """The means over the replicas; with several workers all have to call it."""
        return replicas.means(variables, self.distribute_strategy, self.workers)

    def snapshot(self) -> dict[str, np.ndarray]:
        """The arrays of `state`, the replicas' statistics averaged, and what each replica has for itself.

        The variables stay as they are: when a checkpoint is taken must not change the training. With several workers
        all have to call it.

        Raises:
            FloatingPointError: a variable, or a loss since the last look, is not finite: that is never saved.
        """
        self.guard.look()
        means = {id(variable): mean for variable, mean in self._means(self.kept_by_replicas())}
        state = self.state()
        arrays = replicas.values(state, self.distribute_strategy, self.workers)
        arrays |= {name: means[id(variable)] for name, variable in state.items() if id(variable) in means}
        require_finite(arrays, state, f"at step {self.steps_trained}")
        own = {name: one for name, one in state.items() if id(one) in means or name.startswith("metrics/")}
        return {**arrays, **replicas.own_values(own, self.distribute_strategy, self.workers)}
