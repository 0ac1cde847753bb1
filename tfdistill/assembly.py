"""The parts of a run, made from its description: data, splits, networks, and the method with its helpers."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data, networks
from tfdistill.config import RunConfig, hyperparameters
from tfdistill.distiller import Distiller
from tfdistill.methods import METHODS


def load_data(config: RunConfig) -> data.Dataset:
    """The run's data set, whole.

    Raises:
        ValueError: it is not there (the line says how to get it), or is not as it should be.
    """
    try:
        return data.load(
            config.dataset,
            data_dir=config.data_dir or None,
            image_size=config.image_size or None,
            download=config.download,
        )
    except data.DataUnavailable as error:
        raise ValueError(f"{error}; configs/quickstart.flags runs on data that comes with the installation") from error


def splits(config: RunConfig, dataset: data.Dataset) -> tuple[data.Split, dict[str, data.Split]]:
    """The examples to train on, and the splits to score: the first of them each epoch, the others at the end."""
    train, monitors = dataset.train, {"test": dataset.test}
    if config.validation_share:
        if not 0 < round(config.validation_share * len(train)) < len(train):
            raise ValueError(
                f"validation_share: {config.validation_share} of {len(train)} examples leaves a part empty"
            )
        train, validation = data.hold_out(train, config.validation_share, config.seed)
        monitors = {"validation": validation, **monitors}
    if config.train_examples:
        if config.train_examples > len(train):
            raise ValueError(f"train_examples: {config.train_examples} are more than the {len(train)} there are")
        train = data.take_subset(train, config.train_examples, config.seed)
    return train, monitors


def check_batch_size(batch_size: int, examples: int, replicas: int) -> None:
    """Refuses a batch that the data cannot fill or the replicas cannot share.

    Raises:
        ValueError: names the flag and a value that would do.
    """
    if batch_size > examples:
        raise ValueError(f"batch_size: {batch_size} is larger than the {examples} training examples")
    if batch_size % replicas:
        raise ValueError(f"batch_size: {batch_size} does not divide over {replicas} replicas; give a multiple")


def evaluation_batch_size(batch_size: int, replicas: int) -> int:
    """At least 256 where memory allows it surely (small batches waste time), and a multiple of the replicas."""
    return max(batch_size, 256 // replicas * replicas)


def normalization_of(config: RunConfig, dataset: data.Dataset) -> data.Normalization:
    """The run's normalization, or the data set's own where the run names none.

    Raises:
        ValueError: it is for images of another number of channels.
    """
    chosen = data.NORMALIZATIONS[config.normalization] if config.normalization else dataset.normalization
    channels = dataset.image_shape[-1]
    if len(chosen.mean) not in (1, channels):
        raise ValueError(
            f"normalization: {config.normalization} is for {len(chosen.mean)} channels, {dataset.name} has {channels}"
        )
    return chosen


def facts_of(dataset: data.Dataset, train: data.Split, monitors: Mapping[str, data.Split]) -> dict[str, Any]:
    """What a model card says of the data: name, shape and numbers of examples."""
    return {
        "name": dataset.name,
        "image_shape": list(dataset.image_shape),
        "train_examples": len(train),
        **{f"{name}_examples": len(split) for name, split in monitors.items()},
    }


def build_networks(config: RunConfig, dataset: data.Dataset) -> list[keras.Model]:
    """The networks of a run, named apart; their weights are a function of the seed.

    Raises:
        ValueError: a network of no such size, or images too small for it.
    """
    built = []
    for name, alias, seed in zip(config.networks, distinct(config.networks), _seeds(config)[1:], strict=False):
        classes, shape = len(dataset.class_names), dataset.image_shape
        try:
            built.append(networks.build(name, classes=classes, image_shape=shape, seed=seed, model_name=alias))
        except ValueError as error:
            raise ValueError(f"networks: {name} for {dataset.name}: {error}") from error
    return built


def build_distiller(config: RunConfig, dataset: data.Dataset, strategy: tf.distribute.Strategy) -> Distiller:
    """Networks and method of a run, under its strategy; every weight is a function of the seed.

    Raises:
        ValueError: networks that do not fit the data or the method, a hyper-parameter out of range.
    """
    method = METHODS[config.method]
    seed: dict[str, Any] = {"seed": _seeds(config)[0]} if "seed" in inspect.signature(method).parameters else {}
    with strategy.scope():
        peers = build_networks(config, dataset)
        try:
            return method(peers, **config.hyperparameters, **seed)
        except ValueError as error:
            raise ValueError(_naming_flags(config, str(error))) from error


def _naming_flags(config: RunConfig, message: str) -> str:
    """A method's constructor names its arguments; the user knows them as flags."""
    argument = message.split(":")[0].split(" ")[0]
    if argument in hyperparameters(config.method):
        return f"{config.method}.{message}"
    return message if argument == "networks" else f"method: {config.method} of {','.join(config.networks)}: {message}"


def _seeds(config: RunConfig) -> list[int]:
    """The method's, then one for each network."""
    return [int(part.generate_state(1)[0]) for part in np.random.SeedSequence(config.seed).spawn(99)]


def distinct(names: Sequence[str]) -> list[str]:
    """Names for peers: their architecture, with a number where it comes more than once."""
    counts: Counter[str] = Counter(names)
    seen: Counter[str] = Counter()
    aliases = []
    for name in names:
        seen[name] += 1
        aliases.append(f"{name}_{seen[name]}" if counts[name] > 1 else name)
    return aliases
