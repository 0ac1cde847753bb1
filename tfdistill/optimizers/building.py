"""From settings to the optimizer that they describe."""

from __future__ import annotations

import keras

from tfdistill.optimizers.checks import require_positive_integer
from tfdistill.optimizers.rules import SGD, Adam, AdamW
from tfdistill.optimizers.schedules import LearningRate, MultiStep, cosine
from tfdistill.optimizers.settings import OptimizerSettings


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
    require_positive_integer("steps_per_epoch", steps_per_epoch)
    require_positive_integer("epochs", epochs)
    rate = _learning_rate(settings, steps_per_epoch, epochs)
    decay = (settings.weight_decay, settings.decay_on)
    if settings.kind == "sgd":
        momentum = (settings.momentum, settings.nesterov)
        return SGD(rate, *momentum, *decay, settings.restart_momentum, settings.clip_norm, name=name)
    rule = Adam if settings.kind == "adam" else AdamW
    return rule(rate, *settings.betas, settings.epsilon, *decay, clip_norm=settings.clip_norm, name=name)


def _learning_rate(settings: OptimizerSettings, steps_per_epoch: int, epochs: int) -> LearningRate:
    """Return the settings' rate, its epochs turned into steps."""
    if settings.schedule == "constant":
        return float(settings.learning_rate)
    if settings.schedule == "cosine":
        warmup_steps = round(settings.warmup_epochs * steps_per_epoch)
        return cosine(settings.learning_rate, epochs * steps_per_epoch, warmup_steps)
    milestones = [max(1, round(milestone * steps_per_epoch)) for milestone in settings.milestones]
    return MultiStep(settings.learning_rate, milestones, settings.factor)
