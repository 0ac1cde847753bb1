"""Which epochs of a run belong to which phase of a method's table."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from tfdistill.bounds import ArgumentError
from tfdistill.engine.updates import Phase, PreparationPhase
from tfdistill.optimizers import OptimizerSettings


@dataclass(frozen=True)
class Calendar:
    """The epochs of a run's phases, counted from 0.

    Attributes:
        begins: of each phase, its first epoch.
        lengths: of each phase, how many epochs it has; of the last, as many as the run has left, and 1 at least.
        link_begins: of each phase, the first epoch of the link that it belongs to.
        ramp_begins: of each phase, the epoch that weights count from: the first of its link behind the preparations; of
            a preparation, its own first.
    """

    begins: tuple[int, ...]
    lengths: tuple[int, ...]
    link_begins: tuple[int, ...]
    ramp_begins: tuple[int, ...]

    @classmethod
    def of(cls, plan: Sequence[Phase], epochs: int) -> Calendar:
        """Shares the epochs of a run out over the phases.

        Every link has as many epochs as every other. Within a link the phases that say how many they take have these,
        and the one that does not has the rest.

        Args:
            plan: the phases.
            epochs: of the run.

        Raises:
            ArgumentError: the links cannot have as many as each other, or a link, or the run, has no epoch left for its
                training.
        """
        links = links_of(plan)
        if len(links) > 1 and (epochs % len(links) or not epochs):
            raise ArgumentError(
                "epochs", f"{epochs} cannot be shared out equally over {len(links)} links; take a multiple of that"
            )
        begins, lengths, link_begins, ramp_begins = [], [], [], []
        for place, link in enumerate(links):
            first = epoch = ramp = place * (epochs // len(links))
            ends = first + epochs // len(links)
            for phase in (one for one in plan if one.link == link):
                length = phase.epochs or ends - epoch
                held = len(links) > 1 or (epochs and epoch > first)
                if held and (length < 1 or epoch + length > ends):
                    whole = f"the {ends - first} of a link" if len(links) > 1 else f"{epochs}"
                    taken = f", as what comes before takes {epoch - first}" if epoch > first else ""
                    raise ArgumentError("epochs", f"{whole} are too few for phase {phase.name!r}{taken}; train longer")
                begins.append(epoch)
                lengths.append(max(1, length))
                link_begins.append(first)
                ramp_begins.append(epoch if isinstance(phase, PreparationPhase) else ramp)
                epoch += length
                if isinstance(phase, PreparationPhase):
                    ramp = epoch
        return cls(tuple(begins), tuple(lengths), tuple(link_begins), tuple(ramp_begins))

    def at(self, epoch: int) -> int:
        """The place in the plan of the phase that an epoch belongs to; from the last one's beginning on, that one's."""
        return max(0, bisect.bisect_right(self.begins, epoch) - 1)


def settings_in(phase: Phase, length: int, settings: OptimizerSettings) -> OptimizerSettings:
    """An optimizer's settings as a phase has them, whose schedule counts from the phase's beginning.

    Milestones and warm-up that are meant for a training of another length are stretched to the phase's. A preparation
    has no milestones, which are the training's: its rate stays, or falls along a cosine of its own.

    Args:
        phase: whose update it is.
        length: epochs of the phase.
        settings: of the update's group.

    Raises:
        ArgumentError: a warm-up that fills the phase.
    """
    own = settings.over(length)
    if own.warmup_epochs >= length:
        raise ArgumentError(
            "warmup_epochs",
            f"{own.warmup_epochs:g} leave nothing of the {length} of phase {phase.name!r} to the cosine; give fewer",
        )
    return own.without_drops() if isinstance(phase, PreparationPhase) else own


def links_of(plan: Sequence[Phase]) -> list[int]:
    """The numbers of a plan's links, in order."""
    return list(dict.fromkeys(phase.link for phase in plan))
