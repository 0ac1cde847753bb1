"""Evaluation: the scores of networks, of their ensemble and of teachers, every example once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill.engine import batches, logged, loops
from tfdistill.engine.stateful import Stateful
from tfdistill.engine.steps import Steps
from tfdistill.engine.teacher_agreement import Agreement
from tfdistill.tasks import require_weights


class Scoring(Stateful):
    """How a `Distiller` scores."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.teacher_scores: dict[str, float] = {}
        self.teacher_agreement: dict[str, dict[str, float]] = {}
        self.agreements: dict[str, Agreement] = {}
        self.test_function: Callable | None = None
        self._steps = Steps(self, xla=False)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Scores one batch; see `steps.Steps.score`."""
        self._steps.score(data)
        return {}

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
        batches.require_scores(scores)
        self.guard.look_at_scored()
        self.guard.tell_of_scores(scores)
        return scores if return_dict else [scores[name] for name in self.metrics_names]

    def evaluate_and_count(
        self, x: Any = None, y: Any = None, **keras_arguments: Any
    ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """`evaluate`, and the task's tables over the same examples: for classification the confusion matrix.

        Memory is bounded by the tables, whatever the number of examples.

        Returns:
            The scores by name, and the tables by `<network>/<table>`, float32.
        """
        shapes = self.task.table_shapes(self.classes)
        with self._scope():
            totals = {
                f"{owner}/{table}": logged.Total(shape, f"{owner}_{table}")
                for owner in self.scored
                for table, shape in shapes.items()
            }
        counting = functools.partial(self._steps.score_and_count, totals=totals)
        with self._scoring_by(counting, self.evaluation_trackers):
            scores = self.evaluate(x, y, return_dict=True, **keras_arguments)
        counted = logged.counted_of(self.task, self.scored, self.evaluation_trackers)
        tables = {**logged.results_of(totals)(), **counted()}
        return scores, {name: table.numpy() for name, table in tables.items()}

    def score_teachers(self, x: Any = None, y: Any = None, **keras_arguments: Any) -> dict[str, float]:
        """Scores every teacher as `evaluate` scores the networks, and keeps the scores in `teacher_scores`.

        A teacher that is asked in a lower precision is asked in its own too. By its name, `teacher_agreement` has the
        share of examples with the `same_answers`, and the `largest_difference` of two values of an answer (logits)
        over the largest value.

        Returns:
            The scores by `<teacher>/<metric>`; empty where there is no teacher.

        Raises:
            FloatingPointError: a score is not finite; one line names the teacher.
        """
        if not self.teachers:
            return {}
        self.guard.look_at_teachers()
        self._teachers.refresh()
        strategy = self.distribute_strategy
        self.agreements = {name: Agreement(self.task, strategy, name) for name in self._teachers.lowered}
        with self._scoring_by(self._steps.score_teachers, self.teacher_trackers), batches.one_line_errors():
            scores = super().evaluate(x, y, return_dict=True, **keras_arguments)
        batches.require_scores(scores)
        self.guard.look_at_scored()
        self.guard.require_finite_answers(scores)
        self.teacher_agreement = {name: one.found(self.workers) for name, one in self.agreements.items()}
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

    def test_on_batch(self, x: Any, y: Any = None, *, return_dict: bool = False, **keras_arguments: Any) -> Any:
        """`keras.Model.test_on_batch`; what it gives is in the order of `evaluate`."""
        scores = super().test_on_batch(x, y, return_dict=True, **keras_arguments)
        return scores if return_dict else [scores[name] for name in self.metrics_names]

    def make_test_function(self, force: bool = False) -> None:
        """As `make_train_function`; see `loops.evaluation`."""
        if self.test_function is None or force:
            self.test_function = loops.evaluation(self, self.test_step, logged.results_of(self.evaluation_trackers))

    @contextlib.contextmanager
    def _scoring_by(self, step: Callable[[Any], None], trackers: Mapping[str, keras.metrics.Metric]) -> Iterator[None]:
        """Within the block Keras' evaluation runs `step` on every batch, and reads `trackers`."""
        as_usual = self.test_function
        self.test_function = loops.evaluation(self, step, logged.results_of(trackers))
        try:
            yield
        finally:
            self.test_function = as_usual

    def _require_sound(self, images: Any, labels: Any, weights: Any, place: str = "example") -> None:
        """Refuses arrays that hold what is no number or no class; a data set is looked at while it is read."""
        batches.require_finite_images(images, place)
        self.task.require_labels(labels, self.classes, place)
        require_weights(weights, images, place)
