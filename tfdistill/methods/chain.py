"""Sequential distillation: networks are trained one after another, each by the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import keras

from tfdistill.bounds import Number
from tfdistill.engine.updates import Phase, joint
from tfdistill.methods.arguments import ArgumentError, checked, require_transfers
from tfdistill.methods.labels_and_transfers import LabelsAndTransfers
from tfdistill.methods.transferring import with_courses
from tfdistill.networks.folding import FoldedNetwork
from tfdistill.tasks import Task
from tfdistill.transfers import KD, Course, Transfer, courses

T = TypeVar("T")
Group = tuple[keras.Model, Sequence[keras.Model]]


class Chain(LabelsAndTransfers):
    """Networks are trained one after another, and each teaches the next one, by any transfers, once it is trained.

    `L_k = label_weight_k · CE(y, z_k) + Σ_t weight_t · L_t(k, k−1)` for network k, the transfers t of its link, and the
    network before it, k−1. The first network learns from the teachers, or from labels alone (`L_1 = CE(y, z_1)`) where
    there are none. Each network has as many epochs as any other, and learning rates and ramps that begin anew, as in a
    run of its own. A network that is trained stands still: it is called with `training=False`. One whose turn comes
    later is not trained before.

    >>> names = "medium", "small", "large"
    >>> medium, small, large = (tfdistill.networks.resnet8(classes=10, name=one) for one in names)
    >>> chain = tfdistill.Chain([medium, small], large, [[tfdistill.KD(temperature=3.0)], [tfdistill.MSE()]])
    >>> [phase.name for phase in chain.plan]
    ['medium from large', 'small from medium']

    Args:
        networks: in the order of their training.
        teachers: who teaches the first one; nobody if not given. Several teach together: each transfer's terms are
            means over them.
        links: the transfers of each link, a list for each, or one list for all links; `[[KD()]]` if there are none. A
            link is a network with a teacher: the first one is none where there are no teachers.
        label_weight: weight of the labels' loss, one for all links or one for each; at 0 it is left out.
        task: the supervised loss and metrics.
        seed: of the weights of what the transfers build.

    Raises:
        ValueError: a network alone without a teacher, lists or weights for another number of links, or a transfer that
            does not fit two networks.

    Source: Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation",
    IJCAI 2021, section 5 and Table 6: WRN-28-4 teaches WRN-16-4, which teaches WRN-16-2, best by KL at temperature 3
    and then by the squared error of logits, each with `label_weight=(0.0,)`.
    """

    protocol = "ie_cifar"
    protocol_note = (
        "This is IE-KD's, as for distillation from trained teachers. Kim et al. train 200 epochs, with drops at 100 "
        "and 150: --flagfile=sequential has their numbers."
    )
    source = (
        "Kim et al., Comparing Kullback-Leibler Divergence and Mean Squared Error Loss in Knowledge Distillation "
        "(IJCAI 2021), section 5, and each transfer's own paper"
    )
    trains_in_turn = True

    @checked
    def __init__(
        self,
        networks: keras.Model | Sequence[keras.Model],
        teachers: keras.Model | Sequence[keras.Model] = (),
        links: Sequence[Sequence[Transfer | keras.distillation.DistillationLoss]] = (),
        *,
        label_weight: Annotated[tuple[float, ...], Number(0, 1_000_000)] = (1.0,),
        task: Task | None = None,
        seed: int = 0,
    ) -> None:
        learners = [networks] if isinstance(networks, keras.Model) else networks
        super().__init__(learners, teachers=teachers, task=task)
        taught = self.taught_by()
        each = _for_each("links", links or [[KD()]], len(taught))
        weights = _for_each("label_weight", label_weight, len(taught))
        self._label_weights = {one.name: weight for (one, _), weight in zip(taught, weights, strict=True)}
        made = [
            _courses(number, own, group, seed)
            for number, (own, group) in enumerate(zip(each, taught, strict=True), start=1)
        ]
        self.courses = tuple(course for of_link in made for course in of_link)
        self.helpers |= {model.name: model for course in self.courses for model in course.models()}
        self._folded: list[FoldedNetwork] = []

    def taught_by(self) -> Sequence[Group]:
        """Each network with the one before it; the first one with the teachers, if there are any."""
        before: list[Sequence[keras.Model]] = [self.teachers, *((one,) for one in self.networks[:-1])]
        taught = [(one, sources) for one, sources in zip(self.networks, before, strict=True) if sources]
        if not taught:
            raise ArgumentError("networks", "a chain of one has nobody to learn from; give two or more, or a teacher")
        return taught

    def label_weight_of(self, learner: keras.Model) -> float:
        return self._label_weights.get(learner.name, 1.0)

    def phases(self) -> tuple[Phase, ...]:
        names = {one.name: " and ".join(source.name for source in sources) for one, sources in self.taught_by()}
        table = [
            Phase(joint([self.part(one)]), name=f"{one.name} from {names.get(one.name, 'labels')}", link=link)
            for link, one in enumerate(self.networks)
        ]
        return with_courses(table, self.courses, self.call_model)

    @property
    def scored(self) -> list[str]:
        """The networks, and no ensemble: a mean with networks that have not had their turn says nothing."""
        return [network.name for network in self.networks]

    def fold(self, precision: str | None = None) -> None:
        super().fold(precision)
        self._folded = [FoldedNetwork(one) for one in self.networks[:-1]]

    def start_epoch(self, epoch: int, steps: int | None) -> None:
        super().start_epoch(epoch, steps)
        for one in self._folded[: self.phase.link][-1:]:
            one.refresh()

    def call_model(self, model: keras.Model, inputs: Any) -> Any:
        """As every distiller's; of the networks that are trained, it is the folded copies that answer."""
        still = {one.model.name: one.model for one in self._folded[: self.phase.link]}
        return super().call_model(still.get(model.name, model), inputs)


def _for_each(argument: str, given: Sequence[T], links: int) -> Sequence[T]:
    """One value for each link.

    Raises:
        ArgumentError: there are neither as many nor one for all.
    """
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ArgumentError(argument, f"must be a list, not {given!r:.80}")
    if len(given) not in (1, links):
        raise ArgumentError(argument, f"has {len(given)} values for {links} links; give one for all, or one each")
    return list(given) * links if len(given) == 1 else given


def _courses(number: int, given: Sequence[Any], group: Group, seed: int) -> tuple[Course, ...]:
    try:
        transfers = require_transfers(given)
        if not transfers:
            raise ArgumentError("transfers", "has no transfer, so that its network would learn from nobody")
        return courses(transfers, [group], seed=seed)
    except ArgumentError as error:
        if error.argument != "transfers":
            raise
        raise ArgumentError("links", f"number {number}: {error.said}") from error
