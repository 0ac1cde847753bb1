"""What must not go on in silence: losses and weights that are no numbers, and labels that are no classes.

Nothing here waits for the device at every step. Losses are running means, which stay wrong once they are: they are
looked at after 1, 2, 4, 8, 16 and then every 32 executions, at the ends of epochs and before a save. Wrong labels are
noted on the device and looked at together with the losses. Weights are looked at when `fit` begins, before every
evaluation, at the ends of epochs, and when they are saved.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.devices.replicas import noted_by_replica
from tfdistill.devices.workers import Workers
from tfdistill.engine.logged import LOSS
from tfdistill.engine.state import keyed
from tfdistill.tasks import complaint

EVERY = 32


class WrongLabels:
    """The first label, per replica, that is no class; noted where the batch is.

    Args:
        strategy: of the training.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        # Batches looked at; of the first wrong label the batch (from 1), the example in it (from 0), the label.
        self._noted = noted_by_replica(4, strategy, "wrong_label")

    def forget(self) -> None:
        """Begins anew."""
        self._noted.assign(tf.zeros([4], tf.float64))

    def note(self, labels: tf.Tensor, wrong: tf.Tensor) -> None:
        """Looks at a batch, in a replica.

        Args:
            labels: as they were given, `[batch]` or `[batch, 1]`.
            wrong: which of them are no class, `[batch]`.
        """
        noted = tf.convert_to_tensor(self._noted)
        # One more than there are, so that an empty batch has a first one.
        padded = tf.concat([tf.cast(tf.reshape(labels, [-1]), tf.float64), tf.zeros([1], tf.float64)], 0)
        first = tf.argmax(tf.concat([tf.cast(wrong, tf.int32), [0]], 0))
        batch = noted[0] + 1
        found = tf.stack([batch, batch, tf.cast(first, tf.float64), tf.gather(padded, first)])
        is_new = tf.reduce_any(wrong) & (noted[1] == 0)
        self._noted.assign(tf.where(is_new, found, tf.concat([[batch], noted[1:]], 0)))

    def found(self) -> tuple[int, str, float] | None:
        """The batch (from 1), the place in it and the label of the first wrong one."""
        copies = [copy.numpy() for copy in self._strategy.experimental_local_results(self._noted)]
        wrong = [(int(copy[1]), replica, int(copy[2]), copy[3]) for replica, copy in enumerate(copies) if copy[1]]
        if not wrong:
            return None
        batch, replica, example, label = min(wrong)
        return batch, f"example {example}" + (f" of replica {replica}" if len(copies) > 1 else ""), float(label)


