"""A study: networks side by side, and the examples that all of them are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from tfdistill.analysis.answers import Answers, Progress, Silent
from tfdistill.analysis.options import Options
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError, nearest, shown
from tfdistill.data import Normalization, Split, evaluation_batches


@dataclass(frozen=True, eq=False)
class Study:
    """Networks, the examples that they are shown, and what the user has chosen.

    Attributes:
        subjects: the networks, one or more.
        splits: the parts of the data by name, "test" among them.
        class_names: in the order of the labels.
        normalization: of the images that every network takes.
        split: the name of the part that is looked at.
        dataset: the name of the data.
        options: what the user has chosen.
        teacher: the label of the network that the others are compared with; empty where there is none.
        batch_size: examples that are computed at once.
        progress: makes what is told how far the work is, of so many steps.
        notes: what a reader of the results must know, a line each; analyses add to it.
        label_noise: the share of wrong labels, 0..1, among those of the "train" part.
    """

    subjects: Sequence[Subject]
    splits: Mapping[str, Split]
    class_names: Sequence[str]
    normalization: Normalization
    split: str = "test"
    dataset: str = ""
    options: Options = field(default_factory=Options)
    teacher: str = ""
    batch_size: int = 256
    progress: Callable[[int], Progress] = lambda total: Silent()
    notes: list[str] = field(default_factory=list)
    label_noise: float = 0.0
    _answering: dict[Any, Callable[[tf.Tensor], Any]] = field(default_factory=dict, repr=False)

    @property
    def labels(self) -> list[str]:
        """What the networks are called."""
        return [one.label for one in self.subjects]

    def note(self, line: str) -> None:
        """Adds a line to what a reader must know, once."""
        if line not in self.notes:
            self.notes.append(line)

    def without_notes(self) -> Study:
        """The same study with no notes yet, for another analysis."""
        return dataclasses.replace(self, notes=[])

    def part(self, subject: Subject, name: str) -> Split | None:
        """A part of the data as the subject's training had it, or else the study's own; None where there is none."""
        if name in subject.splits:
            self._note_noise(name, subject.label_noise)
            return subject.splits[name]
        self._note_noise(name, self.label_noise)
        return self.splits.get(name)

    def whole(self) -> Split:
        """All examples of the chosen part."""
        self._note_noise(self.split, self.label_noise)
        return self.splits[self.split]

    def _note_noise(self, part: str, share: float) -> None:
        if part == "train" and share:
            self.note(f"Labels of train examples are the training's own: about {share:.0%} are wrong (--label_noise).")

    def chosen(self, most: int = 0, *, split: Split | None = None) -> Split:
        """The examples to look at, in their order: all of the chosen part, or as many as the user or `most` says.

        Args:
            most: how many the analysis takes by itself; 0 for all.
            split: another part than the chosen one.
        """
        whole = self.whole() if split is None else split
        count = self.options.examples or most
        if not count or count >= len(whole):
            return whole
        # Evenly spaced, because some data sets lie in the order of their classes.
        return whole.take(np.arange(count) * len(whole) // count)

    def require_examples(self, least: int, what: str) -> None:
        """Refuses too few examples.

        Raises:
            ArgumentError: says how many are needed.
        """
        count = len(self.chosen())
        if count < least:
            name = "examples" if self.options.examples else "split"
            raise ArgumentError(name, f"{what} needs {least} examples or more, and there {_are(count)} here")

    def require_classes(self, least: int, what: str) -> None:
        """Refuses too few classes.

        Raises:
            ArgumentError: says how many are needed.
        """
        count = len(self.class_names)
        if count < least:
            raise ArgumentError("dataset", f"{what} needs {least} classes or more, and there {_are(count)} here")

    def class_numbers(self, count: int) -> list[int]:
        """The classes that the user has chosen, by name or number, or the first ones.

        Args:
            count: how many are needed.

        Raises:
            ArgumentError: another number of them, one twice, or one that the data does not have.
        """
        names = list(self.class_names)
        if not self.options.classes:
            return list(range(count))
        if len(self.options.classes) != count:
            raise ArgumentError("classes", f"must be {count} classes, not {len(self.options.classes)}")
        found = []
        for one in self.options.classes:
            if one in names:
                found.append(names.index(one))
            elif one.isascii() and one.isdigit() and int(one) < len(names):
                found.append(int(one))
            else:
                raise ArgumentError("classes", f"the data has no class {shown(one)}; nearest: {nearest(one, names)}")
        if len(set(found)) < count:
            raise ArgumentError("classes", "names a class twice")
        return found

    def answers(
        self,
        split: Split,
        taps: Mapping[str, Sequence[str]],
        what: str,
        *,
        progress: Progress | None = None,
    ) -> Iterator[Answers]:
        """One pass over some examples, in their order, each of them once.

        Args:
            split: the examples.
            taps: what is asked of whom: names of taps by the network's label.
            what: what the work is called where progress is shown.
            progress: of several passes, which goes on; one of this pass alone if not given.

        Raises:
            ArgumentError: a network answers with what is no number; names it and the example.
        """
        asked = {one.label: self._function(one, taps[one.label]) for one in self.subjects if one.label in taps}
        watched = progress or self.progress(len(split))
        batch_size, done = min(self.batch_size, len(split)), 0
        for batch in evaluation_batches(split, batch_size=batch_size, normalization=self.normalization):
            count = int(np.count_nonzero(batch["weight"].numpy()))
            index = batch["index"].numpy()[:count]
            found = {
                label: {tap: value.numpy()[:count] for tap, value in ask(batch["images"]).items()}
                for label, ask in asked.items()
            }
            for subject in self.subjects:
                subject.require_finite(found.get(subject.label, {}), index)
            yield Answers(batch["labels"].numpy()[:count], index, batch["images"].numpy()[:count], found)
            done += count
            watched.add(count, f"{what}: example {done:,} of {len(split):,}")
        if progress is None:
            watched.end(f"{what}: {len(split):,} examples")

    def require_sound_answers(self) -> None:
        """Refuses networks whose first answers are no numbers, before anything is looked at.

        Raises:
            ArgumentError: names the network.
        """
        first = self.chosen()
        first = first.take(np.arange(min(len(first), self.batch_size)))
        for _ in self.answers(first, {one.label: ("logits",) for one in self.subjects}, "", progress=Silent()):
            pass

    def _function(self, subject: Subject, taps: Sequence[str]) -> Callable[[tf.Tensor], Any]:
        key = subject.label, tuple(taps)
        if key not in self._answering:
            network = subject.network

            def ask(images: tf.Tensor) -> dict[str, tf.Tensor]:
                found = network(images, training=False)
                return {tap: tf.cast(found[tap], tf.float32) for tap in taps}

            # One trace, whatever the size of a batch; TensorFlow would warn of one network's function after another's.
            images = tf.TensorSpec(network.inputs[0].shape, tf.float32)
            self._answering[key] = tf.function(ask, autograph=False).get_concrete_function(images)
        return self._answering[key]


def _are(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} {count}"
