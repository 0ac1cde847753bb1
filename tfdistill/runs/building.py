"""The models of a run, made from its flags: the networks, and the method that teaches them with its helpers."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import tensorflow as tf

from tfdistill import networks
from tfdistill.bounds import ArgumentError
from tfdistill.engine.distiller import Distiller
from tfdistill.methods import METHODS
from tfdistill.runs.config import RunConfig, hyperparameters
from tfdistill.runs.data import RunData
from tfdistill.runs.streams import stream_seed


def build_networks(data: RunData) -> list[keras.Model]:
    """The networks of a run, named apart; their weights are a function of the seed.

    Weights that the run is given come later, see `initial_weights`: a run that goes on, and whoever reads its
    checkpoint, needs none.

    Raises:
        ValueError: a network of no such size, or images too small for it.
    """
    built = []
    for one in data.config.specifications:
        known: dict[str, Any] = {"classes": len(data.class_names), "image_shape": data.image_shape, "seed": one.seed}
        try:
            if one.architecture in networks.APPLICATIONS:
                known |= {"mean": data.normalization.mean, "std": data.normalization.std}
                built.append(networks.keras_application(one.architecture, **known, name=one.name))
            else:
                built.append(networks.build(one.architecture, **known, model_name=one.name))
        except ValueError as error:
            raise ValueError(f"networks: {one.text} for {data.name}: {error}") from error
    return built


def build_distiller(data: RunData, strategy: tf.distribute.Strategy) -> Distiller:
    """Networks and method of a run, under its strategy; every weight is a function of the seed.

    Raises:
        ValueError: networks that do not fit the data or the method, a hyper-parameter out of range.
    """
    config = data.config
    method = METHODS[config.method]
    draws = "seed" in inspect.signature(method).parameters
    seed: dict[str, Any] = {"seed": stream_seed(config.seed, "method")} if draws else {}
    with strategy.scope():
        peers = build_networks(data)
        try:
            return method(peers, **config.hyperparameters, **seed)
        except ValueError as error:
            raise _naming_flags(config, error) from error


def _naming_flags(config: RunConfig, error: ValueError) -> ValueError:
    """A method's constructor names its arguments; the user knows them as flags."""
    argument = error.argument if isinstance(error, ArgumentError) else ""
    if isinstance(error, ArgumentError) and argument in hyperparameters(config.method):
        return error.renamed(f"{config.method}.{argument}")
    networks = ",".join(config.networks)
    return error if argument == "networks" else ArgumentError("method", f"{config.method} of {networks}: {error}")
