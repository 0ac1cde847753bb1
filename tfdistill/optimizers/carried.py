"""What an optimizer carries beside its rule (scaled losses, averages of weights, clipping) and what it needs for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdistill.optimizers.rules import SGD, Adam

_ONE_DEVICE = ("gradient_accumulation_steps", "ema_overwrite_frequency")


def require_optimizer(optimizer: Any, name: str) -> None:
    """Refuses what is no optimizer.

    Raises:
        ValueError: names the update that it was given to.
    """
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            f"optimizers: {name!r} must have OptimizerSettings or an optimizer such as keras.optimizers.Adam(), not "
            f"{optimizer!r}"
        )


def with_loss_scale(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer for gradients that pass through float16: wrapped as Keras does, unless it scales by itself."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor is not None:
        return optimizer
    return keras.optimizers.LossScaleOptimizer(optimizer)


def rules_of(optimizer: keras.optimizers.Optimizer) -> list[keras.optimizers.Optimizer]:
    """The optimizers that move variables: itself, or those that it wraps."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return rules_of(optimizer.inner_optimizer)
    if isinstance(optimizer, keras.optimizers.MultiOptimizer):
        return list(optimizer.optimizers)
    return [optimizer]


def averages_weights(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether it has a moving average of the weights (`use_ema`), which the weights are set to in the end."""
    return any(one.use_ema for one in rules_of(optimizer))


def fit_for_replicas(optimizer: keras.optimizers.Optimizer, name: str, replicas: int) -> bool:
    """Prepares a built optimizer for several replicas.

    Keras' own optimizers clip, and look for infinite gradients, before the replicas' gradients are summed, so that each
    replica would do something else. They are given the sums here.

    Args:
        optimizer: built on its variables.
        name: of its update, for messages.
        replicas: two or more.

    Returns:
        Whether it has to be given the sum of the replicas' gradients; else it sums them itself.

    Raises:
        ValueError: it was made outside of the strategy's scope, or carries what Keras computes on one device only.
    """
    rules = rules_of(optimizer)
    for one in rules:
        for argument in _ONE_DEVICE:
            if getattr(one, argument):
                raise ValueError(
                    f"optimizers: {argument}={getattr(one, argument)} of {name!r} works on one device only, not on "
                    f"{replicas} replicas; leave it out"
                )
        if not isinstance(one.iterations.value, tf.distribute.DistributedValues):
            raise ValueError(f"optimizers: {name!r} has one made outside of strategy.scope(); make it inside")
    if isinstance(optimizer, SGD | Adam):
        return False
    for one in rules:
        if isinstance(one, SGD | Adam):
            one.takes_sums = True
        else:
            one._all_reduce_sum_gradients = list
    return True


def require_one_average(optimizers: Sequence[tuple[str, keras.optimizers.Optimizer, Sequence[Any]]]) -> None:
    """Refuses averages of weights that more than one optimizer moves: each would set them to its own.

    Args:
        optimizers: update, optimizer, and the variables that it moves.

    Raises:
        ValueError: names both updates.
    """
    for name, optimizer, variables in optimizers:
        own = {id(variable) for variable in variables}
        for other, _, others in optimizers:
            if other != name and averages_weights(optimizer) and own & {id(one) for one in others}:
                raise ValueError(
                    f"optimizers: use_ema of {name!r} averages weights that {other!r} moves too; leave it out"
                )
