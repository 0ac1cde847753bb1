"""Optimizers with PyTorch's update rules, which the distillation papers used, and their schedules.

Keras' own differ in three ways that change a result: their weight decay is decoupled, their SGD folds the
learning rate into the momentum buffer (so a drop of the rate acts late), and Adam's epsilon meets moments
without bias correction.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import keras
import tensorflow as tf

KINDS = ("sgd", "adam")
DECAY_ON = ("all", "matrices")
SCHEDULES = ("step", "cosine", "constant")

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def _require_momentum(momentum: float, nesterov: bool) -> None:
    if not 0 <= momentum < 1:
        raise ValueError(f"momentum must be from 0 to below 1, got {momentum}")
    if nesterov and momentum == 0:
        raise ValueError("nesterov needs a momentum above 0, got momentum 0")


def _require_adam(betas: tuple[float, float], epsilon: float) -> None:
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise ValueError(f"betas must be two numbers from 0 to below 1, got {betas}")
    if not 0 < epsilon < math.inf:
        raise ValueError(f"epsilon must be a finite number above 0, got {epsilon}")


def _require_positive_integer(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number from 1, got {value!r}")


class MultiStep(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply the learning rate by a factor at each of some steps.

    `rate(step) = learning_rate * factor ** (number of milestones <= step)`: the step whose 0-based number is
    a milestone already runs at the new rate.

    Args:
        learning_rate: the rate before the first milestone.
        milestones: 0-based step numbers, ascending; a number given twice counts twice.
        factor: what each milestone multiplies the rate by.

    Raises:
        ValueError: if the milestones are not ascending.
    """

    def __init__(self, learning_rate: float, milestones: Sequence[int], factor: float = 0.1):
        if list(milestones) != sorted(milestones):
            raise ValueError(f"milestones must be ascending, got {tuple(milestones)}")
        self.learning_rate = learning_rate
        self.milestones = tuple(milestones)
        self.factor = factor

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the float32 rate of the step with this 0-based number."""
        rates = [self.learning_rate * self.factor**passed for passed in range(len(self.milestones) + 1)]
        milestones = tf.constant(self.milestones, tf.int64, shape=[len(self.milestones)])
        passed = tf.reduce_sum(tf.cast(milestones <= tf.cast(step, tf.int64), tf.int32))
        return tf.gather(tf.constant(rates, tf.float32), passed)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "learning_rate": self.learning_rate,
            "milestones": list(self.milestones),
            "factor": self.factor,
        }


def cosine(learning_rate: float, steps: int, warmup_steps: int = 0) -> keras.optimizers.schedules.CosineDecay:
    """Let the learning rate fall to 0 along half a cosine, after an optional linear rise from 0.

    `rate(step) = learning_rate * step / warmup_steps` before `warmup_steps`, and from there
    `learning_rate * (1 + cos(pi * (step - warmup_steps) / (steps - warmup_steps))) / 2`.

    Args:
        learning_rate: the highest rate.
        steps: length of the whole run, warm-up included.
        warmup_steps: length of the rise, from 0 (none) to below `steps`.

    Returns:
        Keras' own schedule.

    Raises:
        ValueError: if the warm-up leaves no step for the fall.
    """
    if not 0 <= warmup_steps < steps:
        raise ValueError(f"warmup_steps must be from 0 to below the run's {steps} steps, got {warmup_steps}")
    learning_rate = float(learning_rate)
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup_steps, warmup_target=learning_rate, warmup_steps=warmup_steps
    )


class _CoupledDecayOptimizer(keras.optimizers.Optimizer):
    """What both optimizers share: L2 decay that is added to the gradient before anything else sees it.

    Keras calls `update_step` after the replicas' gradients are summed, so the decay is added once, whatever
    the number of replicas. Its own `weight_decay` stays None: it is another rule, applied before the
    reduction.
    """

    def __init__(self, learning_rate: LearningRate, coupled_decay: float, decay_on: str, name: str | None):
        super().__init__(learning_rate=learning_rate, name=name)
        if not 0 <= coupled_decay < math.inf:
            raise ValueError(f"coupled_decay must be a finite number from 0, got {coupled_decay}")
        _require_choice("decay_on", decay_on, DECAY_ON)
        self.coupled_decay = coupled_decay
        self.decay_on = decay_on

    def _with_decay(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """Return the dense gradient, plus `coupled_decay * variable` where that applies."""
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        if self.coupled_decay == 0 or (self.decay_on == "matrices" and len(variable.shape) <= 1):
            return gradient
        return gradient + self.coupled_decay * variable

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        inherited = super().get_config()
        return {
            "name": inherited["name"],
            "learning_rate": inherited["learning_rate"],
            "coupled_decay": self.coupled_decay,
            "decay_on": self.decay_on,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> keras.optimizers.Optimizer:
        """Return an unbuilt optimizer of the same settings, its schedule included."""
        return super().from_config(dict(config), {"MultiStep": MultiStep, **(custom_objects or {})})


class SGD(_CoupledDecayOptimizer):
    """Stochastic gradient descent with momentum, by PyTorch's rule.

    With `g' = g + coupled_decay * w`: `buffer = momentum * buffer + g'`, from a buffer of 0, and
    `w = w - rate * buffer`, or with Nesterov's momentum `w = w - rate * (g' + momentum * buffer)`. The buffer
    does not hold the rate, so a drop of the rate acts on the whole step at once.

    Args:
        learning_rate: a float, or a Keras schedule.
        momentum: 0 (no buffer) to below 1.
        nesterov: whether to look ahead; needs momentum.
        coupled_decay: L2 coefficient, added to the gradient after its reduction and before momentum.
        decay_on: "all" variables, or only "matrices": those with more than one dimension, which spares biases
            and batch normalisation.
        name: the optimizer's name.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        momentum: float = 0.0,
        nesterov: bool = False,
        coupled_decay: float = 0.0,
        decay_on: str = "all",
        name: str | None = None,
    ):
        super().__init__(learning_rate, coupled_decay, decay_on, name)
        _require_momentum(momentum, nesterov)
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create one buffer per variable; a second call does nothing."""
        if self.built:
            return
        super().build(variables)
        self.buffers = self.add_optimizer_variables(variables, "momentum") if self.momentum else []

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Move one variable by its reduced gradient."""
        step = self._with_decay(gradient, variable)
        if self.momentum:
            buffer = self.buffers[self._get_variable_index(variable)]
            new_buffer = self.momentum * tf.convert_to_tensor(buffer) + step
            self.assign(buffer, new_buffer)
            step = step + self.momentum * new_buffer if self.nesterov else new_buffer
        self.assign_sub(variable, tf.cast(learning_rate, variable.dtype) * step)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}


class Adam(_CoupledDecayOptimizer):
    """Adam with L2 decay in the gradient, by PyTorch's rule.

    With `g' = g + coupled_decay * w`: `m = beta_1 m + (1 - beta_1) g'`, `v = beta_2 v + (1 - beta_2) g'^2`,
    and `w = w - rate * m^ / (sqrt(v^) + epsilon)`, where `m^ = m / (1 - beta_1^t)`, `v^ = v / (1 - beta_2^t)`
    and t counts from 1. Because the decay enters both moments, a weight without gradient moves by about the
    rate per step towards 0.

    Args:
        learning_rate: a float, or a Keras schedule.
        beta_1: decay of the mean, 0 to below 1.
        beta_2: decay of the mean square, 0 to below 1.
        epsilon: above 0, added to the corrected root.
        coupled_decay: L2 coefficient, added to the gradient after its reduction.
        decay_on: "all" variables, or only "matrices": those with more than one dimension.
        name: the optimizer's name.

    Raises:
        ValueError: if an argument is out of range.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", Algorithm 1.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        coupled_decay: float = 0.0,
        decay_on: str = "all",
        name: str | None = None,
    ):
        super().__init__(learning_rate, coupled_decay, decay_on, name)
        _require_adam((beta_1, beta_2), epsilon)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create both moments of each variable; a second call does nothing."""
        if self.built:
            return
        super().build(variables)
        self.means, self.mean_squares = self.add_optimizer_variables(variables, ["mean", "mean_square"])

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Move one variable by its reduced gradient."""
        gradient = self._with_decay(gradient, variable)
        index = self._get_variable_index(variable)
        mean, mean_square = self.means[index], self.mean_squares[index]
        new_mean = self.beta_1 * tf.convert_to_tensor(mean) + (1 - self.beta_1) * gradient
        new_square = self.beta_2 * tf.convert_to_tensor(mean_square) + (1 - self.beta_2) * tf.square(gradient)
        self.assign(mean, new_mean)
        self.assign(mean_square, new_square)
        corrected_root = tf.sqrt(new_square / self._correction(self.beta_2, variable.dtype))
        corrected_mean = new_mean / self._correction(self.beta_1, variable.dtype)
        rate = tf.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, rate * corrected_mean / (corrected_root + self.epsilon))

    def _correction(self, beta: float, dtype: tf.DType) -> tf.Tensor:
        """Return `1 - beta ** t`, worked in float64: in float32 it would lose digits in the first steps."""
        count = tf.cast(tf.convert_to_tensor(self.iterations), tf.float64) + 1.0
        return tf.cast(1.0 - tf.pow(tf.constant(beta, tf.float64), count), dtype)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


