"""`--teacher_views`: teachers are asked about each training image some times in all, and their answers are kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill.data import Split
from tfdistill.engine.distiller import Distiller
from tfdistill.engine.taps_read import taps_read
from tfdistill.runs.checkpoints.files import sha256
from tfdistill.runs.data import RunData, evaluation_batch_size
from tfdistill.runs.drawn_line import Remaining
from tfdistill.runs.kept_views import KIND, KeptViews
from tfdistill.runs.timetable import Timetable

FOLDER = "teacher_views"
# The flags that decide which images a teacher sees, and how; which images there are is told by a mark of them.
SHOWN_BY = (
    *("image_size", "reading", "max_pixels", "normalization", "augmentation", "seed"),
    *("randaugment_operations", "randaugment_magnitude", "cutout_size"),
    *("precision", "products", "teacher_normalization", "teacher_classes", "teacher_precision", "taps"),
)
MEGABYTE = 10**6


class TeacherViews:
    """The answers of a run's teachers to every view of its training images.

    All views are made before the first step; from then on batches bring the answers along and no teacher is called. So
    a run that was cut off learns from the same bits as one that was not.

    Args:
        data: the run's.
        distiller: compiled.
        teachers: what is known of each, its "fingerprint" among it.
        folder: the run's.
        timetable: the run's; views that none of its steps shows are not made.

    Raises:
        ValueError: the method reads maps of a teacher, or nothing of any; or the disk has no room.
    """

    def __init__(
        self,
        data: RunData,
        distiller: Distiller,
        teachers: Sequence[Mapping[str, Any]],
        folder: Path,
        timetable: Timetable,
    ) -> None:
        self.data, self.distiller, self.timetable = data, distiller, timetable
        self._fingerprints = [one["fingerprint"] for one in teachers]
        self.columns = _columns(distiller, data)
        # In a chain the teachers teach the first network alone.
        taught = timetable.steps_per_epoch * data.config.chosen_protocol().epochs
        self.taught_steps = min(timetable.total_steps, taught)
        self.views = min(data.config.teacher_views, timetable.epochs_begun(self.taught_steps))
        self.kept = KeptViews(folder / FOLDER, len(data.train), sum(self.columns.values()))
        self._read: list[np.ndarray] = []
        missing = sum(not self.kept.is_there(view) for view in range(self.views)) * self.kept.view_bytes
        if missing > (room := self.kept.room()):
            raise ValueError(
                f"teacher_views: the answers to {self.views} views of {len(data.train):,} images take another "
                f"{_size(missing)} in {self.kept.folder}, where {_size(room)} are free; give fewer views, or "
                "another --runs_dir"
            )

    @property
    def passes(self) -> int:
        """Images that each teacher is asked about."""
        return self.views * len(self.data.train)

    def passes_without(self, step: int) -> int:
        """Images that it would have been asked about in the first `step` steps without views."""
        return min(step, self.taught_steps) * self.data.batch_size

    def described(self) -> str:
        """What there will be, for whoever waits for it: passes, and the room that the answers take."""
        planned, size = self.passes_without(self.timetable.total_steps), self.views * self.kept.view_bytes
        gain = f"which saves none of the {planned:,} without views"
        if self.passes < planned:
            gain = f"all before the first step, in place of {planned:,}"
        return (
            f"{self.views} of each image: {self.passes:,} passes of each teacher, {gain}; the answers take "
            f"{_size(size)} in {self.kept.folder}"
        )

    def facts(self, step: int) -> dict[str, int]:
        """What results.json says of them.

        Args:
            step: that the run has come to.
        """
        return {
            "views": self.views,
            "passes": self.passes,
            "saved_passes": max(0, self.passes_without(step) - self.passes),
            "bytes": self.views * self.kept.view_bytes,
        }

    def make(self) -> None:
        """Makes the views that are not there, or are not as they were written, and says so; opens all of them.

        Raises:
            FileError: one cannot be written.
            FloatingPointError: an answer is no number, or larger than float16 knows.
        """
        self.kept.sweep()
        wanted, ask = self._not_usable(), self._asking()
        progress = Remaining(len(wanted) * len(self.data.train))
        for view in wanted:
            self.kept.write(view, self._answers(view, ask, progress), self._told(view))
        progress.end(f"teacher views: {len(wanted)} made, {self.views - len(wanted)} there already")
        self._read = [self.kept.read(view) for view in range(self.views)]

    def _not_usable(self) -> list[int]:
        """The views that have to be made; of those that are there it is said why."""
        wanted = []
        for view in range(self.views):
            problem = self.kept.problem(view, self._told(view)) if self.kept.is_there(view) else "absent"
            if problem:
                wanted.append(view)
            if problem not in ("", "absent"):
                logging.warning("teacher_views: %s is made again: %s", self.kept.place(view), problem)
        return wanted

    def tell(self) -> None:
        """Says what was saved, at the end of a training."""
        saved = self.facts(self.distiller.steps_trained)["saved_passes"]
        print(f"teacher views: {self.passes:,} passes of each teacher, {saved:,} saved", flush=True)

    def along(self, view: tf.Tensor, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """What goes into the batch of the examples at `positions` of the training split; see `Teachers.told_in`.

        Args:
            view: int64 scalar.
            positions: int64 [B].
        """

        def read(view: np.int64, positions: np.ndarray) -> np.ndarray:
            # After the last epoch that the teachers teach, in a chain, nobody reads the answers.
            return self._read[view % self.views][positions]

        rows = tf.numpy_function(read, [view, positions], tf.float16, stateful=False)
        rows = tf.ensure_shape(rows, [*positions.shape, self.kept.shape[1]])
        return dict(zip(self.columns, tf.split(rows, list(self.columns.values()), axis=1), strict=True))

    def _answers(self, view: int, ask: Callable[[Any], tf.Tensor], progress: Remaining) -> Iterator[np.ndarray]:
        """The rows of a view, batch by batch."""
        strategy = self.distiller.distribute_strategy
        replicas, examples, done = strategy.num_replicas_in_sync, len(self.data.train), 0
        size = evaluation_batch_size(self.data.batch_size, replicas, self.data.image_shape)
        images = self.data.view_batches(view, size).map(lambda batch: batch["images"])
        for some in strategy.experimental_distribute_dataset(images):
            rows = ask(some).numpy()[: examples - done]
            done += len(rows)
            progress.add(len(rows), f"teacher views: {view + 1} of {self.views}, image {done:,} of {examples:,}")
            yield self._in_float16(rows)

    def _asking(self) -> Callable[[Any], tf.Tensor]:
        """Asks the teachers about images, which the replicas share; gives rows of all that is kept, float32."""
        strategy, called = self.distiller.distribute_strategy, self.distiller.teachers.called

        def ask(images: tf.Tensor) -> tf.Tensor:
            taps = {name: model(images, training=False) for name, model in called.items()}
            read = [taps[name][tap] for name, _, tap in (key.rpartition("/") for key in self.columns)]
            return tf.concat([tf.cast(one, tf.float32) for one in read], axis=1)

        def ask_all(images: Any) -> tf.Tensor:
            return tf.concat(strategy.experimental_local_results(strategy.run(ask, args=(images,))), axis=0)

        return tf.function(ask_all, autograph=False)

    def _in_float16(self, rows: np.ndarray) -> np.ndarray:
        largest, most = np.abs(rows).max(), float(np.finfo(KIND).max)
        if not largest <= most:
            keys = ", ".join(self.columns)
            said = (
                f"reaches {largest:,.0f}, and float16 ends at {most:,.0f}" if np.isfinite(largest) else "is no number"
            )
            raise FloatingPointError(f"teacher_views: one of {keys} {said} for a training image; leave it out")
        return rows.astype(KIND)

    def _told(self, view: int) -> dict[str, Any]:
        """What the answers of a view depend on."""
        flags = self.data.config.to_dict()
        return {
            "view": view,
            "teachers": self._fingerprints,
            "columns": self.columns,
            "flags": {name: flags[name] for name in SHOWN_BY if name in flags},
            "class_files": [sha256(Path(one)) for one in self.data.config.teacher_classes if Path(one).is_file()],
            "images": self._mark,
        }

    @cached_property
    def _mark(self) -> str:
        return mark_of(self.data.train)


def _columns(distiller: Distiller, data: RunData) -> dict[str, int]:
    """As "TEACHER/TAP" the taps that losses read, all of them vectors, with their lengths."""
    found = {}
    for name, taps in taps_read(distiller, data.training_batches().element_spec).items():
        for tap in taps:
            shape = distiller.teachers.called[name].output[tap].shape[1:]
            if len(shape) != 1:
                method, values = "+".join((data.config.method, *data.config.also)), "×".join(map(str, shape))
                raise ValueError(
                    f"teacher_views: {method} reads {tap} of teacher {name}, a map of {values} values, and only "
                    "vectors are kept; leave it out"
                )
            found[f"{name}/{tap}"] = int(shape[0])
    if not found:
        raise ValueError("teacher_views: no loss of this method reads what a teacher answers; leave it out")
    return found


def mark_of(split: Split) -> str:
    """By which the images of a split are known: SHA-256 over their pixels; or over the names of their files, from the
    folder on that has all of them, or over the places of their records.
    """
    names = "" if split.records is None else "\0".join(map(os.path.basename, split.records.paths))
    if split.on_disk and split.records is None:
        above = os.path.commonpath(split.images.tolist())
        names = "\0".join(os.path.relpath(one, above) for one in split.images)
    digest = hashlib.sha256(repr((split.image_shape, len(split))).encode())
    digest.update(os.fsencode(names))
    if split.images.dtype != object:
        digest.update(np.ascontiguousarray(split.images).data)
    return digest.hexdigest()


def _size(number: int) -> str:
    return f"{number / MEGABYTE:,.1f} MB" if number >= MEGABYTE else f"{number / 1000:,.1f} kB"
