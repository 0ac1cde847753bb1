"""The data of a run: a data set as the run's flags have it, split, normalized and cut into batches."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import tensorflow as tf

from tfdistill import data
from tfdistill.devices import memory
from tfdistill.runs.config import RunConfig
from tfdistill.runs.streams import stream_seed
from tfdistill.runs.unlabelled import require_batches, unlabelled_of
from tfdistill.tasks import TASKS, Task

# The flags that decide what a data set is; `seed` does only where a split is drawn from it.
READ_BY = ("dataset", "image_size", "reading", "max_pixels", "split", "split_seed")


@dataclass(frozen=True, eq=False)
class RunData:
    """What the networks of a run are trained on and scored on.

    Splits and normalization are made when they are first asked for: whoever scores a trained run needs no training
    split.

    Args:
        config: the run's flags.
        dataset: the data set, whole.
    """

    config: RunConfig
    dataset: data.Dataset

    @classmethod
    def read(cls, config: RunConfig) -> RunData:
        """The data that the flags name.

        Raises:
            ValueError: the data set is not there (the line says how to get it), or is not as it should be.
        """
        if config.image_size:
            memory.require_for_images(images_per_step(config), config.image_size)
        try:
            dataset = data.load(
                config.dataset,
                data_dir=config.data_dir or None,
                image_size=config.image_size or None,
                download=config.download,
                reading=cast(Any, config.reading),
                max_pixels=config.max_pixels,
                split=config.split or (),
                seed=config.seed if config.split_seed is None else config.split_seed,
            )
        except data.DataUnavailable as error:
            remedy = "configs/quickstart.flags runs on data that comes with the installation"
            raise ValueError(f"{error}; {remedy}") from error
        return cls(config, dataset)

    def is_read_as(self, config: RunConfig) -> bool:
        """Whether `read` would give this data set for these flags; where it lies on this machine does not count."""
        names = (*READ_BY, "seed") if config.split else READ_BY
        return all(getattr(self.config, name) == getattr(config, name) for name in names)

    @property
    def task(self) -> Task:
        """What its labels are for."""
        return TASKS[self.dataset.task]()

    @property
    def name(self) -> str:
        """The data set's."""
        return self.dataset.name

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        return self.dataset.image_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, in the order of the labels."""
        return self.dataset.class_names

    @property
    def batch_size(self) -> int:
        """Training examples per batch, over all replicas."""
        return self.config.chosen_protocol().batch_size

    @property
    def unlabelled_batch_size(self) -> int:
        """Unlabelled images per batch, over all replicas; 0 where there are none."""
        return images_per_step(self.config) - self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch; examples that fill no batch are left out of it."""
        return len(self.train) // self.batch_size

    @property
    def scored_on(self) -> str:
        """Name of the split that is scored each epoch; the other `monitors` are scored once, at the end."""
        return next(iter(self.monitors))

    @cached_property
    def normalization(self) -> data.Normalization:
        """The run's, or the data set's own where the flags name none.

        Raises:
            ValueError: it is for images of another number of channels.
        """
        named, channels = self.config.normalization, self.image_shape[-1]
        chosen = data.NORMALIZATIONS[named] if named else self.dataset.normalization
        if len(chosen.mean) not in (1, channels):
            raise ValueError(f"normalization: {named} is for {len(chosen.mean)} channels, {self.name} has {channels}")
        return chosen

    @property
    def train(self) -> data.Split:
        """The examples to train on, some with wrong labels where the run wants them.

        Raises:
            ValueError: a share, a number of examples or label noise that the data set is too small for.
        """
        return self._splits[0]

    @property
    def monitors(self) -> dict[str, data.Split]:
        """The splits to score, by name: "validation" if some are held out, then "test".

        Raises:
            ValueError: as `train`.
        """
        return self._splits[1]

    @cached_property
    def unlabelled(self) -> data.Unlabelled | None:
        """The images without labels that join the batches; None where the run takes none.

        Raises:
            ValueError: there are none where the flags say.
        """
        if not self.config.takes_unlabelled:
            return None
        return unlabelled_of(self.config, self.dataset, self._splits[2])

    @cached_property
    def _splits(self) -> tuple[data.Split, dict[str, data.Split], data.Split]:
        """The examples to train on, the splits to score, and the training examples that a subset leaves out."""
        share, examples, seed = self.config.validation_share, self.config.train_examples, self.config.seed
        train, monitors = self.dataset.train, {"test": self.dataset.test}
        if self.dataset.validation:
            monitors = {"validation": self.dataset.validation, **monitors}
        if share:
            if not 0 < round(share * len(train)) < len(train):
                raise ValueError(f"validation_share: {share} of {len(train)} examples leaves a part empty")
            train, validation = data.hold_out(train, share, seed)
            monitors = {"validation": validation, **monitors}
        whole = train
        if examples:
            if examples > len(train):
                raise ValueError(f"train_examples: {examples} are more than the {len(train)} there are")
            train = data.take_subset(train, examples, seed)
        left_out = ~np.isin(whole.index, train.index) & self.config.unlabelled_rest
        rest = whole.take(np.flatnonzero(left_out))
        # Last, so that noise changes neither who is held out nor who is in a subset.
        return self._with_label_noise(train), monitors, rest

    def _with_label_noise(self, train: data.Split) -> data.Split:
        if not self.config.label_noise:
            return train
        self._require_two_classes("label_noise")
        return data.corrupt_labels(
            train,
            self.config.label_noise,
            classes=len(self.class_names),
            examples=len(self.dataset.train),
            seed=self.config.seed if self.config.label_noise_seed is None else self.config.label_noise_seed,
        )

    def require_trainable(self, replicas: int) -> None:
        """Refuses what a training would come to grief on: normalization, augmentation, splits, batch sizes.

        Args:
            replicas: that share a batch.

        Raises:
            ValueError: names the flag, and for a batch size a value that would do.
        """
        self.normalization  # noqa: B018 - refuses by being made
        self.require_augmentable()
        examples = len(self.train)
        if self.batch_size > examples:
            raise ValueError(f"batch_size: {self.batch_size} is larger than the {examples} training examples")
        if self.batch_size % replicas:
            raise ValueError(f"batch_size: {self.batch_size} does not divide over {replicas} replicas; give a multiple")
        if self.unlabelled:
            require_batches(self.unlabelled, self.unlabelled_batch_size, replicas)

    def require_augmentable(self) -> None:
        """Refuses an augmentation that the images or classes are too few or too small for.

        Raises:
            ValueError: names the flag.
        """
        height, width = self.image_shape[:2]
        if "standard" in self.config.augmentation:
            try:
                self.dataset.augmentation.require_size(height, width)
            except ValueError as error:
                raise ValueError(f"augmentation: standard of {self.name}: {error}") from error
        if self.config.cutout_size > min(height, width):
            raise ValueError(
                f"cutout_size: {self.config.cutout_size} is larger than the images of {self.name}, "
                f"{height}×{width} pixels"
            )
        if self.config.label_smoothing:
            self._require_two_classes("label_smoothing")

    def _require_two_classes(self, flag: str) -> None:
        if len(self.class_names) < 2:
            raise ValueError(f"{flag}: needs two classes or more, {self.name} has {len(self.class_names)}")

    def training_batches(
        self,
        *,
        first_step: int = 0,
        steps: int | None = None,
        part: int = 0,
        parts: int = 1,
        along: data.Along | None = None,
        shares: int = 1,
    ) -> tf.data.Dataset:
        """The batches to train on, from `first_step` on; see `data.training_batches`.

        Unlabelled images, where the run takes some, join them by `data.with_unlabelled`. They go through the same, in
        an order and by draws of their own. They are mixed with each other alone, so that no label comes of it.

        Args:
            first_step: the step that the stream starts at.
            steps: how many batches; endless if not given.
            part: which of `parts` equal parts of each batch to make, for one of several workers.
            parts: how many.
            along: with views, what else goes into each batch.
            shares: into how many shares a part will be parted, for its replicas.
        """
        config = self.config
        chosen = config.augmentation
        mixed = {name: getattr(config, f"{name}_alpha") for name in ("cutmix", "mixup") if name in chosen}
        mixing = data.Mixing(mixed.get("cutmix"), mixed.get("mixup"), config.mixing_probability) if mixed else None
        batches = functools.partial(
            data.training_batches,
            mixing=mixing,
            classes=len(self.class_names),
            first_step=first_step,
            steps=steps,
            part=part,
            parts=parts,
            views=config.teacher_views,
            along=along,
        )
        labelled = batches(
            self.train,
            batch_size=self.batch_size,
            **self._augmented(),
            label_smoothing=config.label_smoothing,
            balance=cast(data.Balance, config.balance),
        )
        if not self.unlabelled:
            return labelled
        augmented = {**self._augmented(), "seed": stream_seed(config.seed, "unlabelled")}
        unlabelled = batches(self.unlabelled.split, batch_size=self.unlabelled_batch_size, **augmented)
        return data.with_unlabelled(labelled, unlabelled, shares=shares)

    def view_batches(self, view: int, batch_size: int) -> tf.data.Dataset:
        """One view of every training image, in order; see `data.view_batches`.

        Args:
            view: from 0.
            batch_size: whatever suits whoever looks at them.
        """
        return data.view_batches(self.train, view, batch_size=batch_size, **self._augmented())

    def _augmented(self) -> dict[str, Any]:
        """What training images go through one by one, and the seed of it."""
        config, chosen = self.config, self.config.augmentation
        operations, magnitude = config.randaugment_operations, config.randaugment_magnitude
        return {
            "seed": config.seed,
            "augmentation": self.dataset.augmentation if "standard" in chosen else None,
            "normalization": self.normalization,
            "randaugment": data.RandAugment(operations, magnitude) if "randaugment" in chosen else None,
            "cutout": data.Cutout(config.cutout_size) if "cutout" in chosen else None,
        }

    def evaluation_batches(self, name: str, *, replicas: int, part: int = 0, parts: int = 1) -> tf.data.Dataset:
        """One pass over the monitor `name`, with endless empty batches behind it where several workers share it.

        Args:
            name: of `monitors`.
            replicas: that share a batch.
            part: which of `parts` equal parts of each batch to make.
            parts: how many.
        """
        return data.evaluation_batches(
            self.monitors[name],
            batch_size=self._evaluation_batch_size(replicas),
            normalization=self.normalization,
            endless=parts > 1,
            part=part,
            parts=parts,
        )

    def evaluation_steps(self, name: str, *, replicas: int) -> int:
        """How many batches one pass over the monitor `name` takes."""
        return math.ceil(len(self.monitors[name]) / self._evaluation_batch_size(replicas))

    def _evaluation_batch_size(self, replicas: int) -> int:
        """No larger than the largest part that is scored: the last batch is filled up with images that do not count."""
        most = max(map(len, self.monitors.values()))
        usual = evaluation_batch_size(self.batch_size, replicas, self.image_shape)
        return min(usual, math.ceil(most / replicas) * replicas)

    def facts(self) -> dict[str, Any]:
        """What a model card says of the data: name, shape, numbers of examples, and what its parts are known by."""
        return {
            "name": self.name,
            "image_shape": list(self.image_shape),
            "train_examples": len(self.train),
            **{f"{name}_examples": len(split) for name, split in self.monitors.items()},
            **({"parts": dict(self.dataset.marks)} if self.dataset.marks else {}),
        }


def images_per_step(config: RunConfig) -> int:
    """Images of a training batch over all replicas, labelled and unlabelled."""
    labelled = config.chosen_protocol().batch_size
    return labelled + (config.unlabelled_batch_size or labelled) * config.takes_unlabelled


def evaluation_batch_size(batch_size: int, replicas: int, image_shape: tuple[int, int, int]) -> int:
    """At least 256 where memory allows it surely (small batches waste time), and a multiple of the replicas.

    Args:
        batch_size: of the training, which memory allows.
        replicas: that share a batch.
        image_shape: (height, width, channels); of images above 224 pixels fewer are as many pixels.
    """
    fewer = 256 * 224**2 // max(224**2, image_shape[0] * image_shape[1])
    return max(batch_size, fewer // replicas * replicas)