@dataclass(frozen=True)
class OptimizerSettings:
    """Everything that describes an optimizer and its schedule, counted in epochs.

    Args:
        kind: "sgd" or "adam".
        learning_rate: the highest rate, above 0.
        momentum: of SGD, 0 to below 1.
        nesterov: of SGD; needs momentum.
        weight_decay: coupled L2 coefficient, from 0.
        decay_on: "all" variables, or "matrices" (those with more than one dimension).
        schedule: "step" (times `factor` at each milestone), "cosine" (down to 0 at the run's end) or
            "constant".
        milestones: of "step": ascending 0-based epochs, above 0, at whose start the new rate holds. A
            fraction of an epoch is allowed.
        factor: of "step", above 0.
        warmup_epochs: of "cosine": length of a linear rise from 0, in epochs, from 0.
        betas: of Adam, each 0 to below 1.
        epsilon: of Adam, above 0.

    Raises:
        ValueError: if a value is out of range, or belongs to another schedule.
    """

    kind: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_on: str = "all"
    schedule: str = "constant"
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_epochs: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        _require_choice("kind", self.kind, KINDS)
        _require_choice("decay_on", self.decay_on, DECAY_ON)
        _require_choice("schedule", self.schedule, SCHEDULES)
        for name in ("learning_rate", "factor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number above 0, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number from 0, got {getattr(self, name)}")
        _require_momentum(self.momentum, self.nesterov)
        _require_adam(self.betas, self.epsilon)
        self._require_schedule()

    def _require_schedule(self) -> None:
        if not all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False)):
            raise ValueError(f"milestones must be ascending epochs above 0, got {self.milestones}")
        if bool(self.milestones) != (self.schedule == "step"):
            raise ValueError(
                f"milestones must be given for schedule 'step' and for no other, got {self.milestones} for "
                f"{self.schedule!r}"
            )
        if self.warmup_epochs and self.schedule != "cosine":
            raise ValueError(f"warmup_epochs needs schedule 'cosine', got schedule {self.schedule!r}")


