"""The engine: the only `keras.Model` with a `train_step`, for every method and every strategy."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from tfdistill import optimizers as optimizer_settings
from tfdistill.bounds import ArgumentError
from tfdistill.devices import replicas
from tfdistill.devices.workers import Workers
from tfdistill.engine import batches, logged, loops
from tfdistill.engine.guard import Guard, require_finite
from tfdistill.engine.keras_habits import (
    OneForAll,
    check_callbacks,
    chosen_optimizers,
    listed,
    require_known,
    require_labels_beside,
    warn_of_lost_state,
)
from tfdistill.engine.network_checks import check_networks, check_shared_layers, require_strategy, require_unchanged
from tfdistill.engine.optimizers_as_one import OptimizersAsOne
from tfdistill.engine.state import keyed, network_state
from tfdistill.engine.steps import Steps
from tfdistill.engine.summary import summary_lines
from tfdistill.engine.teachers import Teachers
from tfdistill.engine.update_optimizers import Choice, UpdateOptimizers
from tfdistill.engine.updates import Phase, check_plan, owned_by_update, without_idle_updates
from tfdistill.taps import CallModel, Taps
from tfdistill.tasks import Classification, Task, require_classes, require_weights


class Distiller(keras.Model):
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

    protocol: ClassVar[str]
    """Name of the training protocol (`optimizers.PROTOCOLS`) of a run that says none: the paper's, or see below."""
    protocol_note: ClassVar[str] = ""
    """A sentence for where that is not the protocol of the method's own paper: whose it is, and why."""
    source: ClassVar[str]
    """The paper that the method comes from."""
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
        self.teacher_scores: dict[str, float] = {}
        self.add_teachers(teachers)
        self.helpers: dict[str, keras.Model] = {}
        self.update_optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.steps_trained = 0
        self.train_function: Callable | None = None
        self.test_function: Callable | None = None
        self.epoch = self.phase_index = 0
        self.phases_trained: set[int] = set()
        self.steps_left: int | None = None
        self._made_under = self.distribute_strategy
        self.workers = Workers(self._made_under)
        self.guard = Guard(self)
        self._steps = Steps(self, xla=False)
        self._epoch = tf.Variable(0.0, trainable=False, name="epoch")
        self._table: tuple[Phase, ...] | None = None
        self._plan: tuple[Phase, ...] | None = None
        self.trackers: dict[str, keras.metrics.Mean] = {}
        self.evaluation_trackers: dict[str, keras.metrics.Mean] = {}
        self.teacher_trackers: dict[str, keras.metrics.Mean] = {}
        self.built = True

    @property
    def teachers(self) -> Sequence[keras.Model]:
        """The models that the networks learn from and that nothing moves."""
        return self._teachers

    def add_teachers(self, teachers: keras.Model | Sequence[keras.Model]) -> None:
        """Takes more teachers, as the constructor does; before `compile`.

        Raises:
            ValueError: one does not fit the networks, or `compile` was called before.
        """
        self._require_not_compiled()
        self._teachers.add(teachers, self.networks, self.task, self.distribute_strategy)

    def amend(
        self, change: Callable[[tuple[Phase, ...]], tuple[Phase, ...]], helpers: Sequence[keras.Model] = ()
    ) -> None:
        """Changes the method's table and takes the helpers that this needs, as for what is added to a method.

        Args:
            change: from the table to another one.
            helpers: with names that no helper of the method has.

        Raises:
            ValueError: a name that is taken, a table that cannot be, or `compile` was called before.
        """
        self._require_not_compiled()
        if taken := sorted({one.name for one in helpers} & set(self.helpers)):
            raise ArgumentError("helpers", f"the method has {', '.join(taken)} already")
        table = change(self._table or self.phases())
        check_plan(table)
        self._table, self._plan = table, None
        self.helpers |= {one.name: one for one in helpers}

    def _require_not_compiled(self) -> None:
        if self.compiled:
            raise ValueError("compile: was called before; add to a method first, then compile it")

    def phases(self) -> tuple[Phase, ...]:
        """The method's table. Called once, after construction."""
        raise TypeError(f"{type(self).__name__} must say its phases()")

    def recipe(
        self, networks: optimizer_settings.OptimizerSettings | None = None, *, stretch: float = 1.0
    ) -> dict[str, optimizer_settings.OptimizerSettings]:
        """Optimizer settings per group of updates, as the protocol says; one group, `"networks"`, by default.

        Args:
            networks: the settings of that group in this run; the method's protocol's if not given.
            stretch: how many times as long as its protocol's the run is. Milestones that the method says in epochs of
                such a run are stretched by it; those of `networks` are the run's already.
        """
        return {"networks": networks or optimizer_settings.PROTOCOLS[self.protocol].settings}

    def call_networks(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        """The taps of every network, by its name, in one forward pass; teachers' are in `call_all`.

        A method whose networks share layers overrides it, so that what is shared runs once; what else it computes on
        the way may go along under names of its own.

        Args:
            images: normalised, `[batch, height, width, channels]`.
            call: calls a model on its inputs in the mode that is asked for; call every model through it.
        """
        return {network.name: call(network, images) for network in self.networks}

    def call_all(self, images: tf.Tensor, call: CallModel) -> dict[str, Taps]:
        """What the losses of a round see: the taps of every network and of every teacher, by its name."""
        return {**self.call_networks(images, call), **{one.name: call(one, images) for one in self.teachers}}

    def ensemble(self, taps: Mapping[str, Taps]) -> Taps:
        """The ensemble's answer from what `call_networks` gave; the task's of all networks, by default."""
        return self.task.ensemble([taps[network.name] for network in self.networks])

    @property
    def scored(self) -> list[str]:
        """Whose scores there are: the networks', and their ensemble's where several make one."""
        names = [network.name for network in self.networks]
        return [*names, self.task.ensemble_name] if len(names) > 1 and self.task.ensemble_name else names

    def deliverables(self) -> dict[str, keras.Model]:
        """What training is for, by name: the networks, stripped of every helper."""
        return {network.name: network for network in self.networks}

    def call(self, images: tf.Tensor, training: bool = False) -> dict[str, Taps]:
        """The taps of every network, by its name; no teacher is called."""
        return self.call_networks(images, lambda model, inputs: model(inputs, training=training))

    def call_model(self, model: keras.Model, inputs: Any) -> Any:
        """Calls a network, helper or teacher in the mode of the present phase: frozen ones with `training=False`."""
        return model(inputs, training=self.phase.moves(model))

    def epoch_value(self) -> tf.Tensor:
        """The present epoch, from 0, as weights of terms take it: a float32 scalar."""
        return self._epoch.value()

    @property
    def classes(self) -> int:
        """How many classes the networks tell apart."""
        return self.task.classes(self.networks[0])

    # --- the plan, its optimizers and its variables

    @property
    def plan(self) -> tuple[Phase, ...]:
        if self._plan is None:
            if self._table is None:
                self._table = self.phases()
                check_plan(self._table)
            self._owned = owned_by_update(self._table)
            plan = without_idle_updates(self._table)
            check_shared_layers(self.networks, plan)
            self._teachers.require_unmoved(plan)
            with tf.init_scope(), self._scope():
                names = logged.training_names(plan, self.networks, self.task.training_metric_names)
                self.trackers = logged.means(names)
                self.evaluation_trackers = logged.means(self.metrics_names, "val_")
                taught_by = logged.score_names([one.name for one in self.teachers], self.task.metric_names)
                self.teacher_trackers = logged.means(taught_by, "teacher_")
            self._plan = plan
        return self._plan

    @property
    def phase(self) -> Phase:
        """The phase that is being trained."""
        return self.plan[self.phase_index]

    def compile(
        self,
        optimizers: Mapping[str, Choice] | OneForAll | None = None,
        *,
        optimizer: OneForAll | None = None,
        xla: Literal["auto", "on", "off"] | bool = "auto",
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        **of_keras: Any,
    ) -> None:
        """Sets how to train.

        Args:
            optimizers: settings per group of updates, or an optimizer of one's own per update, with all that Keras'
                optimizers carry; the method's `recipe` serves what is not named here. Anything but such a dict is taken
                as `optimizer`.
            optimizer: one for all updates, of which each gets a copy: settings, a Keras optimizer, its config, or its
                name, such as `"adam"`.
            xla: `"on"`, `"off"`, or `"auto"`: on where a GPU is used (XLA is slower than oneDNN on CPUs).
            run_eagerly: whether every step runs without a graph, slow and open to a debugger.
            steps_per_execution: training steps per call from Python.
            of_keras: nothing; what else Keras' `compile` takes is refused with the way to say it here.

        Raises:
            ValueError: what is no optimizer, a name that is no group and no update of this method, or XLA without a
                graph.
        """
        require_known(of_keras)
        compiled = _resolve_xla(xla, run_eagerly)
        super().compile(
            optimizer=None, jit_compile=False, run_eagerly=run_eagerly, steps_per_execution=steps_per_execution
        )
        self._steps = Steps(self, xla=compiled)
        self._plan = None  # what is frozen may have changed
        chosen = chosen_optimizers(optimizers, optimizer, self.plan)
        names = [update.name for phase in self.plan for update in phase.updates()]
        for name in chosen:
            if name not in self.recipe() and name not in names:
                raise ValueError(f"optimizers: no group or update {name!r}; there are {[*self.recipe(), *names]}")
        # In a function, where Keras does not find them: `save_weights` keeps those that train, in `update_optimizers`.
        self._choose = lambda update: chosen.get(update.name) or chosen.get(update.group) or self.recipe()[update.group]
        self.update_optimizers = {}

    def prepare(self, *, steps_per_epoch: int, epochs: int) -> None:
        """Creates every optimizer, built on its own variables. `fit` does it where it has not been done.

        Args:
            steps_per_epoch: what turns epochs of the schedules into steps.
            epochs: length of the run, for schedules that depend on it.
        """
        plan = self.plan
        require_unchanged(self._owned, owned_by_update(self._table or ()))
        if self.update_optimizers:
            return
        with self._scope():
            self.optimizers = UpdateOptimizers(
                plan,
                self._choose,
                steps_per_epoch=steps_per_epoch,
                epochs=epochs,
                replicas=self.distribute_strategy.num_replicas_in_sync,
            )
        self.update_optimizers = self.optimizers.by_name
        self.optimizer = OptimizersAsOne(self.update_optimizers)

    def state(self) -> dict[str, keras.Variable]:
        """Every variable that the future of training depends on, under a key that is the same in every process."""
        owners: dict[str, Sequence[keras.Variable]] = {
            **{f"helpers/{name}": helper.variables for name, helper in self.helpers.items()},
            **{f"optimizers/{name}": optimizer.variables for name, optimizer in self.update_optimizers.items()},
            # The mean of all learners is for Keras' callbacks; a run's record has no column of it.
            **{f"metrics/{key}": one.variables for key, one in self.trackers.items() if key != logged.LOSS},
        }
        return {**network_state(self.networks), **keyed(owners)}

    def synchronize(self) -> None:
        """Averages what replicas keep for themselves (BatchNorm statistics); nothing to do on one device.

        With several workers all have to call it, at the same step.
        """
        for variable, mean in self._means():
            variable.assign(mean)

    def _means(self) -> list[tuple[keras.Variable, np.ndarray]]:
        """What `synchronize` assigns; with several workers all have to call it."""
        return replicas.means(self.kept_by_replicas(), self.distribute_strategy, self.workers)

    def kept_by_replicas(self) -> list[keras.Variable]:
        """What no optimizer moves: running statistics, and the state of generators."""
        models = (*self.networks, *self.helpers.values())
        return list({id(one): one for model in models for one in model.non_trainable_variables}.values())

    def snapshot(self) -> dict[str, np.ndarray]:
        """The arrays of `state`, the replicas' statistics averaged, and what each replica has for itself.

        The variables stay as they are: when a checkpoint is taken must not change the training. With several workers
        all have to call it.

        Raises:
            FloatingPointError: a variable, or a loss since the last look, is not finite: that is never saved.
        """
        self.guard.look()
        means = {id(variable): mean for variable, mean in self._means()}
        state = self.state()
        arrays = replicas.values(state, self.distribute_strategy, self.workers)
        arrays |= {name: means[id(variable)] for name, variable in state.items() if id(variable) in means}
        require_finite(arrays, state, f"at step {self.steps_trained}")
        own = {name: one for name, one in state.items() if id(one) in means or name.startswith("metrics/")}
        return {**arrays, **replicas.own_values(own, self.distribute_strategy, self.workers)}

    # --- one step

    def batch_of(self, data: Any) -> dict[str, tf.Tensor]:
        """A batch in the form that the methods read: `images`, and `labels` as losses take them; without weights."""
        given = {name: value for name, value in batches.as_batch(data).items() if name != "weight"}
        return self.task.readied(given, self.classes)[0]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Trains on one batch; see `steps.Steps.train`."""
        self._steps.train(data)
        return {}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Scores one batch; see `steps.Steps.score`."""
        self._steps.score(data)
        return {}

    # --- one fit for every strategy

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

        Teachers are scored once, on `validation_data`, before the first step; see `teacher_scores`.
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
            self._steps.given(x.element_spec)
            # Keras' default, which it warns of: a data set has its order.
            keras_arguments.setdefault("shuffle", False)
        self.prepare(steps_per_epoch=known_steps or 1, epochs=epochs)
        require_labels_beside(keras_arguments.get("class_weight"), x)
        called = listed(callbacks)
        check_callbacks(called, self.optimizer, self.plan, self.task.rising)
        self._require_sound(x, y, keras_arguments.get("sample_weight"))
        if isinstance(scored := keras_arguments.get("validation_data"), tuple) and len(scored) > 1:
            self._require_sound(scored[0], scored[1], scored[2] if len(scored) > 2 else None, "validation example")
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

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        *,
        return_dict: bool = False,
        **keras_arguments: Any,
    ) -> Any:
        """`keras.Model.evaluate`, after the replicas' BatchNorm statistics were averaged.

        Returns:
            The scores by name, or as a list in the order of `metrics_names`.
        """
        self.synchronize()
        # Keras' `fit` says so when it scores, every epoch, the arrays that were looked at when it began.
        if not keras_arguments.get("_use_cached_eval_dataset"):
            self._require_sound(x, y, keras_arguments.get("sample_weight"))
        self.guard.begin_scoring()
        with batches.one_line_errors():
            scores = super().evaluate(x, y, batch_size, verbose, return_dict=True, **keras_arguments)
        self.guard.look_at_scored()
        self.guard.tell_of_scores(scores)
        return scores if return_dict else [scores[name] for name in self.metrics_names]

    def evaluate_and_count(
        self, x: Any = None, y: Any = None, **keras_arguments: Any
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """`evaluate`, and the task's tables over the same examples: for classification the confusion matrix.

        Memory is bounded by the tables, whatever the number of examples.

        Returns:
            The scores by name, and the tables by `<network>/<table>`, float32 [classes, classes].
        """
        names = [f"{owner}/{table}" for owner in self.scored for table in self.task.table_names]
        with self._scope():
            totals = {name: logged.Total([self.classes] * 2, name.replace("/", "_")) for name in names}
        as_usual = self.test_function
        self.test_function = loops.evaluation(
            self, lambda data: self._steps.score_and_count(data, totals), logged.results_of(self.evaluation_trackers)
        )
        try:
            scores = self.evaluate(x, y, return_dict=True, **keras_arguments)
        finally:
            self.test_function = as_usual
        return scores, {name: total.numpy() for name, total in logged.results_of(totals)().items()}

    def score_teachers(self, x: Any = None, y: Any = None, **keras_arguments: Any) -> dict[str, float]:
        """Scores every teacher as `evaluate` scores the networks, and keeps the scores in `teacher_scores`.

        Returns:
            The scores by `<teacher>/<metric>`; empty where there is no teacher.
        """
        if not self.teachers:
            return {}
        self.guard.look_at_teachers()
        of_networks = self.test_function
        self.test_function = loops.evaluation(
            self, self._steps.score_teachers, logged.results_of(self.teacher_trackers)
        )
        try:
            with batches.one_line_errors():
                scores = super().evaluate(x, y, return_dict=True, **keras_arguments)
        finally:
            self.test_function = of_networks
        self.guard.look_at_scored()
        self.guard.tell_of_scores(scores)
        self.teacher_scores = {name: float(scores[name]) for name in self.teacher_trackers}
        return self.teacher_scores

    def _score_teachers_on(self, of_fit: Mapping[str, Any]) -> None:
        """Scores them on the validation data that `fit` was given, if any; an iterator is left for the networks."""
        data = of_fit.get("validation_data")
        if not self.teachers or data is None or hasattr(data, "__next__"):
            return
        names = {"validation_steps": "steps", "validation_batch_size": "batch_size"}
        chosen = {ours: of_fit[theirs] for theirs, ours in names.items() if theirs in of_fit}
        given = keras.utils.unpack_x_y_sample_weight(data) if isinstance(data, tuple | list) else (data,)
        self.score_teachers(**dict(zip(("x", "y", "sample_weight"), given, strict=False)), verbose=0, **chosen)

    def _require_sound(self, images: Any, labels: Any, weights: Any, place: str = "example") -> None:
        """Refuses arrays that hold what is no number or no class; a data set is looked at while it is read."""
        batches.require_finite_images(images, place)
        require_classes(labels, self.classes, place)
        require_weights(weights, images, place)

    def test_on_batch(self, x: Any, y: Any = None, *, return_dict: bool = False, **keras_arguments: Any) -> Any:
        """`keras.Model.test_on_batch`; what it gives is in the order of `evaluate`."""
        scores = super().test_on_batch(x, y, return_dict=True, **keras_arguments)
        return scores if return_dict else [scores[name] for name in self.metrics_names]

    def train_on_batch(self, *arguments: Any, **keras_arguments: Any) -> Any:
        """Refused: phases, ramps and schedules need to know the epoch.

        Raises:
            ValueError: always.
        """
        raise ValueError("train_on_batch: phases and schedules need the epoch; use fit(), which takes any data set")

    def start_epoch(self, epoch: int, steps: int | None) -> None:
        """Chooses the phase of `epoch` (from 0) and says how many steps it has."""
        self.epoch, self.steps_left = epoch, steps
        self._epoch.assign(epoch)
        ends: float = 0
        for index, phase in enumerate(self.plan):
            ends = math.inf if phase.epochs is None else ends + phase.epochs
            if epoch < ends or index == len(self.plan) - 1:
                break
        if index != self.phase_index:
            self._finalize()
        self.phase_index = index

    def _finalize(self) -> None:
        """Ends what `fit` has trained of the present phase."""
        if self.phase_index in self.phases_trained:
            with self._scope():
                self.optimizers.finalize(self.phase)

    def save(self, *arguments: Any, **keywords: Any) -> None:
        """Refused: a distiller is a training, and no model that a file could bring back.

        Raises:
            NotImplementedError: always; says what is saved instead.
        """
        raise NotImplementedError(
            "save: a distiller is not saved as a model; save its networks (distiller.networks[0].save(path)), or the "
            "weights of all with save_weights(path)"
        )

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **keywords: Any) -> None:
        """Reads what `save_weights` wrote: networks, helpers and, once they are made, the optimizers' state.

        The optimizers are made by `prepare`, or by the first `fit`. Where they are not, a warning says so.

        Args:
            filepath: ends in `.weights.h5`.
            skip_mismatch: whether to pass over what does not fit.
            keywords: others that Keras' own takes.
        """
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

    def make_train_function(self, force: bool = False) -> None:
        """Keras' own fails with several replicas and several steps per execution; see `loops.training`."""
        if self.train_function is None or force:
            self.train_function = loops.training(self, self._results_of)

    def _results_of(self, phase: Phase) -> loops.Results:
        """What is logged in a phase: a term that is not trained in it has no value there, not 0."""
        names = logged.training_names([phase], self.networks, self.task.training_metric_names)
        return logged.results_of({name: self.trackers[name] for name in names})

    def make_test_function(self, force: bool = False) -> None:
        """As `make_train_function`; see `loops.evaluation`."""
        if self.test_function is None or force:
            self.test_function = loops.evaluation(self, self.test_step, logged.results_of(self.evaluation_trackers))

    def _maybe_symbolic_build(self, *arguments: Any, **keywords: Any) -> None:
        """Everything is built already; Keras' symbolic build fails under several replicas."""

    def get_metrics_result(self) -> dict[str, Any]:
        """Keras asks for it at the end of an epoch, and then reports the last step's logs, which are the same.

        With several workers each metric would be a meeting of its own.
        """
        return {} if self.workers.count > 1 else super().get_metrics_result()

    # --- names and numbers

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*self.trackers.values(), *self.evaluation_trackers.values(), *self.teacher_trackers.values()]

    @property
    def metrics_names(self) -> list[str]:
        """The scores that `evaluate` gives, in its order; without the prefix `val_` that `fit` gives them."""
        return [logged.LOSS, *logged.score_names(self.scored, self.task.metric_names)]

    def _scope(self) -> contextlib.AbstractContextManager:
        return self.distribute_strategy.scope()


def _resolve_xla(xla: str | bool, run_eagerly: bool) -> bool:
    if xla in ("on", True):
        if run_eagerly:
            raise ValueError("run_eagerly: XLA compiles a graph, and there would be none; leave xla out")
        return True
    if xla in ("off", False):
        return False
    if xla == "auto":
        return not run_eagerly and bool(tf.config.list_logical_devices("GPU"))
    raise ValueError(f"xla: {xla!r} is none of 'auto', 'on', 'off'")