class Guard:
    """Looks after the training of a distiller.

    Args:
        distiller: whose state, step and epoch it reads.
    """

    def __init__(self, distiller: Any) -> None:
        self._distiller = distiller
        self.labels = WrongLabels(distiller.distribute_strategy)
        self.scored_labels = WrongLabels(distiller.distribute_strategy)
        self._logs: list[tuple[int, Mapping[str, tf.Tensor]]] = []
        self._executions = self._first_step = self._scored = 0

    def begin(self) -> None:
        """When `fit` begins.

        Raises:
            FloatingPointError: a variable that training starts from is not finite.
        """
        self._logs, self._executions, self._first_step = [], 0, self._distiller.steps_trained
        self.labels.forget()
        self.look_at_teachers()
        self.look_at_variables("before the first step" if self._first_step == 0 else f"at step {self._first_step}")

    def executed(self, logs: Mapping[str, tf.Tensor]) -> None:
        """After an execution; looks now and then.

        Args:
            logs: running means, as the execution left them; they are not waited for.
        """
        self._logs.append((self._distiller.steps_trained, logs))
        self._executions += 1
        if self._executions % EVERY == 0 or self._executions & (self._executions - 1) == 0:
            self.look()

    def look(self) -> None:
        """Looks at what was executed since it last did.

        Raises:
            FloatingPointError: a logged value is not finite; one line names it, the step and the epoch.
            ValueError: a label is no class; one line names it, the step and the example.
        """
        if not self._logs:
            return
        executed, self._logs = self._logs, []
        if found := self.labels.found():
            batch, place, label = found
            place = f"{place} of the batch of step {self._first_step + batch}"
            raise ValueError(complaint(label, place, self._distiller.classes))
        if not _wrong_values(executed[-1][1]):
            return
        step, wrong = next((step, wrong) for step, logs in executed if (wrong := _wrong_values(logs)))
        raise FloatingPointError(
            f"{wrong} is not finite at step {step}, in epoch {self._distiller.epoch + 1}: the run diverged and was "
            f"stopped, and this is saved nowhere; a lower learning rate is the usual remedy, if the images are finite"
            + (" and so is what the teachers answer" if self._distiller.teachers else "")
        )

    def begin_scoring(self) -> None:
        """When an evaluation begins.

        Raises:
            FloatingPointError: as of `look_at_variables`: a network's NaN may give finite scores.
        """
        self._scored = 0
        self.scored_labels.forget()
        self.look_at_variables(f"at step {self._distiller.steps_trained}")

    def scored(self) -> None:
        """After an execution of an evaluation; looks after the first."""
        self._scored += 1
        if self._scored == 1:
            self.look_at_scored()

    def look_at_scored(self) -> None:
        """Looks at the labels of an evaluation.

        Raises:
            ValueError: a label is no class; one line names it, the batch and the example.
        """
        if found := self.scored_labels.found():
            batch, place, label = found
            raise ValueError(complaint(label, f"{place} of evaluation batch {batch}", self._distiller.classes))

    def tell_of_scores(self, scores: Mapping[str, float]) -> None:
        """Warns of scores that are no numbers, once every variable was found to be one; nothing is stopped for them."""
        wrong = [name for name, score in scores.items() if name != LOSS and not np.isfinite(score)]
        if wrong:
            others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
            warnings.warn(
                f"evaluation: {wrong[0]}{others} is not finite at step {self._distiller.steps_trained}, though every "
                "weight is: images hold NaN or infinity, or the networks' outputs overflow",
                stacklevel=3,
            )

    def require_finite_answers(self, scores: Mapping[str, float]) -> None:
        """Refuses teachers whose scores are no numbers, once every variable was found to be one.

        Raises:
            FloatingPointError: one line names the first.
        """
        if wrong := next((name for name, score in scores.items() if name != LOSS and not np.isfinite(score)), ""):
            raise FloatingPointError(
                f"teacher {wrong.rpartition('/')[0]}: its answers to held-out images are not finite, though its "
                "weights are: the images hold NaN or infinity, or what it computes overflows"
            )

    def look_at_variables(self, when: str) -> None:
        """Looks at every variable of networks, helpers and optimizers; with several workers all have to call it.

        Args:
            when: for the message, such as "at step 7".

        Raises:
            FloatingPointError: one is not finite; one line names it and what it belongs to.
        """
        self._require_finite(
            {key: one for key, one in self._distiller.state().items() if not key.startswith("metrics/")}, when
        )

    def look_at_teachers(self) -> None:
        """Looks at every variable of the teachers, which never changes; with several workers all have to call it.

        Raises:
            FloatingPointError: one is not finite; one line names it and its teacher.
        """
        if teachers := self._distiller.teachers:
            self._require_finite(keyed({f"teachers/{one.name}": one.variables for one in teachers}), "as given")

    def _require_finite(self, state: Mapping[str, keras.Variable], when: str) -> None:
        wrong = _wrong_variable(state, self._distiller.distribute_strategy)
        workers: Workers = self._distiller.workers
        others = workers.gather(is_wrong=bool(wrong))["is_wrong"]
        if wrong:
            raise FloatingPointError(f"{spoken(wrong, state[wrong])} is not finite {when}")
        if any(others):
            worker = workers.cluster.name(others.index(1))
            raise FloatingPointError(f"{worker} has a variable that is not finite {when}")


def require_finite(arrays: Mapping[str, np.ndarray], state: Mapping[str, keras.Variable], when: str) -> None:
    """Refuses to give away arrays that are no numbers.

    Args:
        arrays: as `Distiller.snapshot` gives them.
        state: the variables they are of.
        when: for the message.

    Raises:
        FloatingPointError: one line names the variable and what it belongs to.
    """
    for name, array in arrays.items():
        # Kinds other than floats are whole numbers; "V" is how NumPy sees bfloat16.
        if array.dtype.kind in "fV" and not np.all(np.isfinite(array.astype(np.float32))):
            raise FloatingPointError(f"{spoken(name, state[name])} is not finite {when}: it is not saved")


def spoken(key: str, variable: keras.Variable) -> str:
    """A variable of `Distiller.state` in words: "network one: variable conv/kernel"."""
    kind, rest = key.split("/", 1)
    owner = rest.rsplit("/", 2)[0]
    return f"{kind.removesuffix('s')} {owner}: variable {getattr(variable, 'path', variable.name)}"


def _wrong_values(logs: Mapping[str, tf.Tensor]) -> str:
    """The name of a logged value that is not finite, of a single term rather than of a sum; empty if there is none."""
    wrong = [name for name, value in logs.items() if not np.isfinite(float(value))]
    return next((name for name in wrong if not name.endswith(LOSS)), wrong[0] if wrong else "")


def _wrong_variable(state: Mapping[str, keras.Variable], strategy: tf.distribute.Strategy) -> str:
    keys, finite = [], []
    for key, variable in state.items():
        if tf.as_dtype(variable.dtype).is_floating:
            for copy in strategy.experimental_local_results(variable.value):
                keys.append(key)
                finite.append(tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(copy))))
    if not keys:
        return ""
    return next((key for key, one in zip(keys, tf.stack(finite).numpy(), strict=True) if not one), "")
