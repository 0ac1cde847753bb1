"""Teachers: models that the networks learn from and that nothing moves."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.devices.replicas import copies
from tfdistill.engine.network_checks import check_teachers, shared_variable
from tfdistill.engine.updates import Phase
from tfdistill.networks.folding import FoldedNetwork
from tfdistill.taps import Batch, Taps
from tfdistill.tasks import Task


class Teachers(Sequence[keras.Model]):
    """The teachers of a distiller.

    Keras looks into lists, tuples and dicts, and not into this: the teachers' weights are none of the distiller's, and
    `save_weights` leaves them out.
    """

    def __init__(self) -> None:
        self.models: tuple[keras.Model, ...] = ()
        self._folded: tuple[FoldedNetwork, ...] = ()
        self._marks: list[str] = []

    def __getitem__(self, index: Any) -> Any:
        return self.models[index]

    def __len__(self) -> int:
        return len(self.models)

    def add(
        self,
        teachers: keras.Model | Sequence[keras.Model],
        networks: Sequence[keras.Model],
        task: Task,
        strategy: tf.distribute.Strategy,
    ) -> None:
        """Takes more teachers.

        Args:
            teachers: a model or several: functional, from images to a dict of taps with the task's answer.
            networks: the learners.
            task: what they learn.
            strategy: the distiller's.

        Raises:
            ValueError: one does not fit the networks, or has a layer in common with one.
        """
        given = [teachers] if isinstance(teachers, keras.Model) else teachers
        check_teachers(given, networks, task, strategy, self.models)
        self.models = (*self.models, *given)

    @property
    def called(self) -> dict[str, keras.Model]:
        """What is called for each teacher, by its name: from `fold` on a copy that answers the same in less time."""
        models = [one.model for one in self._folded] or self.models
        return {teacher.name: model for teacher, model in zip(self.models, models, strict=True)}

    def called_for(self, model: keras.Model) -> keras.Model:
        """What is called where someone calls `model`: its copy, see `called`, if it is a teacher."""
        return next((self.called[one.name] for one in self.models if one is model), model)

    def told_in(self, batch: Batch) -> dict[str, Taps]:
        """The taps of teachers that a batch brings along, by the teacher's name; such a teacher need not be called.

        Args:
            batch: the tap TAP of the teacher NAME stands in it as `"NAME/TAP"`, of any float type and of the shape of
                the teacher's own tap.

        Returns:
            The taps in the types of the teacher's own; a teacher of which the batch has none is left out.

        Raises:
            ValueError: the batch has a tap that its teacher does not have, or a loss reads one that is not in it.
        """
        called = self.called
        found: dict[str, Told] = {}
        for key, value in batch.items():
            name, _, tap = key.rpartition("/")
            if name not in called:
                continue
            own = called[name].output.get(tap)
            if own is None or not value.shape[1:].is_compatible_with(own.shape[1:]):
                taps = ", ".join(f"{one} {list(tensor.shape[1:])}" for one, tensor in called[name].output.items())
                raise ValueError(f"data: {key} {list(value.shape[1:])} is no tap of teacher {name}, which has {taps}")
            found.setdefault(name, Told(name))[tap] = tf.cast(value, own.dtype)
        return dict(found)

    @property
    def lowered(self) -> dict[str, keras.Model]:
        """The teachers of which `called` has copies in a lower precision, by name."""
        pairs = zip(self.models, self._folded, strict=False)  # before `fold` there are no copies
        return {teacher.name: teacher for teacher, folded in pairs if folded.precision}

    def fold(self, precision: str | None = None) -> None:
        """Has `called` give copies with batch normalization folded; in the scope of the distiller's strategy.

        Args:
            precision: "bfloat16" has copies compute maps in it; None has teachers compute in their own precision.
        """
        self._folded = tuple(FoldedNetwork(one, precision=precision) for one in self.models)
        self._marks = [fingerprint(one) for one in self.models]
        for teacher, folded in zip(self.models, self._folded, strict=True):
            if said := _kept(teacher, folded, precision):
                warnings.warn(f"teacher_precision: {said}", stacklevel=3)

    def refresh(self) -> None:
        """Takes over into what is called what the weights are now, where someone has loaded others since."""
        for number, (teacher, folded) in enumerate(zip(self.models, self._folded, strict=False)):
            if folded.model is not teacher and (mark := fingerprint(teacher)) != self._marks[number]:
                folded.refresh()
                self._marks[number] = mark

    def require_unmoved(self, plan: Sequence[Phase]) -> None:
        """Refuses a plan in which something that moves has a variable of a teacher.

        Raises:
            ValueError: names the update, the teacher and the variable.
        """
        moving = [(update, model) for phase in plan for update in phase.updates() for model in update.models]
        for (update, model), teacher in itertools.product(moving, self.models):
            shared = shared_variable(teacher, model)
            if shared is not None and model.trainable_variables:
                raise ValueError(
                    f"phases: update {update.name!r} would move {shared.path} of the teacher {teacher.name}; "
                    "a teacher is never moved"
                )


class Told(dict[str, tf.Tensor]):
    """Taps of a teacher that is not called.

    Args:
        teacher: its name.
    """

    def __init__(self, teacher: str) -> None:
        super().__init__()
        self.teacher = teacher

    def __missing__(self, tap: str) -> tf.Tensor:
        brought = ", ".join(f"{self.teacher}/{one}" for one in self)
        raise ValueError(f"data: a loss reads {self.teacher}/{tap}, and batches bring {brought} only")


def _kept(teacher: keras.Model, folded: FoldedNetwork, precision: str | None) -> str:
    """What of a teacher is not computed in the precision that was asked for."""
    if precision and not folded.precision:
        return f"{teacher.name} stays in its own precision; it has no layer that can be computed in {precision} instead"
    if folded.kept:
        names = ", ".join(folded.kept)
        return f"{teacher.name} is computed in {precision}, but for {names}, which cannot be built anew in it"
    return ""


def fingerprint(model: keras.Model) -> str:
    """SHA-256, in hexadecimal, over path, type, shape and bytes of every variable: equal for equal weights only.

    Args:
        model: the teacher.
    """
    digest = hashlib.sha256()
    for variable in model.variables:
        value = np.ascontiguousarray(copies(variable)[0])
        digest.update(f"{variable.path} {value.dtype} {value.shape}\n".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
