"""Teachers from where they lie: a Keras model, a .keras file, or the folder of a run."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfdistill.bounds import choose
from tfdistill.devices.workers import Workers
from tfdistill.engine.teachers import fingerprint
from tfdistill.networks import network_from
from tfdistill.networks.graphs import is_functional
from tfdistill.networks.names import teacher_names
from tfdistill.runs.checkpoints import CheckpointError
from tfdistill.runs.data import RunData
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.identity import seen_by
from tfdistill.runs.trained import Trained, load_trained
from tfdistill.tasks import Classification

LONGEST_REASON = 200


def teacher(source: keras.Model | str | os.PathLike, *, name: str | None = None) -> keras.Model:
    """A frozen model for networks to learn from.

    >>> student = tfdistill.networks.resnet8(classes=10)
    >>> teacher = tfdistill.teacher(tfdistill.networks.resnet20(classes=10), name="teacher")
    >>> distiller = tfdistill.Distillation(student, teacher, [tfdistill.KD(temperature=4.0, weight=0.9)])

    Args:
        source: a functional Keras model; the path of a `.keras` file with one; or the folder of a run, whose newest
            checkpoint counts (its best epoch, if that is what the run exports), as "runs/NAME", or as
            "runs/NAME:NETWORK" where the run has several networks. A model that gives no dict of taps gets those that
            `networks.network_from` finds.
        name: what it is called among the networks and teachers of a distiller; its own name if not given.

    Returns:
        a functional model from images to a dict of taps. Its layers are the source's own: nothing is copied.

    Raises:
        ValueError: there is no such file or run, or what lies there is no model, gives probabilities, or holds code.
    """
    if not isinstance(source, keras.Model | str | os.PathLike):
        raise ValueError(f"teacher: must be a keras.Model, a .keras file or the folder of a run, not {source!r:.80}")
    try:
        model = source if isinstance(source, keras.Model) else _from_path(os.fspath(source), None)
        return _as_network(model, name)
    except (ValueError, CheckpointError) as error:
        raise ValueError(f"teacher: {_one_line(error)}") from error


def load_teachers(data: RunData, strategy: tf.distribute.Strategy) -> list[keras.Model]:
    """The teachers that a run's flags name, under its strategy.

    Args:
        data: the run's, which its teachers have to read too.
        strategy: the run's.

    Raises:
        ValueError: one is not there, or is for other images or classes; one line names it.
    """
    found = []
    for text in data.config.teacher:
        try:
            with strategy.scope():
                model = _as_network(_from_path(text, data), None)
            _require_fitting(model, data)
            found.append(model)
        except (ValueError, CheckpointError) as error:
            said = _one_line(error)
            raise ValueError(f"teacher: {said if text in said else f'{text}: {said}'}") from error
    names = teacher_names([one.name for one in found], [one.name for one in data.config.specifications])
    for model, name in zip(found, names, strict=True):
        model.name = name
    return found


def facts_of(teachers: Sequence[keras.Model], sources: Sequence[str]) -> list[dict]:
    """What a run says of its teachers: name, source and fingerprint; `scores` come when there are some."""
    return [
        {"name": model.name, "source": source, "fingerprint": fingerprint(model)}
        for model, source in zip(teachers, sources, strict=True)
    ]


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


def _from_path(text: str, data: RunData | None) -> keras.Model:
    path, _, network = text.rpartition(":") if not Path(text).exists() else (text, "", "")
    if Path(path or text).is_dir():
        return _network_of_run(path or text, network, data)
    if not Path(text).exists():
        raise ValueError(f"there is no file or run {text}")
    return _from_file(Path(text))


def _network_of_run(path: str, network: str, data: RunData | None) -> keras.Model:
    """A network of a run as its newest checkpoint has it; this process's precision stays what it was."""
    policy = keras.config.dtype_policy()
    try:
        trained = load_trained(RunFolder(path), like=data)
    finally:
        keras.config.set_dtype_policy(policy)
    models = {one.name: one for one in trained.networks}
    if not network and len(models) > 1:
        raise ValueError(
            f"{path} has {len(models)} networks, {', '.join(models)}; say which: {path}:{next(iter(models))}"
        )
    if data is not None:
        _require_same_reading(path, trained, data)
        if said := seen_by(path, trained.parts, data.dataset.marks):
            logging.warning("teacher: %s", said)
    return choose(f"network of {path}", network, models) if network else next(iter(models.values()))


def _require_same_reading(path: str, trained: Trained, data: RunData) -> None:
    ours, theirs = data.normalization, trained.data.normalization
    channels = data.image_shape[-1]
    for one, other in ((ours.mean, theirs.mean), (ours.std, theirs.std)):
        if not np.array_equal(np.broadcast_to(one, channels), np.broadcast_to(other, channels)):
            raise ValueError(
                f"{path} learned from images normalized by {theirs}, and this run normalizes by {ours}; give both the "
                "same --normalization"
            )
    if set(trained.data.class_names) == set(data.class_names) and trained.data.class_names != data.class_names:
        raise ValueError(f"{path} learned the classes of {data.name} in another order")


def _from_file(path: Path) -> keras.Model:
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no .keras file; a teacher is one, or the folder of a run")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever Keras and the layers in the file raise
        if "safe_mode" in str(error):
            raise ValueError(
                f"{path} holds a Lambda layer, whose code is not run from a file; load it in Python by "
                "keras.saving.load_model(path, safe_mode=False), and give the model"
            ) from error
        raise ValueError(f"{path} cannot be loaded by Keras: {_one_line(error)[:LONGEST_REASON]}") from error


def _as_network(model: Any, name: str | None) -> keras.Model:
    output = Classification().output
    if not (is_functional(model) and isinstance(model.output, dict) and output in model.output):
        return network_from(model, name=name)
    return model if name in (None, model.name) else keras.Model(model.input, model.output, name=name)


def _require_fitting(model: keras.Model, data: RunData) -> None:
    shape, classes = tuple(model.inputs[0].shape[1:]), data.task.classes(model)
    if classes != len(data.class_names):
        raise ValueError(f"{model.name} tells {classes} classes apart, {data.name} has {len(data.class_names)}")
    if any(None not in pair and pair[0] != pair[1] for pair in zip(shape, data.image_shape, strict=True)):
        raise ValueError(f"{model.name} reads images {shape}, {data.name} has images {data.image_shape}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removeprefix("run: ")
