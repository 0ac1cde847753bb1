"""The papers' ways to train, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tfdistill.optimizers.checks import require_positive_integer
from tfdistill.optimizers.settings import OptimizerSettings


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
        require_positive_integer("epochs", self.epochs)
        require_positive_integer("batch_size", self.batch_size)

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
        require_positive_integer("epochs", epochs)
        return replace(self, settings=self.settings.stretched(epochs / self.epochs), epochs=epochs)


# Steps of an epoch of the 16,551 images of trainval of 2007 and 2012, in batches of 32.
VOC_STEPS = 16_551 // 32

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
        source="deep mutual learning on CIFAR-100 as the code of Huang et al., Revisiting Knowledge Distillation, "
        "trains it for their Table 4; Zhang et al.'s own text was not at hand",
    ),
    "dcm_wide_resnet": Protocol(
        # The authors' code counts epochs from 1 and drops before the 60th, 120th and 160th, with a new optimizer.
        OptimizerSettings(
            weight_decay=5e-4, schedule="step", milestones=(59, 119, 159), factor=0.2, restart_momentum=True
        ),
        epochs=200,
        batch_size=128,
        source="Yao and Sun, Dense Cross-Layer Mutual-Distillation, section 4.1; numbers: their code for Wide ResNets",
    ),
    "dcm_resnet": Protocol(
        OptimizerSettings(weight_decay=1e-4, schedule="step", milestones=(81, 122)),
        epochs=164,
        batch_size=128,
        source="Yao and Sun, section 4.1, 'as the original papers': He et al.; epochs: Li and Chen's code (ResNet-110)",
    ),
    "dcm_densenet": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=1e-4, schedule="step", milestones=(150, 225)),
        epochs=300,
        batch_size=64,
        source="Yao and Sun, section 4.1, 'as the original papers': Huang et al., Densely Connected Networks, CIFAR",
    ),
    "dcm_imagenet": Protocol(
        OptimizerSettings(weight_decay=1e-4, schedule="step", milestones=(30, 60)),
        epochs=90,
        batch_size=256,
        source="Yao and Sun, section 4.2, 'as the original papers': ResNets on ImageNet; epochs: as is usual since",
    ),
    "afd": Protocol(
        OptimizerSettings(weight_decay=1e-4, schedule="step", milestones=(150, 225)),
        epochs=300,
        batch_size=128,
        source="Chung et al., Feature-map-level Online Adversarial Knowledge Distillation, section 4, which names no "
        "Nesterov's momentum",
    ),
    "ffl": Protocol(
        OptimizerSettings(nesterov=True, weight_decay=1e-4, schedule="step", milestones=(150, 225)),
        epochs=300,
        batch_size=128,
        source="Kim et al., Feature Fusion for Online Mutual Knowledge Distillation: the authors' code",
    ),
    "afd_imagenet": Protocol(
        OptimizerSettings(learning_rate=0.01, weight_decay=1e-4, schedule="step", milestones=(10, 20)),
        epochs=30,
        batch_size=256,
        source="Chung et al., Feature-map-level Online Adversarial Knowledge Distillation, section 4.6: 30 epochs from "
        "pre-trained networks; the paper gives no rates, these are usual for such a start",
    ),
    "ssd_voc": Protocol(
        OptimizerSettings(
            learning_rate=1e-3,
            weight_decay=5e-4,
            decay_on="matrices",
            schedule="step",
            milestones=(80_000 / VOC_STEPS, 100_000 / VOC_STEPS),
        ),
        epochs=120_000 // VOC_STEPS,
        batch_size=32,
        source="SSD300 on Pascal VOC 2007 and 2012: 120,000 steps of 32 are Huang et al.'s, Revisiting Knowledge "
        "Distillation, section 4.4; rate, decay and drops at 80,000 and 100,000 steps are those of Liu et al.'s SSD",
    ),
}
