"""A configured run: data, networks and method put together, trained, scored, exported, reported."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from tfdistill.devices import memory, replicas, runtime
from tfdistill.devices.workers import Workers
from tfdistill.engine.term_checks import check_terms
from tfdistill.files import write_json
from tfdistill.optimizers import Protocol
from tfdistill.runs import callbacks, checkpoints, class_tables, report, run_exports, watching
from tfdistill.runs.agreement import require_same_checkpoint, require_same_flags, require_shared_folder
from tfdistill.runs.best_epoch import KEY as BEST_KEY
from tfdistill.runs.best_epoch import BestEpoch, ExportedEpoch, present
from tfdistill.runs.building import build_distiller
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.feeding import Feeding
from tfdistill.runs.folder import RunFolder, flagfile
from tfdistill.runs.identity import TEACHERS, identity, misfit, other_teachers
from tfdistill.runs.initial_weights import load_initial_weights
from tfdistill.runs.interruption import Signals
from tfdistill.runs.teachers import facts_of, load_teachers, require_same_teachers
from tfdistill.runs.timetable import Timetable
from tfdistill.standalone.calling import program


class Run:
    """A configured run: everything that can refuse is done on construction, nothing is written before `open`.

    Several workers do all of it together, each on its part of every batch; the chief alone writes and reports.

    Args:
        config: the run.
        folder: where it lives.
        signals: what the process does about SIGTERM and Ctrl-C; as usual if not given.

    Raises:
        ValueError: anything in the configuration that does not fit, in one line.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, signals: Signals | None = None) -> None:
        self.config, self.folder, self.signals = config, folder, signals or Signals()
        self.protocol: Protocol = config.chosen_protocol()
        self.strategy = runtime.make_strategy(cast(Any, config.strategy), config.replicas)
        self.workers = Workers(self.strategy)
        require_same_flags(self.workers, config)
        runtime.set_precision(config.precision)
        if config.deterministic:
            runtime.set_determinism(config.seed)
        self.data = RunData.read(config)
        self.data.require_trainable(self.strategy.num_replicas_in_sync)
        self.feeding = Feeding(self.data, self.workers, self.strategy.num_replicas_in_sync)
        self.timetable = Timetable(
            self.data.steps_per_epoch, self.protocol.epochs, stop=config.steps, evaluate_every=config.evaluate_every
        )
        teachers = load_teachers(self.data, self.strategy)
        self.distiller = build_distiller(self.data, self.strategy, teachers)
        self.teachers = facts_of(teachers, config.teacher)
        require_same_teachers(self.workers, self.teachers)
        own_share = self.data.batch_size // self.workers.count
        memory.require_for_training(self.distiller.networks, own_share, tuple(self.distiller.helpers.values()))
        folder.check(config, self.distiller.recipe)
        self._start_from_given_weights()
        self.distiller.compile(
            config.optimizers(self.distiller.recipe),
            xla=cast(Any, config.xla),  # the flag's bounds hold it to the choices
            steps_per_execution=config.steps_per_execution,
        )
        self.distiller.prepare(steps_per_epoch=self.timetable.steps_per_epoch, epochs=self.protocol.epochs)
        write_epochs = folder.write_epochs if self.workers.is_chief else lambda rows: None
        self.record = callbacks.Record(self.data.batch_size, write_epochs)
        self.checkpoints = callbacks.Checkpoints(
            folder.checkpoints,
            self.record,
            config.checkpoint_seconds,
            self.workers,
            self.signals,
            identity(config, self.teachers),
            self._beside,
        )
        self.best = BestEpoch(self.record) if config.export_epoch == "best" else None
        # Keras tells a callback its model when `fit` begins; a run that has no step left to train saves without one.
        self.checkpoints.set_model(self.distiller)
        self._metrics = callbacks.RestoredMetrics({})
        self.board: watching.TensorBoard | None = None
        if config.export and self.workers.is_chief:
            run_exports.check_exports(self.distiller.deliverables(), self.data)

    def _beside(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What checkpoints keep beside the training's state."""
        return (self.best.saved(), {BEST_KEY: self.best.chosen}) if self.best else ({}, {})

    def _start_from_given_weights(self) -> None:
        """Loads what `--networks` names, unless the run has a checkpoint to go on from."""
        if any(one.source for one in self.config.specifications) and self._is_fresh():
            for line in load_initial_weights(self.distiller.networks, self.config.specifications):
                print(line, flush=True)

    def _is_fresh(self) -> bool:
        """Whether there is no checkpoint to go on from; of a damaged one `open` says so."""
        return not checkpoints.exist(self.folder.checkpoints)

    def check_terms(self) -> None:
        """Before the first step of a run, unless told not to: every term and model of the method does something.

        It writes nothing, so that the run can begin again under its name with other flags.

        Raises:
            SilentTermError: names the term or the model.
        """
        if self.config.check_terms and self._is_fresh():
            check_terms(self.distiller, self.data.training_batches(), epochs=self.protocol.epochs)

    def open(self) -> None:
        """Takes the run folder, and goes back to its newest whole checkpoint if there is one.

        Raises:
            ValueError: the folder is in use, is not visible to a worker, or its checkpoint does not fit.
        """
        if self.workers.is_chief:
            for line in self.folder.open(self.config, self.distiller.recipe):
                print(line, flush=True)
        require_shared_folder(self.workers, self.folder)
        try:
            self.restore()
        except checkpoints.CheckpointError as error:
            raise ValueError(str(error)) from error
        if self.workers.is_chief:
            self.folder.write_flags(self.config, runtime.versions())

    def restore(self) -> None:
        """Brings the networks, helpers, optimizers and records to the newest whole checkpoint, if there is one.

        Raises:
            ValueError: the workers do not find the same one, or other teachers have taught it.
        """
        unfit = misfit(self.config, self.distiller.state(), recipe=self.distiller.recipe)
        found = checkpoints.newest(self.folder.checkpoints, misfit=unfit)
        require_same_checkpoint(self.workers, self.folder, found)
        if found is None:
            return
        if said := other_teachers(found.metadata.get(TEACHERS, ()), self.teachers):
            raise ValueError(said)
        checkpoints.assign(self.distiller.state(), present(replicas.shared(found.arrays)))
        replicas.restore_own(self.distiller.state(), found.arrays, self.strategy, self.workers)
        self.distiller.steps_trained = found.step
        self.record.restore(found.metadata)
        if self.best:
            self.best.restore(found.metadata, found.arrays)
        self.checkpoints.is_saved()
        if self.timetable.is_within_epoch(found.step):
            self._metrics = callbacks.RestoredMetrics(found.arrays)
        if self.workers.is_chief:
            self.folder.write_epochs(self.record.rows)
            print(f"going on from {found.path}, step {found.step} of {self.timetable.total_steps}", flush=True)

    def train(self) -> None:
        """Trains from where the run is to its end, and saves.

        Raises:
            Stopped: a signal asked for it.
            FloatingPointError: a loss is no longer finite.
        """
        self.signals.listen_again()
        # Several workers stop at the same step, whenever the signal came.
        self.signals.patient, self.signals.doing = self.workers.count > 1, "it prepared to train"
        self._score_teachers()
        watchers = self._watchers()
        self._record_finished_epoch(watchers)
        scored_on = self.data.scored_on
        for stretch in self.timetable.stretches(self.distiller.steps_trained):
            self.distiller.fit(
                self.feeding.training(first_step=self.distiller.steps_trained),
                initial_epoch=stretch.first_epoch,
                epochs=stretch.end_epoch,
                steps_per_epoch=stretch.steps_per_epoch,
                validation_data=self.feeding.evaluation(scored_on),
                validation_steps=self.feeding.evaluation_steps(scored_on),
                validation_freq=self.timetable.scored_epochs,
                callbacks=watchers,
                shuffle=False,
                verbose=0,
            )
        self.checkpoints.save_what_is_new()
        self.signals.be_impatient(f"it scored at step {self.distiller.steps_trained}, which was saved")

    def rescue(self) -> str:
        """Saves what was trained if the disk has room, after something else could not be written; says what came of it.

        Several workers would have to meet for it, of which the others know nothing.
        """
        step, remedy = self.distiller.steps_trained, "once that is mended, the same command goes on from there"
        if self.workers.count == 1 and step:
            self.record.forget_unfinished(step)
            try:
                self.checkpoints.save_what_is_new()
                return f"step {step} was saved; {remedy}"
            except (checkpoints.CheckpointError, FloatingPointError):
                pass
        return (
            f"{'no checkpoint was written yet' if self._is_fresh() else 'its last checkpoint is from before'}; {remedy}"
        )

    def finish(self) -> int:
        """Scores on data not yet scored, exports, writes results.json, and prints the table.

        All of it is done with the weights of the epoch that --export_epoch says; what is saved stays the last one's.

        Returns:
            The exit status: 1 if an export failed, which is then said last.
        """
        scored_on, *others = self.data.monitors
        if self.best:
            self.best.assign(self.distiller)
            if not self.best.chosen and self.workers.is_chief:
                print("export_epoch: no epoch has a validation score that is a number; the last one stands in for best")
        other_scores = {name: self._scores(name) for name in others[:-1]}
        final, tables = self._final_scores()
        if others:
            other_scores[others[-1]] = final
        self.distiller.synchronize()
        self.signals.be_impatient(f"it exported step {self._exported().step}, which was saved")
        exports = run_exports.Exports({})
        if self.workers.is_chief:
            if self.config.export:
                exports = self._export()
            self._write_classes(tables)
            print(self._write_results(scored_on, other_scores, exports, tables), flush=True)
        self.workers.wait()  # whoever leaves early looks to the others as if it had died
        for line in exports.messages():
            print(f"{program('train')}: error: {line}", file=sys.stderr)
        return 1 if exports.failures else 0

    def _final_scores(self) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Scores and the task's tables on the test data, in one pass."""
        name = list(self.data.monitors)[-1]
        batches, steps = self.feeding.evaluation(name), self.feeding.evaluation_steps(name)
        scores, tables = self.distiller.evaluate_and_count(batches, steps=steps, verbose=0)
        return callbacks.measured(scores), tables

    def _write_classes(self, tables: Mapping[str, np.ndarray]) -> None:
        if not tables:
            return
        names = self.data.class_names
        write_json(self.folder.classes, class_tables.class_facts(list(self.data.monitors)[-1], tables, names))
        if self.board:
            self.board.write_classes(tables, names, self._exported().step)

    def _write_results(
        self,
        scored_on: str,
        other_scores: Mapping[str, Mapping[str, float]],
        exports: run_exports.Exports,
        tables: Mapping[str, np.ndarray],
    ) -> str:
        networks = list(self.distiller.deliverables().values())
        rows, step = self.record.rows, self.distiller.steps_trained
        results = report.results_of(
            self.config,
            networks,
            rows,
            scored_on=scored_on,
            other_scores=other_scores,
            exports=exports.paths,
            task=self.distiller.task,
            exported=self._exported(),
            worst_classes=class_tables.worst_classes(tables, self.data.class_names),
            facts={
                "run": self.config.run_name,
                "step": step,
                "planned_steps": self.timetable.planned_steps,
                "epochs": step / self.timetable.steps_per_epoch,
                "batch_size": self.data.batch_size,
                "seconds": round(self.record.seconds, 1),
                **({"teachers": self.teachers} if self.teachers else {}),
                **({"workers": self.workers.count} if self.workers.count > 1 else {}),
                **({"failed_exports": dict(exports.failures)} if exports.failures else {}),
            },
        )
        write_json(self.folder.results, results)
        return report.final_table(results, self.folder.path, self.distiller.task)

    def _export(self) -> run_exports.Exports:
        networks = self.distiller.deliverables()
        if self.workers.count > 1:
            # The chief could not use alone what replicas keep for themselves.
            networks = {name: replicas.without_replicas(network) for name, network in networks.items()}
        return run_exports.export_all(
            networks, self.data, rows=self.record.rows, exported=self._exported(), teachers=self.teachers
        )

    def _exported(self) -> ExportedEpoch:
        return ExportedEpoch.of(self.record.rows, self.distiller.steps_trained, self.best and self.best.chosen)

    def _watchers(self) -> list:
        config = self.config.to_dict()
        shown = {**config, **config.pop("hyperparameters")}
        shown = {name: value for name, value in shown.items() if isinstance(value, bool | int | float | str)}
        text = flagfile(self.config)
        recording = [self._metrics, self.record, *([self.best] if self.best else [])]
        if not self.workers.is_chief:
            return [*recording, self.checkpoints]
        self.board = watching.TensorBoard(self.folder.logs, self.record, text, shown, self.config.log_every)
        return [
            *recording,
            self.board,
            watching.Progress(self.protocol.epochs, self.timetable.total_steps, self.record),
            self.checkpoints,
        ]

    def _record_finished_epoch(self, watchers: Sequence[Any]) -> None:
        """A run stopped between the last step of an epoch and its record has the record to make up for."""
        epoch = self.timetable.unrecorded_epoch(self.distiller.steps_trained, self.record.rows)
        if not epoch:
            return
        logs = dict(self.record.logs)
        if epoch in self.timetable.scored_epochs:
            scores = self._scores(self.data.scored_on)
            logs |= {f"val_{name}": value for name, value in scores.items()}
        for watcher in watchers:
            watcher.set_model(self.distiller)
            watcher.on_epoch_end(epoch - 1, logs)

    def _score_teachers(self) -> None:
        """Scores them on what each epoch is scored on, and says so; before the first step."""
        name = self.data.scored_on
        batches, steps = self.feeding.evaluation(name), self.feeding.evaluation_steps(name)
        scores = self.distiller.score_teachers(batches, steps=steps, verbose=0)
        for one in self.teachers:
            prefix = f"{one['name']}/"
            one["scores"] = {key.removeprefix(prefix): value for key, value in scores.items() if key.startswith(prefix)}
            if self.workers.is_chief:
                headline = self.distiller.task.headline
                score = self.distiller.task.shown(headline, one["scores"][headline])
                print(f"teacher {one['name']}: {name} {headline} {score}", flush=True)

    def _scores(self, name: str) -> dict[str, float]:
        batches, steps = self.feeding.evaluation(name), self.feeding.evaluation_steps(name)
        scores = self.distiller.evaluate(batches, steps=steps, return_dict=True, verbose=0)
        return callbacks.measured(scores)
