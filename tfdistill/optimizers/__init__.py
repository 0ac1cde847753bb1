"""Optimizers with PyTorch's update rules, which the distillation papers used, and their schedules.

Keras' own differ in three ways that change a result: their weight decay is decoupled, their SGD folds the
learning rate into the momentum buffer (so a drop of the rate acts late), and Adam's epsilon meets moments
without bias correction.
"""

from typing import TYPE_CHECKING

from tfdistill import lazy

if TYPE_CHECKING:
    from tfdistill.optimizers.building import build
    from tfdistill.optimizers.carried import (
        fit_for_replicas,
        require_one_average,
        require_optimizer,
        rules_of,
        with_loss_scale,
    )
    from tfdistill.optimizers.checks import DECAY_ON, KINDS, SCHEDULES
    from tfdistill.optimizers.protocols import PROTOCOLS, Protocol
    from tfdistill.optimizers.rules import SGD, Adam, AdamW
    from tfdistill.optimizers.schedules import Later, LearningRate, MultiStep, cosine, later
    from tfdistill.optimizers.settings import OptimizerSettings
else:
    __getattr__, __dir__ = lazy.attributes(__name__)

__all__ = [
    "DECAY_ON",
    "KINDS",
    "PROTOCOLS",
    "SCHEDULES",
    "SGD",
    "Adam",
    "AdamW",
    "Later",
    "LearningRate",
    "MultiStep",
    "OptimizerSettings",
    "Protocol",
    "build",
    "cosine",
    "fit_for_replicas",
    "later",
    "require_one_average",
    "require_optimizer",
    "rules_of",
    "with_loss_scale",
]
