"""Who takes part in a distiller: learners, teachers and helpers, and how they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfdistill.bounds import ArgumentError
from tfdistill.engine.network_checks import check_networks
from tfdistill.engine.teachers import Teachers
from tfdistill.taps import Batch, CallModel, Taps
from tfdistill.tasks import Classification, Task
from tfdistill.topology import all_pairs


class Roles(keras.Model):
    """The learners, teachers and helpers of a `Distiller`, and what is scored and delivered of them."""

    rebuilds_networks: ClassVar[bool] = False
    """Whether `self.networks` or `deliverables()` are other models than the networks given (a shared trunk, a gate)."""
    learns_from_teachers: ClassVar[bool] = False
    """Whether there is no such method without a teacher; its constructor takes `teachers` then."""

    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        teachers: keras.Model | Sequence[keras.Model] = (),
        task: Task | None = None,
    ) -> None:
        super().__init__(name=type(self).__name__.lower())
        self.task: Task = task or Classification()
        check_networks(networks, self.task, self.distribute_strategy)
        self.networks = list(networks)
        self._teachers = Teachers()
        self.add_teachers(teachers)
        self.helpers: dict[str, keras.Model] = {}
        self.built = True

    @property
    def given_networks(self) -> list[keras.Model]:
        """The networks that weights are given to before training, in their order; they share the weights that train.

        Where a method puts other layers into its networks it overrides this with those it was given.
        """
        return self.networks

    def reused_of_teachers(self) -> dict[str, Any]:
        """What the deliverables have of the teachers besides weights, as JSON; nothing by default.

        A run's checkpoints keep it: who reads one has no teachers. A method that gives some takes it as `teachers`.
        """
        return {}

    @property
    def teachers(self) -> Teachers:
        """The models that the networks learn from and that nothing moves."""
        return self._teachers

    def add_teachers(self, teachers: keras.Model | Sequence[keras.Model]) -> None:
        """Takes more teachers, as the constructor does; before `compile`.

        Raises:
            ValueError: one does not fit the networks, or `compile` was called before.
        """
        self._require_not_compiled()
        self._teachers.add(teachers, self.networks, self.task, self.distribute_strategy)

    def taught_by(self) -> Sequence[tuple[keras.Model, Sequence[keras.Model]]]:
        """Each network with the models that it takes an added transfer from: the teachers, else all other networks.

        Raises:
            ValueError: one network, without a teacher.
        """
        if self.teachers:
            return [(network, self.teachers) for network in self.networks]
        if len(self.networks) < 2:
            raise ArgumentError(
                "transfers", f"{self.networks[0].name} has no teacher and no peer to learn from; give it one"
            )
        return all_pairs(self.networks)

    def fold(self, precision: str | None = None) -> None:
        """Makes the copies in which batch normalization is folded; in the scope of the distiller's strategy.

        Args:
            precision: that the teachers' maps are computed in; None for their own.
        """
        self._teachers.fold(precision)

    def _require_not_compiled(self) -> None:
        if self.compiled:
            raise ValueError("compile: was called before; add to a method first, then compile it")

    def call_networks(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        """The taps of every network, by its name, in one forward pass; teachers' are in `call_all`.

        A method whose networks share layers overrides it, so that what is shared runs once; what else it computes on
        the way may go along under names of its own.

        Args:
            images: normalised, `[batch, height, width, channels]`.
            call: calls a model on its inputs in the mode that is asked for; call every model through it.
        """
        return {network.name: call(network, images) for network in self.networks}

    def call_all(self, batch: Batch, call: CallModel) -> dict[str, Taps]:
        """What the losses of a round see: the taps of every network and of every teacher, by its name.

        A teacher whose taps the batch brings along is not called; see `Teachers.told_in`.

        Args:
            batch: with normalised images.
            call: as for `call_networks`.

        Raises:
            ValueError: the batch brings a tap that its teacher does not have.
        """
        images, told = batch["images"], self._teachers.told_in(batch)
        asked = {name: call(model, images) for name, model in self._teachers.called.items() if name not in told}
        return {**self.call_networks(images, call), **asked, **told}

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, Taps]:
        """The taps of every network, by its name; no teacher is called."""
        return self.call_networks(images, lambda model, inputs: model(inputs, training=training))

    def ensemble(self, taps: Mapping[str, Taps]) -> Taps:
        """The ensemble's answer from what `call_networks` gave; the task's of all networks, by default."""
        return self.task.ensemble([taps[network.name] for network in self.networks])

    def require_unlabelled(self) -> None:
        """Refuses batches in which some examples have no label; a method overrides it that reads every label.

        Raises:
            ValueError: says what would be right.
        """

    @property
    def scored(self) -> list[str]:
        """Whose scores there are: the networks', and their ensemble's where several make one."""
        names = [network.name for network in self.networks]
        return [*names, self.task.ensemble_name] if len(names) > 1 and self.task.ensemble_name else names

    def deliverables(self) -> dict[str, keras.Model]:
        """What training is for, by name: the networks, stripped of every helper."""
        return {network.name: network for network in self.networks}

    @property
    def classes(self) -> int:
        """How many classes the networks tell apart."""
        return self.task.classes(self.networks[0])
