"""What the command `analyze` looks at: its data, and the networks that runs, exports and files hold."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from absl import flags

from tfdistill import data
from tfdistill.analysis.options import Options
from tfdistill.analysis.study import Study
from tfdistill.analysis.subject import Subject
from tfdistill.bounds import ArgumentError, nearest
from tfdistill.commands.evaluating import read_card
from tfdistill.networks.graphs import of_one_size
from tfdistill.runs.checkpoints import CheckpointError
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData, evaluation_batch_size
from tfdistill.runs.drawn_line import Remaining
from tfdistill.runs.folder import RunFolder, read_config
from tfdistill.runs.inherited import inherited_channels
from tfdistill.runs.kept_epochs import AT, FLAGS, kept
from tfdistill.runs.teacher_images import differing_names, fitted
from tfdistill.runs.teacher_sources import Found, Reader, newest_version, run_named
from tfdistill.tasks.answered import task_of

CARD = "model_card.json"
# What there is for the networks of other tasks.
OF_CLASSIFIERS = "analyses are of classifiers. `evaluate` scores other networks class by class"


def study_of(values: flags.FlagValues, options: Options) -> tuple[Study, list[str]]:
    """The networks and the data that the flags name.

    Returns:
        the study, and what there is to tell of it, a line each.

    Raises:
        ValueError: a network or the data is not there, or they do not fit; one line names the flag.
    """
    texts = [placed(text, values.runs_dir) for text in values.run]
    with _naming_the_teacher():
        teachers = [placed(text, values.runs_dir) for text in (values.teacher,) if text]
    texts += teachers
    shown = data_of(values, texts)
    split = shown.splits.get(values.split)
    if split is None:
        raise ValueError(f"split: {shown.dataset.name} has no {values.split} part; give {' or '.join(shown.splits)}")
    told: list[str] = []
    groups = [subjects_of(text, shown, values, told) for text in texts[: len(values.run)]]
    with _naming_the_teacher():
        groups += [
            [dataclasses.replace(one, argument="teacher") for one in subjects_of(text, shown, values, told)]
            for text in teachers
        ]
    if values.teacher and len(groups[-1]) > 1:
        raise ValueError(f"teacher: has several networks; say which: --teacher={values.teacher}:{groups[-1][0].name}")
    subjects = labelled([one for group in groups for one in group], values.labels)
    usual = evaluation_batch_size(1, 1, shown.dataset.image_shape)
    study = Study(
        subjects,
        shown.splits,
        shown.dataset.class_names,
        shown.dataset.normalization,
        split=values.split,
        dataset=shown.dataset.name,
        options=options,
        teacher=subjects[-1].label if values.teacher else "",
        batch_size=values.batch_size if values["batch_size"].present else usual,
        progress=Remaining,
        label_noise=shown.like.config.label_noise if shown.like else 0.0,
    )
    return study, told


@contextlib.contextmanager
def _naming_the_teacher() -> Iterator[None]:
    """What is wrong with a network within the block is wrong with --teacher."""
    try:
        yield
    except ArgumentError as error:
        raise (error.renamed("teacher") if error.argument == "run" else error) from error


@dataclass(frozen=True, eq=False)
class Shown:
    """The data that the networks are shown.

    Attributes:
        dataset: with the normalization of the images.
        splits: its parts by name, as the training had them where that is known.
        like: the data of the training, if that is what is shown.
    """

    dataset: data.Dataset
    splits: Mapping[str, data.Split]
    like: RunData | None = None


def placed(text: str, runs_dir: str) -> str:
    """A network's text with the folder of its run, where it names a run of `runs_dir`.

    Raises:
        ArgumentError: no run, file or folder is meant.
    """
    within = str(Path(runs_dir) / text)
    if (run_named(within)[0] / FLAGS).is_file():
        return within
    written, _, source = text.partition(":")
    if any(run_named(one)[0].exists() for one in (text, source) if one) or (source and not Path(written).suffix):
        return text
    names = sorted(path.parent.name for path in Path(runs_dir).glob(f"*/{FLAGS}"))
    near = f"; nearest run in {runs_dir}: {nearest(text, names)}" if names else f"; there are no runs in {runs_dir}"
    raise ArgumentError("run", f"there is no run, export or file {text}{near}")


def data_of(values: flags.FlagValues, texts: Sequence[str]) -> Shown:
    """What the flags say, and else what the first network that says so was trained on.

    Raises:
        ValueError: neither says which, or the data is not there.
    """
    config = next(filter(None, map(config_at, texts)), None)
    name = values.dataset or (config.dataset if config else "")
    if not name:
        raise ValueError(f"dataset: {texts[0]} does not say what it was trained on; give --dataset")
    if (task := data.source_of(name).task) != "classification":
        given = f"dataset: {name}" if values.dataset else f"run: {texts[0]} was trained on {name}, which"
        raise ValueError(f"{given} is for {task}; {OF_CLASSIFIERS}")
    if config and name == config.dataset:
        own_or_said = {one: values[one].value or getattr(config, one) for one in ("data_dir", "image_size")}
        moved = dataclasses.replace(config, **own_or_said, download=values.download)
        own = RunData.read(moved)
        dataset = dataclasses.replace(own.dataset, normalization=own.normalization)
        return Shown(dataset, {"train": own.train, **own.monitors}, own)
    dataset = data.load(
        name, data_dir=values.data_dir or None, image_size=values.image_size or None, download=values.download
    )
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return Shown(dataset, {part: split for part, split in parts.items() if split is not None})


def config_at(text: str) -> RunConfig | None:
    """The flags of the training of a run or an export; None where nothing says them."""
    path, _, _ = run_named(text)
    if (path / FLAGS).is_file():
        return read_config(path)
    version = newest_version(path) if path.is_dir() else None
    if version is None or not (version / CARD).is_file():
        return None
    said = read_card(version / CARD).get("flags")
    return RunConfig.from_dict(said) if said else None


def subjects_of(text: str, shown: Shown, values: flags.FlagValues, told: list[str]) -> list[Subject]:
    """The network that a text names, or all of a run's.

    Raises:
        ArgumentError: it is not there, or does not fit the data.
    """
    reader = Reader(shown.dataset, trust_code=values.trust_code, like=shown.like)
    path, chosen, epoch = run_named(text)
    try:
        found = reader.read_all(text)
        networks = [_fitted(one, shown.dataset) for one in found]
        is_run = (path / FLAGS).is_file()
        of_run = _of_run(path, epoch, [one.model.name for one in found], shown) if is_run else {}
    except (ValueError, CheckpointError) as error:
        said = " ".join(str(error).split()).removeprefix("run: ")
        raise ArgumentError("run", said if text in said else f"{text}: {said}") from error
    for one in found:
        told += [f"{text}: {line}" for line in one.told]
        told += filter(None, [differing_names(one, shown.dataset, "same")])
    named = path.name if epoch is None else f"{path.name}{AT}{epoch}"
    return [
        Subject(
            f"{named}:{one.model.name}" if chosen or len(found) > 1 else named,
            network,
            source=text,
            name=one.model.name,
            **of_run.get(one.model.name, {}),
            kept=_kept(path, one.model.name, reader) if is_run else {},
        )
        for one, network in zip(found, networks, strict=True)
    ]


def _fitted(found: Found, dataset: data.Dataset) -> keras.Model:
    if (task := task_of(found.model)) is not None and task.name != dataset.task:
        raise ValueError(f"{found.model.name} is for {task.name}; {OF_CLASSIFIERS}")
    try:
        # Analyses take the sizes of maps from their symbolic shapes.
        return of_one_size(fitted(found, dataset), dataset.image_shape)
    except ValueError as error:
        # Its remedy is a flag of trainings.
        raise ValueError(str(error).partition("; --teacher")[0]) from error


def _of_run(path: Path, epoch: int | None, names: Sequence[str], shown: Shown) -> dict[str, dict[str, Any]]:
    """What is known of a run's networks, by their names."""
    config = read_config(path)
    splits: Mapping[str, data.Split] = {}
    if shown.like is not None and shown.like.is_read_as(config):
        own = RunData(config, shown.like.dataset)
        splits = {"train": own.train, **own.monitors}
    file, halves = path / "epochs.csv", inherited_channels(RunFolder(path), names, epoch)
    history = list(csv.DictReader(file.read_text("utf-8").splitlines())) if file.is_file() else []
    known = {"splits": splits, "label_noise": config.label_noise, "history": history, "run": path.name, "epoch": epoch}
    return {name: {**known, "halves": halves.get(name, {})} for name in names}


def _kept(path: Path, name: str, reader: Reader) -> dict[int, Any]:
    def load(epoch: int) -> keras.Model:
        assert reader.images is not None
        return fitted(reader.read(f"{path}{AT}{epoch}:{name}"), reader.images)

    return {epoch: functools.partial(load, epoch) for epoch in kept(path)}


def labelled(subjects: Sequence[Subject], labels: Sequence[str]) -> list[Subject]:
    """The networks, called as the user wants it.

    Raises:
        ValueError: there are more names or fewer than networks, or two networks would be called the same.
    """
    if labels and len(labels) != len(subjects):
        names = ", ".join(one.label for one in subjects)
        raise ValueError(f"labels: must be a name for each of {len(subjects)} networks, {names}, not {len(labels)}")
    named = [dataclasses.replace(one, label=name) for one, name in zip(subjects, labels, strict=True)] if labels else []
    named = named or list(subjects)
    seen: set[str] = set()
    for one in named:
        if one.label in seen:
            raise ValueError(f"run: two networks would be called {one.label}; give --labels, or leave one of them out")
        seen.add(one.label)
    return named
