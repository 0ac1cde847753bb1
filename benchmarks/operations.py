"""How many multiply-adds a training step takes, by method: what must be computed, whoever computes it.

A backward pass takes two multiply-adds for each of the forward pass, one for the gradient of the layer's input and one
for that of its weights. Normalisations, activations, losses and optimizers have no product of matrices, and count as
nothing; that the first layer's input needs no gradient is left out of account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Forward:
    """Multiply-adds of one forward pass of one image.

    Args:
        networks: of each network.
        classifiers: of each network's last, linear layer, which is in `networks` too.
        helpers: of each helper model, by what it is: "head", "discriminator", "transfer".
    """

    networks: Sequence[int]
    classifiers: Sequence[int] = ()
    helpers: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def of(self, kind: str) -> int:
        """All helpers of a kind together."""
        return sum(self.helpers.get(kind, ()))


def joint(forward: Forward) -> int:
    """Every network, with its heads if it has some, forward and backward once."""
    return 3 * (sum(forward.networks) + forward.of("head"))


def alternating(forward: Forward) -> int:
    """As `joint`, and every network but the last, once it has moved, forward again as a source of the next.

    What did not move since its last forward pass is not computed anew.
    """
    return joint(forward) + sum(forward.networks[:-1])


def adversarial(forward: Forward) -> int:
    """As `joint`, and backward from the feature map a second time, for the other optimizer.

    A discriminator sees a real and a fake map: forward and backward twice, and back through the fake one to what made
    it. A transfer layer goes forward and backward once.
    """
    extractors = sum(forward.networks) - sum(forward.classifiers)
    return joint(forward) + 2 * extractors + 7 * forward.of("discriminator") + 3 * forward.of("transfer")


# What each method that is compared takes for an image.
OPERATIONS: dict[str, Callable[[Forward], int]] = {
    "supervised": joint,
    "dml": alternating,
    "dml_joint": joint,
    "afd": adversarial,
    "dcm": joint,
}
