"""The unlabelled images of a run, and what is refused of them."""

from __future__ import annotations

import dataclasses

from tfdistill import data
from tfdistill.devices.workers import Workers
from tfdistill.runs.config import RunConfig


def unlabelled_of(config: RunConfig, dataset: data.Dataset, rest: data.Split) -> data.Unlabelled:
    """The images that the flags name.

    Args:
        config: the run.
        dataset: its labelled data.
        rest: the training examples that --train_examples leaves out.

    Raises:
        ValueError: there are none, or they do not fit the data.
    """
    if config.unlabelled_dir:
        return data.load_unlabelled_folder(config.unlabelled_dir, dataset, config.max_pixels)
    if not len(rest):
        raise ValueError("unlabelled_rest: --train_examples takes every training example, and leaves none")
    return data.Unlabelled(dataclasses.replace(rest, labels=data.without_labels(rest.labels)))


def require_batches(found: data.Unlabelled, batch_size: int, replicas: int) -> None:
    """Refuses images too few for a batch, and a batch that replicas cannot share.

    Raises:
        ValueError: names the flag, and what would do.
    """
    if batch_size > len(found.split):
        raise ValueError(
            f"unlabelled_batch_size: {batch_size} is larger than the {len(found.split)} unlabelled images; give a "
            "smaller one"
        )
    if batch_size % replicas:
        raise ValueError(
            f"unlabelled_batch_size: {batch_size} does not divide over {replicas} replicas; give a multiple"
        )


def require_same_images(workers: Workers, found: data.Unlabelled | None) -> None:
    """The workers of a run have found the same images.

    Raises:
        ValueError: this worker has found others than the chief, or another has.
    """
    if found is None or not found.mark:
        return
    mark = int(found.mark[:8], 16)
    problem = f"unlabelled_dir: has other images here than for {workers.cluster.name(0)}"
    workers.refuse_together("" if workers.of_chief([mark])[0] == mark else problem)


def other_images(before: str, now: str) -> str:
    """Why a training cannot go on with these unlabelled images; empty if it can.

    Args:
        before: the mark in the checkpoint; empty where there was no folder.
        now: that of the run.
    """
    if before == now:
        return ""
    if not before:
        return "unlabelled_dir: the training began without one; leave it out, or give another --run"
    if not now:
        return "unlabelled_dir: the training has one; give it, or another --run"
    return (
        "unlabelled_dir: images have come to the folder, left it, got other names or can no longer be read since the "
        "training began, which moves others between batches; put the folder back as it was, or give another --run"
    )
