"""The optimizers of all updates as Keras' callbacks take the optimizer of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfdistill import optimizers


class NamedRule:
    """An optimizer under its update's name, as Keras' callbacks take the optimizers of a model.

    Args:
        name: of the update.
        rule: what moves the variables; attributes other than these two are its own.
    """

    def __init__(self, name: str, rule: keras.optimizers.Optimizer) -> None:
        self.__dict__.update(name=name, rule=rule)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.rule, attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        if attribute == "learning_rate":
            require_settable(self.name, self.rule, "learning_rate")
        setattr(self.rule, attribute, value)


class OptimizersAsOne:
    """The optimizers of all updates, as callbacks of Keras take a `MultiOptimizer`: `model.optimizer`.

    `SwapEMAWeights`, `ReduceLROnPlateau`, `LearningRateScheduler`, `BackupAndRestore` and `TensorBoard` read it.

    Args:
        by_name: the optimizers by update.
    """

    built = True

    def __init__(self, by_name: Mapping[str, keras.optimizers.Optimizer]) -> None:
        self.optimizers = [
            NamedRule(name if place == 0 else f"{name}_{place}", rule)
            for name, optimizer in by_name.items()
            for place, rule in enumerate(optimizers.rules_of(optimizer))
        ]

    @property
    def iterations(self) -> keras.Variable:
        """Steps of the first update's optimizer."""
        return self.optimizers[0].iterations

    @property
    def learning_rate(self) -> Any:
        """Learning rate of the first update's optimizer."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for one in self.optimizers:
            one.learning_rate = value


def require_settable(name: str, rule: keras.optimizers.Optimizer, setter: str) -> None:
    """Refuses to set a learning rate that is a function of the step.

    Raises:
        ValueError: names the update and the remedy.
    """
    rate = rule._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) or callable(rate):
        raise ValueError(
            f"{setter}: the learning rate of {name!r} follows a schedule of its own; compile(optimizer=...) with a "
            "number for a rate, such as OptimizerSettings(learning_rate=0.1), leaves it to be set"
        )
