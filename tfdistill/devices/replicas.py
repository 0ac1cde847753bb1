"""What each replica keeps for itself: running statistics and sums of metrics, in a checkpoint beside their mean or sum.

A checkpoint must not change the training that it is taken of, and a training that goes on from it has to add to the
very numbers that each replica had: a sum that is cut otherwise is rounded otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdistill.devices.workers import Workers

OWN = "replicas/"


def noted_by_replica(size: int, strategy: tf.distribute.Strategy, name: str) -> tf.Variable:
    """Zeros, float64 [size], in which each replica notes what it sees; `experimental_local_results` gives them all.

    Args:
        size: how many values.
        strategy: of the replicas.
        name: of the variable.
    """
    with tf.init_scope(), strategy.scope():
        return tf.Variable(
            tf.zeros([size], tf.float64),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
            name=name,
        )


def copies(variable: keras.Variable) -> list[np.ndarray]:
    """The values that the replicas of this process have of a variable."""
    value = variable.value
    if not isinstance(value, tf.distribute.DistributedValues):
        return [np.asarray(value.numpy())]
    return [np.asarray(copy.numpy()) for copy in value.distribute_strategy.experimental_local_results(value)]


def mean(found: list[np.ndarray]) -> np.ndarray:
    """The mean of the replicas' values; of equal ones the value itself, which a sum and a division may miss."""
    equal = all(one.tobytes() == found[0].tobytes() for one in found)
    return found[0] if equal else np.asarray(sum(found) / len(found))


def means(
    variables: Iterable[keras.Variable], strategy: tf.distribute.Strategy, workers: Workers
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Each variable of floating point with the mean of its values on all replicas; none where there is one replica.

    With several workers all have to call it.

    Args:
        variables: what replicas keep for themselves, such as running statistics; others are passed over.
        strategy: of the training.
        workers: of the training.
    """
    if strategy.num_replicas_in_sync == 1:
        return []
    kept = [variable for variable in variables if tf.as_dtype(variable.dtype).is_floating]
    here = [mean(copies(variable)) for variable in kept]
    return list(zip(kept, workers.mean(here), strict=True))


def values(
    variables: Mapping[str, keras.Variable], strategy: tf.distribute.Strategy, workers: Workers
) -> dict[str, np.ndarray]:
    """The values of variables by name: what is summed when it is read, over all replicas, else the first replica's.

    With several workers all have to call it.
    """
    if workers.count == 1:
        return {name: np.asarray(variable.numpy()) for name, variable in variables.items()}
    # Read by itself, each sum over replicas would be a meeting of its own.
    arrays = {name: copies(variable) for name, variable in variables.items()}
    sums = {name: np.asarray(sum(arrays[name])) for name, one in variables.items() if _is_summed_on_read(one.value)}
    totals = dict(zip(sums, workers.sum(list(sums.values())), strict=True))
    return {name: totals[name] if name in totals else found[0] for name, found in arrays.items()}


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
        found = copies(variable)
        for index in range(count):
            own = found[index - here.start] if index in here else np.zeros_like(found[0])
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


def without_replicas(network: keras.Model) -> keras.Model:
    """Returns the network, or where a strategy has distributed its variables, a copy that has ordinary ones.

    A distributed variable cannot be saved as one variable of a SavedModel. Making the copy draws initial
    values; the state of Python's generator, from which Keras takes its seeds, is put back, so that an export
    in the midst of training changes nothing that comes after it. What the replicas of this process keep for themselves
    is averaged.
    """
    if not any(isinstance(weight.value, tf.distribute.DistributedValues) for weight in network.weights):
        return network
    state = random.getstate()
    try:
        copy = keras.models.clone_model(network)
    finally:
        random.setstate(state)
    # Not a variable's own value: with several workers, reading that needs all of them.
    copy.set_weights([mean(copies(weight)) for weight in network.weights])
    return copy


def _is_summed_on_read(variable: tf.Variable) -> bool:
    """Whether it is the sum of what each replica has, such as a metric's."""
    on_read = variable.synchronization == tf.VariableSynchronization.ON_READ
    return on_read and variable.aggregation == tf.VariableAggregation.SUM
