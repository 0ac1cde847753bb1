"""Teachers of a run or of a distiller: sources read, fitted to the data, and scored against guessing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill.data import Normalization, ReadyData
from tfdistill.devices.replicas import copies
from tfdistill.devices.workers import Workers
from tfdistill.engine.teacher_agreement import LARGEST_DIFFERENCE, SAME_ANSWERS
from tfdistill.engine.teachers import fingerprint
from tfdistill.networks import network_from
from tfdistill.networks.answers import mean_of_logits
from tfdistill.networks.graphs import is_functional
from tfdistill.networks.keras_files import with_taps
from tfdistill.networks.names import teacher_names
from tfdistill.runs.checkpoints import CheckpointError
from tfdistill.runs.data import RunData
from tfdistill.runs.teacher_images import differing_names, fitted, perhaps_of_pixels
from tfdistill.runs.teacher_sources import KINDS, Found, Reader
from tfdistill.runs.teacher_texts import OWN, SAME, for_each, members, taps_of
from tfdistill.tasks.answered import task_of

Source: TypeAlias = keras.Model | str | os.PathLike


def teacher(
    source: Source | Sequence[Source],
    *,
    name: str | None = None,
    data: ReadyData | None = None,
    normalization: Normalization | str = OWN,
    classes: str = SAME,
    taps: Mapping[str, str] | None = None,
    trust_code: bool = False,
) -> keras.Model:
    """A frozen model for networks to learn from.

    >>> student = tfdistill.networks.resnet8(classes=10)
    >>> teacher = tfdistill.teacher(tfdistill.networks.resnet20(classes=10), name="teacher")
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KD(temperature=4.0, weight=0.9)])

    Args:
        source: a functional Keras model; the folder of a run, whose newest checkpoint counts (its best epoch, if that
            is what the run exports), as "runs/NAME", as "runs/NAME:NETWORK" where the run has several networks, or as
            "runs/NAME@10" for an epoch of those that the run has kept;
            "NETWORK:SOURCE" as the command's --networks has it, such as "resnet110:weights.npz"; the path of a
            `.keras` file, off whose end a softmax or sigmoid is taken; that of a SavedModel, which gives logits alone;
            or several of these in a list: one teacher that gives the mean of their logits. A model that gives no dict
            of taps gets those that `networks.network_from` finds.
        name: what it is called among the networks and teachers of a distiller; its own name if not given.
        data: what `load_data` gave for the training. With it, the teacher gets the images that it was trained on, of
            its own normalization and size, made inside its graph of those that the students see. Without it, the
            teacher sees what the students see.
        normalization: with `data`, what the teacher was trained on: a name of `data.NORMALIZATIONS` ("raw" is pixels
            in 0..255, "symmetric" -1..1), "caffe" (Keras' ResNets and VGGs), or a `data.Normalization`. "own" is what
            a run or an export of ours records, raw pixels for another SavedModel and for a file whose model reads
            integers, and that of `data` for anything else.
        classes: with `data`, "same"; "by_name" to pick the data's classes out of the teacher's by their names; or the
            path of a text file with the names of its classes, a line each, where it does not record them.
        taps: from a tap to the name of the layer whose output it is; they go before those that are found.
        trust_code: whether code in a file, that of Lambda layers, may run.

    Returns:
        a functional model from images to a dict of taps. Its layers are the source's own: nothing is copied.

    Raises:
        ValueError: there is no such file or run, or what lies there is no model, gives probabilities, holds code, or
            does not fit `data`.
    """
    sources = source if isinstance(source, list | tuple) else [source]
    for one in sources:
        if not isinstance(one, keras.Model | str | os.PathLike):
            raise ValueError(f"teacher: must be a keras.Model, {KINDS}, not {one!r:.80}")
    if data is None and (normalization, classes) != (OWN, SAME):
        raise ValueError("teacher: normalization and classes are for data; give data=load_data(...) too")
    reader = Reader(data.dataset if data else None, taps or {}, trust_code)
    try:
        models = [_of_source(one, reader, normalization, classes) for one in sources]
        if not models:
            raise ValueError("must be one source or more, not an empty list")
        return _as_network(_as_one(models, data.image_shape if data else models[0].inputs[0].shape[1:]), name)
    except (ValueError, CheckpointError) as error:
        raise ValueError(f"teacher: {_one_line(error)}") from error


def load_teachers(data: RunData, strategy: tf.distribute.Strategy) -> list[keras.Model]:
    """The teachers that a run's flags name, under its strategy, fitted to its data.

    Args:
        data: the run's.
        strategy: the run's.

    Raises:
        ValueError: one is not there, or does not fit the data; one line names it.
    """
    config, found = data.config, []
    sources = [members(text) for text in config.teacher]
    normalizations = for_each("teacher_normalization", config.teacher_normalization, sources, OWN)
    classes = for_each("teacher_classes", config.teacher_classes, sources, SAME)
    for text, joined, normalized, named in zip(config.teacher, sources, normalizations, classes, strict=True):
        try:
            with strategy.scope():
                models = []
                for one, normalization, order in zip(joined, normalized, named, strict=True):
                    reader = Reader(data, taps_of(one, config.taps), config.trust_code)
                    models.append(_of_source(one, reader, normalization, order))
                found.append(_as_one(models, data.image_shape))
        except (ValueError, CheckpointError) as error:
            said = _one_line(error)
            raise ValueError(f"teacher: {said if text in said else f'{text}: {said}'}") from error
    names = teacher_names([one.name for one in found], [one.name for one in config.specifications])
    for model, name in zip(found, names, strict=True):
        model.name = name
    return found


def _of_source(source: Source, reader: Reader, normalization: Normalization | str, classes: str) -> keras.Model:
    if isinstance(source, keras.Model):
        found = Found(_as_network(source, None, reader.taps))
    else:
        found = reader.read(os.fspath(source))
        found = Found(_as_network(found.model, None), found.normalization, found.class_names, found.usual, found.told)
    images, told = reader.images, found.told
    model = found.model
    if images is not None:
        model = fitted(found, images, normalization, classes)
        seen = perhaps_of_pixels(found, images, normalization), differing_names(found, images, classes)
        told = [*told, *filter(None, seen)]
    _require_finite(model)
    for line in told:
        logging.warning("teacher: %s: %s", source, line)
    return model


def _as_one(models: Sequence[keras.Model], image_shape: tuple[int, int, int]) -> keras.Model:
    """Models that are one teacher together."""
    if len(models) == 1:
        return models[0]
    for model in models:
        task = task_of(model)
        if task and not task.ensemble_name:
            raise ValueError(f"{model.name} is for {task.name}, where several make no teacher together; give one")
    return mean_of_logits(models, image_shape)


def _require_finite(model: keras.Model) -> None:
    for variable in model.variables:
        value = copies(variable)[0]
        # Kinds other than floats are whole numbers; "V" is how NumPy sees bfloat16.
        if value.dtype.kind in "fV" and not np.all(np.isfinite(value.astype(np.float32))):
            raise ValueError(f"its variable {variable.path} holds NaN or infinity")


def facts_of(teachers: Sequence[keras.Model], sources: Sequence[str]) -> list[dict]:
    """What a run says of its teachers: name, source and fingerprint; `scores` come when there are some."""
    return [
        {"name": model.name, "source": source, "fingerprint": fingerprint(model)}
        for model, source in zip(teachers, sources, strict=True)
    ]


def agreement_in_words(facts: Mapping[str, Any], precision: str, answer: str) -> str:
    """How far a teacher's answers in a lower precision are its own, to follow its score; empty where it has no other.

    Args:
        facts: those of the teacher, with its "agreement".
        precision: that it is asked in.
        answer: the tap that is compared.
    """
    if not (agreement := facts.get("agreement")):
        return ""
    return (
        f"; in {precision} {agreement[SAME_ANSWERS]:.2%} of the answers are those of its own precision, and its "
        f"{answer} differ by {agreement[LARGEST_DIFFERENCE]:.2%} of the largest at most"
    )


def like_guessing(score: float | None, chance: float, classes: int, examples: int) -> str:
    """A warning where a teacher is hardly better than guessing; it is no error, as weak teachers are studied too.

    Args:
        score: its headline, 0 to 1; `None` where it has none.
        chance: that of guessing, see `Task.chance`.
        classes: how many there are.
        examples: how many were scored.

    Returns:
        One line; empty where the score is more than three standard deviations above that of guessing.
    """
    if score is None or score > chance + 3 * math.sqrt(chance * (1 - chance) / examples):
        return ""
    return (
        f"its score {score:.2%} is that of guessing among {classes} classes; if it was trained on images of "
        "another normalization, give --teacher_normalization, and on classes in another order, --teacher_classes"
    )


def require_same_teachers(workers: Workers, facts: Sequence[dict]) -> None:
    """The workers of a run have read the same weights.

    Raises:
        ValueError: this worker's differ from the chief's, or another's do.
    """
    if not facts:
        return
    marks = [int(one["fingerprint"][:7], 16) for one in facts]
    other = [
        one["name"] for one, mark, chief in zip(facts, marks, workers.of_chief(marks), strict=True) if mark != chief
    ]
    problem = f"teacher: {', '.join(other)} has other weights here than for {workers.cluster.name(0)}"
    workers.refuse_together(problem if other else "")


def _as_network(model: Any, name: str | None, taps: Mapping[str, str] | None = None) -> keras.Model:
    if taps or not (is_functional(model) and task_of(model)):
        return with_taps(model, taps, name) if taps else network_from(model, name=name)
    return model if name in (None, model.name) else keras.Model(model.input, model.output, name=name)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("run: ")
