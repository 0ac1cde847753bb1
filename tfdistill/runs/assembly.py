"""The parts of a run, made from its description: data, splits, networks, and the method with its helpers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdistill import data, networks
from tfdistill.devices import memory
from tfdistill.runs.config import RunConfig, hyperparameters
from tfdistill.engine.distiller import Distiller
from tfdistill.methods import METHODS


def load_data(config: RunConfig) -> data.Dataset:
    """The run's data set, whole.

    Raises:
        ValueError: it is not there (the line says how to get it), or is not as it should be.
    """
    if config.image_size:
        memory.require_for_images(config.chosen_protocol().batch_size, config.image_size)
    try:
        return data.load(
            config.dataset,
            data_dir=config.data_dir or None,
            image_size=config.image_size or None,
            download=config.download,
            reading=config.reading,
            max_pixels=config.max_pixels,
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
    # Last, so that noise changes neither who is held out nor who is in a subset.
    return with_label_noise(config, dataset, train), monitors


def with_label_noise(config: RunConfig, dataset: data.Dataset, train: data.Split) -> data.Split:
    """The training examples, with wrong labels where the run wants them.

    Raises:
        ValueError: there is one class only.
    """
    if not config.label_noise:
        return train
    if len(dataset.class_names) < 2:
        raise ValueError(f"label_noise: needs two classes or more, {dataset.name} has {len(dataset.class_names)}")
    return data.corrupt_labels(
        train,
        config.label_noise,
        classes=len(dataset.class_names),
        examples=len(dataset.train),
        seed=config.seed if config.label_noise_seed is None else config.label_noise_seed,
    )


def check_augmentation(config: RunConfig, dataset: data.Dataset) -> None:
    """Refuses what the data set's images or classes are too few for.

    Raises:
        ValueError: names the flag.
    """
    if "standard" in config.augmentation:
        try:
            dataset.augmentation.require_size(*dataset.image_shape[:2])
        except ValueError as error:
            raise ValueError(f"augmentation: standard of {dataset.name}: {error}") from error
    height, width = dataset.image_shape[:2]
    if config.cutout_size > min(height, width):
        raise ValueError(
            f"cutout_size: {config.cutout_size} is larger than the images of {dataset.name}, {height}×{width} pixels"
        )
    if config.label_smoothing and len(dataset.class_names) < 2:
        raise ValueError(f"label_smoothing: needs two classes or more, {dataset.name} has {len(dataset.class_names)}")


def training_batches(
    config: RunConfig,
    dataset: data.Dataset,
    train: data.Split,
    *,
    batch_size: int,
    first_step: int = 0,
    steps: int | None = None,
    part: int = 0,
    parts: int = 1,
) -> tf.data.Dataset:
    """The batches that the networks of a run are trained on, from `first_step` on; endless unless `steps` are given.

    Of each batch, whose size is `batch_size`, the one of `parts` equal parts that a worker takes.
    """
    chosen = config.augmentation
    mixed = {name: getattr(config, f"{name}_alpha") for name in ("cutmix", "mixup") if name in chosen}
    mixing = data.Mixing(mixed.get("cutmix"), mixed.get("mixup"), config.mixing_probability) if mixed else None
    operations, magnitude = config.randaugment_operations, config.randaugment_magnitude
    return data.training_batches(
        train,
        batch_size=batch_size,
        seed=config.seed,
        augmentation=dataset.augmentation if "standard" in chosen else None,
        normalization=normalization_of(config, dataset),
        randaugment=data.RandAugment(operations, magnitude) if "randaugment" in chosen else None,
        cutout=data.Cutout(config.cutout_size) if "cutout" in chosen else None,
        mixing=mixing,
        label_smoothing=config.label_smoothing,
        classes=len(dataset.class_names),
        first_step=first_step,
        steps=steps,
        part=part,
        parts=parts,
    )


def check_batch_size(batch_size: int, examples: int, replicas: int) -> None:
    """Refuses a batch that the data cannot fill or the replicas cannot share.

    Raises:
        ValueError: names the flag and a value that would do.
    """
    if batch_size > examples:
        raise ValueError(f"batch_size: {batch_size} is larger than the {examples} training examples")
    if batch_size % replicas:
        raise ValueError(f"batch_size: {batch_size} does not divide over {replicas} replicas; give a multiple")


def evaluation_batch_size(batch_size: int, replicas: int, image_shape: tuple[int, int, int]) -> int:
    """At least 256 where memory allows it surely (small batches waste time), and a multiple of the replicas.

    Args:
        batch_size: of the training, which memory allows.
        replicas: that share a batch.
        image_shape: (height, width, channels); of images above 224 pixels fewer are as many pixels.
    """
    fewer = 256 * 224**2 // max(224**2, image_shape[0] * image_shape[1])
    return max(batch_size, fewer // replicas * replicas)


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

    Weights that the run is given come later, see `initial_weights`: a run that goes on, and whoever reads its
    checkpoint, needs none.

    Raises:
        ValueError: a network of no such size, or images too small for it.
    """
    built = []
    names = networks.distinct([one.name for one in config.specifications])
    for text, one, name, seed in zip(config.networks, config.specifications, names, _seeds(config)[1:], strict=False):
        architecture = networks.architecture_of(one)
        known: dict[str, Any] = {"classes": len(dataset.class_names), "image_shape": dataset.image_shape, "seed": seed}
        try:
            if architecture in networks.APPLICATIONS:
                expected = normalization_of(config, dataset)
                known |= {"mean": expected.mean, "std": expected.std}
                built.append(networks.keras_application(architecture, **known, name=name))
            else:
                built.append(networks.build(architecture, **known, model_name=name))
        except ValueError as error:
            raise ValueError(f"networks: {text} for {dataset.name}: {error}") from error
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
