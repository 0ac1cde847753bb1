"""The engine: the only `keras.Model` with a `train_step`, for every method and every strategy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from tfdistill.bounds import choose
from tfdistill.devices.names import TEACHER_PRECISIONS, TeacherAhead, TeacherPrecision
from tfdistill.engine import batches, logged, loops
from tfdistill.engine.ahead import Ahead
from tfdistill.engine.keras_habits import (
    OneForAll,
    check_callbacks,
    chosen_optimizers,
    listed,
    require_class_weight,
    require_known,
    resolved_xla,
    warn_of_lost_state,
    whole_or_not_at_all,
)
from tfdistill.engine.network_checks import require_strategy
from tfdistill.engine.scoring import Scoring
from tfdistill.engine.steps import Steps
from tfdistill.engine.summary import summary_lines
from tfdistill.engine.update_optimizers import Choice
from tfdistill.engine.updates import Phase
from tfdistill.tasks import Task


class Distiller(Scoring):
    """Trains networks that learn together, as the subclass's table of updates says.

    A method is a subclass that builds its helper models in its constructor, registers them in `self.helpers`, and
    returns its table from `phases()`. Everything else is here: one forward pass per round, gradients only for what
    an update owns, all gradients of a round before any is applied, logs per network and term, evaluation of every
    network and of their ensemble, on one device or many replicas, with or without XLA.

    Create networks and distiller under `strategy.scope()` to train on several replicas.

    >>> data = tfdistill.load_data("digits", batch_size=8)
    >>> small = dict(classes=data.classes, image_shape=data.image_shape)
    >>> distiller = tfdistill.DML([tfdistill.networks.resnet8(**small) for _ in range(2)])
    >>> distiller.compile("adam", run_eagerly=True)  # without a graph, for one step
    >>> history = distiller.fit(data.train.take(1), verbose=0)
    >>> sorted(name for name in history.history if "/" not in name)
    ['loss']

    Args:
        networks: the learners: functional models that return a dict of taps with `"logits"`. Those of one name are
            told apart by a number, as "resnet32_1" and "resnet32_2".
        teachers: models of the same kind that the learners learn from and that nothing moves. They are called with
            `training=False`, and are not averaged into the ensemble, not exported and in no checkpoint.
        task: the supervised loss and metrics; classification if not given.

    Raises:
        ValueError: networks that could not learn together, or would do so wrongly; see `network_checks`. Teachers that
            do not fit them; see `teachers`.
    """

    def __init__(
        self,
        networks: Sequence[keras.Model],
        *,
        teachers: keras.Model | Sequence[keras.Model] = (),
        task: Task | None = None,
    ) -> None:
        super().__init__(networks, teachers=teachers, task=task)
        self.train_function: Callable | None = None
        self._made_under = self.distribute_strategy

    def compile(
        self,
        optimizers: Mapping[str, Choice] | OneForAll | None = None,
        *,
        optimizer: OneForAll | None = None,
        xla: Literal["auto", "on", "off"] | bool = "auto",
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        teacher_precision: TeacherPrecision = "float32",
        teacher_ahead: TeacherAhead = "off",
        **of_keras: Any,
    ) -> None:
        """Sets how to train.

        Args:
            optimizers: settings per group of updates, or an optimizer of one's own per update, with all that Keras'
                optimizers carry; the method's `recipe` serves what is not named here. Anything but such a dict is taken
                as `optimizer`.
            optimizer: one for all updates, of which each gets a copy: settings, a Keras optimizer, its config, or its
                name, such as `"adam"`.
            xla: `"on"`, `"off"`, or `"auto"`: on where a GPU is used (XLA is slower than oneDNN on CPUs), unless a
                model has int32 variables, which it cannot read there.
            run_eagerly: whether every step runs without a graph, slow and open to a debugger.
            steps_per_execution: training steps per call from Python.
            teacher_precision: `"bfloat16"` has teachers compute their maps in it, on processors and GPUs with
                instructions for it in a fraction of the time; `"float32"` leaves every teacher as it was built. What
                losses see is float32 in both, and `teacher_agreement` tells how far the answers agree.
            teacher_ahead: whether the input pipeline asks teachers about the next batch while the networks learn from
                this one: `"auto"` where that can be, `"on"` to be told where it cannot, `"off"` never. It is for one
                processor and a `tf.data.Dataset`, and changes no bit of what is learnt.
            of_keras: nothing; what else Keras' `compile` takes is refused with the way to say it here.

        Raises:
            ValueError: what is no optimizer, a name that is no group and no update of this method, an unknown
                precision, another `teacher_ahead`, or XLA where it cannot compile.
        """
        require_known(of_keras)
        compiled = resolved_xla(xla, run_eagerly, (*self.networks, *self.helpers.values(), *self.teachers))
        choose("teacher_precision", teacher_precision, dict.fromkeys(TEACHER_PRECISIONS))
        super().compile(
            optimizer=None, jit_compile=False, run_eagerly=run_eagerly, steps_per_execution=steps_per_execution
        )
        self._steps = Steps(self, xla=compiled)
        self.ahead = Ahead(self, teacher_ahead, xla=compiled)
        with self._scope():
            self.fold(None if teacher_precision == "float32" else teacher_precision)
        self._plan = None  # what is frozen may have changed
        chosen = chosen_optimizers(optimizers, optimizer, self.plan)
        names = [update.name for phase in self.plan for update in phase.updates()]
        for name in chosen:
            if name not in self.recipe() and name not in names:
                raise ValueError(f"optimizers: no group or update {name!r}; there are {[*self.recipe(), *names]}")
        # In a function, where Keras does not find them: `save_weights` keeps those that train, in `update_optimizers`.
        self._choose = lambda update: chosen.get(update.name) or chosen.get(update.group) or self.recipe()[update.group]
        self.update_optimizers = {}

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        *,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        **keras_arguments: Any,
    ) -> keras.callbacks.History:
        """`keras.Model.fit`, with the phases of the method; arguments and history are Keras' own.

        Weights of examples (`sample_weight`, `class_weight`, or the third part of a batch) weigh the supervised loss
        and nothing else. The sum is divided by the number of examples, as in Keras. What is scored is weighed too, and
        divided by the sum of the weights. In the history are, beside every network's and term's own values, `loss` and
        `val_loss`: the supervised loss, in the mean over the networks that learn. What a phase does not train has
        no value in its epochs.

        Batches that are dicts may say by `labelled`, 1 or 0, which examples have a label. The others count in no score
        and in no term that reads labels: such a term is the mean over the labelled examples.

        Teachers are scored once, on `validation_data`, before the first step; see `teacher_scores`.
        """
        known_steps = self._prepared_for(x, y, batch_size, epochs, steps_per_epoch, keras_arguments)
        called = listed(callbacks)
        check_callbacks(called, self.optimizer, self.plan, self.task.rising)
        self._require_sound_data(x, y, keras_arguments)
        self._teachers.refresh()
        x = self.ahead.of(x, keras_arguments)
        if not self.teacher_scores:
            self._score_teachers_on(keras_arguments)
        self.phases_trained.clear()
        self.guard.begin()
        if self.optimizers.begin(initial_epoch, epochs):
            self.train_function = None
        self.make_train_function()
        try:
            with batches.one_line_errors():
                history = super().fit(
                    x,
                    y,
                    batch_size,
                    epochs,
                    verbose,
                    [loops.EpochClock(known_steps), *called],
                    initial_epoch=initial_epoch,
                    steps_per_epoch=steps_per_epoch,
                    **keras_arguments,
                )
        finally:
            self.optimizers.end()
        self._finalize()
        return history

    def _prepared_for(
        self,
        x: Any,
        y: Any,
        batch_size: int | None,
        epochs: int,
        steps_per_epoch: int | None,
        keras_arguments: dict[str, Any],
    ) -> int | None:
        """Makes the optimizers, if that is not done; returns the steps of an epoch, `None` where only the data knows.

        Of the other arguments of `fit`, `shuffle` is set where Keras would warn of its own default.
        """
        if not self.compiled:
            raise ValueError("fit: call compile() first; without arguments it takes the paper's recipe")
        require_strategy(self._made_under, self.distribute_strategy)
        share = 1.0 - (keras_arguments.get("validation_split") or 0.0)
        in_data = batches.steps_in(x, y, batch_size, share)
        known_steps = steps_per_epoch or in_data
        if not self.update_optimizers and known_steps is None:
            raise ValueError("steps_per_epoch: the data does not tell its length; give it, the schedules need it")
        if isinstance(x, tf.data.Dataset):
            if "labelled" in self._steps.given(x.element_spec):
                self.require_unlabelled()
            # A data set has its order.
            keras_arguments.setdefault("shuffle", False)
        self.prepare(steps_per_epoch=known_steps or 1, epochs=epochs)
        return known_steps

    def _require_sound_data(self, x: Any, y: Any, keras_arguments: Mapping[str, Any]) -> None:
        require_class_weight(keras_arguments.get("class_weight"), x, self.task.classes(self.networks[0]))
        self._require_sound(x, y, keras_arguments.get("sample_weight"))
        if isinstance(scored := keras_arguments.get("validation_data"), tuple) and len(scored) > 1:
            self._require_sound(scored[0], scored[1], scored[2] if len(scored) > 2 else None, "validation example")

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch; see `steps.Steps.train`."""
        self._steps.train(data)
        return {}

    def batch_of(self, data: Any) -> dict[str, tf.Tensor]:
        """A batch in the form that the methods read: `images`, and `labels` as losses take them; without weights."""
        given = {name: value for name, value in batches.as_batch(data).items() if name != "weight"}
        return dict(batches.share_of(self.task.readied(given, self.classes)[0], replicas=1).batch)

    def make_train_function(self, force: bool = False) -> None:
        """Keras' own fails with several replicas and several steps per execution; see `loops.training`."""
        if self.train_function is None or force:
            self._steps.forget_updates()
            self.train_function = loops.training(self, self._results_of)

    def _results_of(self, phase: Phase) -> loops.Results:
        """What is logged in a phase: a term that is not trained in it has no value there, not 0."""
        names = logged.training_names([phase], self.networks, self.task.training_metric_names)
        return logged.results_of({name: self.trackers[name] for name in names})

    def train_on_batch(self, *arguments: Any, **keras_arguments: Any) -> Any:
        """Refused: phases, ramps and schedules need to know the epoch.

        Raises:
            ValueError: always.
        """
        raise ValueError("train_on_batch: phases and schedules need the epoch; use fit(), which takes any data set")

    def save(self, *arguments: Any, **keywords: Any) -> None:
        """Refused: a distiller is a training, and no model that a file could bring back.

        Raises:
            NotImplementedError: always; says what is saved instead.
        """
        raise NotImplementedError(
            "save: a distiller is not saved as a model; save its networks (distiller.networks[0].save(path)), or the "
            "weights of all with save_weights(path)"
        )

    def export(self, *arguments: Any, **keywords: Any) -> None:
        """Refused, as `save` is.

        Raises:
            NotImplementedError: always; says what exports a network.
        """
        raise NotImplementedError(
            "export: a distiller is not exported as a model; export its networks, as in "
            "tfdistill.export_network(distiller.networks[0], folder, mean=..., std=...)"
        )

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **keywords: Any) -> None:
        """Reads what `save_weights` wrote: networks, helpers and, once they are made, the optimizers' state.

        The optimizers are made by `prepare`, or by the first `fit`. Where they are not, a warning says so.

        Args:
            filepath: ends in `.weights.h5`.
            skip_mismatch: whether to pass over what does not fit.
            keywords: others that Keras' own takes.

        Raises:
            ValueError: the file is of another method or other networks; nothing has changed then.
        """
        with whole_or_not_at_all(self.variables, filepath):
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **keywords)
        if not self.update_optimizers:
            warn_of_lost_state(filepath)

    def summary(self, *, expand_nested: bool = False, print_fn: Callable[[str], Any] = print, **of_keras: Any) -> None:
        """Prints the learners, teachers, helpers and updates, with what each has and moves.

        Args:
            expand_nested: whether Keras' summary of every network and helper follows.
            print_fn: what takes each line.
            of_keras: other arguments of Keras' `summary`, for these.
        """
        for line in summary_lines(self):
            print_fn(line)
        for model in (*self.networks, *self.helpers.values()) if expand_nested else ():
            model.summary(print_fn=print_fn, **of_keras)

    def _maybe_symbolic_build(self, *arguments: Any, **keywords: Any) -> None:
        """Everything is built already; Keras' symbolic build fails under several replicas."""

    def get_metrics_result(self) -> dict[str, Any]:
        """Keras asks for it at the end of an epoch, and then reports the last step's logs, which are the same.

        With several workers each metric would be a meeting of its own.
        """
        return {} if self.workers.count > 1 else super().get_metrics_result()
