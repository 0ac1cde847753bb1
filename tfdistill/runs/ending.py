"""The end of a run: scores on what was not scored yet, exports, results.json, and the table on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from tfdistill.devices import replicas
from tfdistill.files import write_json
from tfdistill.runs import class_tables, report, run_exports
from tfdistill.runs.best_epoch import BestEpoch, ExportedEpoch
from tfdistill.runs.callbacks import Record, measured
from tfdistill.runs.interruption import Signals
from tfdistill.runs.prepared import Prepared
from tfdistill.runs.sealing import sealed
from tfdistill.runs.watching import TensorBoard
from tfdistill.standalone.calling import program
from tfdistill.tasks.by_class import ByClass


class Ending:
    """What becomes of a run that is trained.

    All of it is done with the weights of the epoch that --export_epoch says; what is saved stays the last one's.

    Args:
        run: the run, trained.
        record: of its epochs.
        signals: what the process does about SIGTERM and Ctrl-C.
        best: the epoch to export, where it is the best.
        board: TensorBoard, where this process writes it.
    """

    def __init__(
        self, run: Prepared, record: Record, signals: Signals, best: BestEpoch | None, board: TensorBoard | None
    ) -> None:
        self.run, self.record, self.signals, self.best, self.board = run, record, signals, best, board

    def finish(self) -> int:
        """Scores on data not yet scored, exports, writes results.json, and prints the table.

        Returns:
            The exit status: 1 if an export failed, which is then said last.
        """
        scored_on, *others = self.run.data.monitors
        if self.best:
            self.best.assign(self.run.distiller)
            if not self.best.chosen and self.run.workers.is_chief:
                print("export_epoch: no epoch has a validation score that is a number; the last one stands in for best")
        other_scores = {name: self.run.scores(name) for name in others[:-1]}
        final, by_class = self._final_scores()
        if others:
            other_scores[others[-1]] = final
        self.run.distiller.synchronize()
        self.signals.be_impatient(f"it exported step {self._exported().step}, which was saved")
        exports = run_exports.Exports({})
        if self.run.workers.is_chief:
            if self.run.config.export:
                exports = self._export()
            self._write_classes(by_class)
            print(self._write_results(scored_on, other_scores, exports, by_class), flush=True)
        self.run.workers.wait()  # whoever leaves early looks to the others as if it had died
        for line in exports.messages():
            print(f"{program('train')}: error: {line}", file=sys.stderr)
        return 1 if exports.failures else 0

    def _final_scores(self) -> tuple[dict[str, float], dict[str, ByClass]]:
        """Scores on the test data, and what is known of each class, in one pass."""
        name = list(self.run.data.monitors)[-1]
        batches, steps = self.run.feeding.evaluation(name), self.run.feeding.evaluation_steps(name)
        scores, tables = self.run.distiller.evaluate_and_count(batches, steps=steps, verbose=0)
        return measured(scores), class_tables.by_network(tables, self.run.distiller.task)

    def _write_classes(self, by_class: Mapping[str, ByClass]) -> None:
        if not by_class:
            return
        names = self.run.data.class_names
        write_json(self.run.folder.classes, class_tables.class_facts(list(self.run.data.monitors)[-1], by_class, names))
        if self.board:
            self.board.write_classes(by_class, names, self._exported().step)

    def _write_results(
        self,
        scored_on: str,
        other_scores: Mapping[str, Mapping[str, float]],
        exports: run_exports.Exports,
        by_class: Mapping[str, ByClass],
    ) -> str:
        networks = list(self.run.distiller.deliverables().values())
        rows, step = self.record.rows, self.run.distiller.steps_trained
        results = report.results_of(
            self.run.config,
            networks,
            rows,
            scored_on=scored_on,
            other_scores=other_scores,
            exports=exports.paths,
            task=self.run.distiller.task,
            exported=self._exported(),
            worst_classes=class_tables.worst_classes(by_class, self.run.data.class_names),
            facts={
                "run": self.run.config.run_name,
                "step": step,
                "planned_steps": self.run.timetable.planned_steps,
                "epochs": step / self.run.timetable.steps_per_epoch,
                "batch_size": self.run.data.batch_size,
                **self._unlabelled_facts(),
                "seconds": round(self.record.seconds, 1),
                **({"teachers": self.run.teachers} if self.run.teachers else {}),
                **({"teacher_views": self.run.views.facts(step)} if self.run.views else {}),
                **({"workers": self.run.workers.count} if self.run.workers.count > 1 else {}),
                **({"failed_exports": dict(exports.failures)} if exports.failures else {}),
            },
        )
        write_json(self.run.folder.results, sealed(results, self.run.folder.path))
        return report.final_table(results, self.run.folder.path, self.run.distiller.task)

    def _unlabelled_facts(self) -> dict[str, int]:
        found = self.run.data.unlabelled
        if not found:
            return {}
        return {
            "unlabelled_batch_size": self.run.data.unlabelled_batch_size,
            "unlabelled_examples": len(found.split),
            "unlabelled_left_out": found.left_out,
        }

    def _export(self) -> run_exports.Exports:
        networks = self.run.distiller.deliverables()
        if self.run.workers.count > 1:
            # The chief could not use alone what replicas keep for themselves.
            networks = {name: replicas.without_replicas(network) for name, network in networks.items()}
        return run_exports.export_all(
            networks, self.run.data, rows=self.record.rows, exported=self._exported(), teachers=self.run.teachers
        )

    def _exported(self) -> ExportedEpoch:
        return ExportedEpoch.of(self.record.rows, self.run.distiller.steps_trained, self.best and self.best.chosen)
