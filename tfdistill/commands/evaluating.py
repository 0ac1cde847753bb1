"""The command `evaluate` once its flags are good: the networks of a run, or a SavedModel, scored on any data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from absl import flags

from tfdistill import data
from tfdistill.bounds import shown
from tfdistill.commands import command_line
from tfdistill.devices import memory, runtime
from tfdistill.export.scoring import newest_saved_model
from tfdistill.files import read_json, write_json
from tfdistill.runs import class_tables, run_exports, scoring
from tfdistill.runs.data import evaluation_batch_size
from tfdistill.runs.folder import RunFolder
from tfdistill.runs.identity import other_parts
from tfdistill.runs.trained import load_trained
from tfdistill.standalone.calling import program

COMMAND = "evaluate"


def evaluate(values: flags.FlagValues, run: tuple[RunFolder, int | None] | None) -> int:
    """Scores, prints a table, writes the file. Returns the exit status.

    Args:
        values: the flags.
        run: what --run names: the run's folder, and the epoch that it has kept, if one is meant.
    """
    with command_line.one_line_errors(program(COMMAND)):
        subject = trained_subject(values, *run) if run else saved_subject(values)
        dataset = held_out_as(subject.trained_on, chosen_data(values, subject))
        subject.scorer.require_fitting(dataset)
        if values.confusion and "confusion" not in subject.scorer.task.table_shapes(subject.scorer.classes):
            raise ValueError(f"confusion: {subject.scorer.task.name} takes no class for another; leave it out")
        split = chosen_split(values, dataset)
    with command_line.memory_errors(program(COMMAND)):
        usual = evaluation_batch_size(1, 1, subject.scorer.image_shape)
        batch_size = values.batch_size if values["batch_size"].present else usual
        found, tables = scoring.scores_and_tables(subject.scorer, split, min(batch_size, len(split)))
    by_class = class_tables.by_network(tables, subject.scorer.task)
    print(f"{subject.title} on {len(split)} {values.split} examples of {dataset.name}")
    if subject.class_names and tuple(subject.class_names) != tuple(dataset.class_names):
        print("note: the classes have other names than those of the training, which may mean another order")
    if other_parts(subject.parts, dataset.marks or subject.parts):
        print("note: the folder's images are others than at the training, so these may be among those it learned from")
    print(f"\n{scoring.table(found, subject.scorer.task)}")
    for network, one in by_class.items():
        print("\n" + "\n".join(class_tables.class_lines(network, one, dataset.class_names)))
    if values.confusion:
        with command_line.one_line_errors(program(COMMAND)):
            class_tables.write_confusion(Path(values.confusion), values.split, by_class, dataset.class_names)
    if values.json:
        facts = {"dataset": dataset.name, "split": values.split, "examples": len(split)}
        with command_line.one_line_errors(program(COMMAND)):
            classes = class_tables.class_facts(values.split, by_class, dataset.class_names)["networks"]
            scored = {"scores": found, "classes": classes, "versions": runtime.versions()}
            write_json(Path(values.json), {**subject.facts, **facts, **scored})
    return 0


@dataclass(frozen=True, eq=False)
class Subject:
    """What is scored, and what is known of its training.

    Attributes:
        scorer: of its networks.
        title: for the terminal.
        facts: for the JSON file.
        trained_on: the flags "dataset" and "data_dir" of its training, empty where unknown.
        class_names: of its training; empty where unknown.
        dataset: the data set of its training, if it was loaded.
        reading: how its training was scored on image files, where that is known.
        parts: by which the parts of its training's data were known; empty where no seed has parted it.
    """

    scorer: scoring.Scorer
    title: str
    facts: Mapping[str, Any]
    trained_on: Mapping[str, Any]
    class_names: Sequence[str]
    dataset: data.Dataset | None = None
    reading: data.Reading | None = None
    parts: Mapping[str, str] = field(default_factory=dict)


def trained_subject(values: flags.FlagValues, folder: RunFolder, kept: int | None) -> Subject:
    """The networks of `--run`.

    Raises:
        ValueError: there is no checkpoint of it, or its data is not there.
    """
    trained = load_trained(folder, values.export_epoch, kept=kept)
    return Subject(
        scoring.scorer_of_networks(trained.networks, trained.data.normalization, trained.data.task),
        f"{folder.path}, {trained.epoch},",
        {"run": str(folder.path), "step": trained.step, "exported_epoch": trained.epoch.facts()},
        trained.data.config.to_dict(),
        trained.data.class_names,
        trained.data.dataset,
        run_exports.served_reading(trained.data),
        trained.parts,
    )


def saved_subject(values: flags.FlagValues) -> Subject:
    """The network of `--saved_model`.

    Raises:
        ValueError: it is no SavedModel, or not one that takes images.
    """
    try:
        path = newest_saved_model(Path(values.saved_model).expanduser())
        card_file = path / "model_card.json"
        card = read_card(card_file) if card_file.is_file() else {}
        scorer = scoring.scorer_of_saved_model(path, card.get("network") or path.parent.name or path.name)
    except ValueError as error:
        raise ValueError(f"saved_model: {error}") from error
    facts = {"saved_model": str(path)} | {name: card[name] for name in ("run", "step") if name in card}
    return Subject(
        scorer,
        str(path),
        facts,
        card.get("flags", {}),
        card.get("class_names", ()),
        reading=recorded_reading(card),
        parts=card.get("data", {}).get("parts", {}),
    )


def recorded_reading(card: Mapping[str, Any]) -> data.Reading | None:
    """How an export reads image files by its model card; None where an older one does not say.

    Raises:
        ValueError: the card says what no reading can be.
    """
    if not (record := card.get("reading")):
        return None
    try:
        return data.Reading(record["style"], margin=record["margin"], max_pixels=record["max_pixels"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the reading in model_card.json is damaged: {error}") from error


def read_card(path: Path) -> dict[str, Any]:
    """What a model card says.

    Raises:
        ValueError: it is no JSON, or not of the kind that a model card is.
    """
    card = read_json(path, "write back what was edited")
    kinds: dict[str, type] = {"network": str, "flags": dict, "class_names": list}
    for name, kind in kinds.items():
        if name in card and not isinstance(card[name], kind):
            raise ValueError(f"{path}: {name}: is {shown(card[name])}, which no model card says")
    return card


def chosen_data(values: flags.FlagValues, subject: Subject) -> data.Dataset:
    """The data set to score on: what the flags say, and else what the network was trained on.

    Raises:
        ValueError: neither says which, or the data is not there.
    """
    trained_on = subject.trained_on.get("dataset", "")
    name = values.dataset or trained_on
    if not name:
        raise ValueError("dataset: the SavedModel does not say what it was trained on; give --dataset")
    if subject.dataset and name == trained_on and not values.data_dir and not values.image_size:
        return subject.dataset
    folder = values.data_dir or (subject.trained_on.get("data_dir", "") if name == trained_on else "")
    free_size = data.source_of(name).image_size is None
    size = values.image_size or (subject.scorer.image_shape[0] if free_size else None)
    if values.image_size:
        memory.require_for_images(values.batch_size, values.image_size)
    style: Any = subject.trained_on.get("reading", "auto") if name == trained_on else "auto"
    if subject.reading and free_size:
        style = subject.reading.style
    limit: dict[str, Any] = {"max_pixels": subject.reading.max_pixels} if subject.reading else {}
    if name == trained_on and not (values.data_dir and (Path(values.data_dir).expanduser() / "train").is_dir()):
        limit |= split_of(subject.trained_on)
    dataset = data.load(
        name, data_dir=folder or None, image_size=size, download=values.download, reading=style, **limit
    )
    if subject.reading and style == subject.reading.style:
        train, test = (_read_as(subject.reading, split) for split in (dataset.train, dataset.test))
        validation = dataset.validation and _read_as(subject.reading, dataset.validation)
        return dataclasses.replace(dataset, train=train, test=test, validation=validation)
    return dataset


def split_of(trained_on: Mapping[str, Any]) -> dict[str, Any]:
    """How a training parted its folder of classes, as arguments of `data.load`, from its flags."""
    seed = trained_on.get("split_seed")
    shares = tuple(trained_on.get("split") or ())
    return {"split": shares, "seed": trained_on.get("seed", 0) if seed is None else seed} if shares else {}


def held_out_as(trained_on: Mapping[str, Any], dataset: data.Dataset) -> data.Dataset:
    """The data set with what its training held out by --validation_share as its validation part, and not in training.

    Args:
        trained_on: the flags of the training; empty where unknown.
        dataset: what is scored on; another one than that of the training stays as it is.
    """
    share, seed = trained_on.get("validation_share", 0.0), trained_on.get("seed", 0)
    if not share or dataset.name != trained_on.get("dataset"):
        return dataset
    train, validation = data.hold_out(dataset.train, share, seed)
    return dataclasses.replace(dataset, train=train, validation=validation)


def chosen_split(values: flags.FlagValues, dataset: data.Dataset) -> data.Split:
    """The part of the data set that `--split` names.

    Raises:
        ValueError: the data set has none of that name.
    """
    found = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}[values.split]
    if found is None:
        raise ValueError(f"split: {dataset.name} has no validation part; give test or train")
    return found


def _read_as(reading: data.Reading, split: data.Split) -> data.Split:
    return dataclasses.replace(split, reading=reading) if split.on_disk else split
