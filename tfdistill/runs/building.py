"""The models of a run, made from its flags: the networks, and the method that teaches them with its helpers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import networks
from tfdistill.bounds import ArgumentError
from tfdistill.engine.distiller import Distiller
from tfdistill.methods import METHODS, add_transfers
from tfdistill.networks.keras_files import learner_of_file
from tfdistill.runs.config import RunConfig
from tfdistill.runs.data import RunData
from tfdistill.runs.hyperparameters import hyperparameters
from tfdistill.runs.link_texts import link_of
from tfdistill.runs.streams import stream_seed
from tfdistill.runs.teacher_texts import taps_of
from tfdistill.tasks import Task
from tfdistill.transfers import TRANSFERS, Transfer

Examples = Callable[[], np.ndarray]
"""Gives the class of every training example by its index, see `Split.classes_by_index`."""


def build_networks(data: RunData) -> list[keras.Model]:
    """The networks of a run, named apart; their weights are a function of the seed.

    Weights that the run is given come later, see `initial_weights`: a run that goes on, and whoever reads its
    checkpoint, needs none.

    Raises:
        ValueError: a network of no such size, or images too small for it.
    """
    built = []
    for one in data.config.specifications:
        try:
            built.append(build_network(one, data))
        except ValueError as error:
            raise ValueError(f"networks: {one.text} for {data.name}: {error}") from error
    return built


def build_network(one: networks.Specification, data: Any, size: tuple[int, int] | None = None) -> keras.Model:
    """A network for the classes of some data, and for its images as they are normalized.

    Args:
        one: which network, its name and its seed.
        data: a run's, or a data set.
        size: height and width of the images, where they are not the data's.

    Raises:
        ValueError: there is no network of that size, or the images are too small for it.
    """
    height, width, channels = data.image_shape
    if one.is_file:
        config = data.config
        return learner_of_file(
            one.written,
            classes=len(data.class_names),
            image_shape=data.image_shape,
            seed=one.seed,
            taps=taps_of(one.written, config.taps),
            trust_code=config.trust_code,
            name=one.name,
        )
    known: dict[str, Any] = {
        "classes": len(data.class_names),
        "image_shape": (*(size or (height, width)), channels),
        "seed": one.seed,
    }
    if networks.reads_as_keras(one.architecture):
        known |= {"mean": data.normalization.mean, "std": data.normalization.std}
        return networks.builder_of(one.architecture)(**known, name=one.name)
    return networks.build(one.architecture, **known, model_name=one.name)


def build_distiller(data: RunData, strategy: tf.distribute.Strategy, teachers: Sequence[keras.Model] = ()) -> Distiller:
    """Networks and method of a run, under its strategy; every weight is a function of the seed.

    Args:
        data: the run's, with its description.
        strategy: that the models are made under.
        teachers: what the networks learn from besides each other.

    Raises:
        ValueError: networks that do not fit the data or the method, a hyper-parameter out of range.
    """
    config = data.config
    with strategy.scope():
        peers = build_networks(data)
        try:
            method = method_of(config, peers, teachers, lambda: data.train.classes_by_index, data.task)
            if config.takes_unlabelled:
                method.require_unlabelled()
            return method
        except ValueError as error:
            raise _naming_flags(config, error) from error


def build_to_deliver(data: RunData, reused: Mapping[str, Any]) -> Distiller:
    """The method of a run for what it delivers alone: without teachers, and without transfers that are added to it.

    Args:
        data: the run's, with its description.
        reused: what a checkpoint has kept of the teachers, see `Distiller.reused_of_teachers`.

    Raises:
        ValueError: as `build_distiller`.
    """
    peers = build_networks(data)
    try:
        return _made(data.config, peers, {"teachers": reused, "task": data.task})
    except ValueError as error:
        raise _naming_flags(data.config, error) from error


def method_of(
    config: RunConfig,
    peers: Sequence[keras.Model],
    teachers: Sequence[keras.Model] = (),
    examples: Examples | None = None,
    task: Task | None = None,
) -> Distiller:
    """The method of a run on its networks, with the transfers that are added to it.

    Args:
        config: the run's flags.
        peers: its networks.
        teachers: what they learn from besides each other.
        examples: gives the class of every training example, for transfers that ask.
        task: what they learn; classification if not given.

    Raises:
        ValueError: as the method's constructor, or that of a transfer.
    """
    taken = inspect.signature(METHODS[config.method]).parameters
    transfers = transfers_of(config, examples)
    links = links_of(config, examples) or ([transfers] if transfers else [])
    given = {"teachers": teachers, "transfers": transfers, "links": links, "task": task}
    distiller = _made(config, peers, given)
    if teachers and "teachers" not in taken:
        distiller.add_teachers(teachers)
    if transfers and not {"transfers", "links"} & set(taken):
        add_transfers(distiller, transfers, seed=stream_seed(config.seed, "transfers"))
    return distiller


def _made(config: RunConfig, peers: Sequence[keras.Model], given: Mapping[str, Any]) -> Distiller:
    """The method with its hyper-parameters, and of what is given and its seed that which its constructor takes."""
    method: Any = METHODS[config.method]
    taken = inspect.signature(method).parameters
    known = {"seed": stream_seed(config.seed, "method"), **given}
    return method(peers, **config.arguments(), **{name: one for name, one in known.items() if name in taken})


def transfers_of(config: RunConfig, examples: Examples | None = None) -> list[Transfer]:
    """The transfers that `--also` names, with their hyper-parameters.

    Raises:
        ValueError: names the flag of a hyper-parameter.
    """
    return [_transfer(config, name, examples=examples) for name in config.also]


def links_of(config: RunConfig, examples: Examples | None = None) -> list[list[Transfer]]:
    """The transfers of each link that `--links` has, with their hyper-parameters: a link's own before the flags'.

    Raises:
        ValueError: names the flag of a hyper-parameter.
    """
    return [[_transfer(config, one.name, one.told, examples) for one in link_of(text)] for text in config.links]


def _transfer(
    config: RunConfig, name: str, told: Mapping[str, Any] | None = None, examples: Examples | None = None
) -> Transfer:
    made: Any = TRANSFERS[name]
    asks = "examples" in inspect.signature(made).parameters
    given = {"examples": examples()} if asks and examples else {}
    try:
        return made(**{**config.arguments(name), **(told or {}), **given})
    except ArgumentError as error:
        raise error.renamed(f"{name}.{error.argument}") from error


def _naming_flags(config: RunConfig, error: ValueError) -> ValueError:
    """A constructor names its arguments; the user knows them as flags."""
    argument = error.argument if isinstance(error, ArgumentError) else ""
    if isinstance(error, ArgumentError):
        if argument in hyperparameters(config.method):
            return error.renamed(f"{config.method}.{argument}")
        if argument in ("networks", "links", *config.known_hyperparameters()):
            return error
        if argument in FLAGS_OF_ARGUMENTS:
            return error.renamed(FLAGS_OF_ARGUMENTS[argument])
    return ArgumentError("method", f"{config.method} of {','.join(config.networks)}: {error}")


# What constructors and flags call otherwise.
FLAGS_OF_ARGUMENTS = {"teachers": "teacher", "transfers": "also"}
