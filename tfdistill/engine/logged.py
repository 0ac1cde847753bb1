"""What is logged and scored: the names, and a mean for each over all examples of all replicas."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence

import keras
import tensorflow as tf

from tfdistill.engine.updates import Phase, Round
from tfdistill.tasks import Task

LOSS = "loss"
"""The supervised loss, in the mean over the networks that learn: what callbacks of Keras watch if told nothing else."""


def training_names(plan: Sequence[Phase], networks: Sequence[keras.Model], metrics: Sequence[str]) -> list[str]:
    """Names of the losses and terms of updates and of the metrics of moved networks, "<owner>/<what>".

    `LOSS` is the last where some network is moved; a phase that moves helpers alone has none.

    Raises:
        ValueError: a term would be logged under the name of something else.
    """
    names: list[str] = []
    for this_round in (this_round for phase in plan for this_round in phase.rounds):
        for update in this_round.updates:
            taken = ["loss", *(metrics if update.name in [network.name for network in networks] else [])]
            if double := next((term for term in update.terms if term in taken), ""):
                raise ValueError(
                    f"update {update.name!r}: a term cannot be called {double!r}, which is logged beside it; give the "
                    "transfer another name"
                )
            names += [f"{update.name}/loss", *(f"{update.name}/{term}" for term in update.terms)]
        moved = moved_in(this_round, networks)
        names += [f"{network.name}/{metric}" for network in moved for metric in metrics]
    if any(moved_in(one, networks) for phase in plan for one in phase.rounds):
        names.append(LOSS)
    return list(dict.fromkeys(names))


def score_names(owners: Sequence[str], metrics: Sequence[str]) -> list[str]:
    """The metrics of every owner, such as a network, as "<owner>/<metric>"."""
    return [f"{owner}/{metric}" for owner in owners for metric in metrics]


def moved_in(this_round: Round, networks: Sequence[keras.Model]) -> list[keras.Model]:
    """The networks of which some update of the round moves a variable."""
    return [network for network in networks if this_round.moves(network)]


def means(names: Iterable[str], prefix: str = "") -> dict[str, keras.metrics.Mean]:
    """A mean per name; to be called under the strategy's scope."""
    return {name: keras.metrics.Mean(name=prefix + name.replace("/", "_")) for name in names}


def meters(names: Iterable[str], prefix: str, task: Task, classes: int) -> dict[str, keras.metrics.Metric]:
    """What scores each name: a mean for `LOSS`, and for "<owner>/<metric>" the task's meter; scope as for `means`.

    Args:
        names: of `score_names`, and `LOSS`.
        prefix: of the meters' names.
        task: whose metrics they are.
        classes: how many the networks tell apart.
    """
    found: dict[str, keras.metrics.Metric] = {}
    for name in names:
        own = prefix + name.replace("/", "_")
        found[name] = means([name], prefix)[name] if name == LOSS else task.meter(name.split("/")[-1], classes, own)
    return found


class Total(keras.metrics.Metric):
    """The sum of arrays of one shape over all batches of all replicas, in float32.

    Args:
        shape: of the arrays.
        name: the metric's.
    """

    def __init__(self, shape: Sequence[int], name: str) -> None:
        super().__init__(name=name)
        self.total = self.add_variable(tuple(shape), "zeros", name="total")

    def update_state(self, values: tf.Tensor) -> None:
        """Adds an array."""
        self.total.assign_add(values)

    def result(self) -> tf.Tensor:
        """The sum so far."""
        return tf.convert_to_tensor(self.total)


def counted_of(
    task: Task, owners: Iterable[str], trackers: Mapping[str, keras.metrics.Metric]
) -> Callable[[], dict[str, tf.Tensor]]:
    """A function that gives what the meters of each owner have counted by class, see `Task.counted_by`.

    Args:
        task: whose meters they are.
        owners: networks and their ensemble, by name.
        trackers: of `meters`.
    """
    found = {owner: {name: trackers[f"{owner}/{name}"] for name in task.metric_names} for owner in owners}

    def counted() -> dict[str, tf.Tensor]:
        tables = ((owner, task.counted_by(own).items()) for owner, own in found.items())
        return {f"{owner}/{table}": value for owner, own in tables for table, value in own}

    return _traced(counted)


def results_of(trackers: Mapping[str, keras.metrics.Metric]) -> Callable[[], dict[str, tf.Tensor]]:
    """A function that gives the present value of each, in one call."""
    return _traced(lambda: {name: tracker.result() for name, tracker in trackers.items()})


def _traced(values: Callable[[], dict[str, tf.Tensor]]) -> Callable[[], dict[str, tf.Tensor]]:
    traced = tf.function(values, autograph=False)
    # TensorFlow warns of a function that it traces often, and takes each of these for the same one.
    concrete = functools.cache(traced.get_concrete_function)
    return lambda: concrete()()