@dataclass(frozen=True)
class Protocol:
    """A paper's way to train: an optimizer, a length and a batch size.

    Args:
        settings: the optimizer and its schedule.
        epochs: length of the run the milestones belong to, at least 1.
        batch_size: examples per step over all replicas, at least 1.
        source: where the numbers come from.

    Raises:
        ValueError: if `epochs` or `batch_size` is below 1.
    """

    settings: OptimizerSettings
    epochs: int
    batch_size: int
    source: str

    def __post_init__(self) -> None:
        _require_positive_integer("epochs", self.epochs)
        _require_positive_integer("batch_size", self.batch_size)

    def scaled(self, epochs: int) -> Protocol:
        """Return this protocol for a run of another length.

        Milestones and warm-up stay at the same fractions of the run. A milestone may fall inside an epoch
        then: drops at 80 and 120 of 160 epochs become 1 and 1.5 of 2.

        Args:
            epochs: the new length, at least 1.

        Returns:
            The scaled protocol; learning rate, decay and batch size stay.

        Raises:
            ValueError: if `epochs` is below 1.
        """
        _require_positive_integer("epochs", epochs)
        settings = replace(
            self.settings,
            milestones=tuple(milestone * epochs / self.epochs for milestone in self.settings.milestones),
            warmup_epochs=self.settings.warmup_epochs * epochs / self.epochs,
        )
        return replace(self, settings=settings, epochs=epochs)


PROTOCOLS = {
    "ie_cifar": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=5e-4, schedule="step", milestones=(80, 120)),
        epochs=160,
        batch_size=128,
        source="Huang et al., Revisiting Knowledge Distillation, section 4.1; weight decay: their code",
    ),
    "dml_original": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=5e-4, schedule="step", milestones=(60, 120, 180)),
        epochs=200,
        batch_size=64,
        source="Zhang et al., Deep Mutual Learning, CIFAR-100; weight decay: the code of Huang et al.",
    ),
}


def build(
    settings: OptimizerSettings, *, steps_per_epoch: int, epochs: int, name: str | None = None
) -> keras.optimizers.Optimizer:
    """Make the optimizer that the settings describe.

    Args:
        settings: kind, rates and schedule. A milestone at or after `epochs` is never reached; see
            `Protocol.scaled`.
        steps_per_epoch: optimizer steps in an epoch, at least 1.
        epochs: length of the run, at least 1; "cosine" ends there.
        name: the optimizer's name.

    Returns:
        An optimizer without variables: call its `build` on the variables it moves, under the strategy's
        scope, before the first step. Its schedule counts the steps of this optimizer.

    Raises:
        ValueError: if `steps_per_epoch` or `epochs` is below 1, or the warm-up fills the run.
    """
    _require_positive_integer("steps_per_epoch", steps_per_epoch)
    _require_positive_integer("epochs", epochs)
    rate = _learning_rate(settings, steps_per_epoch, epochs)
    if settings.kind == "sgd":
        return SGD(rate, settings.momentum, settings.nesterov, settings.weight_decay, settings.decay_on, name=name)
    return Adam(rate, *settings.betas, settings.epsilon, settings.weight_decay, settings.decay_on, name=name)


def _learning_rate(settings: OptimizerSettings, steps_per_epoch: int, epochs: int) -> LearningRate:
    """Return the settings' rate, its epochs turned into steps."""
    if settings.schedule == "constant":
        return float(settings.learning_rate)
    if settings.schedule == "cosine":
        warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
        return cosine(settings.learning_rate, epochs * steps_per_epoch, warmup_steps)
    milestones = [max(1, round(milestone * steps_per_epoch)) for milestone in settings.milestones]
    return MultiStep(settings.learning_rate, milestones, settings.factor)
