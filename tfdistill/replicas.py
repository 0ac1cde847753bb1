"""What each replica keeps for itself: running statistics and sums of metrics, in a checkpoint beside their mean or sum.

A checkpoint must not change the training that it is taken of, and a training that goes on from it has to add to the
very numbers that each replica had: a sum that is cut otherwise is rounded otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdistill.workers import Workers

OWN = "replicas/"


def copies(variable: keras.Variable, strategy: tf.distribute.Strategy) -> list[np.ndarray]:
    """The values that the replicas of this process have of a variable."""
    return [np.asarray(copy.numpy()) for copy in strategy.experimental_local_results(variable.value)]


def mean(values: list[np.ndarray]) -> np.ndarray:
    """Of the replicas' values; of equal ones the value itself, which a sum and a division may miss."""
    equal = all(value.tobytes() == values[0].tobytes() for value in values)
    return values[0] if equal else np.asarray(sum(values) / len(values))


def own_values(
    variables: Mapping[str, keras.Variable], strategy: tf.distribute.Strategy, workers: Workers
) -> dict[str, np.ndarray]:
    """The values of every replica of every worker, by `replicas/<number>/<name>`; none where there is one replica.

    With several workers all have to call it.

    Args:
        variables: by name, of float32.
        strategy: of the training.
        workers: of the training.
    """
    count = strategy.num_replicas_in_sync
    if count == 1:
        return {}
    here = range(workers.index * count // workers.count, (workers.index + 1) * count // workers.count)
    arrays = {}
    for name, variable in variables.items():
        values = copies(variable, strategy)
        for index in range(count):
            own = values[index - here.start] if index in here else np.zeros_like(values[0])
            arrays[f"{OWN}{index:04d}/{name}"] = own
    return dict(zip(arrays, workers.sum(list(arrays.values())), strict=True))


def shared(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint's arrays without those of single replicas."""
    return {name: array for name, array in arrays.items() if not name.startswith(OWN)}


def restore_own(
    variables: Mapping[str, keras.Variable],
    arrays: Mapping[str, np.ndarray],
    strategy: tf.distribute.Strategy,
    workers: Workers,
) -> None:
    """Gives each replica its own values back, if there are as many replicas as there were; else nothing.

    Args:
        variables: by name; those of which a checkpoint has no values per replica stay.
        arrays: the checkpoint's.
        strategy: of the training.
        workers: of the training.
    """
    numbers = {name.removeprefix(OWN).split("/", 1)[0] for name in arrays if name.startswith(OWN)}
    count = strategy.num_replicas_in_sync
    if len(numbers) != count or count == 1:
        return
    first = workers.index * count // workers.count
    for name, variable in variables.items():
        if f"{OWN}{first:04d}/{name}" in arrays:
            for index, copy in enumerate(strategy.experimental_local_results(variable.value)):
                copy.assign(arrays[f"{OWN}{first + index:04d}/{name}"])
