"""The update rules of SGD, Adam and AdamW as PyTorch has them: the weight decay of AdamW alone is decoupled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError, require_one_of
from tfdistill.optimizers.checks import DECAY_ON, DecayOn, require_adam, require_momentum
from tfdistill.optimizers.schedules import Later, LearningRate, MultiStep


class _CoupledDecayOptimizer(keras.optimizers.Optimizer):
    """What the optimizers share: clipping by the global norm, then L2 decay added to the gradient.

    Both come after the replicas' gradients are summed, so that they act once, whatever the number of replicas. Keras'
    own `global_clipnorm` and `weight_decay` stay None: they are other rules, applied before the reduction.
    """

    def __init__(
        self, learning_rate: LearningRate, coupled_decay: float, decay_on: str, clip_norm: float, name: str | None
    ):
        super().__init__(learning_rate=learning_rate, name=name)
        for argument, value in (("coupled_decay", coupled_decay), ("clip_norm", clip_norm)):
            if not 0 <= value < math.inf:
                raise ArgumentError(argument, f"must be a finite number from 0, got {value}")
        require_one_of("decay_on", decay_on, DECAY_ON)
        self.coupled_decay = coupled_decay
        self.decay_on = decay_on
        self.clip_norm = clip_norm
        self.takes_sums = False
        """Whether it is given the sum of the replicas' gradients; else it sums them itself."""

    def _all_reduce_sum_gradients(self, grads_and_vars: Iterable[tuple]) -> list[tuple]:
        """Return the gradients summed over the replicas, as Keras does, and clipped."""
        reduced = list(grads_and_vars) if self.takes_sums else super()._all_reduce_sum_gradients(grads_and_vars)
        if not self.clip_norm:
            return reduced
        gradients, variables = zip(*reduced, strict=True)
        clipped, _ = tf.clip_by_global_norm(gradients, self.clip_norm)
        return list(zip(clipped, variables, strict=True))

    def _with_decay(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """Return the dense gradient, plus `coupled_decay * variable` where that applies."""
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        if self.coupled_decay == 0 or not self._decays(variable):
            return gradient
        return gradient + self.coupled_decay * variable

    def _decays(self, variable: tf.Variable) -> bool:
        """Return whether `decay_on` has this variable decay."""
        return self.decay_on == "all" or len(variable.shape) > 1

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        inherited = super().get_config()
        return {
            "name": inherited["name"],
            "learning_rate": inherited["learning_rate"],
            "coupled_decay": self.coupled_decay,
            "decay_on": self.decay_on,
            "clip_norm": self.clip_norm,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects: dict | None = None) -> keras.optimizers.Optimizer:
        """Return an unbuilt optimizer of the same settings, its schedule included."""
        return super().from_config(dict(config), {"MultiStep": MultiStep, "Later": Later, **(custom_objects or {})})


class SGD(_CoupledDecayOptimizer):
    """Stochastic gradient descent with momentum, by PyTorch's rule.

    With `g' = g + coupled_decay * w`: `buffer = momentum * buffer + g'`, from a buffer of 0, and
    `w = w - rate * buffer`, or with Nesterov's momentum `w = w - rate * (g' + momentum * buffer)`. The buffer
    does not hold the rate, so a drop of the rate acts on the whole step at once. With `restart_momentum` the buffer
    counts as 0 at a drop too, as where a training loop makes a new optimizer for the new rate. Whether a step is a
    drop follows from `iterations`, so there is nothing more to keep in a checkpoint.

    Args:
        learning_rate: a float, or a Keras schedule.
        momentum: 0 (no buffer) to below 1.
        nesterov: whether to look ahead; needs momentum.
        coupled_decay: L2 coefficient, added to the gradient after its reduction and before momentum.
        decay_on: "all" variables, or only "matrices": those with more than one dimension, which spares biases
            and batch normalisation.
        restart_momentum: whether the buffer starts anew at each milestone of a `MultiStep` rate; other rates have
            none.
        clip_norm: largest global norm of a step's gradient, all variables together, after the replicas' sum and before
            the decay, as PyTorch clips: `g <- g * min(1, clip_norm / ||g||)`; 0: no limit.
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
        decay_on: DecayOn = "all",
        restart_momentum: bool = False,
        clip_norm: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(learning_rate, coupled_decay, decay_on, clip_norm, name)
        require_momentum(momentum, nesterov)
        self.momentum = momentum
        self.nesterov = nesterov
        self.restart_momentum = restart_momentum

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
            new_buffer = self._share_kept(variable.dtype) * tf.convert_to_tensor(buffer) + step
            self.assign(buffer, new_buffer)
            step = step + self.momentum * new_buffer if self.nesterov else new_buffer
        self.assign_sub(variable, tf.cast(learning_rate, variable.dtype) * step)

    def _share_kept(self, dtype: tf.DType) -> float | tf.Tensor:
        """Return which share of the buffer this step keeps."""
        if not self.restart_momentum or not isinstance(self._learning_rate, MultiStep):
            return self.momentum
        return tf.cast(tf.where(self._learning_rate.drops_at(self.iterations), 0.0, self.momentum), dtype)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        own = {"momentum": self.momentum, "nesterov": self.nesterov, "restart_momentum": self.restart_momentum}
        return {**super().get_config(), **own}


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
        clip_norm: as of `SGD`.
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
        decay_on: DecayOn = "all",
        clip_norm: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(learning_rate, coupled_decay, decay_on, clip_norm, name)
        require_adam((beta_1, beta_2), epsilon)
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


class AdamW(Adam):
    """Adam whose decay does not pass through the moments, by PyTorch's rule.

    With the moments of `Adam`, made of the gradient alone:
    `w = w - rate * decoupled_decay * w - rate * m^ / (sqrt(v^) + epsilon)`. The decay follows the rate's schedule.

    Example:
        optimizer = AdamW(0.001, decoupled_decay=0.05, decay_on="matrices")

    Args:
        learning_rate: a float, or a Keras schedule.
        beta_1: decay of the mean, 0 to below 1.
        beta_2: decay of the mean square, 0 to below 1.
        epsilon: above 0, added to the corrected root.
        decoupled_decay: share of a weight that a step of rate 1 takes away, from 0.
        decay_on: "all" variables, or only "matrices": those with more than one dimension.
        clip_norm: as of `SGD`.
        name: the optimizer's name.

    Raises:
        ValueError: if an argument is out of range.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", Algorithm 2, with the rate as its
    schedule multiplier.
    """

    def __init__(
        self,
        learning_rate: LearningRate,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        decoupled_decay: float = 0.01,
        decay_on: DecayOn = "all",
        clip_norm: float = 0.0,
        name: str | None = None,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, 0.0, decay_on, clip_norm, name)
        if not 0 <= decoupled_decay < math.inf:
            raise ArgumentError("decoupled_decay", f"must be a finite number from 0, got {decoupled_decay}")
        self.decoupled_decay = decoupled_decay

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Move one variable by its decay, then by its reduced gradient."""
        if self.decoupled_decay and self._decays(variable):
            rate = tf.cast(learning_rate, variable.dtype)
            self.assign_sub(variable, rate * self.decoupled_decay * tf.convert_to_tensor(variable))
        super().update_step(gradient, variable, learning_rate)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        config = {**super().get_config(), "decoupled_decay": self.decoupled_decay}
        del config["coupled_decay"]
        return config
