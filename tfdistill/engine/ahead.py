"""Teachers asked ahead: about the next batch, while the networks learn from this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfdistill.bounds import choose
from tfdistill.devices.names import TEACHER_AHEAD, TeacherAhead
from tfdistill.engine import batches
from tfdistill.engine.taps_read import Read, reading

if TYPE_CHECKING:
    from tfdistill.engine.distiller import Distiller


# Batches that teachers are asked about at a time. While the operations of one wait for threads, those of the other go
# on; each more takes the memory of a batch.
AT_ONCE = 2


class Ahead:
    """Whether teachers are asked at the end of the input pipeline, and the pipeline where they are.

    One step waits for the teacher's answers, and then learns: the threads of each operation wait for each other at its
    end. Asked by the pipeline, teachers answer about the next batch meanwhile, and their operations may use such time.
    Batches then bring the taps along, see `Teachers.told_in`; they are those that the step would have computed.

    Args:
        distiller: compiled with it.
        wanted: "auto": where it can be; "on": where it cannot be that is refused; "off": never.
        xla: whether rounds are compiled.

    Raises:
        ValueError: another value.
    """

    def __init__(self, distiller: Distiller, wanted: TeacherAhead, *, xla: bool) -> None:
        choose("teacher_ahead", wanted, dict.fromkeys(TEACHER_AHEAD))
        self._distiller, self._wanted, self._xla = distiller, wanted, xla
        self._found: dict[Any, tuple[Read, str]] = {}

    def taps(self, batch: Any) -> Read:
        """The taps that teachers are asked for ahead, by the teacher's name; none where they are not.

        Args:
            batch: shapes and types of a batch, in any form that `fit` takes.

        Raises:
            ValueError: it is wanted and cannot be; says why.
        """
        if self._wanted == "off" or not (self._distiller.teachers or self._wanted == "on"):
            return {}
        if problem := self._problem():
            return self._refused(problem)
        given = batches.as_batch(batch)
        key = tuple(sorted(given.items(), key=lambda item: item[0]))
        if key not in self._found:
            self._found[key] = self._taps(given)
        found, problem = self._found[key]
        return self._refused(problem) if problem else found

    def of(self, data: Any, keras_arguments: Mapping[str, Any]) -> Any:
        """What `fit` trains on: the data, with the taps where teachers are asked ahead.

        Args:
            data: as `fit` was given it.
            keras_arguments: other arguments of `fit`.

        Raises:
            ValueError: it is wanted and cannot be; says why.
        """
        problem = ""
        if not isinstance(data, tf.data.Dataset):
            problem = "the data is no tf.data.Dataset"
        elif keras_arguments.get("class_weight"):
            problem = "Keras weighs the examples by class_weight behind it"
        if problem:
            if self._distiller.teachers or self._wanted == "on":
                self._refused(problem)
            return data
        asked = self.taps(data.element_spec)
        return self._asking(data, asked) if asked else data

    def _refused(self, problem: str) -> Read:
        if self._wanted == "on":
            raise ValueError(f"teacher_ahead: teachers cannot be asked ahead: {problem}; leave it out")
        return {}

    def _problem(self) -> str:
        """Why they cannot be asked ahead whatever the data; empty if they can."""
        distiller = self._distiller
        strategy = distiller.distribute_strategy
        if not distiller.teachers:
            return "there is none"
        if distiller.run_eagerly:
            return "run_eagerly has one operation run after another"
        if strategy.num_replicas_in_sync > 1 or isinstance(strategy, tf.distribute.OneDeviceStrategy):
            return "it is for one processor, without a strategy"
        if tf.config.list_logical_devices("GPU"):
            return "it is for one processor, and a GPU computes here"
        if self._xla:
            return "XLA compiles a teacher together with the step, to other bits"
        return ""

    def _taps(self, batch: Mapping[str, tf.TensorSpec]) -> tuple[Read, str]:
        """The taps to ask for, and why there are none."""
        names = self._distiller.teachers.called
        if any(key.rpartition("/")[0] in names for key in batch):
            return {}, "batches bring answers along already"
        found = reading(self._distiller, batch)
        if found.called:
            return {}, f"a loss calls {', '.join(sorted(found.called))} itself"
        first, *others = ({name: taps for name, taps in one.items() if taps} for one in found.by_phase)
        if any(one != first for one in others):
            return {}, "the phases of the training do not all read the same of the teachers"
        return first, "" if first else "no loss reads what a teacher answers"

    def _asking(self, data: tf.data.Dataset, asked: Read) -> tf.data.Dataset:
        called = self._distiller.teachers.called

        def with_taps(*given: Any) -> dict[str, tf.Tensor]:
            batch = batches.as_batch(given[0] if len(given) == 1 else given)
            for name, taps in asked.items():
                answers = called[name](batch["images"], training=False)
                batch |= {f"{name}/{tap}": answers[tap] for tap in taps}
            return batch

        plain = tf.autograph.experimental.do_not_convert(with_taps)
        return data.map(plain, num_parallel_calls=AT_ONCE, deterministic=True).prefetch(1)
