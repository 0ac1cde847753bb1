"""A configured run from its first start to its end, however often it is cut off on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfdistill.devices import replicas, runtime
from tfdistill.runs import callbacks, checkpoints, watching
from tfdistill.runs.agreement import require_same_checkpoint, require_shared_folder
from tfdistill.runs.best_epoch import KEY as BEST_KEY
from tfdistill.runs.best_epoch import BestEpoch, present
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import images_per_step
from tfdistill.runs.ending import Ending
from tfdistill.runs.folder import RunFolder, flagfile
from tfdistill.runs.identity import PARTS, TEACHERS, UNLABELLED, identity, misfit, other_parts, other_teachers
from tfdistill.runs.interruption import Signals
from tfdistill.runs.keeping import KeptEpochs
from tfdistill.runs.pictures import Pictures
from tfdistill.runs.prepared import Prepared
from tfdistill.runs.unlabelled import other_images


class Run(Prepared):
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
        super().__init__(config, folder)
        self.signals = signals or Signals()
        write_epochs = folder.write_epochs if self.workers.is_chief else lambda rows: None
        self.record = callbacks.Record(images_per_step(config), write_epochs)
        reused = self.distiller.reused_of_teachers()
        known = identity(config, self.teachers, self.data.dataset.marks, self._unlabelled_mark, reused)
        self.checkpoints = callbacks.Checkpoints(
            folder.checkpoints,
            self.record,
            config.checkpoint_seconds,
            self.workers,
            self.signals,
            known,
            self._beside,
            self.timetable.cut_off_at,
        )
        self.best = BestEpoch(self.record) if config.export_epoch == "best" else None
        self.kept = KeptEpochs(folder.path, config.keep_epochs, self.timetable, self.record, known, self.workers)
        # Keras tells a callback its model when `fit` begins; a run that has no step left to train saves without one.
        for one in (self.checkpoints, self.kept):
            one.set_model(self.distiller)
        self._metrics = callbacks.RestoredMetrics({})
        self.board: watching.TensorBoard | None = None

    @property
    def _unlabelled_mark(self) -> str:
        return self.data.unlabelled.mark if self.data.unlabelled else ""

    def _beside(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """What checkpoints keep beside the training's state."""
        return (self.best.saved(), {BEST_KEY: self.best.chosen}) if self.best else ({}, {})

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
            ValueError: the workers do not find the same one, other teachers have taught it, its data was parted
                otherwise, other unlabelled images were beside it, or it is past an epoch that is to be kept.
        """
        unfit = misfit(self.config, self.distiller.state(), recipe=self.distiller.recipe)
        found = checkpoints.newest(self.folder.checkpoints, misfit=unfit)
        require_same_checkpoint(self.workers, self.folder, found)
        if found is None:
            return
        said = other_teachers(found.metadata.get(TEACHERS, ()), self.teachers)
        said = said or other_parts(found.metadata.get(PARTS, {}), self.data.dataset.marks)
        if said := said or other_images(found.metadata.get(UNLABELLED, ""), self._unlabelled_mark):
            raise ValueError(said)
        self.kept.require_ahead(found.step)
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
        self.score_teachers()
        is_over = self.distiller.steps_trained >= self.timetable.total_steps
        if self.views and not is_over:
            self.views.make()
        watchers = self._watchers()
        self._record_finished_epoch(watchers)
        self.kept.keep_where_it_is()
        scored_on = self.data.scored_on
        for stretch in self.timetable.stretches(self.distiller.steps_trained):
            self.distiller.fit(
                self.feeding.training(self.distiller.steps_trained, self.views.along if self.views else None),
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
        if self.views and not is_over:
            self.views.tell()
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
            f"{'no checkpoint was written yet' if self.is_fresh() else 'its last checkpoint is from before'}; {remedy}"
        )

    def finish(self) -> int:
        """Scores on data not yet scored, exports, writes results.json, and prints the table; see `Ending`.

        Returns:
            The exit status: 1 if an export failed, which is then said last.
        """
        return Ending(self, self.record, self.signals, self.best, self.board).finish()

    def _watchers(self) -> list:
        config = self.config.to_dict()
        shown = {**config, **config.pop("hyperparameters")}
        shown = {name: value for name, value in shown.items() if isinstance(value, bool | int | float | str)}
        text = flagfile(self.config)
        recording = [self._metrics, self.record, *([self.best] if self.best else []), self.kept]
        if not self.workers.is_chief:
            return [*recording, self.checkpoints]
        self.board = watching.TensorBoard(self.folder.logs, self.record, text, shown, self.config.log_every)
        return [
            *recording,
            self.board,
            Pictures(self.board, self.data, self.workers),
            watching.Progress(self.timetable.epochs, self.timetable.total_steps, self.record),
            self.checkpoints,
        ]

    def _record_finished_epoch(self, watchers: Sequence[Any]) -> None:
        """A run stopped between the last step of an epoch and its record has the record to make up for."""
        epoch = self.timetable.unrecorded_epoch(self.distiller.steps_trained, self.record.rows)
        if not epoch:
            return
        if self.distiller.steps_trained == self.timetable.cut_off_at:
            self.checkpoints.hold()
        logs = dict(self.record.logs)
        if epoch in self.timetable.scored_epochs:
            scores = self.scores(self.data.scored_on)
            logs |= {f"val_{name}": value for name, value in scores.items()}
        for watcher in watchers:
            watcher.set_model(self.distiller)
            watcher.on_epoch_end(epoch - 1, logs)
