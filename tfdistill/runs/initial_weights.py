"""Weights that networks are given before training: Keras' own, another run's, or a file's."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from absl import logging

from tfdistill.networks.backbones import assign_detector_or_backbone, backbone_classifier, read_detector_or_backbone
from tfdistill.networks.by_name import backbones_of
from tfdistill.networks.keras_applications import imagenet_weights
from tfdistill.networks.specification import IMAGENET, Specification, specified
from tfdistill.networks.weights import weights_of
from tfdistill.runs import checkpoints
from tfdistill.runs.identity import PARTS, seen_by
from tfdistill.runs.kept_epochs import FLAGS, path_and_epoch, require_kept
from tfdistill.runs.stored_flags import read_flags
from tfdistill.tasks import Classification


def load_initial_weights(
    built: Sequence[keras.Model], specifications: Sequence[Specification], marks: Mapping[str, str] | None = None
) -> list[str]:
    """Gives each network the weights that its specification names; one without a source keeps its own.

    Args:
        built: the networks.
        specifications: what each of them is, and starts from.
        marks: by which the parts of the data that they will be trained on are known, see `Dataset.marks`.

    Returns:
        what to tell the user, a line for each network that was given weights.

    Raises:
        ValueError: a source is not there or does not fit; one line says what, with both shapes where shapes differ.
    """
    told: list[str] = []
    # The last first: where networks share layers, these are the first network's.
    for network, specification in reversed(list(zip(built, specifications, strict=True))):
        if not specification.source:
            continue
        try:
            told = _load(network, specification, marks or {}) + told
        except (ValueError, checkpoints.CheckpointError) as error:
            raise ValueError(f"networks: {specification.text}: {error}") from error
    return told


def _load(network: keras.Model, specification: Specification, marks: Mapping[str, str]) -> list[str]:
    if specification.source == IMAGENET:
        source = "Keras' ImageNet weights"
        # A detector's backbone has no classifier.
        classes = 0 if backbones_of(specification.architecture) else Classification().classes(network)
        arrays = imagenet_weights(specification.architecture, classes=classes)
    else:
        source, arrays = weights_from(network, specification, marks)
    return assign_detector_or_backbone(network, arrays, source=source) or [f"{network.name}: starts from {source}"]


def weights_from(
    network: keras.Model, specification: Specification, marks: Mapping[str, str] | None = None
) -> tuple[str, dict[str, np.ndarray]]:
    """The arrays at a specification's path, a file's or a checkpoint's, under the names that they have in `network`.

    Args:
        network: of the specification's architecture; of a detector the path may have the classifier that its backbone
            is part of.
        specification: with a path for its source.
        marks: as for `load_initial_weights`.

    Returns:
        what to call their source, and the arrays.

    Raises:
        ValueError: there is none, or none of that architecture.
    """
    architecture = specification.architecture
    path, chosen = path_and_network(specification.source)
    if path.is_file():
        return str(path), read_detector_or_backbone(path, network, architecture)
    found = _checkpoint(path)
    backbones = backbones_of(architecture)
    names = (chosen,) if chosen else (network.name, specification.written, *backbones)
    chosen = _network_in(found, path, names, specification)
    check_architecture(path, chosen, architecture, backbones)
    if said := seen_by(str(path), found.metadata.get(PARTS, {}), marks or {}):
        logging.warning("networks: %s", said)
    return f"{chosen} of {path}, step {found.step}", _named_weights(found, chosen, network)


def path_and_network(source: str) -> tuple[Path, str]:
    """PATH or PATH:NETWORK; a path that is there may have a colon in it."""
    path, colon, network = source.rpartition(":")
    if not colon or Path(source).exists():
        return Path(source), ""
    return Path(path), network


def _checkpoint(path: Path) -> checkpoints.Checkpoint:
    """The newest whole checkpoint of a run's folder or a folder of checkpoints, an epoch kept, or the one at `path`."""
    path, epoch = path_and_epoch(path)
    if not path.exists():
        raise ValueError(f"there is no {path}")
    if epoch is not None:
        path = require_kept(path, epoch)
    if (path / checkpoints.MANIFEST).is_file():
        return checkpoints.read(path)
    inside = path / "checkpoints"
    found = checkpoints.newest(inside if inside.is_dir() else path)
    if found is None:
        raise ValueError(f"{path} has no checkpoint")
    return found


def _network_in(found: checkpoints.Checkpoint, path: Path, names: Sequence[str], specification: Specification) -> str:
    """The network of the checkpoint that is meant: the first of `names` that it has."""
    there = list(dict.fromkeys(key.split("/")[1] for key in found.arrays if key.startswith("networks/")))
    chosen = next((name for name in names if name in there), None)
    if chosen is None:
        wanted = names[min(1, len(names) - 1)]
        example = shlex.quote(f"{specification.written}:{path}:{there[0]}") if there else ""
        raise ValueError(f"{path} has no {wanted}, but {', '.join(there) or 'no network'}; say which: {example}")
    return chosen


def check_architecture(path: Path, chosen: str, architecture: str, backbones: Sequence[str] = ()) -> None:
    """Where a run's folder says of which architecture its network is, another one is refused by name.

    Args:
        path: of the run, or of what is in its folder.
        chosen: the network there.
        architecture: that is wanted.
        backbones: architectures that will do as well, for a detector's backbone.

    Raises:
        ValueError: the network is of none of them.
    """
    folder, _ = path_and_epoch(path)
    flags = next((one / FLAGS for one in (folder, *folder.parents[:3]) if (one / FLAGS).is_file()), None)
    if flags is None:
        return
    texts = read_flags(flags, needed=("networks",))["networks"]
    try:
        theirs = _architecture_in(texts, chosen) or architecture
    except ValueError as error:
        raise ValueError(f"{flags}: networks: {error}") from error
    if theirs not in (architecture, *backbones):
        if backbones:
            raise ValueError(
                f"{chosen} of {path} is {theirs}, neither {architecture} nor what its backbone is part of, "
                f"{backbones[0]}"
            )
        right = shlex.quote(f"{theirs}:{path}:{chosen}")
        raise ValueError(f"{chosen} of {path} is {theirs}, not {architecture}; write {right}")


def _architecture_in(texts: Sequence[str], chosen: str) -> str:
    """Architecture of the network that is called `chosen` in a run of these networks; empty where none is."""
    meant = [one for one in specified([str(text) for text in texts]) if one.name == chosen]
    return meant[0].architecture if meant else ""


def _named_weights(found: checkpoints.Checkpoint, chosen: str, network: keras.Model) -> dict[str, np.ndarray]:
    """A network's arrays in a checkpoint, which counts variables, under the names of the weights here."""
    prefix = f"networks/{chosen}/"
    there = {key.removeprefix(prefix): array for key, array in found.arrays.items() if key.startswith(prefix)}
    here = _names_by_place(network)
    if not there.keys() >= here.keys() and backbones_of(getattr(network, "architecture", None) or ""):
        here = _names_by_place(backbone_classifier(network))
    renamed = {here.get(key, key): array for key, array in there.items()}
    return {name: array for name, array in renamed.items() if name is not None}


def _names_by_place(network: keras.Model) -> dict[str, str | None]:
    """The names of weights by those that a checkpoint has for them; None for what is none, a dropout's random state."""
    names = {id(variable): name for name, variable in weights_of(network).items()}
    return {f"{index:04d}/{one.name}": names.get(id(one)) for index, one in enumerate(network.variables)}
